"""Searches for variety: LangChain's maximal marginal relevance."""

# The base class lets every method take any keyword argument; here a misspelt one is an error.
# mypy: disable-error-code="override"
# LangChain calls it filter.
# ruff: noqa: A002

from __future__ import annotations

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from valkey_memory.adapters import AnyFilter, TextIndex

from ._documents import to_documents


class DiverseSearch(VectorStore):
    """A vector store over ``_texts`` that searches for variety."""

    _texts: TextIndex

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,
    ) -> list[Document]:
        """``k`` of the ``fetch_k`` nearest documents, near the query and unlike each other.

        Args:
            query: A text.
            k: At most so many.
            fetch_k: How many to choose from; with fewer than ``k``, fewer are returned.
            lambda_mult: 1 is nearness alone, 0 is variety alone.
            filter: As in ``similarity_search_with_score``.
        """
        return to_documents(
            self._texts.search_diverse(
                query, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
            )
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,
    ) -> list[Document]:
        """Async ``max_marginal_relevance_search``."""
        return to_documents(
            await self._texts.asearch_diverse(
                query, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
            )
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,
    ) -> list[Document]:
        """``max_marginal_relevance_search`` for a vector."""
        hits = self._texts.index.search_diverse(
            embedding, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
        )
        return to_documents(hits)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,
    ) -> list[Document]:
        """Async ``max_marginal_relevance_search_by_vector``."""
        hits = await self._texts.index.asearch_diverse(
            embedding, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
        )
        return to_documents(hits)
