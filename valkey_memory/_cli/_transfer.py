"""``export`` and ``import``: conversations as JSON lines that give the same lists back.

The first line names the format, the last counts what came before, so that a cut file is noticed.
Between them each conversation is one line, followed by one line for each of its messages::

    {"type":"conversation","session_id":"alice-1","messages":1,"archived":0,"ttl_ms":86399000}
    {"type":"message","message":{"role":"user","content":"Hi","ts":1767225600000}}

An element whose JSON text would not come back byte by byte stands under ``text`` as a string, and
one that is no UTF-8 under ``base64``. Archived messages come first and say ``"archived":true``.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Annotated, Any

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from .._errors import ConfigurationError, ValkeyMemoryError
from .._keys import list_key
from .._plans import Command
from .._server.connection import ValkeyConnection
from . import _output
from ._app import FAILED, CliError, Json, KeyPrefix, Timeout, Url, Yes, confirm, connected, fail
from ._keyspace import Conversation, answered, ask, describe, keys_of, pieces, walk
from ._output import amount, err, tell

FORMAT, VERSION = "valkey-memory-export", 1
STDIO = "-"

_BATCH_MESSAGES = 2_000
_BATCH_CONVERSATIONS = 200
_BATCH_BYTES = 4_000_000

# Both lists and their TTLs as of one moment.
_READ = """
local lists = {}
for i, key in ipairs(KEYS) do
  lists[i] = {redis.call('LRANGE', key, 0, -1), redis.call('PTTL', key)}
end
return lists
"""

# ARGV: mode, TTL or "", how many archived, and the elements, archived first. Returns 0 when the
# conversation is there and nothing was said about that. RPUSH in portions, because Lua unpacks at
# most about 8,000 values.
_WRITE = """
local exists = false
for _, key in ipairs(KEYS) do
  local type = redis.call('TYPE', key).ok
  if type ~= 'list' and type ~= 'none' then return redis.error_reply('WRONGTYPE not a list') end
  exists = exists or type == 'list'
end
if exists and ARGV[1] == 'new' then return 0 end
if ARGV[1] == 'replace' then redis.call('UNLINK', unpack(KEYS)) end
local function push(key, first, last)
  for start = first, last, 4000 do
    redis.call('RPUSH', key, unpack(ARGV, start, math.min(start + 3999, last)))
  end
