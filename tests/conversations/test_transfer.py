"""Whole conversations, written and read back: all their keys, one expiry, every byte."""

from __future__ import annotations

import json

import pytest

from valkey_memory import KeyTypeError, ValkeyConnection, _keys
from valkey_memory._conversations.listing import Conversation
from valkey_memory._conversations.transfer import (
    Mode,
    Whole,
    check_lines,
    decode,
    encode,
    exported_user,
    first_line,
    last_line,
    lines_of,
    read_batches,
    read_lines,
    read_mixed_lines,
    read_whole_plan,
    write_batches,
    write_whole_plan,
)
from valkey_memory._errors import ExportFileError

from ..servers import send

MODES: list[Mode] = ["new", "replace", "append"]
ELEMENTS: list[bytes] = [
    b'{"role":"user","content":"x","ts":1}',
    b'{"role": "user", "content": "spaces"}',
    b'{"role":"user","content":"\\u00e9 \\/ escapes"}',
    b'{"role":"user","role":"twice"}',
    b'{"n":1e2,"big":123456789012345678901234567890}',
    '{"role":"user","content":"🐈 \x7f"}'.encode(),
    b"no json",
    b"[1]",
    b"",
    b"\xff\x00\xfe",
    b"line\nbreak",
]


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> str:
    """A further sidecar, as a later release may have one; its name."""
    monkeypatch.setitem(_keys.SIDECARS, "notes", "hash")
    return "notes"


def ttls(connection: ValkeyConnection, key: str) -> list[int]:
    """Whole seconds that each key of a conversation has left; -1 without an expiry, -2 gone."""
    others = (_keys.sidecar(key, name) for name in (_keys.ARCHIVED, "notes"))
    keys = [key, *others]
    return [-(-found // 1000) if (found := send(connection, "PTTL", one)) > 0 else found
            for one in keys]  # fmt: skip


@pytest.mark.parametrize("ttl_ms", [None, 600_000])
async def test_a_conversation_comes_back(
    connection: ValkeyConnection, prefix: str, ttl_ms: int | None
) -> None:
    wholes = [
        Whole("both", ttl_ms, ELEMENTS, ELEMENTS[:3]),
        Whole("active", ttl_ms, [b"x"] * 9000),
        Whole("archived", ttl_ms, [], [b"y"] * 9000),
    ]
    ids = [one.id for one in wholes]
    assert await connection.arun(write_whole_plan(prefix, wholes, "new")) == []
    found = await connection.arun(read_whole_plan(prefix, [*ids, "nobody"]))
    assert [(one.id, one.active, one.archived) for one in found] == [
        (one.id, one.active, one.archived) for one in wholes
    ]
    assert {one.ttl_ms is None for one in found} == {ttl_ms is None}


def test_one_that_exists_is_left_alone_replaced_or_added_to(
    connection: ValkeyConnection, prefix: str, notes: str
) -> None:
    key = _keys.list_key(prefix, "s")
    sidecar = _keys.sidecar(key, notes)
    whole = Whole("s", 600_000, [b"new"], [b"old"])

    def look() -> tuple[list[bytes], list[bytes]]:
        (found,) = connection.run(read_whole_plan(prefix, ["s"]))
        return found.active, found.archived

    send(connection, "RPUSH", key, "mine")
    send(connection, "HSET", sidecar, "a", "b")
    for one in (key, sidecar):
        send(connection, "EXPIRE", one, "60")
    assert connection.run(write_whole_plan(prefix, [whole], "new")) == ["s"]
    assert look() == ([b"mine"], [])
    assert ttls(connection, key) == [60, -2, 60]
    # What was made now expires with what was there.
    assert connection.run(write_whole_plan(prefix, [whole], "append")) == []
    assert look() == ([b"mine", b"new"], [b"old"])
    assert ttls(connection, key) == [60, 60, 60]
    assert connection.run(write_whole_plan(prefix, [whole], "replace")) == []
    assert look() == ([b"new"], [b"old"])
    assert ttls(connection, key) == [600, 600, -2]


def test_one_without_expiry_takes_the_place_of_one_that_expires(
    connection: ValkeyConnection, prefix: str
) -> None:
    key = _keys.list_key(prefix, "s")
    for ttl_ms in (600_000, None):
        whole = Whole("s", ttl_ms, [b"a"], [b"b"])
        connection.run(write_whole_plan(prefix, [whole], "replace"))
    assert ttls(connection, key) == [-1, -1, -2]


def test_adding_to_one_without_expiry_gives_it_none(
    connection: ValkeyConnection, prefix: str
) -> None:
    key = _keys.list_key(prefix, "s")
    send(connection, "RPUSH", key, "mine")
    connection.run(write_whole_plan(prefix, [Whole("s", 1000, [b"a"], [b"b"])], "append"))
    assert ttls(connection, key) == [-1, -1, -2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["", "archived", "meta", "notes"])
def test_a_key_of_another_type_is_refused_before_anything_is_changed(
    connection: ValkeyConnection, prefix: str, notes: str, mode: Mode, name: str
) -> None:
    key = _keys.list_key(prefix, "s")
    foreign = _keys.sidecar(key, name) if name else key
    send(connection, "SET", foreign, "mine")
    others = [one for one in (key, _keys.sidecar(key, "archived")) if one != foreign]
    for one in others:
        send(connection, "RPUSH", one, "kept")
    with pytest.raises(KeyTypeError):
        connection.run(write_whole_plan(prefix, [Whole("s", 1000, [b"a"], [b"b"])], mode))
    assert send(connection, "GET", foreign) == b"mine"
    assert all(send(connection, "LRANGE", one, "0", "-1") == [b"kept"] for one in others)
    assert 1 not in ttls(connection, key)


# Lines


@pytest.mark.parametrize("element", ELEMENTS)
def test_elements_come_back_byte_by_byte(element: bytes) -> None:
    line = json.loads(json.dumps(encode(element)))
    assert decode(line) == element


def test_the_format() -> None:
    """What older releases wrote and read, byte for byte."""
    whole = Whole("s", 1000, [b'{"role":"user"}', b"no json", b"\xff"], [b'{"role":"tool"}'])
    lines = [first_line(), *lines_of(whole), last_line(1, 4)]
    assert lines == [
        b'{"type":"export","format":"valkey-memory-export","version":1}\n',
        b'{"type":"conversation","session_id":"s","messages":3,"archived":1,"ttl_ms":1000}\n',
        b'{"type":"message","archived":true,"message":{"role":"tool"}}\n',
        b'{"type":"message","message":{"role":"user"}}\n',
        b'{"type":"message","text":"no json"}\n',
        b'{"type":"message","base64":"/w=="}\n',
        b'{"type":"end","conversations":1,"messages":4}\n',
    ]
    assert list(read_lines(lines, "file")) == [whole]
    assert check_lines(lines, "file") == (["s"], 4)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"session_id": ""}, "no session_id"),
        ({"session_id": 1}, "no session_id"),
        ({"messages": "1"}, "does not count"),
        ({"archived": None}, "does not count"),
        ({"ttl_ms": -1}, "ttl_ms is -1"),
        ({"ttl_ms": 2**60}, "ttl_ms is"),
        ({"messages": 2}, "lacks messages"),
        ({"messages": 0, "archived": 0}, "lacks messages"),
    ],
)
def test_a_line_that_cannot_be(about: dict[str, object], said: str) -> None:
    lines = [first_line(), *lines_of(Whole("s", None, [b"x"])), last_line(1, 1)]
    lines[1] = json.dumps(json.loads(lines[1]) | about).encode()
    with pytest.raises(ExportFileError, match=said):
        check_lines(lines, "file")


