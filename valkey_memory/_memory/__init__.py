"""What a person calls memory: summaries, messages and facts of a user, episodes, their recall."""
