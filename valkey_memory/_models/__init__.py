"""Embedding models and chat models of any framework, and the steps of a plan that ask them."""
