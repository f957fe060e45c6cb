"""Conditions on metadata: the tree, dicts, evaluation in Python, the query string."""
