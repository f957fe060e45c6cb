"""Sessions as values and plans: the records of conversations, one by one and by user."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import _keys
from .._arguments import MAXIMUM, check_count, check_text, shown
from .._errors import InvalidArgumentError, KeyTypeError
from .._plans import Change, Command, Now, Plan, Request, answered, change_plan, changes_plan
from . import changes
from .frame import framed, number_of, script
from .records import enter, leave, seconds

KNOWN = ("user_id", "title", "model", "created_at", "last_active", "message_count", "token_count")
"""The fields of a record that have a meaning; all others are the application's own."""
_AT_ONCE = 500
_GRACE_SECONDS = 60
"""An entry without its record is dropped when it is older: a cluster, or a replica that is read,
may not have the rest of the write yet."""


@dataclass(frozen=True, slots=True)
class Session:
    """The record of a conversation, as ``SessionStore`` reads it."""

    session_id: str
    user_id: str | None = None
    title: str | None = None
    model: str | None = None
    """The last that was told."""
    created_at: float | None = None
    """When the record began, in Unix seconds."""
    last_active: float | None = None
    """When the conversation was last written to, in Unix seconds."""
    message_count: int = 0
    """Messages added, less those deleted. Those that a window trimmed, or that were archived, are
    among them."""
    token_count: int = 0
    """Tokens as they were told at the writes."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """The application's own."""


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def read_number(text: str | None) -> float | None:
    """A number of a record; None for what is none."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and 0 <= number <= MAXIMUM else None


def read_fields(reply: Any) -> dict[str, str]:
    """The fields of HGETALL's reply, or of its values in a row."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {_text(name): _text(value) for name, value in pairs}


def read_session(session_id: str, reply: Any) -> Session | None:
    """A record of HGETALL's reply, or of its values in a row; None where there is none.

    What a foreign program wrote in place of a number counts as none.
    """
    found = read_fields(reply)
    if not found:
        return None
    return Session(
        session_id,
        found.get("user_id"),
        found.get("title"),
        found.get("model"),
        read_number(found.get("created_at")),
        read_number(found.get("last_active")),
        int(read_number(found.get("message_count")) or 0),
        int(read_number(found.get("token_count")) or 0),
        {name: value for name, value in found.items() if name not in KNOWN},
    )


def record_key(key_prefix: str, session_id: str) -> str:
    """The key of a conversation's record."""
    return _keys.sidecar(_keys.list_key(key_prefix, session_id), _keys.META)


def read_record(key_prefix: str, session_id: str) -> Change[Session | None]:
    """The record of a conversation."""
    key = record_key(key_prefix, session_id)
    return Change(
        f"read the record of {session_id!r}",
        key,
        (("HGETALL", key),),
        lambda replies: read_session(session_id, replies[0]),
        read_only=True,
    )


def session_plan(key_prefix: str, session_id: str) -> Plan[Session | None]:
    """The record of a conversation."""
    return change_plan(read_record(key_prefix, session_id))


# Changing

# Arguments: the time, and pairs of a field and its value, '' to delete it. Returns the record. A
# record that is made counts what there is.
_UPDATE = framed(
    f"""
local meta = KEYS[{number_of(_keys.META)}]
if call('HEXISTS', meta, 'created_at') == 0 then
  local held = call('LLEN', KEYS[1]) + call('LLEN', KEYS[{number_of(_keys.ARCHIVED)}])
  call('HSET', meta, 'created_at', ARGV[at])
  call('HSETNX', meta, 'last_active', ARGV[at])
  call('HSETNX', meta, 'message_count', held)
  call('HSETNX', meta, 'token_count', 0)
end
for i = at + 1, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    call('HDEL', meta, ARGV[i])
  else
    call('HSET', meta, ARGV[i], ARGV[i + 1])
  end
end
result = call('HGETALL', meta)
"""
)


def check_fields(fields: Mapping[str, str | None] | None) -> dict[str, str]:
    """Own fields as the script takes them, ``""`` for those that go.

    Raises:
        InvalidArgumentError: A name or value is no text, is empty, or is a name with a meaning.
    """
    if fields is None:
        return {}
    if not isinstance(fields, Mapping):
        raise InvalidArgumentError(f"fields must be a dict of texts, not {shown(fields)}")
    checked = {}
    for name, value in fields.items():
        check_text(name, "a field's name")
        if name in KNOWN:
            raise InvalidArgumentError(
                f"{name!r} is no field of your own: pass it as an argument if it can be changed"
            )
        checked[name] = "" if value is None else check_text(value, f"fields[{name!r}]")
    return checked


def update_plan(
    key_prefix: str,
    session_id: str,
    *,
    user_id: str | None,
    title: str | None,
    model: str | None,
    fields: Mapping[str, str | None] | None,
) -> Plan[Session]:
    """Set fields of a record, which is made if missing. One round trip; two with ``user_id``."""
    own = check_fields(fields)
    for name, value in (("title", title), ("model", model)):
        if value is not None:
            own[name] = check_text(value, name)
    if user_id is not None:
        own["user_id"] = check_text(user_id, "user_id")
    key = _keys.list_key(key_prefix, session_id)
    now = seconds((yield Now()))
    flat = [part for pair in own.items() for part in pair]
    update: Change[Any] = Change(
        f"update the record of {session_id!r}",
        key,
        (script(_UPDATE, key, now, *flat),),
        lambda replies: read_session(session_id, replies[0]),
        repeatable=True,
    )
    if user_id is None:
        return (yield from change_plan(update))  # type: ignore[no-any-return]
    before, left = yield from changes_plan(_owner(key_prefix, session_id), changes.ttl_left(key))
    was, last_active = before
    user_list = _keys.user_key(key_prefix, user_id, _keys.SESSIONS)
    score = last_active if read_number(last_active) is not None else now
    entered = enter(user_list, session_id, score, left if left > 0 else None)
    left_lists = []
    if was and was != user_id:
        before_list = _keys.user_key(key_prefix, was, _keys.SESSIONS)
        left_lists = [leave(before_list, [(session_id, "")])]
    _, updated, *_ = yield from changes_plan(entered, update, *left_lists)
    return updated  # type: ignore[no-any-return]


