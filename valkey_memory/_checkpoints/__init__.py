"""States of graphs, as LangGraph's checkpointers keep them."""