end
local archived = 3 + tonumber(ARGV[3])
push(KEYS[2], 4, archived)
push(KEYS[1], archived + 1, #ARGV)
if ARGV[2] ~= '' and not (exists and ARGV[1] == 'append') then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
end
return 1
"""


@dataclass(slots=True)
class Whole:
    """A conversation with its elements, as they are stored."""

    id: str
    ttl_ms: int | None
    active: list[bytes] = field(default_factory=list)
    archived: list[bytes] = field(default_factory=list)

    def size(self) -> int:
        return sum(map(len, self.active)) + sum(map(len, self.archived))


# Export


def export(
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]...", help="Only these. Default: all.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A file; - is stdout.")
    ] = STDIO,
    begins: Annotated[str, typer.Option(help="Only session ids that begin so.")] = "",
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Write conversations as JSON lines, with archived messages and the TTL that is left.

    Each conversation is as of one moment; those that come or go meanwhile may be in it or not.
    """
    path = None if output == STDIO else Path(output)
    if path is not None and path.exists():
        confirm(f"Write over {output}?", yes=yes)
    if sessions and begins:
        raise ConfigurationError("give session ids or --begins, not both")
    for one in sessions or ():
        list_key(key_prefix, one)
    number = messages = 0
    with (
        connected(url, timeout, key_prefix) as connection,
        _writing(path) as file,
        _progress(None) as bar,
    ):
        task = bar.add_task("exporting", total=None)
        found = _read_all(connection, key_prefix, sessions, begins)
        first = list(islice(found, 1))  # nothing is written if this fails
        _write_line(file, {"type": "export", "format": FORMAT, "version": VERSION})
        for whole in chain(first, found):
            for line in lines_of(whole):
                _write_line(file, line)
            number += 1
            messages += len(whole.active) + len(whole.archived)
            bar.update(task, description=_counted(number, messages), advance=1)
        _write_line(file, {"type": "end", "conversations": number, "messages": messages})
    if json and path is not None:
        _output.print_json({"file": output, "conversations": number, "messages": messages})
    elif not json:
        tell(f"Exported {_counted(number, messages)}.")


def _counted(conversations: int, messages: int) -> str:
    return f"{amount(conversations, 'conversation')} with {amount(messages, 'message')}"


def _read_all(
    connection: ValkeyConnection, key_prefix: str, sessions: Sequence[str] | None, begins: str
) -> Iterator[Whole]:
    pages: Iterable[Sequence[str]]
    pages = [list(dict.fromkeys(sessions))] if sessions else walk(connection, key_prefix, begins)
    for page in pages:
        known = list(describe(connection, key_prefix, page))
        if sessions and (missing := set(page) - {one.id for one in known}):
            raise CliError(f"there is no conversation {', '.join(map(repr, sorted(missing)))}")
        for some in _batches(known):
            yield from _read(connection, key_prefix, some)


def _batches(known: Sequence[Conversation]) -> Iterator[list[str]]:
    """Conversations that are read in one round trip."""
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


def _read(connection: ValkeyConnection, key_prefix: str, ids: Sequence[str]) -> Iterator[Whole]:
    commands: list[Command] = [("EVAL", _READ, "2", *keys_of(key_prefix, one)) for one in ids]
    for one, reply in zip(ids, connection.run(ask("read conversations", *commands)), strict=True):
        (active, ttl), (archived, archived_ttl) = answered(reply)
        if active or archived:
            left = ttl if active else archived_ttl
            yield Whole(one, left if left >= 0 else None, active, archived)


def lines_of(whole: Whole) -> Iterator[dict[str, Any]]:
    """The lines of one conversation."""
    yield {
        "type": "conversation",
        "session_id": whole.id,
        "messages": len(whole.active),
        "archived": len(whole.archived),
        "ttl_ms": whole.ttl_ms,
    }
    for element in whole.archived:
        yield {"type": "message", "archived": True, **encode(element)}
    for element in whole.active:
        yield {"type": "message", **encode(element)}


def encode(element: bytes) -> dict[str, Any]:
    """An element in a form that ``decode`` gives back byte by byte, readable if it can be."""
    try:
        value = orjson.loads(element)
        if isinstance(value, dict) and orjson.dumps(value) == element:
            return {"message": value}
    except ValueError:
        pass
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


def _write_line(file: IO[bytes], value: dict[str, Any]) -> None:
    file.write(orjson.dumps(value) + b"\n")


@contextmanager
def _writing(path: Path | None) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete, readable for its owner alone."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CliError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _progress(total: int | None) -> Progress:
    """A bar on stderr; none where nobody looks on."""
    columns: list[Any] = [TextColumn("{task.description}", markup=False)]
    if total is None:
        columns.insert(0, SpinnerColumn())
    else:
        columns += [BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


# Import


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export; - is stdin.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put these in place of conversations that exist.")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to conversations that exist; their TTL stays.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Write exported conversations back, byte by byte, and begin their TTL again.

    The whole file is checked first. Conversations that exist are refused, all of them, before
    anything is written, unless --replace or --append says otherwise, which asks. Each conversation
    is written at once or not at all.
    """
    if replace and append:
        raise ConfigurationError("give --replace or --append, not both")
    mode = "replace" if replace else "append" if append else "new"
    with _reading(file) as lines, connected(url, timeout, key_prefix) as connection:
        ids, messages = _check(lines, file, key_prefix)
        existing = [
            one.id for some in pieces(ids) for one in describe(connection, key_prefix, some)
        ]
        if existing:
            _agree(existing, len(ids), mode, connection.address, yes=yes, stdin=file == STDIO)
        lines.seek(0)
        written = 0
        refused: list[str] = []
        with _progress(messages) as bar:
            task = bar.add_task("importing", total=messages)
            for some in _write_batches(_conversations(lines, file)):
                try:
                    taken = _write(connection, key_prefix, some, mode)
                except ValkeyMemoryError as error:
                    raise CliError(
                        f"{written:,} of {amount(len(ids), 'conversation')} written, "
                        f"{len(some):,} may have been. {error}"
                    ) from error
                written += len(some) - len(taken)
                refused += taken
                bar.update(task, advance=sum(len(o.active) + len(o.archived) for o in some))
    if json:
        _output.print_json(
            {
                "file": file,
                "conversations": written,
                "messages": messages,
                "existing": len(existing),
                "refused": refused,
            }
        )
    else:
        tell(f"Imported {_counted(written, messages)}.")
    if refused:
        fail(
            f"{_some(refused)} came into being meanwhile, and nothing was written to them; "
            "use --replace or --append",
            FAILED,
        )


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 3:,} more" if len(ids) > 3 else ""
    return ", ".join(map(repr, ids[:3])) + more


def _agree(
    existing: Sequence[str], number: int, mode: str, address: str, *, yes: bool, stdin: bool
) -> None:
    exist = f"{len(existing):,} of {amount(number, 'conversation')}"
    if mode == "new":
        raise CliError(
            f"{exist} to import exist at {address}: {_some(existing)}. Nothing was written. "
            "Use --replace or --append, or another --key-prefix"
        )
    if stdin and not yes:
        raise CliError(f"{exist} exist, and an import from stdin cannot ask: give --yes")
    verb = "replaced" if mode == "replace" else "added to"
    confirm(f"{exist} exist at {address} and will be {verb}: {_some(existing)}. Go on?", yes=yes)


@contextmanager
def _reading(name: str) -> Iterator[IO[bytes]]:
    """The file, or a copy of stdin, which is read twice too."""
    if name == STDIO:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.seek(0)
            yield copy
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CliError(f"cannot read {name}: {error.strerror}") from error
    with file:
        yield file


def _check(lines: IO[bytes], name: str, key_prefix: str) -> tuple[list[str], int]:
    """The session ids and the number of messages of a file that is whole.

    Raises:
        CliError: It is not, with the line.
    """
    ids: dict[str, None] = {}
    messages = 0
    for whole in _conversations(lines, name):
        if whole.id in ids:
            raise CliError(f"{name} has the conversation {whole.id!r} twice. Nothing was written")
        list_key(key_prefix, whole.id)
        ids[whole.id] = None
        messages += len(whole.active) + len(whole.archived)
    return list(ids), messages


def _conversations(lines: IO[bytes], name: str) -> Iterator[Whole]:
    """The conversations of an export, one after the other."""
    whole: Whole | None = None
    expected = (0, 0)
    conversations = messages = number = 0
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
            elif kind in ("conversation", "end"):
                if whole is not None:
                    _complete(whole, expected)
                    messages += sum(expected)
                    yield whole
                if kind == "conversation":
                    whole, expected = _begin(line)
                    conversations += 1
                elif (line.get("conversations"), line.get("messages")) == (conversations, messages):
                    ended = True
                else:
                    raise ValueError("the counts at the end are not those of the file")
            else:
                raise ValueError(f"{kind!r} is no type that belongs here")
        except (ValueError, binascii.Error) as error:
            raise CliError(f"line {number} of {name}: {error}. Nothing was written") from error
    if not ended:
        raise CliError(
            f"{name} ends after line {number} without its end line: it is cut off, or no export. "
            "Nothing was written"
        )


def _begin(line: dict[str, Any]) -> tuple[Whole, tuple[int, int]]:
    session_id, ttl = line.get("session_id"), line.get("ttl_ms")
    active, archived = line.get("messages"), line.get("archived")
    if not isinstance(session_id, str) or not session_id:
        raise ValueError("it has no session_id")
    if type(active) is not int or type(archived) is not int:
        raise ValueError("it does not count its messages")
    if ttl is not None and (type(ttl) is not int or not 0 <= ttl < 2**53):
        raise ValueError(f"ttl_ms is {ttl!r}")
    return Whole(session_id, ttl), (active, archived)


def _complete(whole: Whole, expected: tuple[int, int]) -> None:
    if (len(whole.active), len(whole.archived)) != expected or not sum(expected):
        raise ValueError(f"the conversation {whole.id!r} before it lacks messages")


def _write_batches(conversations: Iterator[Whole]) -> Iterator[list[Whole]]:
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


def _write(
    connection: ValkeyConnection, key_prefix: str, batch: Sequence[Whole], mode: str
) -> list[str]:
    """Write conversations; the ids of those that exist and must not be touched."""
    commands: list[Command] = [
        (
            "EVAL", _WRITE, "2", *keys_of(key_prefix, one.id),
            # A TTL that ends this very moment is still one.
            mode, "" if one.ttl_ms is None else str(max(one.ttl_ms, 1)),
            str(len(one.archived)), *one.archived, *one.active,
        )
        for one in batch
    ]  # fmt: skip
    replies = connection.run(ask("write conversations", *commands))
    return [one.id for one, reply in zip(batch, replies, strict=True) if not answered(reply)]
