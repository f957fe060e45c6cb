"""sessions, show and delete, on a standalone server and on a cluster."""

from __future__ import annotations

import json
import re
import time

import pytest

from valkey_memory import MessageStore, ValkeyConnection
from valkey_memory._cli import output
from valkey_memory._cli.output import duration, visible, visible_lines

from ..cross.conversations import LANGCHAIN, LLAMA, PLAIN
from ..servers import send, send_all
from .conftest import Run, rows

HOSTILE_IDS = [
    "line\nbreak",
    "tab\t",
    "{braces}",
    "a}b{c",
    "50% off",
    "%7Bencoded%7D",
    "emoji 🐈",
    "[bold red]markup[/]",
    "\x1b[31mred\x1b[0m",
    "*?[]\\",
    "-dash",
    " ",
    "\u202eright to left",
    "{chat:x}:archived",
]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture
def store(connection: ValkeyConnection, prefix: str) -> MessageStore:
    return MessageStore(connection=connection, key_prefix=prefix)


def test_sessions_have_counts_and_ttls(at: Run, store: MessageStore) -> None:
    store.extend("alice-1", [user("a"), user("b")])
    store.extend("alice-2", [user("c")])
    store.set_ttl("alice-2", 3600)
    store.extend("bob", [user("d"), user("e")])
    store.archive_oldest("bob", 1)
    found = {row["session_id"]: row for row in rows(at("sessions", "--json"))}
    assert found["alice-1"] == {
        "session_id": "alice-1", "messages": 2, "archived": 0, "ttl_seconds": None
    }  # fmt: skip
    assert 3590 < found["alice-2"].pop("ttl_seconds") <= 3600
    assert found["bob"]["messages"] == found["bob"]["archived"] == 1
    text = at("sessions")
    assert re.search(r"1 +- +59m 5\ds  alice-2\n", text.stdout)
    assert re.search(r"2 +- +never  alice-1\n", text.stdout)
    assert "3 conversations with 4 messages" in text.stderr


def test_sessions_by_their_beginning(at: Run, store: MessageStore) -> None:
    ids = ["alice-1", "alice-2", "bob", "50%7B", "50%", "50{"]
    for one in ids:
        store.append(one, user("x"))
    for beginning in ("alice", "50", "50%", "50%7", "50{", "nobody"):
        found = {row["session_id"] for row in rows(at("sessions", beginning, "--json"))}
        assert found == {one for one in ids if one.startswith(beginning)}, beginning
    assert len(rows(at("sessions", "--limit", "2", "--json"))) == 2


def test_sessions_of_a_user(at: Run, store: MessageStore) -> None:
    store.append("monday", user("a"), user_id="alice", tokens=1200, title="Deploy\n[bold]it")
    time.sleep(0.002)  # or both were last active in the same millisecond
    store.append("friday", user("b"), user_id="alice", model="claude-sonnet")
    store.append("bobs", user("c"), user_id="bob")
    store.append("plain", user("d"))
    found = rows(at("sessions", "--user", "alice", "--json"))
    assert [one["session_id"] for one in found] == ["friday", "monday"]
    assert (found[1]["title"], found[1]["token_count"]) == ("Deploy\n[bold]it", 1200)
    text = at("sessions", "--user", "alice")
    lines = text.stdout.splitlines()
    assert re.fullmatch(r"20\S+ \S+ +1 +0  friday  claude-sonnet", lines[1])
    assert re.fullmatch(r"20\S+ \S+ +1 +1,200  monday  Deploy\\u000a\[bold\]it", lines[2])
    assert "2 conversations of 'alice'" in text.stderr
    found = rows(at("sessions", "mon", "--user", "alice", "--json"))
    assert [one["session_id"] for one in found] == ["monday"]
    assert len(rows(at("sessions", "--user", "alice", "--limit", "1", "--json"))) == 1


