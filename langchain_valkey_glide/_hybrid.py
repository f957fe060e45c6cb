"""Hybrid search: by vectors and by words, and the retriever that knows of it."""

# The base class lets every method take any keyword argument; here a misspelt one is an error.
# mypy: disable-error-code="override"
# LangChain calls it filter.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import AnyFilter, HybridMode, TextIndex

from ._documents import Scored, to_documents, to_scored

HYBRID = "hybrid"
_SEARCH_TYPES = (*VectorStoreRetriever.allowed_search_types, HYBRID)


class HybridSearch(VectorStore):
    """A vector store over ``_texts`` that searches by vectors and by words."""

    _texts: TextIndex

    def hybrid_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> Scored:
        """The ``k`` documents nearest to a text and best by its words, best first.

        The rank by vector and the rank by words (BM25 over the documents' text) are fused. It finds
        names, codes and rare words that vectors miss. Two round trips and one embedding. The store
        needs ``metadata_fields={"content": "text"}``.

        Args:
            query: A text. Its words count, without stop words: the first 32 different ones.
            k: At most so many.
            filter: As in ``similarity_search_with_score``.
            mode: ``"text"`` ranks by words alone, and embeds nothing.
            alpha: What the rank by vector counts: 0.5 by default, 1 for vectors alone, 0 for words.
            language: Of Snowball's stemmers. Stop words are left out in English.

        Returns:
            Documents, and how well their ranks are, 0 to 1: not to be compared with another
            search's. By words alone the score is that of BM25.

        Raises:
            valkey_memory.FilterError: ``content`` is not declared.
        """
        return to_scored(
            self._texts.search_hybrid(
                query, k, filter=filter, mode=mode, alpha=alpha, language=language
            )
        )

    async def ahybrid_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> Scored:
        """Async ``hybrid_search_with_score``."""
        return to_scored(
            await self._texts.asearch_hybrid(
                query, k, filter=filter, mode=mode, alpha=alpha, language=language
            )
        )

    def hybrid_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> list[Document]:
        """``hybrid_search_with_score`` without the scores."""
        return to_documents(
            self._texts.search_hybrid(
                query, k, filter=filter, mode=mode, alpha=alpha, language=language
            )
        )

    async def ahybrid_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> list[Document]:
        """Async ``hybrid_search``."""
        return to_documents(
            await self._texts.asearch_hybrid(
                query, k, filter=filter, mode=mode, alpha=alpha, language=language
            )
        )

    # By name, as LangChain's retrievers and chains ask

    def search(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """The search that ``search_type`` names: ``"similarity"``, ``"mmr"``,
        ``"similarity_score_threshold"`` or ``"hybrid"``, with its method's arguments."""
        _check_type(search_type)
        if search_type == HYBRID:
            return self.hybrid_search(query, **kwargs)
        return super().search(query, search_type, **kwargs)

    async def asearch(self, query: str, search_type: str, **kwargs: Any) -> list[Document]:
        """Async ``search``."""
        _check_type(search_type)
        if search_type == HYBRID:
            return await self.ahybrid_search(query, **kwargs)
        return await super().asearch(query, search_type, **kwargs)

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """A retriever over this store.

        Args:
            kwargs: Fields of ``VectorStoreRetriever``: ``search_type`` (``"similarity"`` by
                default, ``"mmr"``, ``"similarity_score_threshold"`` or ``"hybrid"``) and
                ``search_kwargs``, the arguments of that search, such as ``k`` and ``filter``.
        """
        tags = kwargs.pop("tags", None) or [*self._get_retriever_tags()]
        return ValkeyRetriever(vectorstore=self, tags=tags, **kwargs)


class ValkeyRetriever(VectorStoreRetriever):
    """LangChain's retriever, with ``search_type="hybrid"``."""

    allowed_search_types: ClassVar[Collection[str]] = _SEARCH_TYPES

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if self.search_type != HYBRID:
            return super()._get_relevant_documents(query, run_manager=run_manager, **kwargs)
        return self.vectorstore.search(query, HYBRID, **(self.search_kwargs | kwargs))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        if self.search_type != HYBRID:
            return await super()._aget_relevant_documents(query, run_manager=run_manager, **kwargs)
        return await self.vectorstore.asearch(query, HYBRID, **(self.search_kwargs | kwargs))


def _check_type(search_type: str) -> None:
    if search_type not in _SEARCH_TYPES:
        raise InvalidArgumentError(
            f"search_type {search_type!r:.80} is unknown: use one of {', '.join(_SEARCH_TYPES)}"
        )
