"""What LlamaIndex itself says of a filter, and what ours means where LlamaIndex says nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

_WORDS = {FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE}


def satisfies(metadata: Mapping[str, Any], filters: MetadataFilters | MetadataFilter) -> bool:
    """Each comparison by LlamaIndex's function, which refuses nested groups; groups by recursion.

    Text is the exception: LlamaIndex looks for substrings, a full-text index for whole words.
    """
    if isinstance(filters, MetadataFilter):
        if filters.operator in _WORDS:
            return _has_words(metadata.get(filters.key), filters.value)
        decide = build_metadata_filter_fn(lambda _: metadata, MetadataFilters(filters=[filters]))
        return decide("")
    if not filters.filters:
        return True
    results = [satisfies(metadata, one) for one in filters.filters]
    if filters.condition is FilterCondition.OR:
        return any(results)
    if filters.condition is FilterCondition.NOT:
        return not any(results)
    return all(results)


def _has_words(text: Any, phrase: Any) -> bool:
    if text is None:
        return False
    found, wanted = (re.findall(r"\w+", one.casefold()) for one in (text, phrase))
    size = len(wanted)
    return size > 0 and any(
        found[start : start + size] == wanted for start in range(len(found) - size + 1)
    )
