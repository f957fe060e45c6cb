"""The running summary of a conversation: what stands for the messages that were folded into it.

It is the sidecar ``summary``, a hash: the text, its version, how many messages it holds. Whoever
makes the next version claims it for a while, asks a model with no lock held and outside of any
transaction, and commits in one script, which compares what was summarised with what is there.
Writers wait for nobody. What became of a claim that was never given back ends with its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, NamedTuple, Protocol, TypeVar

from .. import _keys
from .._errors import InvalidArgumentError
from .._messages.elements import Element
from .._plans import Change, Plan, nothing
from .frame import framed, number_of, script
from .turn_scripts import READ_END

T = TypeVar("T")

HEADING = "Summary of the conversation so far:\n"
"""What the system message begins with that stands for the summary."""
FIELDS = ("text", "version", "summarised", "updated_at")
"""Of the hash; the others are of a claim, or of what failed."""
READ_AT_MOST = 1_000
"""Of a conversation's oldest messages, so many are looked at to be summarised at once."""


class Summarizer(Protocol):
    """What makes the summaries of a store: ``valkey_memory.Summary``."""

    when_over: int

    def after_write_plan(self, key: str, *, strict: bool) -> Plan[None]:
        """Summarise the conversation of the list ``key`` if it is time. It raises nothing."""
        ...

    def now_plan(self, key: str, *, strict: bool) -> Plan[bool]:
        """Summarise what can be, and say whether anything was."""
        ...


def check_summarizer(summary: Summarizer | None, window: int | None) -> None:
    """Raise InvalidArgumentError where a store cannot have its summaries made."""
    if summary is None:
        return
    if not hasattr(summary, "after_write_plan"):
        raise InvalidArgumentError(
            f"summary must be a valkey_memory.Summary, not {type(summary).__name__}: "
            "Summary(model) makes one"
        )
    if window is not None and window <= summary.when_over:
        raise InvalidArgumentError(
            f"max_messages={window} deletes messages before they are summarised: it must be more "
            f"than when_over={summary.when_over} of the summary, or None"
        )


def element(text: str) -> Element:
    """The message that stands for a summary."""
    return {"role": "system", "content": HEADING + text}


def is_summary(found: Element) -> bool:
    """Whether an element is a summary that was read, and is given back to be stored."""
    content = found.get("content")
    return (
        found.get("role") == "system" and isinstance(content, str) and content.startswith(HEADING)
    )


# Scripts. The clock is the server's, which all processes share

_NOW = """
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
_SUMMARY = f"local summary = KEYS[{number_of(_keys.SUMMARY)}]\n"

# Arguments: who claims, for how many milliseconds, over how many messages, whether it is forced,
# how many messages to return at most. Returns text, version, how many messages there are, and the
# oldest; nothing where it is not time, or somebody else's turn.
_CLAIM = framed(
    _NOW
    + _SUMMARY
    + """
local length = call('LLEN', KEYS[1])
if length > tonumber(ARGV[at + 2]) then
  local found = call('HMGET', summary, 'claimed_until', 'retry_at', 'text', 'version', 'claim')
  local function past(moment) return (tonumber(moment) or 0) <= now end
  local free = past(found[1]) or found[5] == ARGV[at]
  if free and (ARGV[at + 3] ~= '' or past(found[2])) then
    call('HSET', summary, 'claim', ARGV[at], 'claimed_until',
      string.format('%.0f', now + ARGV[at + 1]))
    result = {found[3] or '', found[4] or '0', length,
      call('LRANGE', KEYS[1], 0, ARGV[at + 4] - 1)}
  end
end
"""
)

# Arguments: the version that was read, the text, whether the oldest may be gone, the number of the
# archived list or '', how many messages the text holds more, and their hashes. Of those the list
# still begins with, all go. Returns whether the text was set.
_COMMIT = framed(
    _NOW
    + _SUMMARY
    + """
local first, count = at + 5, #ARGV - at - 4
local version = call('HGET', summary, 'version') or '0'
local head = call('LRANGE', KEYS[1], 0, count - 1)
for i, raw in ipairs(head) do head[i] = redis.sha1hex(raw) end
local function matches(gone)
  if #head < count - gone then return false end
  for i = 1, count - gone do
    if head[i] ~= ARGV[first + gone + i - 1] then return false end
  end
  return true
end
local gone = version == ARGV[at] and 0 or count
while gone < count and not matches(gone) do
  gone = ARGV[at + 2] == '' and count or gone + 1
end
result = gone < count and 1 or 0
if result == 1 then
  local held = (tonumber(call('HGET', summary, 'summarised')) or 0) + ARGV[at + 4]
  call('HSET', summary, 'text', ARGV[at + 1], 'version', (tonumber(version) or 0) + 1,
    'summarised', string.format('%.0f', held), 'updated_at', string.format('%.3f', now / 1000))
  call('HDEL', summary, 'claim', 'claimed_until', 'failures', 'retry_at', 'error')
  local archived = KEYS[tonumber(ARGV[at + 3])]
  if archived then
    for i = 1, count - gone do call('LMOVE', KEYS[1], archived, 'LEFT', 'RIGHT') end
  else
    call('LTRIM', KEYS[1], count - gone, -1)
  end
