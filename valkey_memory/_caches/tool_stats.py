"""How often a cache of tools' results was asked, and what came of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ToolCacheStats:
    """What a ``ToolCache`` of this process did since it was made.

    Attributes:
        hits: Calls that got a stored result, those that waited for it among them.
        misses: Calls that ran the tool.
        waits: Calls that waited for an equal one, whatever came of it.
    """

    hits: int = 0
    misses: int = 0
    waits: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of calls that did not run the tool; 0.0 before the first."""
        calls = self.hits + self.misses
        return self.hits / calls if calls else 0.0


class Tally:
    """Counts for ``ToolCacheStats``, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = {"hits": 0, "misses": 0, "waits": 0}

    def count(self, what: Literal["hits", "misses", "waits"]) -> None:
        """One more."""
        with self._lock:
            self._counts[what] += 1

    def read(self) -> ToolCacheStats:
        """What was counted so far."""
        with self._lock:
            return ToolCacheStats(**self._counts)
