"""What a LlamaIndex query asks, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from valkey_memory import Document, Filter, Hit, InvalidArgumentError
from valkey_memory.adapters import And, FieldType, check_count

from ._nodes import by_ids, to_condition, to_node

_MODES = VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR


class Understood(NamedTuple):
    """A query, checked."""

    vector: list[float] | None
    """None for a query by filters alone."""
    condition: Filter | None
    diverse: float | None
    """For MMR, how much nearness counts."""


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
    if kwargs:
        raise InvalidArgumentError(f"unknown arguments of query: {', '.join(kwargs)}")
    if query.mode not in _MODES:
        raise InvalidArgumentError(
            f"query mode {query.mode.value!r} is not served; use "
            f"{' or '.join(mode.value for mode in _MODES)}"
        )
    check_count(query.similarity_top_k, "similarity_top_k")
    parts = by_ids(query.doc_ids, node_ids)
    if (condition := to_condition(query.filters, fields)) is not None:
        parts.append(condition)
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


def ranked(hits: Sequence[Hit]) -> VectorStoreQueryResult:
    """The answer to a query with an embedding."""
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
