"""Recordings of what the library and a real search server said to each other.

A recording is a file of JSON lines, one for each step of a plan: the operation, the commands and
what came back. ``RecordingConnection`` runs the steps on a real server and compares them with the
recording, or makes it; ``ReplayConnection`` answers from it. Both fail when the library sends
something else than was recorded.

A reply's bytes are plain strings in it where they are readable and ``{"base64": ...}`` where not;
strings of Python are ``{"str": ...}``, maps ``{"map": [[key, value], ...]}``, errors
``{"error": class, "text": ...}``.
"""

from __future__ import annotations

import base64
import dataclasses
import difflib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from valkey_memory import ValkeyConnection, ValkeyMemoryError, _errors
from valkey_memory._plans import (
    Aside,
    AskCluster,
    AskFacts,
    AskPrimaries,
    Command,
    Lanes,
    Pause,
    Plan,
    Reply,
    Request,
    Scan,
    ScanPage,
    Step,
    Work,
    WriteToken,
)
from valkey_memory._server.clients import ClientFactory
from valkey_memory._server.settings import Settings
from valkey_memory._vectors.schema import is_ready

RECORDINGS = Path(__file__).parent / "recordings"
ADDRESS = "the-search-server"
HOW_TO_REFRESH = (
    "If the new commands are right, record them on a machine with valkey-search: "
    "pytest tests/vectors --record-search"
)


class RecordingMismatchError(AssertionError):
    """The library does not send what was recorded."""


def _readable(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\r\n\t" for c in text) else None


def encode(value: Any) -> Any:
    """A reply as JSON."""
    if isinstance(value, bytes):
        text = _readable(value)
        return {"base64": base64.b64encode(value).decode()} if text is None else text
    if isinstance(value, str):
        return {"str": value}
    if isinstance(value, Mapping):
        return {"map": [[encode(key), encode(item)] for key, item in value.items()]}
    if isinstance(value, ScanPage):
        return {"keys": encode(value.keys), "cursor": encode(value.cursor)}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, ValkeyMemoryError):
        return {"error": type(value).__name__, "text": str(value)}
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"a reply with {value!r} cannot be recorded")


