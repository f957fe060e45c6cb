"""How often a cache was asked, and how it answered. Counting asks nothing of the server."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from operator import add


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What became of the look-ups and writes of one cache object, since it was made.

    Attributes:
        exact_hits: Answered from an entry with the same key.
        semantic_hits: Answered from the entry of a similar question.
        misses: Not answered.
        stores: Entries written.
    """

    exact_hits: int = 0
    semantic_hits: int = 0
    misses: int = 0
    stores: int = 0

    @property
    def lookups(self) -> int:
        """How often it was asked."""
        return self.exact_hits + self.semantic_hits + self.misses

    @property
    def hit_rate(self) -> float:
        """The share of look-ups that were answered, 0 to 1; 0 before the first."""
        return (self.exact_hits + self.semantic_hits) / self.lookups if self.lookups else 0.0


_NONE = (0, 0, 0, 0)


class Counts:
    """The counts behind ``CacheStats``, from any number of threads.

    Each thread counts for itself, so that none waits, and none is missing after a fork.
    """

    def __init__(self) -> None:
        self._of_threads: dict[int, tuple[int, ...]] = {}

    def add(
        self, *, exact_hits: int = 0, semantic_hits: int = 0, misses: int = 0, stores: int = 0
    ) -> None:
        thread = threading.get_ident()
        own = self._of_threads.get(thread, _NONE)
        more = (exact_hits, semantic_hits, misses, stores)
        self._of_threads[thread] = tuple(map(add, own, more))

    def stats(self) -> CacheStats:
        return CacheStats(*map(sum, zip(_NONE, *list(self._of_threads.values()), strict=True)))
