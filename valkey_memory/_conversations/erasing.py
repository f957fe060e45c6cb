"""A user's list as it stands, and the erasing of what it names, of none that is another's.

What counts is the record: a conversation whose record names another user is left alone, one that
nobody claims belongs to whose list it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _keys
from .._errors import KeyTypeError, ValkeyMemoryError
from .._plans import Change, Command, Plan, Request, answered, change_plan
from .frame import script
from .records import leave
from .scripts import DELETE_OF_USER
from .sessions import record_key

BATCH = 200
"""Conversations that are erased in one round trip."""
_READ, _ASKED = 5_000, 1_000


class Entry(NamedTuple):
    """A conversation in a user's list."""

    member: bytes
    score: str

    @property
    def session_id(self) -> str | None:
        """None for what is no session id, and so names no conversation."""
        try:
            return self.member.decode() or None
        except UnicodeDecodeError:
            return None


class Erased(NamedTuple):
    """What was deleted of conversations."""

    conversations: int = 0
    messages: int = 0
    archived: int = 0
    summaries: int = 0

    def plus(self, other: Erased) -> Erased:
        return Erased(*(mine + more for mine, more in zip(self, other, strict=True)))


def entries_plan(key_prefix: str, user_id: str) -> Plan[list[Entry]]:
    """A user's list, the longest inactive first, each entry once. One round trip for each 5,000."""
    user_list = _keys.user_key(key_prefix, user_id, _keys.SESSIONS)
    found: dict[bytes, Entry] = {}
    start = 0
    while True:
        command = ("ZRANGE", user_list, str(start), str(start + _READ - 1), "WITHSCORES")
        page: list[Entry] = yield from change_plan(
            Change(f"read {user_list!r}", user_list, (command,), _entries, read_only=True)
        )
        found |= {one.member: one for one in page}
        start += _READ
        if len(page) < _READ:
            return list(found.values())


def _entries(replies: Sequence[Any]) -> list[Entry]:
    (reply,) = replies
    pairs = reply.items() if isinstance(reply, dict) else reply
    return [Entry(member, repr(float(score))) for member, score in pairs]


def owners_plan(key_prefix: str, ids: Sequence[str]) -> Plan[dict[str, str | None]]:
    """Whose those of the conversations are that there are; None for nobody's.

    One round trip for each 1,000.
    """
    found: dict[str, str | None] = {}
    for start in range(0, len(ids), _ASKED):
        some = ids[start : start + _ASKED]
        commands: list[Command] = []
        for one in some:
            commands.append(("EXISTS", *_keys.content_keys(_keys.list_key(key_prefix, one))))
            commands.append(("HGET", record_key(key_prefix, one), "user_id"))
        replies = yield Request(
            "look for conversations", tuple(commands), errors_as_replies=True, repeatable=True
        )
        for one, exists, owner in zip(some, replies[::2], replies[1::2], strict=True):
            if answered(exists):
                known = None if isinstance(owner, KeyTypeError) else answered(owner)
                found[one] = known and known.decode("utf-8", "replace")
    return found


def erase_plan(
    key_prefix: str, user_id: str, entries: Sequence[Entry]
) -> Plan[tuple[Erased, list[ValkeyMemoryError]]]:
    """Delete the conversations that ``entries`` name, then the entries. Two round trips.

    An entry that changed meanwhile stays: its conversation was written to again.

    Returns:
        What was deleted, and why some were not, such as a key that holds a value of another type.
        These have their entries still.
    """
    named = [(entry, one) for entry in entries if (one := entry.session_id) is not None]
    replies: list[Any] = []
    if named:
        replies = yield Request(
            f"delete conversations of {user_id!r}",
            tuple(
                script(DELETE_OF_USER, _keys.list_key(key_prefix, session_id), user_id)
                for _, session_id in named
            ),
            errors_as_replies=True,
            repeatable=True,
        )
    erased, failures, failed = Erased(), [], set()
    for (entry, _), reply in zip(named, replies, strict=True):
        if isinstance(reply, ValkeyMemoryError):
            failures.append(reply)
            failed.add(entry)
        elif reply:
            messages, archived, summaries, keys = reply
            erased = erased.plus(Erased(int(keys > 0), messages, archived, summaries))
    gone = [(entry.member, entry.score) for entry in entries if entry not in failed]
    if gone:
        user_list = _keys.user_key(key_prefix, user_id, _keys.SESSIONS)
        yield from change_plan(leave(user_list, gone))
    return erased, failures
