"""Which conversations wait for extraction of facts: over, and not considered as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _keys
from .._conversations import considered
from .._conversations.listing import Walk
from .._conversations.sessions import Session, read_record
from .._errors import KeyTypeError
from .._plans import Change, Now, Plan, Request, answered
from .._vectors.discovery import FoundIndex, has_tag_plan
from .consolidation import is_due, mark_of
from .findings import Waiting
from .memories import EPISODE, FACT

IDLE_MS = 24 * 3_600_000
"""A conversation without a write for so long is over; who consolidates does so once a day, say."""

LOOKED_AT = 1_000
"""So many conversations are looked at."""

PAGES = 100
"""So many pages of SCAN are read, for where other keys are by far more than conversations."""

_AT_ONCE = 250


def waiting_plan(index: FoundIndex | None, key_prefix: str) -> Plan[Waiting | None]:
    """The conversations that wait; None where ``index`` has no fact and no episode.

    Where there are none, nobody extracts facts, and nothing waits for it.

    Args:
        index: Of the long-term memory.
        key_prefix: Of the conversations.
    """
    if index is None or not (yield from has_tag_plan(index, "kind", (FACT, EPISODE))):
        return None
    now: int = yield Now()
    walk = Walk(key_prefix)
    looked_at, pages = 0, 0
    found: list[str] = []
    ids: list[str] = []
    while not walk.finished and pages < PAGES and looked_at < LOOKED_AT:
        pages += 1
        ids = yield from walk.page_plan()
        some = ids[: LOOKED_AT - looked_at]
        for start in range(0, len(some), _AT_ONCE):
            part = some[start : start + _AT_ONCE]
            found += yield from _waiting_of_plan(key_prefix, part, now - IDLE_MS)
        looked_at += len(some)
        ids = ids[len(some) :]
    return Waiting(looked_at, found, more=bool(ids) or not walk.finished)


def _waiting_of_plan(key_prefix: str, ids: Sequence[str], before_ms: int) -> Plan[list[str]]:
    """Those of ``ids`` that wait. Two round trips, one where nothing is due."""
    records = [read_record(key_prefix, one) for one in ids]
    sessions: list[Session | None] = yield from _read_plan(records)
    due = [one for one in sessions if one is not None and is_due(one, before_ms)]
    keys = [_keys.list_key(key_prefix, one.session_id) for one in due]
    marks = [considered.read_mark(key) for key in keys]
    newest = [considered.newest_is_considered(key) for key in keys]
    found: list[Any] = yield from _read_plan([*marks, *newest])
    return [
        session.session_id
        for session, mark, done in zip(due, found[: len(due)], found[len(due) :], strict=True)
        if mark != mark_of(session) and done is False
    ]


def _read_plan(changes: Sequence[Change[Any]]) -> Plan[list[Any]]:
    """What reads of one command each find, in one round trip; None for a key of somebody else's."""
    if not changes:
        return []
    commands = tuple(command for change in changes for command in change.commands)
    replies = yield Request(
        "look for conversations that wait",
        commands,
        errors_as_replies=True,
        read_only=True,
        repeatable=True,
    )
    return [
        None if isinstance(reply, KeyTypeError) else change.read([answered(reply)])
        for change, reply in zip(changes, replies, strict=True)
    ]
