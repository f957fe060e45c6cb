"""The core's local embedding model for LangChain."""

from __future__ import annotations

from langchain_core.embeddings import Embeddings

from valkey_memory import LocalEmbedding


class LocalEmbeddings(LocalEmbedding, Embeddings):
    """``valkey_memory.LocalEmbedding`` as LangChain's ``Embeddings``, with the same vectors.

    Examples:
        >>> from langchain_valkey_glide import LocalEmbeddings, ValkeyVectorStore
        >>> store = ValkeyVectorStore(LocalEmbeddings(), "sayings", url="embedded://")
        >>> _ = store.add_texts(["We deployed to ECS.", "The cat sleeps on the keyboard."])
        >>> store.similarity_search("How do I deploy my service?", k=1)[0].page_content
        'We deployed to ECS.'

    Args:
        dimension: Numbers per vector: 256, the default, 128 or 64.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.LocalEmbedding``.
    """
