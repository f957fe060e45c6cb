"""Which conversations there are, how long each is, when it expires and what it takes.

A page of SCAN is one round trip, and so is what is asked about each 500 conversations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _keys
from .._errors import ValkeyMemoryError
from .._plans import Command, Plan, Reply, Request, Scan, ScanPage, answered

_AT_ONCE = 500


def session_page_plan(
    key_prefix: str, beginning: str = "", cursor: Any = None
) -> Plan[tuple[set[str], Any]]:
    """Session ids that start with ``beginning``, from one page of SCAN, and its cursor.

    A conversation is there when its list is, or only its archived list. An id may come in several
    pages. The cursor is None first, and after the last page.
    """
    pattern = _keys.conversations_pattern(key_prefix, beginning)
    page: ScanPage = yield Scan(f"list conversations under {key_prefix!r}", pattern, cursor=cursor)
    found = {_keys.session_id(key_prefix, key) for key in page.keys}
    return {one for one in found if one and one.startswith(beginning)}, page.cursor


def session_ids_plan(key_prefix: str) -> Plan[list[str]]:
    """The session ids under ``key_prefix``, sorted, each once."""
    found, cursor = yield from session_page_plan(key_prefix)
    while cursor is not None:
        more, cursor = yield from session_page_plan(key_prefix, cursor=cursor)
        found |= more
    return sorted(found)


@dataclass(slots=True)
class Walk:
    """A walk over the session ids under a key prefix, a page at a time, so that each can be shown.

    Args:
        key_prefix: Of the conversations.
        beginning: Only session ids that begin so.

    Attributes:
        finished: Whether there are no more pages.
    """

    key_prefix: str
    beginning: str = ""
    finished: bool = field(default=False, init=False)
    _cursor: Any = field(default=None, init=False)
    _seen: set[str] = field(default_factory=set, init=False)

    def page_plan(self) -> Plan[list[str]]:
        """The ids of the next page, sorted; pages come in no order. An id comes once in a walk."""
        found, self._cursor = yield from session_page_plan(
            self.key_prefix, self.beginning, self._cursor
        )
        self.finished = self._cursor is None
        fresh = found - self._seen
        self._seen |= fresh
        return sorted(fresh)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages."""

    id: str
    messages: int
    archived: int
    ttl_ms: int | None
    """Milliseconds left; None for never."""
    bytes: int | None = None
    """Memory of all its keys as MEMORY USAGE estimates it, where it was asked and is permitted."""

    @property
    def ttl(self) -> float | None:
        """Seconds left; None for never."""
        return None if self.ttl_ms is None else self.ttl_ms / 1000


def describe_plan(
    key_prefix: str, ids: Sequence[str], *, memory: bool = False
) -> Plan[list[Conversation]]:
    """Count and TTL of conversations, in the order of ``ids``; those that are gone are left out.

    Args:
        key_prefix: Of the conversations.
        ids: Their session ids.
        memory: Ask how much memory they take, too.
    """
    described: list[Conversation] = []
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        asked = [tuple(_questions(_keys.list_key(key_prefix, one), memory)) for one in some]
        commands = tuple(command for one in asked for command in one)
        replies = yield Request("look at conversations", commands, errors_as_replies=True)
        width = len(asked[0])
        for number, one in enumerate(some):
            found = _described(one, replies[number * width : (number + 1) * width])
            if found is not None:
                described.append(found)
    return described


def _questions(key: str, memory: bool) -> Iterator[Command]:
    for one in (key, _keys.sidecar(key, _keys.ARCHIVED)):
        yield "LLEN", one
        yield "PTTL", one
    if memory:
        for one in _keys.conversation_keys(key):
            yield "MEMORY", "USAGE", one


def _described(session_id: str, replies: Sequence[Reply]) -> Conversation | None:
    messages, ttl, archived, archived_ttl, *used = replies
    messages, archived = answered(messages), answered(archived)
    if not messages and not archived:
        return None
    left = answered(ttl) if messages else answered(archived_ttl)
    known = used and not any(isinstance(reply, ValkeyMemoryError) for reply in used)
    memory = sum(reply or 0 for reply in used) if known else None
    return Conversation(session_id, messages, archived, left if left >= 0 else None, memory)
