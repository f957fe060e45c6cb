"""Which messages of a conversation were considered for long-term memory, and by whom they are now.

It is the sidecar ``memory``, a hash: a field for each message that was considered, named by the
hash of its element. So it does not matter whether messages were archived, trimmed away or edited
since: what is there and has no field is new. Whoever considers them claims that for a while, and
says what was considered in one script at the end. What became of a claim that was never given back
ends with its time, and the messages are new again.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, NamedTuple

from .. import _keys
from .._plans import Change, nothing
from .frame import framed, number_of, script

LOOKED_AT = 10_000
"""Of the list and of the archived messages, so many of the newest are looked at."""
_DIGITS = 20
_WITHOUT_LIST_MS = 30 * 24 * 3_600_000
"""What was considered of a conversation that is stored elsewhere is remembered for 30 days."""

# Arguments of the first two: who claims. The clock is the server's, which all processes share.
_HEAD = f"""
local memory, archived = KEYS[{number_of(_keys.MEMORY)}], KEYS[{number_of(_keys.ARCHIVED)}]
local owner = ARGV[at]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = call('HMGET', memory, 'claim', 'claimed_until')
local free = (tonumber(held[2]) or 0) <= now or held[1] == owner
"""

# Further arguments: for how many milliseconds, how many new messages to return at most, how many to
# look at. Returns the number of new messages, the oldest of them, how often it failed, up to two
# messages before, and whose it is; nothing where somebody else has the claim. What does not exist
# is not made.
_CLAIM = framed(
    _HEAD
    + f"""