def test_no_session_of_a_user(at: Run, store: MessageStore) -> None:
    store.append("alice-1", user("a"))
    result = at("sessions", "--user", "alice")
    assert result.stdout == ""
    assert "user_id" in result.stderr
    assert at("sessions", "--user", "", status=2).stderr.count("user_id") == 1


def test_no_session_is_said_on_stderr(at: Run) -> None:
    result = at("sessions")
    assert result.stdout == ""
    assert "--key-prefix" in result.stderr


def test_a_conversation_of_archived_messages_alone_is_listed(at: Run, store: MessageStore) -> None:
    store.append("old", user("x"))
    store.archive_oldest("old", 1)
    (row,) = rows(at("sessions", "--json"))
    assert (row["session_id"], row["messages"], row["archived"]) == ("old", 0, 1)


def test_foreign_keys_are_no_conversations(
    at: Run, store: MessageStore, connection: ValkeyConnection, prefix: str
) -> None:
    send(connection, "SET", f"{prefix}string", "x")
    send(connection, "RPUSH", f"x{prefix}list", "x")
    send(connection, "RPUSH", f"{prefix}a{{b}}", "x")
    store.append("mine", user("x"))
    assert [row["session_id"] for row in rows(at("sessions", "--json"))] == ["mine"]


def test_many_sessions_in_few_round_trips(
    at: Run, store: MessageStore, connection: ValkeyConnection, prefix: str
) -> None:
    ids = {f"s{number}" for number in range(1200)}
    element = '{"role":"user","content":"x"}'
    send_all(connection, *(("RPUSH", f"{prefix}{one}", element) for one in ids))
    found = [row["session_id"] for row in rows(at("sessions", "--json"))]
    assert set(found) == ids
    assert len(found) == len(ids)


@pytest.mark.parametrize("session", HOSTILE_IDS)
def test_hostile_session_ids(at: Run, store: MessageStore, session: str) -> None:
    store.append(session, user("hello"))
    assert [row["session_id"] for row in rows(at("sessions", "--json"))] == [session]
    listed = at("sessions").stdout
    assert len(listed.splitlines()) == 2
    assert visible(session) in listed
    assert "\x1b" not in listed
    shown = at("show", "--json", session=session)
    assert rows(shown)[0]["message"]["content"] == "hello"
    at("delete", "--yes", session=session)
    assert store.sessions() == []


def test_show_by_role(at: Run, store: MessageStore) -> None:
    store.extend("s", PLAIN)
    text = at("show", "s", env={"TZ": "UTC"}).stdout
    assert re.search(r"^user  alice  20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  #2$", text, re.MULTILINE)
    assert "  [image: image/png, " in text
    assert "  [image: https://" in text
    assert '-> search({"query":"cat","limit":2})  call_1' in text
    assert re.search(r"^tool  call_1  .*  #4\n  Maine Coon$", text, re.MULTILINE)


def test_show_what_the_frameworks_wrote(at: Run, connection: ValkeyConnection, prefix: str) -> None:
    from langchain_valkey_glide import ValkeyChatMessageHistory
    from llama_index_valkey_glide import ValkeyChatStore

    ValkeyChatMessageHistory("lc", connection=connection, key_prefix=prefix).add_messages(LANGCHAIN)
    ValkeyChatStore(connection=connection, key_prefix=prefix).set_messages("li", LLAMA)
    for session in ("lc", "li"):
        text = at("show", session).stdout
        for part in ("Which cat is this?", "[image: image/png, ", "-> search(", "Maine Coon"):
            assert part in text, (session, part)
        assert "[tool_use]" not in text
        assert ("[thinking]" in text) == (session == "lc")  # LlamaIndex's stands beside the content


def test_show_the_last(at: Run, store: MessageStore) -> None:
    store.extend("s", [user(str(number)) for number in range(10)])
    shown = rows(at("show", "s", "--last", "2", "--json"))
    assert [(row["position"], row["message"]["content"]) for row in shown] == [(8, "8"), (9, "9")]


