"""What LangGraph's store keeps: items in namespaces."""
