"""What a person calls memory: summaries, recall, facts, episodes, all of them in a turn."""
