"""What a LlamaIndex query asks, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NotRequired, TypedDict

from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from valkey_memory import Document, Filter, Hit, InvalidArgumentError
from valkey_memory.adapters import And, FieldType, check_count

from ._nodes import by_ids, to_condition, to_node

_WITH_WORDS = VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.TEXT_SEARCH
_MODES = VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR, *_WITH_WORDS


class ByWords(TypedDict):
    """The arguments of ``VectorIndex.search_hybrid``."""

    query: str
    vector: list[float] | None
    k: int
    filter: Filter | None
    language: str
    alpha: NotRequired[float | None]
    vector_k: NotRequired[int | None]
    text_k: NotRequired[int | None]


class Understood(NamedTuple):
    """A query, checked."""

    vector: list[float] | None
    """None for a query by filters alone."""
    condition: Filter | None
    diverse: float | None
    """For MMR, how much nearness counts."""
    by_words: ByWords | None = None
    """For a query whose words count."""


def understood(
    query: VectorStoreQuery,
    node_ids: list[str] | None,
    kwargs: dict[str, Any],
    fields: Mapping[str, FieldType],
) -> Understood:
    """What ``query`` asks.

    Args:
        query: As LlamaIndex gives it.
        node_ids: What it is limited to.
        kwargs: What came beside it.
        fields: The declared ones.

    Raises:
        InvalidArgumentError: What is not served.
        FilterError: As ``to_condition``.
    """
    threshold = kwargs.pop("mmr_threshold", query.mmr_threshold)
    language = kwargs.pop("language", "english") if query.mode in _WITH_WORDS else ""
    if kwargs:
        raise InvalidArgumentError(f"unknown arguments of query: {', '.join(kwargs)}")
    if query.mode not in _MODES:
        raise InvalidArgumentError(
            f"query mode {query.mode.value!r} is not served; use "
            f"{', '.join(mode.value for mode in _MODES)}"
        )
    check_count(query.similarity_top_k, "similarity_top_k")
    parts = by_ids(query.doc_ids, node_ids)
    if (condition := to_condition(query.filters, fields)) is not None:
        parts.append(condition)
    if query.mode in _WITH_WORDS:
        selection = And(tuple(parts)) if parts else None
        return Understood(None, selection, None, _by_words(query, selection, language))
    diverse = None
    if query.mode is VectorStoreQueryMode.MMR:
        diverse = 0.5 if threshold is None else float(threshold)
    if query.query_embedding is not None:
        return Understood(
            list(query.query_embedding), And(tuple(parts)) if parts else None, diverse
        )
    if not parts or diverse is not None:
        raise InvalidArgumentError(
            "the query has no embedding: this store compares vectors, or selects by filters, "
            "doc_ids and node_ids alone"
        )
    return Understood(None, And(tuple(parts)), None)


def _by_words(query: VectorStoreQuery, condition: Filter | None, language: str) -> ByWords:
    """What a query asks whose words count. LlamaIndex leaves open how its numbers go together."""
    if query.query_str is None:
        raise _lacks(query, "query_str")
    top_k, sparse_k, fused_k = query.similarity_top_k, query.sparse_top_k, query.hybrid_top_k
    check_count(sparse_k, "sparse_top_k", optional=True)
    check_count(fused_k, "hybrid_top_k", optional=True)
    if query.mode is VectorStoreQueryMode.TEXT_SEARCH:
        return ByWords(
            query=query.query_str,
            vector=None,
            k=top_k if sparse_k is None else sparse_k,
            filter=condition,
            language=language,
        )
    if query.query_embedding is None:
        raise _lacks(query, "query_embedding")
    return ByWords(
        query=query.query_str,
        vector=list(query.query_embedding),
        k=top_k if fused_k is None else fused_k,
        filter=condition,
        language=language,
        alpha=query.alpha,
        vector_k=None if fused_k is None else top_k,
        text_k=sparse_k,
    )


def _lacks(query: VectorStoreQuery, name: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"query mode {query.mode.value!r} needs {name}, and there is none")


def ranked(hits: Sequence[Hit]) -> VectorStoreQueryResult:
    """The answer to a query that ranks."""
    return VectorStoreQueryResult(
        nodes=[to_node(hit.document) for hit in hits],
        similarities=[hit.score for hit in hits],
        ids=[hit.document.id for hit in hits],
    )


def unranked(documents: Sequence[Document]) -> VectorStoreQueryResult:
    """The answer to a query by filters alone."""
    return VectorStoreQueryResult(
        nodes=[to_node(document) for document in documents],
        ids=[document.id for document in documents],
    )
