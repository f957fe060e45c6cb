"""The end of a conversation, and what comes to it: raw elements, as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .. import _keys
from .._plans import Plan, atomic

_COMPARED = 8
"""Elements that are compared to see what is new in a list that is at its window."""


class Look(NamedTuple):
    """A conversation as of one moment."""

    archived: list[bytes]
    """Empty unless it was asked for."""
    active: list[bytes]
    """All active elements, or the newest that were asked for."""
    length: int
    """How many active elements there are."""


def look_plan(key: str, last: int | None = None, *, archived: bool = False) -> Plan[Look]:
    """The conversation of the list ``key``, or the newest ``last`` elements of it."""
    commands = [("LRANGE", key, str(-last) if last else "0", "-1"), ("LLEN", key)]
    if archived:
        commands.append(("LRANGE", _keys.sidecar(key, _keys.ARCHIVED), "0", "-1"))
    active, length, *old = yield atomic(f"read {key!r}", *commands)
    return Look(old[0] if old else [], active, length)


class News(NamedTuple):
    """What came to a conversation since the last look."""

    elements: list[bytes]
    first: int
    """The index of the first of ``elements``."""
    replaced: bool
    """Nothing of what was there is left: ``elements`` are another conversation, or none."""


@dataclass(slots=True)
class Follower:
    """Sees what is added to a list. What is trimmed away between two looks is not seen.

    Args:
        key: The list.
        end: Its newest elements as they are known.
        length: How many elements it had then.
    """

    key: str
    end: Sequence[bytes]
    length: int

    def __post_init__(self) -> None:
        self.end = list(self.end[-_COMPARED:])

    def news_plan(self) -> Plan[News | None]:
        """What is new, or None. One round trip, which reads 8 elements, while nothing happens."""
        end_command = ("LRANGE", self.key, str(-_COMPARED), "-1")
        length, end = yield atomic(f"follow {self.key!r}", ("LLEN", self.key), end_command)
        if (length, end) == (self.length, self.end):
            return None
        number = count_new(self.end, end, length - self.length)
        if number is None:
            # More came than was read, or other messages stand there now.
            _, end, length = yield from look_plan(self.key)
            number = count_new(self.end, end, length - self.length)
        replaced = number is None and bool(self.end)
        first = 0 if number is None else len(end) - number
        self.length, self.end = length, end[-_COMPARED:]
        if number == 0:  # only the window moved, or more is known of what was there
            return None
        return News(end[first:], length - len(end) + first, replaced)


def count_new(old: Sequence[bytes], new: Sequence[bytes], grown: int) -> int | None:
    """How many elements at the end of ``new`` came after those at the end of ``old``.

    Args:
        old: The end of the list as it was.
        new: As it is now; at most as many elements as were asked for.
        grown: By how much the list is longer, which is the answer unless it is trimmed meanwhile.

    Returns:
        The number, or None when ``new`` shows nothing of ``old``.
    """
    if grown >= len(new):
        return None
    candidates: list[int] = [grown, *range(len(new))]
    for number in candidates:
        if 0 <= number < len(new):
            kept = new[: len(new) - number]
            if old and list(old[-len(kept) :]) == list(kept[-len(old) :]):
                return number
    return None