def decode(value: Any) -> Any:
    """What ``encode`` was given."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "base64" in value:
        return base64.b64decode(value["base64"])
    if "str" in value:
        return value["str"]
    if "map" in value:
        return {decode(key): decode(item) for key, item in value["map"]}
    if "error" in value:
        return getattr(_errors, value["error"])(value["text"])
    return ScanPage(decode(value["keys"]), decode(value["cursor"]))


def _in_order(command: Command) -> Command:
    """A command that deletes, with its keys sorted: they come from a search without an order."""
    if command[0] == "UNLINK":
        return ("UNLINK", *sorted(command[1:], key=str))
    if command[0] == "XADD":
        return (*command[:-1], json.dumps(sorted(json.loads(command[-1])), ensure_ascii=False))
    return command


def describe(step: Step) -> dict[str, Any]:
    """A step as JSON, without its reply."""
    # Nothing is said to the server, or by another plan; lanes are for a cluster only.
    assert not isinstance(step, Work | WriteToken | AskFacts | Lanes | Aside)
    described: dict[str, Any] = {"step": type(step).__name__, "operation": step.operation}
    if isinstance(step, Request):
        # GLIDE sends a string and its UTF-8 bytes alike.
        described["commands"] = [
            [encode(part.encode() if isinstance(part, str) else part) for part in command]
            for command in map(_in_order, step.commands)
        ]
        described |= {"atomic": step.atomic, "errors_as_replies": step.errors_as_replies}
    elif isinstance(step, Scan):
        described |= {"pattern": step.pattern, "type": step.type, "cursor": encode(step.cursor)}
    elif isinstance(step, AskPrimaries):
        described["command"] = [encode(part) for part in step.command]
    else:
        assert isinstance(step, AskCluster)
    return described


def _without_reply(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if name != "reply"}


def _lines(described: Mapping[str, Any] | None) -> list[str]:
    """A step over several lines, one for each command, for a diff."""
    if described is None:
        return ["nothing"]
    commands = [json.dumps(c, ensure_ascii=False) for c in described.get("commands", ())]
    rest = {name: value for name, value in described.items() if name != "commands"}
    return [json.dumps(rest, ensure_ascii=False), *commands]


class Tape:
    """One recording, read along, or made anew. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._recorded: list[dict[str, Any]] | None = None
        if path.exists():
            self._recorded = [
                json.loads(line) for line in path.read_text("utf-8").splitlines() if line
            ]
        self._position = 0
        self._said: list[dict[str, Any]] = []

    def follow(self, described: dict[str, Any]) -> Any:
        """The recorded reply to a step, which must be the next one of the recording."""
        with self._lock:
            if self._recorded is None:
                raise RecordingMismatchError(
                    f"there is no recording {self._name}. {HOW_TO_REFRESH}"
                )
            position = self._position
            line = self._recorded[position] if position < len(self._recorded) else None
            if line is None or _without_reply(line) != described:
                expected = None if line is None else _without_reply(line)
                raise self._mismatch(position, expected, described)
            self._position += 1
            assert line is not None
            return line["reply"]

    def add(self, described: dict[str, Any], reply: Any) -> None:
        """Remember a step for ``write``."""
        with self._lock:
            self._said.append({**described, "reply": reply})

    def finish(self) -> None:
        """Fail when the recording has more steps than were taken."""
        recorded = self._recorded or []
        if self._position < len(recorded):
            expected = _without_reply(recorded[self._position])
            raise self._mismatch(self._position, expected, None)

    def write(self) -> None:
        """Replace the recording, in one move."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in self._said]
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text("".join(lines), "utf-8")
        draft.replace(self.path)

    @property
    def _name(self) -> str:
        inside = self.path.is_relative_to(RECORDINGS)
        return str(self.path.relative_to(RECORDINGS)) if inside else self.path.name

    def _mismatch(
        self, position: int, expected: dict[str, Any] | None, sent: dict[str, Any] | None
    ) -> RecordingMismatchError:
        diff = difflib.unified_diff(_lines(expected), _lines(sent), "recorded", "sent", lineterm="")
        return RecordingMismatchError(
            f"step {position + 1} is not that of the recording {self._name}:\n"
            + "\n".join(diff)
            + f"\n{HOW_TO_REFRESH}"
        )


class _TapedConnection(ValkeyConnection):
    def __init__(self, tape: Tape) -> None:
        super().__init__(ClientFactory(Settings()))
        self.tape = tape

    @property
    def address(self) -> str:
        return ADDRESS


_CHANGES_DOCUMENTS = {"HSET", "JSON.SET", "UNLINK", "DEL"}


def _index_of(command: Command) -> str | None:
    """The name of the index that ``command`` makes, or whose documents it changes."""
    if command[0] != "FT.CREATE" and command[0] not in _CHANGES_DOCUMENTS:
        return None
    name = command[1] if isinstance(command[1], str) else command[1].decode()
    return name.partition(":")[0]


def _is_settled(reply: Reply) -> bool:
    """Whether an index is filled and has followed all changes, by what FT.INFO says; or is none."""
    if isinstance(reply, Exception):
        return True
    flat = reply if isinstance(reply, list) else [part for item in reply.items() for part in item]
    said = dict(zip(flat[::2], flat[1::2], strict=True))
    return is_ready(reply) and int(said.get(b"mutation_queue_size", 0)) == 0


def settled_plan(step: Step) -> Plan[None]:
    """Wait until the indexes that ``step`` made or changed are as their documents say.

    How long that takes, and so what a search finds meanwhile, is in no recording.
    """
    commands = step.commands if isinstance(step, Request) else ()
    for name in dict.fromkeys(filter(None, map(_index_of, commands))):
        while True:
            replies = yield AskPrimaries("settle", ("FT.INFO", name))
            if all(map(_is_settled, replies.values())):
                break
            yield Pause(0.01)


def whole_scan_plan(step: Step) -> Plan[Reply]:
    """``step``, and of a SCAN all pages as one: how many there are is the keyspace's business."""
    reply = yield step
    if not isinstance(step, Scan):
        return reply
    keys = list(reply.keys)
    while reply.cursor is not None:
        reply = yield dataclasses.replace(step, cursor=reply.cursor)
        keys += reply.keys
    return ScanPage(keys, None)


class RecordingConnection(_TapedConnection):
    """Runs every step on ``real``.

    Args:
        real: The server, which stays open.
        tape: What is said is added to it.
        compare: Fail at the first step that differs from the recording there is.
    """

    def __init__(self, real: ValkeyConnection, tape: Tape, *, compare: bool) -> None:
        super().__init__(tape)
        self._real = real
        self._compare = compare

    def _before(self, step: Step) -> dict[str, Any]:
        described = describe(step)
        if self._compare:
            self.tape.follow(described)
        return described

    def _after(self, described: dict[str, Any], reply: Reply) -> None:
        text = json.dumps(encode(reply), ensure_ascii=False)
        self.tape.add(described, json.loads(text.replace(self._real.address, ADDRESS)))

    def _execute(self, step: Step) -> Reply:
        if isinstance(step, Work):
            return step.serve()
        described = self._before(step)
        try:
            reply = self._real.run(whole_scan_plan(step))
            self._real.run(settled_plan(step))
        except ValkeyMemoryError as error:
            self._after(described, error)
            raise
        self._after(described, reply)
        return reply

    async def _aexecute(self, step: Step) -> Reply:
        if isinstance(step, Work):
            return await step.aserve()
        described = self._before(step)
        try:
            reply = await self._real.arun(whole_scan_plan(step))
            await self._real.arun(settled_plan(step))
        except ValkeyMemoryError as error:
            self._after(described, error)
            raise
        self._after(described, reply)
        return reply


class ReplayConnection(_TapedConnection):
    """Answers every step from the tape; there is no server."""

    def _execute(self, step: Step) -> Reply:
        if isinstance(step, Work):
            return step.serve()
        reply = decode(self.tape.follow(describe(step)))
        if isinstance(reply, ValkeyMemoryError):
            raise reply
        return reply

    async def _aexecute(self, step: Step) -> Reply:
        if isinstance(step, Work):
            return await step.aserve()
        return self._execute(step)
