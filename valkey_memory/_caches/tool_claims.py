"""What is done to one result on the server: look for it, claim the making of it, store it, give up.

A claim is a lease: a key with the token of whoever makes the result, which expires by itself. Each
change is one script on the result's key and its claim, so nobody comes between look and claim, and
a result is stored by the one who has the claim or not at all: not by one whose lease ran out, nor
after ``clear``, which takes claims along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from .. import _keys
from .._plans import Change, Command, Reply, nothing

T = TypeVar("T")

_LOOK = """
local result = redis.call('GET', KEYS[1])
if result then return result end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local holder = redis.call('GET', KEYS[2])
if holder == ARGV[1] then return 1 end
return {holder, redis.call('PTTL', KEYS[2])}
"""
# Sent again after a timeout, it finds what it stored.
_STORE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
  return 1
end
return redis.call('GET', KEYS[1]) == ARGV[2] and 1 or 0
"""
_RELEASE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
"""
_DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class Held(NamedTuple):
    """Somebody else makes the result."""

    holder: bytes
    left_ms: int
    """Until the lease ends; negative for a claim that never does, which is none of ours."""


Found: TypeAlias = bytes | Held | None
"""The stored text; or who makes it; or None: this caller has the claim now."""


class Entry(NamedTuple):
    """A result of a tool: there, or to be made."""

    tool: str
    key: str

    def look(self, token: str, lease_ms: int) -> Change[Found]:
        """The result; where there is none, claim the making of it."""
        return self._change("look for", _LOOK, token, str(lease_ms), read=_found)

    def store(self, token: str, text: bytes, ttl_ms: int) -> Change[bool]:
        """Store the result and end the claim; False where the claim was lost."""
        return self._change("store", _STORE, token, text, str(ttl_ms), read=_is_one)

    def release(self, token: str) -> Change[None]:
        """End the claim without a result."""
        return self._change("give up", _RELEASE, token, read=nothing)

    def drop(self, text: bytes) -> Change[None]:
        """Delete the result if it is still ``text``."""
        return self._change("drop", _DROP, text, read=nothing)

    def delete_commands(self) -> tuple[Command, ...]:
        """Delete the result, and the claim of who makes it. The first reply is how many it was."""
        return ("UNLINK", self.key), ("UNLINK", _keys.tool_claim_key(self.key))

    def _change(
        self,
        what: str,
        script: str,
        *arguments: str | bytes,
        read: Callable[[Sequence[Reply]], T],
    ) -> Change[T]:
        return Change(
            f"{what} a result of the tool {self.tool!r}",
            self.key,
            (("EVAL", script, "2", self.key, _keys.tool_claim_key(self.key), *arguments),),
            read,
            repeatable=True,
        )


def _found(replies: Sequence[Reply]) -> Found:
    (reply,) = replies
    if isinstance(reply, bytes):
        return reply
    return None if reply == 1 else Held(*reply)


def _is_one(replies: Sequence[Reply]) -> bool:
    return bool(replies[0] == 1)
