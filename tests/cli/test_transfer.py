"""export and import: what comes back is what was there, byte by byte."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_valkey_glide import ValkeyChatMessageHistory
from llama_index_valkey_glide import ValkeyChatStore
from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection
from valkey_memory._keys import content_keys, list_key

from ..cross.conversations import LANGCHAIN, LLAMA, PLAIN
from ..servers import admin, send
from .conftest import Run
from .test_conversations import HOSTILE_IDS, user

Damage = Callable[[list[bytes]], list[bytes]]

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
def store(connection: ValkeyConnection, prefix: str) -> MessageStore:
    return MessageStore(connection=connection, key_prefix=prefix)


def everything(connection: ValkeyConnection, prefix: str, ids: list[str]) -> dict[str, object]:
    """The raw lists, and whether they expire."""
    found: dict[str, object] = {}
    for one in ids:
        for key in content_keys(list_key(prefix, one)):
            found[key] = (
                send(connection, "LRANGE", key, "0", "-1"),
                round(send(connection, "PTTL", key) / 20_000),
            )
    return found


def test_a_round_trip(
    at: Run, store: MessageStore, connection: ValkeyConnection, prefix: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"connection": connection, "key_prefix": prefix}
    store.extend("plain", PLAIN)
    langchain = ValkeyChatMessageHistory("langchain", ttl=3600, **options)
    langchain.add_messages(LANGCHAIN)
    llama = ValkeyChatStore(**options)
    llama.set_messages("llama", LLAMA)
    send(connection, "RPUSH", f"{prefix}raw", *ELEMENTS)
    for number, one in enumerate(HOSTILE_IDS):
        store.extend(one, [user("a"), user(one)])
        if number % 3:
            store.archive_oldest(one, number % 3)
        if number % 2:
            store.set_ttl(one, 3600 * (number + 1))
    ids = ["plain", "langchain", "llama", "raw", *HOSTILE_IDS]
    before = everything(connection, prefix, ids)

    file = tmp_path / "export.jsonl"
    said = at("export", "--output", str(file))
    assert said.stdout == ""
    assert f"{len(ids)} conversations" in said.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for one in ids:
        store.delete(one)
    at("import", str(file))

    assert everything(connection, prefix, ids) == before
    assert langchain.messages == LANGCHAIN
    assert llama.get_messages("llama") == LLAMA


def test_through_a_pipe(at: Run, store: MessageStore) -> None:
    store.extend("s", [user("a"), user("b")])
    lines = at("export", "s").stdout_bytes
    assert [json.loads(line)["type"] for line in lines.splitlines()] == [
        "export", "conversation", "message", "message", "end",
    ]  # fmt: skip
    store.delete("s")
    result = at("import", "-", "--json", input=lines)
    assert json.loads(result.stdout) == {
        "file": "-", "conversations": 1, "messages": 2, "existing": 0, "refused": []
    }  # fmt: skip
    assert store.count("s") == 2
    at("import", "-", "--replace", input=lines, status=1)
    at("import", "-", "--replace", "--yes", input=lines)


def test_what_exists_is_refused_replaced_or_added_to(
    at: Run, store: MessageStore, tmp_path: Path
) -> None:
    file = str(tmp_path / "export.jsonl")
    store.extend("old", [user("a"), user("b")])
    store.archive_oldest("old", 1)
    store.set_ttl("old", 600)
    store.append("new", user("n"))
    at("export", "-o", file)
    store.delete("new")
    store.append("old", user("c"))
    store.set_ttl("old", 60)

    refused = at("import", file, status=1)
    assert "1 of 2 conversations to import exist" in refused.stderr
    assert "--replace or --append" in refused.stderr
    at("import", file, "--replace", input="n\n", status=1)
    assert store.sessions() == ["old"]
    assert store.count_all("old") == (2, 1)

    at("import", file, "--append", input="y\n")
    assert store.count_all("old") == (3, 2)
    assert (store.ttl_left("old") or 0) <= 60
    assert store.count("new") == 1

    at("import", file, "--replace", "--yes")
    assert [one["content"] for one in store.archived("old", and_active=True)] == ["a", "b"]
    assert 590 < (store.ttl_left("old") or 0) <= 600
    at("import", file, "--replace", "--append", status=2)


def test_an_import_beside_what_exists(
    at: Run, run: Run, store: MessageStore, server_url: str, prefix: str
) -> None:
    store.append("s", user("a"))
    lines = at("export").stdout_bytes
    run("import", "-", "--url", server_url, "--key-prefix", f"{prefix}2:", input=lines)
    other = MessageStore(connection=store.connection, key_prefix=f"{prefix}2:")
    assert other.messages("s") == store.messages("s")


def test_a_key_of_another_type_is_left_alone(
    at: Run, store: MessageStore, connection: ValkeyConnection, prefix: str
) -> None:
    store.append("s", user("a"))
    lines = at("export").stdout_bytes
    store.delete("s")
    send(connection, "SET", f"{prefix}s", "mine")
    for mode in ("--replace", "--append", "--yes"):
        said = at("import", "-", mode, input=lines, status=1).stderr
        assert "a value of another type" in said
    assert send(connection, "GET", f"{prefix}s") == b"mine"


def test_only_some(at: Run, store: MessageStore) -> None:
    for one in ("alice-1", "alice-2", "bob"):
        store.append(one, user("x"))
    assert at("export", "--begins", "alice").stdout.count('"session_id"') == 2
    assert at("export", "bob").stdout.count('"session_id"') == 1
    assert "there is no conversation 'eve'" in at("export", "bob", "eve", status=1).stderr
    at("export", "bob", "--begins", "alice", status=2)


def test_a_large_conversation_and_many_small_ones(at: Run, store: MessageStore) -> None:
    store.extend("large", [user(str(number)) for number in range(20_000)])
    for number in range(50):
        store.append(f"s{number}", user("x"))
    lines = at("export").stdout_bytes
    at("import", "-", "--replace", "--yes", input=lines)
    assert store.messages("large")[-1]["content"] == "19999"
    assert store.count("large") == 20_000


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: [], "cut off"),
        (lambda lines: lines[1:], "line 1 "),
        (lambda lines: [*lines[:2], *lines[3:]], "lacks messages"),
        (lambda lines: [*lines[:3], b"{", *lines[3:]], "line 4 "),
        (lambda lines: [*lines, *lines], "line 6 "),
        (lambda lines: [lines[0].replace(b"1", b"9"), *lines[1:]], "version 1"),
        (lambda lines: [lines[0], *lines[1:4], *lines[1:4], lines[4]], "twice"),
        (lambda lines: [*lines[:2], b'{"type":"message"}', *lines[3:]], "neither"),
        (lambda lines: [*lines[:2], b'{"type":"message","base64":"!"}', *lines[3:]], "line 3 "),
    ],
)
def test_a_damaged_file_writes_nothing(
    run: Run, url: str, prefix: str, tmp_path: Path, damage: Damage, said: str
) -> None:
    with ValkeyConnection.from_url(url) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.extend("s", [user("a"), user("b")])
        options = ("--url", url, "--key-prefix", prefix)
        lines = run("export", *options).stdout_bytes.splitlines()
        store.delete("s")
        file = tmp_path / "damaged.jsonl"
        file.write_bytes(b"\n".join(damage(lines)))
        result = run("import", str(file), *options, status=1)
        assert said in result.stderr
        assert "Nothing was written" in result.stderr
        assert store.sessions() == []


def test_files_that_cannot_be(run: Run, url: str, tmp_path: Path) -> None:
    assert "cannot read" in run("import", str(tmp_path / "no"), "--url", url, status=1).stderr
    nowhere = str(tmp_path / "no" / "export.jsonl")
    assert "cannot write" in run("export", "-o", nowhere, "--url", url, status=1).stderr


def test_writing_over_a_file_asks_and_a_failure_leaves_it(
    run: Run, url: str, prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "export.jsonl"
    file.write_text("mine")
    options = ("-o", str(file), "--url", url, "--key-prefix", prefix)
    run("export", *options, input="n\n", status=1)
    run("export", "nobody", *options, "--yes", status=1)
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]
    run("export", *options, "--yes")
    assert json.loads(file.read_text().splitlines()[-1])["conversations"] == 0


def test_an_import_that_fails_says_what_it_wrote(
    run: Run, server: EmbeddedValkey, prefix: str
) -> None:
    with ValkeyConnection.from_url(server.url) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.append("s", user("a"))
        lines = run("export", "--url", server.url, "--key-prefix", prefix).stdout_bytes
        store.delete("s")
        admin(server.port, "ACL", "SETUSER", "dave", "on", ">pw", "~*", "+@all", "-eval")
        url = server.url.replace("valkey://", "valkey://dave:pw@")
        options = ("--url", url, "--key-prefix", prefix)
        said = run("import", "-", *options, input=lines, status=1).stderr
        assert "0 of 1 conversation written, 1 may have been" in said
        admin(server.port, "ACL", "DELUSER", "dave")