def test_show_archived(at: Run, store: MessageStore) -> None:
    store.extend("s", [user("a"), user("b")])
    store.archive_oldest("s", 1)
    shown = rows(at("show", "s", "--archived", "--json"))
    assert [(row["archived"], row["message"]["content"]) for row in shown] == [
        (True, "a"),
        (False, "b"),
    ]
    assert "1 message archived" in at("show", "s", "--archived").stdout


def test_raw_is_what_is_stored(at: Run, connection: ValkeyConnection, prefix: str) -> None:
    elements = ['{"role": "user",  "content": "spaces"}', '{"role":"user","content":"\x9b2J"}']
    send(connection, "RPUSH", f"{prefix}s", *elements)
    lines = at("show", "s", "--raw").stdout.splitlines()
    assert lines[0] == elements[0]
    assert "\x9b" not in lines[1]
    assert json.loads(lines[1]) == json.loads(elements[1])


@pytest.mark.parametrize(
    "raw", [b"no json", b"[1]", b'{"content":"x"}', b"\xff\xfe", b"\x1b[31mred", b"null"]
)
def test_what_is_no_message_is_shown_as_such(
    at: Run, connection: ValkeyConnection, prefix: str, raw: bytes
) -> None:
    send(connection, "RPUSH", f"{prefix}s", raw, '{"role":"user","content":"fine"}')
    bad, good = rows(at("show", "s", "--json"))
    assert bad["message"] is None
    assert bad["error"]
    assert good["message"]["content"] == "fine"
    text = at("show", "s").stdout
    assert "unreadable" in text
    assert "fine" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "text",
    [
        "[bold]x[/bold] [/] [link=http://x]y[/link] :smile:",
        "\x1b[2J\x1b]0;title\x07",
        "\x9b31m",
        "a\rb",
        "\u202egnp.exe",
    ],
)
def test_text_is_shown_literally(at: Run, store: MessageStore, text: str) -> None:
    store.append("s", {"role": "user", "content": text, "name": text})
    store.append("s", {"role": text, "content": [{"type": "text", "text": text}, {"type": text}]})
    for arguments in (("show", "s"), ("show", "s", "--raw"), ("show", "s", "--json")):
        shown = at(*arguments).stdout
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)
        if "--json" in arguments:
            assert rows(at(*arguments))[0]["message"]["content"] == text
        elif "--raw" not in arguments:
            assert visible_lines(text) in shown


def test_colours_on_a_terminal_come_from_the_role_alone(
    at: Run, store: MessageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.out, "_force_terminal", True)
    monkeypatch.setattr(output.out, "_color_system", 1)
    store.append("s", {"role": "user", "content": "\x1b[31mred [red]x[/]"})
    shown = at("show", "s", color=True).stdout
    assert "\x1b[1;36muser\x1b[0m" in shown
    assert "\\u001b[31mred [red]x[/]" in shown


def test_an_unknown_conversation(at: Run) -> None:
    result = at("show", "nobody", status=1)
    assert result.stdout == ""
    assert "there is no conversation 'nobody'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_key_of_another_type(at: Run, connection: ValkeyConnection, prefix: str) -> None:
    send(connection, "SET", f"{prefix}s", "x")
    assert "a value of another type" in at("show", "s", status=1).stderr


def test_delete_asks(at: Run, store: MessageStore) -> None:
    store.extend("s", [user("a"), user("b")])
    store.archive_oldest("s", 1)
    refused = at("delete", "s", input="n\n", status=1)
    assert refused.stdout == ""
    assert "Delete 's' with 1 message and 1 archived" in refused.stderr
    at("delete", "s", status=1)  # nobody answers
    assert store.count_all("s") == (1, 1)
    at("delete", "s", input="y\n")
    assert store.count_all("s") == (0, 0)
    at("delete", "s", "--yes", status=1)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "never"), (0.2, "< 1s"), (59, "59s"), (60, "1m"), (3599, "59m 59s"), (3600, "1h"),
        (90_000, "1d 1h"), (86_400 * 30, "30d"), (3601, "1h"),
    ],
)  # fmt: skip
def test_durations(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown
