"""A message as a stored element and back, of no framework."""
