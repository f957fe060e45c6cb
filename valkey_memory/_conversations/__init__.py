"""Conversations: lists and their sidecars, what changes them, and the store of any codec."""
