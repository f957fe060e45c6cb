"""Items by namespace and key, found by prefix, filter and meaning: what LangGraph's store keeps."""