def _read_owner(replies: Sequence[Any]) -> tuple[str | None, str | None]:
    user_id, last_active = (part and _text(part) for part in replies[0])
    return user_id, last_active


def _owner(key_prefix: str, session_id: str) -> Change[tuple[str | None, str | None]]:
    """Whose conversation it is, and when it was last active."""
    key = record_key(key_prefix, session_id)
    return Change(
        f"read the record of {session_id!r}",
        key,
        (("HMGET", key, "user_id", "last_active"),),
        _read_owner,
        read_only=True,
    )


def delete_session_plan(key_prefix: str, session_id: str) -> Plan[bool]:
    """Delete a conversation with all that belongs to it; whether there was one. Two round trips."""
    deleted = changes.delete(_keys.list_key(key_prefix, session_id))
    owner, _ = yield from change_plan(_owner(key_prefix, session_id))
    if not owner:
        return (yield from change_plan(deleted))
    user_list = _keys.user_key(key_prefix, owner, _keys.SESSIONS)
    was_there, _ = yield from changes_plan(deleted, leave(user_list, [(session_id, "")]))
    return bool(was_there)


# By user

_Entry = tuple[str, float]


def check_before(before: Session | float | None) -> tuple[float, str | None] | None:
    """Where a page begins: a time and, where a session says it, an id.

    Raises:
        InvalidArgumentError: ``before`` is neither a session that was listed nor a time.
    """
    if before is None:
        return None
    if isinstance(before, Session) and before.last_active is not None:
        return before.last_active, before.session_id
    if isinstance(before, int | float) and not isinstance(before, bool) and math.isfinite(before):
        return float(before), None
    raise InvalidArgumentError(
        f"before must be the last session of the page before, or Unix seconds, not {shown(before)}"
    )


def of_user_plan(
    key_prefix: str, user_id: str, limit: int, before: Session | float | None = None
) -> Plan[list[Session]]:
    """The sessions of a user, newest first. Two round trips for each 500.

    Where some were expired, one more drops their entries, and more is read in their place.
    """
    check_count(limit, "limit")
    start = check_before(before)
    user_list = _keys.user_key(key_prefix, user_id, _keys.SESSIONS)
    found: list[Session] = []
    while len(found) < limit:
        wanted = min(limit - len(found), _AT_ONCE)
        entries = yield from _entries_plan(user_list, start, wanted)
        if entries:
            found += yield from _live_plan(key_prefix, user_id, user_list, entries)
            start = entries[-1][1], entries[-1][0]
        if len(entries) < wanted:
            break
    return found


def count_of_user_plan(key_prefix: str, user_id: str) -> Plan[int]:
    """How many sessions a user has. Two round trips for each 500."""
    number, before = 0, None
    while page := (yield from of_user_plan(key_prefix, user_id, _AT_ONCE, before)):
        number, before = number + len(page), page[-1]
        if len(page) < _AT_ONCE:
            break
    return number


def _entries_plan(
    user_list: str, start: tuple[float, str | None] | None, wanted: int
) -> Plan[list[_Entry]]:
    """The next ``wanted`` entries after ``start``, newest first; ids of one time descending."""
    found: list[_Entry] = []
    highest = "+inf"
    if start is not None:
        highest = repr(start[0]) if start[1] is not None else f"({start[0]!r}"
    offset = 0
    while len(found) < wanted:
        command = ("ZRANGE", user_list, highest, "-inf", "BYSCORE", "REV")
        limits = ("LIMIT", str(offset), str(wanted), "WITHSCORES")
        entries: list[_Entry] = yield from change_plan(
            Change(
                f"read {user_list!r}", user_list, ((*command, *limits),), _entries, read_only=True
            )
        )
        found += [entry for entry in entries if _is_after(entry, start)]
        offset += wanted
        if len(entries) < wanted:
            break
    return found[:wanted]


def _entries(replies: Any) -> list[_Entry]:
    (reply,) = replies
    pairs = reply.items() if isinstance(reply, dict) else reply
    return [(member.decode(errors="replace"), float(score)) for member, score in pairs]


def _is_after(entry: _Entry, start: tuple[float, str | None] | None) -> bool:
    if start is None or start[1] is None or entry[1] < start[0]:
        return True
    return entry[0].encode() < start[1].encode()


def _live_plan(
    key_prefix: str, user_id: str, user_list: str, entries: Iterable[_Entry]
) -> Plan[list[Session]]:
    """The sessions of entries that are there and the user's; the other entries are dropped."""
    listed = [entry for entry in entries if entry[0]]
    commands: tuple[Command, ...] = tuple(
        ("HGETALL", record_key(key_prefix, session_id)) for session_id, _ in listed
    )
    operation = f"read the sessions of {user_id!r}"
    replies = yield Request(
        operation, commands, errors_as_replies=True, read_only=True, repeatable=True
    )
    now = (yield Now()) / 1000
    found, stale = [], []
    for (session_id, score), reply in zip(listed, replies, strict=True):
        known = None
        if not isinstance(reply, KeyTypeError):
            known = read_session(session_id, answered(reply))
        if known is not None and known.user_id == user_id:
            found.append(known)
        elif score < now - _GRACE_SECONDS:
            stale.append((session_id, repr(score)))
    if stale:
        yield from change_plan(leave(user_list, stale))
    return found
