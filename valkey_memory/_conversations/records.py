"""The record of a conversation: whose it is, its title and model, when, how much.

It is the sidecar ``meta``, a hash with the field names of Valkey's cookbook, and an entry in the
list of its user's conversations, a sorted set by the time of the last activity. A write keeps both
in its own round trip. The record is what counts: an entry without a conversation, or of one that is
another user's now, is passed over, and dropped when the list is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar

from .. import _keys
from .._arguments import MAXIMUM, check_count, check_text
from .._messages.codecs import Codec
from .._plans import AskCluster, Change, Now, Plan, change_plan, changes_plan, nothing
from .counters import TokenCounter, check_counter, checked_count
from .frame import ENTER, with_record

M = TypeVar("M")
T = TypeVar("T")

Listing: TypeAlias = Literal["enter", "touch", "leave"]
"""Whether a conversation belongs in its user's list, does if it stands there, or does not."""


class RecordOptions(TypedDict, total=False):
    """What a single write says for the record, as keyword arguments."""

    user_id: str | None
    model: str | None
    title: str | None
    tokens: int | None


class Note(NamedTuple):
    """What a write says for the record; what is None stays as it is."""

    user_id: str | None = None
    model: str | None = None
    title: str | None = None
    """Of a record without one."""
    tokens: int = 0


@dataclass(slots=True)
class Recorder(Generic[M]):
    """What a store notes at each of its writes, and how.

    Args:
        codec: Knows what a message says of its tokens.
        key_prefix: Of the conversations.
        user_id, model, title, count_tokens: Those of the store.

    Raises:
        InvalidArgumentError: One of them cannot work.
    """

    codec: Codec[M]
    key_prefix: str
    user_id: str | None = None
    model: str | None = None
    title: str | None = None
    count_tokens: TokenCounter[M] | None = None

    always: Note | None = field(init=False)
    """What to note of a write without messages; None where no record is kept."""

    def __post_init__(self) -> None:
        check_record(self.user_id, self.model, self.title)
        check_counter(self.count_tokens)
        known = self.user_id, self.model, self.title
        keeps = self.count_tokens is not None or known != (None, None, None)
        self.always = Note(*known) if keeps else None

    def note(self, messages: Sequence[M] = (), record: RecordOptions | None = None) -> Note | None:
        """What to note of a write of ``messages``; None where no record is kept.

        What ``record`` says comes before what the store knows. Tokens are, by the first that there
        is, those of ``record``, the store's counter, and what the messages themselves say.

        Raises:
            InvalidArgumentError: An argument cannot work, or the counter returned no count.
            TypeError: ``record`` has an unknown key.
        """
        if not record and self.always is None:
            return None
        user_id, model, title, tokens = self.user_id, self.model, self.title, None
        if record:
            if unknown := record.keys() - RecordOptions.__annotations__.keys():
                known = ", ".join(RecordOptions.__annotations__)
                raise TypeError(
                    f"a write got an unexpected keyword argument {min(unknown)!r}; of records it "
                    f"takes {known}"
                )
            user_id = _first(record.get("user_id"), user_id)
            model = _first(record.get("model"), model)
            title = _first(record.get("title"), title)
            tokens = record.get("tokens")
            check_record(user_id, model, title)
            check_count(tokens, "tokens", minimum=0, optional=True)
            if self.always is None and (user_id, model, title, tokens) == (None,) * 4:
                return None
        return Note(user_id, model, title, self._tokens(messages) if tokens is None else tokens)

    def _tokens(self, messages: Sequence[M]) -> int:
        if self.count_tokens is None or not messages:
            return min(sum(filter(None, map(self.codec.tokens, messages))), MAXIMUM)
        return checked_count(self.count_tokens(list(messages)))

    def write_plan(
        self,
        session_id: str,
        change: Change[Any],
        note: Note | None = None,
        *,
        listing: Listing = "touch",
        ttl_ms: int | None,
        reading: Change[T] | None = None,
    ) -> Plan[Any]:
        """Send ``change``, a script, and keep the record, if any is kept. One round trip.

        Args:
            session_id: The conversation.
            change: What to send.
            note: What to note; by default what is noted of a write without messages.
            listing: What it means for the user's list where that is on another server.
            ttl_ms: The TTL that the change restarts.
            reading: What to read before, together with it; then its result is returned.
        """
        note = note or self.always
        if note is None:
            return change_plan(change) if reading is None else _sent_plan(reading, change)
        before = () if reading is None else (reading,)
        return self._noted_plan(session_id, change, note, listing, ttl_ms, before)

    def _noted_plan(
        self,
        session_id: str,
        change: Change[Any],
        note: Note,
        listing: Listing,
        ttl_ms: int | None,
        before: tuple[Change[Any], ...],
    ) -> Plan[Any]:
        """``write_plan`` where there is something to note; ``before`` has ``reading``, if any."""
        now = seconds((yield Now()))
        if note.user_id is None:
            return (yield from _sent_plan(*before, noted(change, session_id, note, now, None)))
        user_list = _keys.user_key(self.key_prefix, note.user_id, _keys.SESSIONS)
        if not (yield AskCluster(change.operation)):
            change = noted(change, session_id, note, now, user_list)
            return (yield from _sent_plan(*before, change))
        if listing == "leave":
            of_list = leave(user_list, [(session_id, "")])
        else:
            there = listing == "touch"
            of_list = enter(user_list, session_id, now, ttl_ms, only_if_there=there)
        change = noted(change, session_id, note, now, None)
        results = yield from changes_plan(of_list, *before, change)
        return results[1]