def test_batches_are_of_a_size() -> None:
    known = [Conversation(str(number), 1500, 0, None) for number in range(3)]
    known += [Conversation(f"small {number}", 1, 1, None) for number in range(300)]
    read = list(read_batches(known))
    assert [one for batch in read for one in batch] == [one.id for one in known]
    assert [len(batch) for batch in read] == [1, 1, 200, 101]
    wholes = [Whole(str(number), None, [b"x" * 1_500_000]) for number in range(3)]
    assert [len(batch) for batch in write_batches(wholes)] == [2, 1]
    assert not [*read_batches([]), *write_batches([])]


def test_a_conversation_that_has_a_record_alone(connection: ValkeyConnection, prefix: str) -> None:
    meta = _keys.sidecar(f"{prefix}s", _keys.META)
    send(connection, "HSET", meta, "title", "Empty")
    send(connection, "PEXPIRE", meta, "60000")
    (whole,) = connection.run(read_whole_plan(prefix, ["s", "none"]))
    assert (whole.record, whole.active, whole.archived) == ({"title": "Empty"}, [], [])
    assert 0 < (whole.ttl_ms or 0) <= 60_000
    lines = [first_line(), *lines_of(whole), last_line(1, 0)]
    assert list(read_lines(lines, "file")) == [whole]
    send(connection, "UNLINK", meta)
    assert connection.run(write_whole_plan(prefix, [whole], "new")) == []
    assert send(connection, "HGET", meta, "title") == b"Empty"
    assert 0 < send(connection, "PTTL", meta) <= 60_000
    assert connection.run(write_whole_plan(prefix, [whole], "new")) == ["s"]


def test_the_export_of_a_user() -> None:
    line = {"type": "memory", "id": "1"}
    raw = json.dumps(line).encode()
    whole = Whole("s", None, [b"x"])
    lines = [first_line("alice"), *lines_of(whole), raw, last_line(1, 1, memory=1)]
    assert exported_user(lines[0]) == "alice"
    assert exported_user(first_line()) is None
    assert [exported_user(one) for one in (b"", b"no", b"[]", b'{"user_id":""}')] == [None] * 4
    found = list(read_mixed_lines(lines, "file", {"memory": lambda one: one["id"]}))
    assert found == [whole, "1"]
    with pytest.raises(ExportFileError, match="line 4 of file: 'memory' is no type"):
        list(read_lines(lines, "file"))
    wrong = [*lines[:-1], last_line(1, 1, memory=2)]
    with pytest.raises(ExportFileError, match="the counts at the end"):
        list(read_mixed_lines(wrong, "file", {"memory": lambda one: one["id"]}))