if free then
  local fresh, count, before = {{}}, 0, {{}}
  for _, key in ipairs({{archived, KEYS[1]}}) do
    for _, raw in ipairs(call('LRANGE', key, -ARGV[at + 3], -1)) do
      local name = 'c' .. string.sub(redis.sha1hex(raw), 1, {_DIGITS})
      if call('HEXISTS', memory, name) == 0 then
        count = count + 1
        if count <= tonumber(ARGV[at + 2]) then fresh[count] = raw end
      elseif count == 0 then
        if #before == 2 then before = {{before[2]}} end
        before[#before + 1] = raw
      end
    end
  end
  if count > 0 or ARGV[at + 4] ~= '' then
    call('HSET', memory, 'claim', owner, 'claimed_until',
      string.format('%.0f', now + ARGV[at + 1]))
  end
  result = {{count, fresh, call('HGET', memory, 'failures') or '0', before,
    call('HGET', KEYS[{number_of(_keys.META)}], 'user_id') or ''}}
end
"""
)

# Further arguments: whether it is over, whether it failed, and the names of what was considered.
# Returns whether the claim still held. Fields of messages that are gone go, once they are many.
_COMMIT = framed(
    _HEAD
    + f"""
result = held[1] == owner and 1 or 0
if result == 1 then
  for i = at + 3, #ARGV do call('HSET', memory, ARGV[i], 1) end
  if ARGV[at + 2] ~= '' then
    call('HINCRBY', memory, 'failures', 1)
  elseif #ARGV >= at + 3 then
    call('HDEL', memory, 'failures')
  end
  if ARGV[at + 1] ~= '' then call('HDEL', memory, 'claim', 'claimed_until') end
  local there = call('LLEN', KEYS[1]) + call('LLEN', archived)
  if call('HLEN', memory) > 2 * there + 1000 then
    local kept = {{}}
    for _, key in ipairs({{archived, KEYS[1]}}) do
      for _, raw in ipairs(call('LRANGE', key, 0, -1)) do
        kept['c' .. string.sub(redis.sha1hex(raw), 1, {_DIGITS})] = true
      end
    end
    for _, name in ipairs(call('HKEYS', memory)) do
      if string.sub(name, 1, 1) == 'c' and #name == {_DIGITS + 1} and not kept[name] then
        call('HDEL', memory, name)
      end
    end
  end
  if there == 0 then call('PEXPIRE', memory, {_WITHOUT_LIST_MS}) end
end
""",
    repeated="1",
    may_empty=True,
)


class Fresh(NamedTuple):
    """Messages that were not considered yet."""

    number: int
    """How many there are."""
    elements: list[bytes]
    """The oldest of them."""
    failures: int
    """How often considering them failed."""
    before: list[bytes]
    """At most two messages before them."""
    owner: str
    """The user whom the conversation's record names; empty without one."""


def claim(
    key: str, owner: str, lease_ms: int, at_most: int, *, anyhow: bool = False
) -> Change[Fresh | None]:
    """Claim a conversation's new messages; None where somebody else has them.

    Args:
        key: The list.
        owner: Who claims; a claim of one's own is made longer.
        lease_ms: For how long.
        at_most: Return so many messages.
        anyhow: Claim it even without new messages, for what else is to be done with it.
    """
    flag = "anyhow" if anyhow else ""
    command = script(_CLAIM, key, owner, str(lease_ms), str(at_most), str(LOOKED_AT), flag)
    operation = f"claim the new messages of {key!r}"
    return Change(operation, key, (command,), _fresh, repeatable=True)


def _fresh(replies: Sequence[Any]) -> Fresh | None:
    if not replies[0]:
        return None
    number, elements, failures, before, owner = replies[0]
    return Fresh(
        number, list(elements), int(failures), list(before), owner.decode(errors="replace")
    )


def commit(
    key: str, owner: str, names: Sequence[str], *, over: bool, failed: bool = False
) -> Change[bool]:
    """Say what was considered; False where the claim did not hold any more, and nothing was noted.

    Args:
        key: The list.
        owner: Who has the claim.
        names: Of ``name_of`` or ``name_of_given``.
        over: Give back the claim.
        failed: Count a failure. The next success forgets them.
    """
    flags = "over" if over else "", "failed" if failed else ""
    command = script(_COMMIT, key, owner, *flags, *names)
    operation = f"note the considered messages of {key!r}"
    return Change(operation, key, (command,), lambda replies: bool(replies[0]), repeatable=True)


def known_names(key: str, names: Sequence[str]) -> Change[list[bool]]:
    """Which of ``names`` were considered."""
    command = ("HMGET", _keys.sidecar(key, _keys.MEMORY), *names)
    operation = f"read the considered messages of {key!r}"
    return Change(operation, key, (command,), _known, read_only=True)


def _known(replies: Sequence[Any]) -> list[bool]:
    return [value is not None for value in replies[0]]


def name_of(element: bytes) -> str:
    """The name of a stored message."""
    return "c" + sha1(element, usedforsecurity=False).hexdigest()[:_DIGITS]


def name_of_given(text: bytes) -> str:
    """The name of a message that is stored elsewhere. It stays, whatever the list has."""
    return "g" + sha1(text, usedforsecurity=False).hexdigest()[:_DIGITS]


def read_mark(key: str) -> Change[str | None]:
    """What ``set_mark`` set."""
    command = ("HGET", _keys.sidecar(key, _keys.MEMORY), "mark")
    return Change(f"read the mark of {key!r}", key, (command,), _text, read_only=True)


def _text(replies: Sequence[Any]) -> str | None:
    return None if replies[0] is None else replies[0].decode(errors="replace")


# KEYS are the list, the archived one, and `memory`. A conversation without messages has none left.
_NEWEST_IS_CONSIDERED = f"""
local raw = redis.call('LINDEX', KEYS[1], -1) or redis.call('LINDEX', KEYS[2], -1)
if not raw then return 1 end
return redis.call('HEXISTS', KEYS[3], 'c' .. string.sub(redis.sha1hex(raw), 1, {_DIGITS}))
"""


def newest_is_considered(key: str) -> Change[bool]:
    """Whether the newest message was considered: those before it were, too, as it goes in order."""
    sidecars = (_keys.sidecar(key, name) for name in (_keys.ARCHIVED, _keys.MEMORY))
    command = ("EVAL_RO", _NEWEST_IS_CONSIDERED, "3", key, *sidecars)
    operation = f"look for new messages of {key!r}"
    return Change(operation, key, (command,), lambda replies: bool(replies[0]), read_only=True)


# Further argument: the mark.
_MARK = framed(
    _HEAD + "if held[1] == owner then call('HSET', memory, 'mark', ARGV[at + 1]) end",
    may_empty=True,
)


def set_mark(key: str, owner: str, mark: str) -> Change[None]:
    """Note that what ``mark`` stands for was done with the conversation, if the claim holds."""
    command = script(_MARK, key, owner, mark)
    return Change(f"mark {key!r}", key, (command,), nothing, repeatable=True)
