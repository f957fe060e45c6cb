"""Whole conversations: read, written back, and as the lines of a file that holds them.

The first line names the format, the last counts what came before, so that a cut file is noticed.
Between them each conversation is one line, followed by one line for each of its messages::

    {"type":"conversation","session_id":"alice-1","messages":1,"archived":0,"ttl_ms":86399000}
    {"type":"message","message":{"role":"user","content":"Hi","ts":1767225600000}}

A conversation with a record has its fields there, ``"record":{"user_id":"alice"}``, and its summary
likewise. An element whose JSON text would not come back byte by byte stands under ``text`` as a
string, and one that is no UTF-8 under ``base64``. Archived messages come first and say
``"archived":true``.

The export of a user says so in its first line, ``"user_id":"alice"``, and has lines of other types
behind the conversations.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import orjson

from .. import _keys
from .._errors import ExportFileError
from .._plans import Command, Plan, Request, WriteToken
from .frame import number_of, script
from .listing import Conversation
from .records import enter
from .scripts import WRITE_WHOLE
from .sessions import read_fields, read_number
from .summaries import FIELDS as SUMMARY_FIELDS

T = TypeVar("T")

FORMAT, VERSION = "valkey-memory-export", 1
Mode: TypeAlias = Literal["new", "replace", "append"]
"""What to do with a conversation that exists: leave it alone, replace it, or add to it."""

_READ_SIDECARS = (_keys.ARCHIVED, _keys.META, _keys.SUMMARY)
_BATCH_MESSAGES = 2_000
_BATCH_CONVERSATIONS = 200
_BATCH_BYTES = 4_000_000

# KEYS: both lists, the record and the summary. What they hold, and the TTLs of the lists and of the
# record, as of one moment.
_READ = """
local found = {}
for i = 1, 2 do
  found[i] = {redis.call('LRANGE', KEYS[i], 0, -1), redis.call('PTTL', KEYS[i])}
end
for i = 3, 4 do found[i] = redis.call('HGETALL', KEYS[i]) end
found[5] = redis.call('PTTL', KEYS[3])
return found
"""


@dataclass(slots=True)
class Whole:
    """A conversation with its elements, as they are stored."""

    id: str
    ttl_ms: int | None
    active: list[bytes] = field(default_factory=list)
    archived: list[bytes] = field(default_factory=list)
    record: dict[str, str] = field(default_factory=dict)
    """The fields of its record, if one was kept."""
    summary: dict[str, str] = field(default_factory=dict)
    """Those of its summary, if there is one."""

    def size(self) -> int:
        """Bytes of its elements."""
        return sum(map(len, self.active)) + sum(map(len, self.archived))


# Plans


def read_whole_plan(key_prefix: str, ids: Sequence[str]) -> Plan[list[Whole]]:
    """The conversations that there are, each as of one moment. One round trip.

    One that has a record and no message is there, too.
    """
    commands: list[Command] = []
    for one in ids:
        key = _keys.list_key(key_prefix, one)
        sidecars = (_keys.sidecar(key, name) for name in _READ_SIDECARS)
        commands.append(("EVAL", _READ, "4", key, *sidecars))
    replies = yield Request("read conversations", tuple(commands), repeatable=True)
    found = []
    for one, reply in zip(ids, replies, strict=True):
        (active, ttl), (archived, archived_ttl), *hashes, record_ttl = reply
        record, summary = map(read_fields, hashes)
        if active or archived or record:
            left = ttl if active else archived_ttl if archived else record_ttl
            summary = {name: summary[name] for name in SUMMARY_FIELDS if name in summary}
            ttl_ms = left if left >= 0 else None
            found.append(Whole(one, ttl_ms, active, archived, record, summary))
    return found


def write_whole_plan(
    key_prefix: str, conversations: Sequence[Whole], mode: Mode
) -> Plan[list[str]]:
    """Write conversations, each at once or not at all, and begin their TTL again. One round trip.

    Args:
        key_prefix: Of the conversations.
        conversations: What to write.
        mode: ``"new"`` leaves those that exist alone. ``"replace"`` deletes all keys of them
            first. ``"append"`` adds to them, and their TTL stays.

    Returns:
        The ids of those that exist and were left alone.

    Raises:
        KeyTypeError: A key holds a value of another type. That conversation was not written, others
            may have been.
    """
    token: bytes = yield WriteToken()
    commands = tuple(
        script(
            WRITE_WHOLE,
            _keys.list_key(key_prefix, one.id),
            mode,
            # A TTL that ends this very moment is still one.
            "" if one.ttl_ms is None else str(max(one.ttl_ms, 1)),
            number_of(_keys.ARCHIVED),
            number_of(_keys.META),
            number_of(_keys.SUMMARY),
            str(2 * len(one.record)),
            str(2 * len(one.summary)),
            str(len(one.archived)),
            *(
                part
                for hash_ in (one.record, one.summary)
                for pair in hash_.items()
                for part in pair
            ),
            *one.archived,
            *one.active,
            token=token,
        )
        for one in conversations
    )
    entered = tuple(_entered(key_prefix, one) for one in conversations if one.record.get("user_id"))
    replies = yield Request(
        "write conversations",
        (*commands, *entered),
        repeatable=bool(token),
    )
    replies = replies[: len(commands)]
    return [one.id for one, reply in zip(conversations, replies, strict=True) if not reply]


def _entered(key_prefix: str, whole: Whole) -> Command:
    """Puts a conversation in its user's list."""
    user_list = _keys.user_key(key_prefix, whole.record["user_id"], _keys.SESSIONS)
    last_active = read_number(whole.record.get("last_active")) or 0.0
    change = enter(user_list, whole.id, repr(last_active), whole.ttl_ms)
    (command,) = change.commands
    return command