end
""",
    repeated="1",
    may_empty=True,
)

# Arguments: who gives back the claim; after a failure what it was, and after how many milliseconds
# to try again at first and at most.
_GIVE_BACK = framed(
    _NOW
    + _SUMMARY
    + """
if call('HGET', summary, 'claim') == ARGV[at] then
  if ARGV[at + 1] then
    local failures = (tonumber(call('HGET', summary, 'failures')) or 0) + 1
    local pause = math.min(ARGV[at + 2] * 2 ^ math.min(failures - 1, 30), tonumber(ARGV[at + 3]))
    call('HSET', summary, 'failures', failures, 'error', ARGV[at + 1],
      'retry_at', string.format('%.0f', now + pause))
  end
  call('HDEL', summary, 'claim', 'claimed_until')
end
""",
    may_empty=True,
)


# Changes


class Claimed(NamedTuple):
    """What is to be summarised."""

    text: str
    """The summary so far."""
    version: str
    """It counts the summaries of the conversation; ``"0"`` before the first."""
    length: int
    """Of the conversation."""
    elements: list[bytes]
    """Its oldest."""


def claim(
    key: str, owner: str, lease_ms: int, over: int, *, force: bool = False
) -> Change[Claimed | None]:
    """Claim the next version of a summary; None where it is not time, or somebody else's turn."""
    arguments = owner, str(lease_ms), str(over), "force" if force else "", str(READ_AT_MOST)
    command = script(_CLAIM, key, *arguments)
    return Change(f"claim the summary of {key!r}", key, (command,), _claimed, repeatable=True)


def _claimed(replies: Sequence[Any]) -> Claimed | None:
    if not replies[0]:
        return None
    text, version, length, elements = replies[0]
    return Claimed(text.decode(errors="replace"), version.decode(), length, elements)


def commit(
    key: str,
    version: str,
    text: str,
    summarised: Sequence[bytes],
    *,
    strict: bool,
    archive: bool,
    token: str | bytes = "",
) -> Change[bool]:
    """Set a summary, and take what it holds from the list; False where that changed meanwhile.

    Args:
        key: The list.
        version: The version that was claimed.
        text: The summary.
        summarised: The elements that it holds, which were the oldest.
        strict: The list must begin with all of them. Else the first may have been trimmed away.
        archive: Move them to the archived list; else they are deleted.
        token: Of the write.
    """
    command = script(
        _COMMIT,
        key,
        version,
        text.encode(errors="replace"),
        "" if strict else "trimmed",
        number_of(_keys.ARCHIVED) if archive else "",
        str(len(summarised)),
        *(sha1(raw, usedforsecurity=False).hexdigest() for raw in summarised),
        token=token,
    )
    return Change(
        f"set the summary of {key!r}",
        key,
        (command,),
        lambda replies: bool(replies[0]),
        repeatable=bool(token),
    )


def give_back(key: str, owner: str) -> Change[None]:
    """Give back a claim without a summary."""
    command = script(_GIVE_BACK, key, owner)
    operation = f"give back the claim on the summary of {key!r}"
    return Change(operation, key, (command,), nothing, repeatable=True)


def fail(key: str, owner: str, error: str, first_ms: int, most_ms: int) -> Change[None]:
    """Give back a claim, and note why. The pause before the next try doubles each time."""
    text = error.encode(errors="replace")
    command = script(_GIVE_BACK, key, owner, text, str(first_ms), str(most_ms))
    operation = f"note the failure of the summary of {key!r}"
    return Change(operation, key, (command,), nothing, repeatable=True)


def _text(replies: Sequence[Any]) -> str | None:
    return None if replies[0] is None else replies[0].decode(errors="replace")


def read_field(key: str, field: str) -> Change[str | None]:
    """A field of the summary's hash: ``text`` or ``error``."""
    sidecar = _keys.sidecar(key, _keys.SUMMARY)
    return Change(
        f"read the summary of {key!r}", key, (("HGET", sidecar, field),), _text, read_only=True
    )


def delete(key: str) -> Change[None]:
    """Delete the summary."""
    command = ("DEL", _keys.sidecar(key, _keys.SUMMARY))
    return Change(f"delete the summary of {key!r}", key, (command,), nothing, repeatable=True)


def text_of(found: Element) -> str | None:
    """The text of the summary that an element stands for; None where it is a message."""
    return str(found["content"]).removeprefix(HEADING) if is_summary(found) else None


def with_text(change: Change[T]) -> Change[tuple[str | None, T]]:
    """``change``, which only looks, together with the text of the summary."""
    command = change.commands[0]
    if command[1] == READ_END:  # one command can go in a pipeline with others and still be whole
        sidecar = _keys.sidecar(change.key, _keys.SUMMARY)
        command = (*command[:2], "2", change.key, sidecar, *command[4:])
        return Change(
            change.operation,
            change.key,
            (command,),
            lambda replies: (_text(replies[0][2:]), change.read(replies)),
            read_only=True,
        )
    text = read_field(change.key, "text")
    return Change(
        change.operation,
        change.key,
        (*text.commands, *change.commands),
        lambda replies: (_text(replies[:1]), change.read(replies[1:])),
        read_only=True,
    )