def _sent_plan(*changes_: Change[Any]) -> Plan[Any]:
    """Send what is one change or two, and return the result of the first."""
    if len(changes_) == 1:
        return (yield from change_plan(changes_[0]))
    return (yield from changes_plan(*changes_))[0]


def _first(value: T | None, other: T | None) -> T | None:
    return other if value is None else value


def check_record(user_id: str | None, model: str | None, title: str | None) -> None:
    """Raise InvalidArgumentError where one of them cannot stand in a record."""
    if user_id is not None:
        check_text(user_id, "user_id")
    if model is not None:
        check_text(model, "model")
    if title is not None:
        check_text(title, "title")


def seconds(milliseconds: int) -> str:
    """A time as records have it: Unix seconds, with milliseconds."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


# Changes


def noted(
    change: Change[T], session_id: str, note: Note, now: str, user_list: str | None
) -> Change[T]:
    """``change``, a script, as one that keeps the record, too."""
    operation, key, (command,), read, read_only, repeatable = change
    user_id, model, title, tokens = note
    record = (now, user_id or "", model or "", title or "", str(tokens), session_id)
    command = with_record(command, record, user_list)
    return Change(operation, key, (command,), read, read_only, repeatable)


# The arguments are those of the frame's record, so that both enter alike.
_CHECKED = """
local call, user_list, ttl = redis.call, KEYS[1], ARGV[2]
local found = call('TYPE', user_list).ok
if found ~= 'zset' and found ~= 'none' then
  return redis.error_reply('WRONGTYPE ' .. user_list .. ' is a ' .. found .. ', no zset')
end
local first = found == 'none'
"""
_ENTER = _CHECKED + "if ARGV[1] ~= '' and not call('ZSCORE', user_list, ARGV[8]) then return end"
_ENTER += ENTER
# Arguments from the third on: session ids, each with the time of its entry, or '' for any.
_LEAVE = (
    _CHECKED
    + """
for i = 3, #ARGV, 2 do
  local score = call('ZSCORE', user_list, ARGV[i])
  if score and (ARGV[i + 1] == '' or tonumber(score) == tonumber(ARGV[i + 1])) then
    call('ZREM', user_list, ARGV[i])
  end
end
"""
)


def enter(
    user_list: str, session_id: str, now: str, ttl_ms: int | None, *, only_if_there: bool = False
) -> Change[None]:
    """Put a conversation in its user's list, or note when it was last active."""
    ttl = "" if ttl_ms is None else str(ttl_ms)
    flag = "there" if only_if_there else ""
    arguments = (flag, ttl, now, "", "", "", "", session_id)
    command = ("EVAL", _ENTER, "1", user_list, *arguments)
    return Change(f"enter into {user_list!r}", user_list, (command,), nothing, repeatable=True)


def leave(user_list: str, entries: Iterable[tuple[str | bytes, str]]) -> Change[None]:
    """Take conversations from their user's list, each where its entry is of the given time.

    An empty time stands for any.
    """
    flat = [part for entry in entries for part in entry]
    command = ("EVAL", _LEAVE, "1", user_list, "", "", *flat)
    return Change(f"leave {user_list!r}", user_list, (command,), nothing, repeatable=True)
