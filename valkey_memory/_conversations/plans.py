"""The plans of a conversation: what each operation on a message list sends, in one round trip.

Elements are bytes here; ``_store`` encodes and decodes them. Keys come from ``_keys``.

Two habits protect what is stored. A list is emptied with ``LTRIM key 1 0``, never ``DEL``: it does
the same to a list and refuses a key of another type. And the TTL is set by a script that looks at
the type first, because a transaction goes on after a failed command and a bare ``PEXPIRE`` would
put an expiry on somebody else's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replace_fields
from typing import Any

from .. import _keys
from .._plans import Command, Plan, Request, Scan, ScanPage, atomic

# The list and its sidecars share one expiry. "" removes it. Returns 1 if the conversation exists.
_TOUCH = """
local type = redis.call('TYPE', KEYS[1]).ok
if type ~= 'list' and type ~= 'none' then return redis.error_reply('WRONGTYPE not a list') end
local found = 0
for _, key in ipairs(KEYS) do
  found = found + redis.call('EXISTS', key)
  if ARGV[1] == '' then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ARGV[1]) end
end
return math.min(found, 1)
"""

# A list that was just made takes over the TTL of the other one.
_SHARE_TTL = """
local type = redis.call('TYPE', KEYS[1]).ok
if type ~= 'list' and type ~= 'none' then return end
local ttl = 0
for _, key in ipairs(KEYS) do ttl = math.max(ttl, redis.call('PTTL', key)) end
if ttl == 0 then return end
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, ttl) end
end
"""

# Append, trim and restart the TTL. A script stops at the first error, so a key of another type gets
# no expiry; and it costs less than the same commands one by one. RPUSH in portions, because Lua
# unpacks at most about 8,000 values.
_APPEND = """
for first = 3, #ARGV, 4000 do
  redis.call('RPUSH', KEYS[1], unpack(ARGV, first, math.min(first + 3999, #ARGV)))
end
if ARGV[2] ~= '' then redis.call('LTRIM', KEYS[1], ARGV[2], '-1') end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[1]) end
"""

# RPUSH sees that the first key is no list; here the other one is somebody's, too.
_APPEND_ARCHIVED = "redis.call('LLEN', KEYS[2])" + _APPEND

# Lists insert next to a value and delete by value, not by index: for a moment the element at the
# index is replaced by a placeholder that no message can be (it is not JSON).
_PLACEHOLDER = b"\x00placeholder\x00"

_INSERT_AT = """
local length = redis.call('LLEN', KEYS[1])
local index = tonumber(ARGV[1])
if index < 0 then index = math.max(length + index, 0) end
if index >= length then return redis.call('RPUSH', KEYS[1], ARGV[2]) end
local pushed_back = redis.call('LINDEX', KEYS[1], index)
redis.call('LSET', KEYS[1], index, ARGV[3])
redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[3], ARGV[2])
return redis.call('LSET', KEYS[1], index + 1, pushed_back)
"""

_DELETE_AT = """
local deleted = redis.call('LINDEX', KEYS[1], ARGV[1])
if deleted then
  redis.call('LSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('LREM', KEYS[1], 1, ARGV[2])
end
return deleted
"""

# The archived list takes over the TTL of the list it is moved out of.
_ARCHIVE_OLDEST = """
local ttl = redis.call('PTTL', KEYS[1])
local moved = {}
for i = 1, tonumber(ARGV[1]) do
  local element = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
  if not element then break end
  moved[i] = element
end
if ttl > 0 then redis.call('PEXPIRE', KEYS[2], ttl) end
return moved
"""


def _script(source: str, keys: Sequence[str], *arguments: str | bytes) -> Command:
    return ("EVAL", source, str(len(keys)), *keys, *arguments)


def _sidecars(key: str) -> list[str]:
    return [_keys.sidecar(key, name) for name in _keys.SIDECARS]


def _touch(key: str, ttl_ms: int | None) -> tuple[Command, ...]:
    if ttl_ms is None:
        return ()
    return (_script(_TOUCH, [key, *_sidecars(key)], str(ttl_ms)),)


def _keep_ttl(key: str, ttl_ms: int | None) -> tuple[Command, ...]:
    """``_touch``, for what may make a list beside the other one."""
    return _touch(key, ttl_ms) or (_script(_SHARE_TTL, [key, *_sidecars(key)]),)


def _trim(key: str, window: int | None) -> tuple[Command, ...]:
    return () if window is None else (("LTRIM", key, str(-window), "-1"),)


def append(
    key: str,
    elements: Sequence[bytes],
    *,
    ttl_ms: int | None,
    window: int | None,
    archived: bool = False,
) -> Plan[None]:
    """Add ``elements`` at the end, trim to ``window``, restart the TTL. One transaction."""
    if not elements:
        return
    sidecar = _keys.sidecar(key, _keys.ARCHIVED)
    target, other = (sidecar, key) if archived else (key, sidecar)
    window = None if archived else window
    operation = f"append to {target!r}"
    if ttl_ms is None:
        share = _keep_ttl(key, None) if archived else ()
        yield atomic(operation, ("RPUSH", target, *elements), *_trim(target, window), *share)
        return
    trim = "" if window is None else str(-window)
    source = _APPEND_ARCHIVED if archived else _APPEND
    script = _script(source, (target, other), str(ttl_ms), trim, *elements)
    # EVAL is atomic by itself; in a transaction every write of this store is one EXEC.
    yield Request(operation, (script,), atomic=True)


def replace(
    key: str,
    elements: Sequence[bytes],
    *,
    ttl_ms: int | None,
    window: int | None,
    archived: bool = False,
    whole: bool = False,
) -> Plan[None]:
    """Put ``elements`` in place of all. The key lives on, and with it a TTL that it has.

    ``whole`` deletes the other list.
    """
    sidecar = _keys.sidecar(key, _keys.ARCHIVED)
    target, other = (sidecar, key) if archived else (key, sidecar)
    kept = len(elements) if archived or window is None else min(len(elements), window)
    commands: tuple[Command, ...] = (("LTRIM", target, "1", "0"),)
    if elements:
        commands = (("RPUSH", target, *elements), ("LTRIM", target, str(-kept), "-1"))
    drop: tuple[Command, ...] = (("LTRIM", other, "1", "0"),) if whole else ()
    yield atomic(f"replace {target!r}", *commands, *_keep_ttl(key, ttl_ms), *drop)


def read(key: str, start: int, stop: int, *, ttl_ms: int | None) -> Plan[list[bytes]]:
    """The elements ``start`` to ``stop``, both inclusive as in LRANGE; restart the TTL if given."""
    replies = yield replace_fields(
        atomic(f"read {key!r}", ("LRANGE", key, str(start), str(stop)), *_touch(key, ttl_ms)),
        read_only=ttl_ms is None,
    )
    elements: list[bytes] = replies[0]
    return elements


def read_archived(key: str, *, and_active: bool) -> Plan[tuple[list[bytes], list[bytes]]]:
    """The archived elements, and the active ones as of the same moment when asked."""
    commands: list[Command] = [("LRANGE", _keys.sidecar(key, _keys.ARCHIVED), "0", "-1")]
    if and_active:
        commands.append(("LRANGE", key, "0", "-1"))
    replies = yield replace_fields(
        atomic(f"read archived messages of {key!r}", *commands), read_only=True
    )
    return replies[0], replies[1] if and_active else []


def count(key: str) -> Plan[int]:
    """How many elements are active."""
    replies = yield Request(f"count {key!r}", (("LLEN", key),), read_only=True)
    length: int = replies[0]
    return length


def count_all(key: str) -> Plan[tuple[int, int]]:
    """How many elements are active, and how many archived."""
    archived = _keys.sidecar(key, _keys.ARCHIVED)
    replies = yield atomic(f"count {key!r}", ("LLEN", key), ("LLEN", archived))
    return replies[0], replies[1]


def insert(
    key: str, index: int, element: bytes, *, ttl_ms: int | None, window: int | None
) -> Plan[None]:
    """Insert before ``index`` as ``list.insert`` does: clamped, negative from the end."""
    yield atomic(
        f"insert into {key!r}",
        _script(_INSERT_AT, [key], str(index), element, _PLACEHOLDER),
        *_trim(key, window),
        *_keep_ttl(key, ttl_ms),
    )


def delete_at(key: str, index: int, *, ttl_ms: int | None) -> Plan[bytes | None]:
    """Delete the element at ``index`` and return it, or None when there is none."""
    replies = yield atomic(
        f"delete message {index} of {key!r}",
        _script(_DELETE_AT, [key], str(index), _PLACEHOLDER),
        *_touch(key, ttl_ms),
    )
    element: bytes | None = replies[0]
    return element


def delete_last(key: str, *, ttl_ms: int | None) -> Plan[bytes | None]:
    """Delete the newest element and return it, or None when the list is empty."""
    replies = yield atomic(
        f"delete the last message of {key!r}", ("RPOP", key), *_touch(key, ttl_ms)
    )
    element: bytes | None = replies[0]
    return element


def delete_oldest(key: str, n: int, *, ttl_ms: int | None) -> Plan[list[bytes]]:
    """Delete the oldest ``n`` elements and return them, oldest first."""
    replies = yield atomic(
        f"delete the oldest messages of {key!r}", ("LPOP", key, str(n)), *_touch(key, ttl_ms)
    )
    return replies[0] or []


def archive_oldest(key: str, n: int, *, ttl_ms: int | None) -> Plan[list[bytes]]:
    """Move the oldest ``n`` elements to the end of the archived list and return them."""
    archived = _keys.sidecar(key, _keys.ARCHIVED)
    replies = yield atomic(
        f"archive the oldest messages of {key!r}",
        _script(_ARCHIVE_OLDEST, [key, archived], str(n)),
        *_touch(key, ttl_ms),
    )
    elements: list[bytes] = replies[0]
    return elements


def take_all(key: str) -> Plan[list[bytes]]:
    """Delete the active elements, keep the archived ones, and return what was deleted."""
    replies = yield atomic(
        f"delete messages of {key!r}", ("LRANGE", key, "0", "-1"), ("LTRIM", key, "1", "0")
    )
    elements: list[bytes] = replies[0]
    return elements


def delete_archived(key: str) -> Plan[bool]:
    """Delete the archived elements; whether there were any."""
    archived = _keys.sidecar(key, _keys.ARCHIVED)
    replies = yield atomic(f"delete archived messages of {key!r}", ("UNLINK", archived))
    return bool(replies[0])


def delete(key: str) -> Plan[list[bytes]]:
    """Delete the conversation with its sidecars and return its active elements."""
    replies = yield atomic(
        f"delete {key!r}",
        ("LRANGE", key, "0", "-1"),
        ("LTRIM", key, "1", "0"),
        # Nothing but this library makes sidecars; a foreign list key stops at the error above.
        ("UNLINK", *_sidecars(key)),
    )
    elements: list[bytes] = replies[0]
    return elements


def clear(key: str) -> Plan[bool]:
    """``delete`` without sending the messages back; whether there was anything."""
    length, _, sidecars = yield atomic(
        f"delete {key!r}", ("LLEN", key), ("LTRIM", key, "1", "0"), ("UNLINK", *_sidecars(key))
    )
    return bool(length or sidecars)


def set_ttl(key: str, ttl_ms: int | None) -> Plan[bool]:
    """Expire the conversation in ``ttl_ms``, or never when None; False if there is none."""
    expiry = "" if ttl_ms is None else str(ttl_ms)
    script = _script(_TOUCH, [key, *_sidecars(key)], expiry)
    replies = yield Request(f"set the TTL of {key!r}", (script,))
    return bool(replies[0])


def ttl_left(key: str) -> Plan[int]:
    """PTTL: milliseconds left, -1 without an expiry, -2 without a conversation."""
    commands = tuple(("PTTL", one) for one in (key, *_sidecars(key)))
    replies: list[int] = yield Request(f"read the TTL of {key!r}", commands)
    return next((left for left in replies if left != -2), -2)


def session_page(
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


def session_ids(key_prefix: str) -> Plan[list[str]]:
    """The session ids under ``key_prefix``, sorted, each once."""
    found, cursor = yield from session_page(key_prefix)
    while cursor is not None:
        more, cursor = yield from session_page(key_prefix, cursor=cursor)
        found |= more
    return sorted(found)
