"""The options of an index that everything built on ``VectorIndex`` takes and passes on."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

from .._arguments import TTL
from .engine import Search
from .index import VectorIndex
from .schema import Algorithm, Storage
from .vector import Metric

F = TypeVar("F", bound=Callable[..., Any])


class IndexOptions(TypedDict, total=False):
    """Keyword arguments of ``VectorIndex``, which documents them and has their defaults."""

    storage: Storage
    search: Search
    metric: Metric
    algorithm: Algorithm
    m: int
    ef_construction: int
    ef_runtime: int
    ttl: TTL | None
    refresh_ttl_on_read: bool
    exact_limit: int


def with_index_options(function: F) -> F:
    """Have ``help`` and ``inspect.signature`` name the options in place of ``**options``."""
    signature = inspect.signature(function)
    known = inspect.signature(VectorIndex).parameters
    options = [known[name] for name in IndexOptions.__annotations__]
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    function.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*own, *options]
    )
    return function