def read_batches(known: Iterable[Conversation]) -> Iterator[list[str]]:
    """The ids of conversations that are read in one round trip."""
    batch: list[str] = []
    messages = 0
    for one in known:
        messages += one.messages + one.archived
        if batch and (messages > _BATCH_MESSAGES or len(batch) == _BATCH_CONVERSATIONS):
            yield batch
            batch, messages = [], one.messages + one.archived
        batch.append(one.id)
    if batch:
        yield batch


def write_batches(conversations: Iterable[Whole]) -> Iterator[list[Whole]]:
    """Conversations that are written in one round trip."""
    batch: list[Whole] = []
    size = 0
    for one in conversations:
        if batch and (size + one.size() > _BATCH_BYTES or len(batch) == _BATCH_CONVERSATIONS):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size()
    if batch:
        yield batch


# Lines


def first_line(user_id: str | None = None) -> bytes:
    """The line that names the format, and whose an export of a user is."""
    whose = {} if user_id is None else {"user_id": user_id}
    return line_of({"type": "export", "format": FORMAT, "version": VERSION, **whose})


def lines_of(whole: Whole) -> Iterator[bytes]:
    """The lines of one conversation."""
    yield line_of(
        {
            "type": "conversation",
            "session_id": whole.id,
            "messages": len(whole.active),
            "archived": len(whole.archived),
            "ttl_ms": whole.ttl_ms,
            **({"record": whole.record} if whole.record else {}),
            **({"summary": whole.summary} if whole.summary else {}),
        }
    )
    for element in whole.archived:
        yield line_of({"type": "message", "archived": True, **encode(element)})
    for element in whole.active:
        yield line_of({"type": "message", **encode(element)})


def last_line(conversations: int, messages: int, **others: int) -> bytes:
    """The line that counts what came before: ``others`` by the types of their lines."""
    counts = {"conversations": conversations, "messages": messages, **others}
    return line_of({"type": "end", **counts})


