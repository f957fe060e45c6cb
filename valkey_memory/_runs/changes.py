"""What is done to the log of one run, and to the list of runs, on the server.

The log is a stream; beside it the tokens of its last writes, so that an event that is sent again
after a timeout stands there once. The list of runs is a sorted set in another slot, by when each
was last active: it is written first, and an entry without its log is dropped when it is met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _keys
from .._plans import Change, Command, Reply, nothing
from .events import Pairs, RunEvent, from_entry

LISTED = 10_000
"""So many runs are listed, the last active ones."""
_REMEMBERED = 100

# The first write is the one that a full server refuses, and that finds a key of another type.
_APPEND = f"""
local call = redis.call
if ARGV[1] ~= '' and call('LPOS', KEYS[2], ARGV[1]) then return end
call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4))
if ARGV[1] ~= '' and call('RPUSH', KEYS[2], ARGV[1]) > {_REMEMBERED} then call('LPOP', KEYS[2]) end
if ARGV[3] ~= '' then
  call('PEXPIRE', KEYS[1], ARGV[3])
  call('PEXPIRE', KEYS[2], ARGV[3])
else
  local expires = call('PEXPIRETIME', KEYS[1])
  if expires > 0 then call('PEXPIREAT', KEYS[2], expires) end
end
"""
# It lives as long as the longest of its runs.
_ENTER = f"""
local call = redis.call
local before = call('PTTL', KEYS[1])
call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
call('ZREMRANGEBYRANK', KEYS[1], 0, -{LISTED + 1})
if ARGV[3] == '' then
  call('PERSIST', KEYS[1])
elseif before == -2 then
  call('PEXPIRE', KEYS[1], ARGV[3])
else
  call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
end
"""
_LEAVE = """
for i = 1, #ARGV, 2 do
  local found = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '')
  if found and found <= tonumber(ARGV[i + 1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
"""
_DELETE = "redis.call('UNLINK', KEYS[2]) return redis.call('UNLINK', KEYS[1])"


class Glance(NamedTuple):
    """A run's log without what is between its ends."""

    events: int
    first: RunEvent | None
    last: RunEvent | None


def append(
    key: str, token: bytes, fields: Sequence[str | bytes], max_events: int, ttl_ms: int | None
) -> Change[None]:
    """Add an event to the stream at ``key``, once for a ``token``, and restart its TTL."""
    arguments = (token, str(max_events), _ttl(ttl_ms), *fields)
    return Change(
        f"add an event to {key!r}",
        key,
        (("EVAL", _APPEND, "2", key, _keys.sidecar(key, _keys.WRITES), *arguments),),
        nothing,
        repeatable=bool(token),
    )


def enter(key_prefix: str, run_id: str, ts_ms: int, ttl_ms: int | None) -> Change[None]:
    """Put a run into the list of runs, or move it up there."""
    key = _keys.runs_key(key_prefix)
    return Change(
        f"enter a run into {key!r}",
        key,
        (("EVAL", _ENTER, "1", key, f"{ts_ms / 1000:.3f}", run_id, _ttl(ttl_ms)),),
        nothing,
        repeatable=True,
    )


def leave(key_prefix: str, runs: Sequence[tuple[str, float]]) -> Change[None]:
    """Drop runs from the list that were last active at a time, or before."""
    key = _keys.runs_key(key_prefix)
    flat = [part for run_id, score in runs for part in (run_id, repr(score))]
    return Change(
        f"drop runs from {key!r}",
        key,
        (("EVAL", _LEAVE, "1", key, *flat),),
        nothing,
        repeatable=True,
    )


def newest(key_prefix: str, first: int, count: int) -> Change[list[tuple[str, float]]]:
    """A page of the list: ids and when they were last active, newest first."""
    key = _keys.runs_key(key_prefix)
    page = ("ZRANGE", key, str(first), str(first + count - 1), "REV", "WITHSCORES")
    return Change(f"read {key!r}", key, (page,), _scored, read_only=True)


def _scored(replies: Sequence[Reply]) -> list[tuple[str, float]]:
    (reply,) = replies
    pairs = reply.items() if isinstance(reply, dict) else reply
    return [(member.decode(errors="replace"), float(score)) for member, score in pairs]


def read(key: str, after: str | None, count: int) -> Change[list[RunEvent]]:
    """The first events of a stream, or the first after an id."""
    start = "-" if after is None else f"({after}"
    page = ("XRANGE", key, start, "+", "COUNT", str(count))
    return Change(
        f"read {key!r}", key, (page,), lambda replies: _events(replies[0]), read_only=True
    )


def glance_commands(key: str) -> tuple[Command, ...]:
    """What ``glance`` reads the replies to."""
    return (
        ("XLEN", key),
        ("XRANGE", key, "-", "+", "COUNT", "1"),
        ("XREVRANGE", key, "+", "-", "COUNT", "1"),
    )


def glance(replies: Sequence[Reply]) -> Glance:
    """How many events there are, the first and the last."""
    length, first, last = replies
    return Glance(length, *(next(iter(_events(some)), None) for some in (first, last)))


def delete(key: str) -> Change[bool]:
    """Delete a log; whether there was one."""
    return Change(
        f"delete {key!r}",
        key,
        (("EVAL", _DELETE, "2", key, _keys.sidecar(key, _keys.WRITES)),),
        lambda replies: replies[0] == 1,
        repeatable=True,
    )


def _events(reply: Any) -> list[RunEvent]:
    """Of XRANGE's reply, which GLIDE makes a dict of; None where there are none."""
    return [from_entry(entry_id, _pairs(fields)) for entry_id, fields in (reply or {}).items()]


def _pairs(fields: Any) -> Pairs:
    return [(name, value) for name, value in fields]


def _ttl(ttl_ms: int | None) -> str:
    return "" if ttl_ms is None else str(ttl_ms)
