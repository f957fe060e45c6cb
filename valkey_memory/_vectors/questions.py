"""What an engine can be asked, several at once: the nearest, the matching, how many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from .._filters.expressions import Filter


@dataclass(frozen=True, slots=True)
class Nearest:
    """The ``k`` nearest documents that satisfy ``condition``, nearest first: a list of ``Hit``.

    Args:
        query: From ``pack_vector``.
        k: At most so many.
        condition: A checked filter, or None.
        embeddings: Return the documents' vectors too.
        ef_runtime: HNSW effort for this search only.
    """

    query: bytes
    k: int
    condition: Filter | None
    embeddings: bool = False
    ef_runtime: int | None = None


@dataclass(frozen=True, slots=True)
class Matching:
    """At most ``limit`` documents that satisfy ``condition``: a list of ``Document``.

    Unlike a page it does not wait for an index that is still being filled.

    Args:
        condition: A checked filter, or None.
        limit: At most so many.
        order_by: A numeric field; documents without it are left out. By default in any order.
        descending: The highest first.
        embeddings: Return the documents' vectors too.
    """

    condition: Filter | None
    limit: int
    order_by: str | None = None
    descending: bool = False
    embeddings: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """How many documents satisfy ``condition``: an int, of 100,000 at most on the server.

    Unlike a count it does not wait for an index that is still being filled.
    """

    condition: Filter | None


Question: TypeAlias = Nearest | Matching | Counted
