"""Documents found by meaning: their shape, their storage, the engines, the index."""
