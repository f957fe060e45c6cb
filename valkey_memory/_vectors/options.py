"""The options of an index that everything built on ``VectorIndex`` takes and passes on."""

from __future__ import annotations

from typing import TypedDict

from .._arguments import TTL
from .documents import OnCorrupt
from .engine import Search
from .schema import Algorithm, Storage
from .vector import Metric


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
    on_corrupt: OnCorrupt
