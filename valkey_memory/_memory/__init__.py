"""What a person calls memory: summaries of long conversations; facts and episodes are to come."""