def line_of(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def encode(element: bytes) -> dict[str, Any]:
    """An element in a form that ``decode`` gives back byte by byte, readable if it can be."""
    try:
        value = orjson.loads(element)
        if isinstance(value, dict) and orjson.dumps(value) == element:
            return {"message": value}
    except ValueError:
        pass  # no JSON, and so it is kept as text
    try:
        return {"text": element.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(element).decode()}


def decode(line: dict[str, Any]) -> bytes:
    """The element of a line.

    Raises:
        ValueError: There is none in it.
    """
    if isinstance(line.get("message"), dict):
        return orjson.dumps(line["message"])
    if isinstance(line.get("text"), str):
        return str(line["text"]).encode()
    if isinstance(line.get("base64"), str):
        return base64.b64decode(line["base64"], validate=True)
    raise ValueError('it has neither "message" nor "text" nor "base64"')


def check_lines(lines: Iterable[bytes], name: str) -> tuple[list[str], int]:
    """The session ids and the number of messages of an export that is whole.

    Args:
        lines: Of the file ``name``.
        name: For errors.

    Raises:
        ExportFileError: It is damaged, or no export; says in which line.
    """
    ids: dict[str, None] = {}
    messages = 0
    for whole in read_lines(lines, name):
        if whole.id in ids:
            raise ExportFileError(f"{name} has the conversation {whole.id!r} twice")
        ids[whole.id] = None
        messages += len(whole.active) + len(whole.archived)
    return list(ids), messages


def exported_user(first: bytes) -> str | None:
    """Whose export the file is that begins with this line; None for one of conversations."""
    try:
        line = orjson.loads(first)
    except ValueError:
        return None
    found = line.get("user_id") if isinstance(line, dict) else None
    return found if isinstance(found, str) and found else None


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Whole]:
    """The conversations of an export, one after the other.

    Args:
        lines: Of the file ``name``.
        name: For errors.

    Raises:
        ExportFileError: It is damaged, or no export; says in which line. What came before that line
            was given out already.
    """
    return read_mixed_lines(lines, name, {})


def read_mixed_lines(
    lines: Iterable[bytes], name: str, others: Mapping[str, Callable[[dict[str, Any]], T]]
) -> Iterator[Whole | T]:
    """``read_lines`` with lines of other types: how each of them is read, by type.

    Those come behind all conversations. A reader raises ValueError for what it cannot read.
    """
    whole: Whole | None = None
    expected = (0, 0)
    messages = number = 0
    counts = {"conversations": 0, **dict.fromkeys(others, 0)}
    ended = False
    for number, raw in enumerate(lines, 1):
        try:
            line = orjson.loads(raw)
            kind = line.get("type") if isinstance(line, dict) else None
            if (number == 1) != (kind == "export") or ended:
                raise ValueError("an export has one beginning and one end")
            if kind == "export":
                if (line.get("format"), line.get("version")) != (FORMAT, VERSION):
                    raise ValueError(f"it is not {FORMAT} version {VERSION}")
            elif kind == "message" and whole is not None:
                (whole.archived if line.get("archived") else whole.active).append(decode(line))
            elif kind in ("conversation", "end", *others):
                if whole is not None:
                    _check_complete(whole, expected)
                    messages += sum(expected)
                    yield whole
                    whole = None
                if kind in others:
                    counts[kind] += 1
                    yield others[kind](line)
                elif kind == "conversation":
                    whole, expected = _begin(line)
                    counts["conversations"] += 1
                elif _counts_are(line, {**counts, "messages": messages}):
                    ended = True
                else:
                    raise ValueError("the counts at the end are not those of the file")
            else:
                raise ValueError(f"{kind!r} is no type that belongs here")
        except (ValueError, binascii.Error) as error:
            raise ExportFileError(f"line {number} of {name}: {error}") from error
    if not ended:
        raise ExportFileError(
            f"{name} ends after line {number} without its end line: it is cut off, or no export"
        )


def _counts_are(line: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    return all(line.get(what, 0) == number for what, number in counts.items())


def _begin(line: dict[str, Any]) -> tuple[Whole, tuple[int, int]]:
    """A conversation without its elements, and how many of each kind it has."""
    session_id, ttl = line.get("session_id"), line.get("ttl_ms")
    active, archived = line.get("messages"), line.get("archived")
    if not isinstance(session_id, str) or not session_id:
        raise ValueError("it has no session_id")
    if type(active) is not int or type(archived) is not int:
        raise ValueError("it does not count its messages")
    if ttl is not None and (type(ttl) is not int or not 0 <= ttl < 2**53):
        raise ValueError(f"ttl_ms is {ttl!r}")
    record, summary = (_texts(line.get(name, {}), name) for name in ("record", "summary"))
    return Whole(session_id, ttl, record=record, summary=summary), (active, archived)


def _texts(value: Any, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError(f"its {name} is no object of texts")
    return value


def _check_complete(whole: Whole, expected: tuple[int, int]) -> None:
    holds = sum(expected) or whole.record
    if (len(whole.active), len(whole.archived)) != expected or not holds:
        raise ValueError(f"the conversation {whole.id!r} before it lacks messages")
