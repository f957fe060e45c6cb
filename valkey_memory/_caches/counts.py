"""How often a cache was asked, and how it answered. Counting asks nothing of the server."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What became of the look-ups and writes of one cache object, in its process.

    Attributes:
        hits: Look-ups that the cache answered.
        misses: Those that it did not.
        stores: Entries written.
        semantic_hits: Of the hits of a semantic cache, those by a similar question.
        waits: Calls of tools that waited for an equal one, whatever came of it.
    """

    hits: int = 0
    misses: int = 0
    stores: int = 0
    semantic_hits: int = 0
    waits: int = 0

    @property
    def lookups(self) -> int:
        """How often it was asked."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """The share of look-ups that were answered, 0 to 1; 0 before the first."""
        return self.hits / self.lookups if self.lookups else 0.0

    def __add__(self, other: CacheStats) -> CacheStats:
        return CacheStats(
            self.hits + other.hits,
            self.misses + other.misses,
            self.stores + other.stores,
            self.semantic_hits + other.semantic_hits,
            self.waits + other.waits,
        )


class Counts:
    """The counts behind ``CacheStats``, from any number of threads.

    Each thread counts for itself, so that none waits, also after a fork for a lock that nobody
    gives back.
    """

    def __init__(self) -> None:
        self._of_threads: dict[int, CacheStats] = {}

    def add(
        self,
        *,
        hits: int = 0,
        misses: int = 0,
        stores: int = 0,
        semantic_hits: int = 0,
        waits: int = 0,
    ) -> None:
        thread = threading.get_ident()
        own = self._of_threads.get(thread, CacheStats())
        self._of_threads[thread] = own + CacheStats(hits, misses, stores, semantic_hits, waits)

    def stats(self) -> CacheStats:
        return sum(list(self._of_threads.values()), CacheStats())
