"""What an agent did in a run, in order."""
