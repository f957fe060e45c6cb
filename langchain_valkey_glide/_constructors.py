"""The constructors of the vector store that LangChain's chains and examples call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeAlias, cast

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from valkey_memory.adapters import hide_url_in

Ids: TypeAlias = list[str] | None
"""What the base class takes; this library's takes None among them, too."""


class Constructors(VectorStore):
    """Of a vector store whose constructor takes an embedding and options, ``url`` among them.

    They hide the URL before an error may show it, to tools that print the variables of every frame.
    """

    def __init__(self, embedding: Embeddings, /, **options: Any) -> None:
        raise NotImplementedError

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with ``texts`` in it; ``kwargs`` are those of the constructor."""
        kwargs = hide_url_in(kwargs)
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=cast("Ids", ids))
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Async ``from_texts``."""
        kwargs = hide_url_in(kwargs)
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=cast("Ids", ids))
        return store

    @classmethod
    def from_documents(
        cls, documents: list[Document], embedding: Embeddings, **kwargs: Any
    ) -> Self:
        """``from_texts`` of documents; their own ids are used where ``ids`` is not given."""
        kwargs = hide_url_in(kwargs)
        return super().from_documents(documents, embedding, **kwargs)

    @classmethod
    async def afrom_documents(
        cls, documents: list[Document], embedding: Embeddings, **kwargs: Any
    ) -> Self:
        """Async ``from_documents``."""
        kwargs = hide_url_in(kwargs)
        return await super().afrom_documents(documents, embedding, **kwargs)
