"""Answers and results that were paid for once."""
