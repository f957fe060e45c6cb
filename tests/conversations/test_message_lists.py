"""The contract of MessageStore: sync and async, standalone and cluster (see ``make_store``)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, InvalidArgumentError, MessageStore, ValkeyConnection
from valkey_memory._keys import sidecar
from valkey_memory._plans import Change, atomic, change_plan

from ..servers import command_counts


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


def texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return [message["content"] for message in messages]


def test_append_keeps_order(make_store: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0])
    store.extend("s", said("b", "c"))
    assert store.messages("s") == said("a", "b", "c")


def test_an_unknown_conversation_is_empty(make_store: Any) -> None:
    store = make_store()
    assert store.messages("s") == []
    assert store.count("s") == 0
    assert store.ttl_left("s") == 0.0
    assert store.delete("s") is False
    assert store.delete_last("s") is None
    assert store.delete_at("s", 0) is None
    assert store.delete_oldest("s", 3) == []
    assert store.archive_oldest("s", 3) == []
    assert store.archived("s", and_active=True) == []
    assert store.take("s") == []
    assert store.set_ttl("s", 5) is False


def test_nothing_appended_makes_no_conversation(make_store: Any) -> None:
    store = make_store(ttl=60)
    store.extend("s", [])
    assert store.sessions() == []


@pytest.mark.parametrize("number", [3_999, 4_000, 4_001, 8_000, 8_001])
def test_none_is_lost_where_a_script_pushes_in_portions(make_store: Any, number: int) -> None:
    store = make_store()
    many = said(*map(str, range(number)))
    store.extend("s", many)
    store.extend("s", many, archived=True)
    store.replace("t", many)
    assert store.messages("s") == store.archived("s") == store.messages("t") == many


@pytest.mark.parametrize(("last", "expected"), [(1, "e"), (3, "cde"), (5, "abcde"), (9, "abcde")])
def test_last(make_store: Any, last: int, expected: str) -> None:
    store = make_store()
    store.extend("s", said(*"abcde"))
    assert texts(store.messages("s", last=last)) == list(expected)


@pytest.mark.parametrize(
    ("offset", "limit", "expected"), [(0, 2, "ab"), (3, 5, "de"), (4, 1, "e"), (5, 1, "")]
)
def test_page(make_store: Any, offset: int, limit: int, expected: str) -> None:
    store = make_store()
    store.extend("s", said(*"abcde"))
    assert texts(store.page("s", offset, limit)) == list(expected)


def test_count_tells_active_from_archived(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said(*"abcde"))
    store.archive_oldest("s", 2)
    assert store.count("s") == 3
    assert store.count_all("s") == (3, 2)


def test_window_keeps_the_newest(make_store: Any) -> None:
    store = make_store(max_messages=3)
    store.extend("s", said(*"abcde"))
    assert texts(store.messages("s")) == list("cde")
    store.append("s", said("f")[0])
    assert texts(store.messages("s")) == list("def")
    store.replace("s", said(*"uvwxyz"))
    assert texts(store.messages("s")) == list("xyz")
    store.insert("s", 1, said("!")[0])
    assert texts(store.messages("s")) == ["!", "y", "z"]


def test_replace(make_store: Any) -> None:
    store = make_store()
    store.replace("s", said("a"))
    store.replace("s", said("b", "c"))
    assert texts(store.messages("s")) == ["b", "c"]
    store.replace("s", [])
    assert store.sessions() == []


def test_replacing_the_whole_conversation(make_store: Any) -> None:
    store = make_store(max_messages=3)
    for archived in (False, True):
        store.extend("s", said(*"abc"))
        store.archive_oldest("s", 2)
        store.set_ttl("s", 60)
        store.replace("s", said(*"uvwxyz"), archived=archived, whole=True)
        active, old = texts(store.messages("s")), texts(store.archived("s"))
        assert (active, old) == (([], list("uvwxyz")) if archived else (list("xyz"), []))
        assert 50 < store.ttl_left("s") <= 60
    store.replace("s", [], whole=True)
    assert store.sessions() == []


@pytest.mark.parametrize("index", [-9, -4, -3, -1, 0, 1, 2, 3, 4, 9])
def test_insert_is_that_of_a_python_list(make_store: Any, index: int) -> None:
    store, expected = make_store(), ["a", "a", "b"]
    store.extend("s", said(*expected))
    expected.insert(index, "new")
    store.insert("s", index, said("new")[0])
    assert texts(store.messages("s")) == expected


def test_insert_into_an_empty_conversation(make_store: Any) -> None:
    store = make_store(ttl=60)
    store.insert("s", 4, said("a")[0])
    assert texts(store.messages("s")) == ["a"]
    assert 50 < store.ttl_left("s") <= 60


@pytest.mark.parametrize("index", [-3, -1, 0, 1, 2])
def test_delete_at_is_that_of_a_python_list(make_store: Any, index: int) -> None:
    store, expected = make_store(), ["a", "b", "b"]
    store.extend("s", said(*expected))
    deleted = expected.pop(index)
    assert store.delete_at("s", index) == said(deleted)[0]
    assert texts(store.messages("s")) == expected


@pytest.mark.parametrize("index", [-4, 3, 99])
def test_delete_at_outside_the_list_changes_nothing(make_store: Any, index: int) -> None:
    store = make_store()
    store.extend("s", said("a", "b", "c"))
    assert store.delete_at("s", index) is None
    assert texts(store.messages("s")) == ["a", "b", "c"]


def test_delete_last_down_to_nothing(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said("a", "b"))
    assert [store.delete_last("s") for _ in range(3)] == [*said("b", "a"), None]
    assert store.sessions() == []


def test_delete_oldest(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said(*"abc"))
    assert store.delete_oldest("s", 2) == said("a", "b")
    assert store.delete_oldest("s", 2) == said("c")


def test_delete_takes_the_archived_messages_too(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said(*"abc"))
    store.archive_oldest("s", 1)
    assert store.delete("s") is True
    assert store.archived("s", and_active=True) == []


def test_take_returns_what_it_deletes(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said(*"abc"))
    store.archive_oldest("s", 1)
    assert store.take("s", keep_archived=True) == said("b", "c")
    assert store.archived("s", and_active=True) == said("a")
    store.extend("s", said("d"))
    assert store.take("s") == said("d")
    assert store.archived("s", and_active=True) == []


def test_archive_moves_in_order(make_store: Any) -> None:
    store = make_store()
    store.extend("s", said(*"abcde"))
    assert store.archive_oldest("s", 2) == said("a", "b")
    assert store.archive_oldest("s", 1) == said("c")
    assert store.archived("s") == said(*"abc")
    assert store.messages("s") == said("d", "e")
    assert store.archived("s", and_active=True) == said(*"abcde")
    assert store.archive_oldest("s", 99) == said("d", "e")
    assert store.messages("s") == []
    store.extend("s", said("x"), archived=True)
    assert texts(store.archived("s")) == list("abcdex")
    store.replace("s", said("y"), archived=True)
    assert store.archived("s") == said("y")
    assert store.delete_archived("s") is True
    assert store.delete_archived("s") is False


def test_the_window_leaves_archived_messages_alone(make_store: Any) -> None:
    store = make_store(max_messages=2)
    store.extend("s", said("a", "b"))
    store.archive_oldest("s", 2)
    store.extend("s", said("c"), archived=True)
    assert store.archived("s") == said("a", "b", "c")


def test_sessions_of_one_prefix_only(make_store: Any, prefix: str) -> None:
    store, other = make_store(), make_store(key_prefix=f"{prefix}other:")
    names = {f"s{number}" for number in range(30)}
    for name in names:
        store.append(name, said("x")[0])
    other.append("theirs", said("x")[0])
    store.archive_oldest("s0", 1)  # its sidecar must not show
    store.append("s0", said("y")[0])
    assert set(store.sessions()) == names | {"other:theirs"}
    assert other.sessions() == ["theirs"]


def test_sessions_that_are_archived_altogether(make_store: Any, prefix: str) -> None:
    store, other = make_store(ttl=60), make_store(key_prefix=f"other-{prefix}")
    names = sorted(["a{r}aces", "new\nline", "{x}:archived", "50%25", "é", *map(str, range(30))])
    for name in names:
        store.append(name, said("x")[0])
        store.archive_oldest(name, 1)
    other.extend("theirs", said("x"), archived=True)
    assert store.sessions() == names
    assert other.sessions() == ["theirs"]
    store.append("a{r}aces", said("y")[0])
    assert store.sessions() == names  # none of them twice
    assert 50 < store.ttl_left("{x}:archived") <= 60
    assert [store.delete(name) for name in names] == [True] * len(names)
    assert store.sessions() == []


def test_sessions_in_pages() -> None:
    """A page of SCAN looks at 1,000 keys or so. Half of the conversations are archived."""
    message = json.dumps(said("x")[0])
    keys = [f"chat:{i}" if i % 2 else f"{{chat:{i}}}:archived" for i in range(3000)]
    fill = atomic("fill", *(("RPUSH", key, message) for key in keys), ("SET", "chat:no-list", "x"))

    def push() -> Any:
        yield fill

    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        connection.run(push())
        store = MessageStore(connection=connection)
        assert store.sessions() == sorted(map(str, range(3000)))
        assert asyncio.run(store.asessions()) == store.sessions()
        assert command_counts(server.port)["scan"] > 3


def test_a_prefix_is_taken_literally(make_store: Any, prefix: str) -> None:
    store = make_store(key_prefix=f"{prefix}a*[b]?\\^-:")
    store.append("s", said("x")[0])
    store.extend("archived", said("x"), archived=True)
    other = make_store(key_prefix=f"{prefix}axxb:")
    other.append("t", said("x")[0])
    other.extend("u", said("x"), archived=True)
    assert store.sessions() == ["archived", "s"]


def test_no_ttl_by_default(make_store: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0])
    assert store.ttl_left("s") is None


@pytest.mark.parametrize("ttl", [100, 100.0, timedelta(seconds=100)])
def test_each_write_restarts_the_ttl(make_store: Any, ttl: Any) -> None:
    store = make_store(ttl=ttl)
    writes: list[tuple[str, tuple[Any, ...]]] = [
        ("append", (said("b")[0],)),
        ("extend", (said("c", "d"),)),
        ("insert", (0, said("e")[0])),
        ("delete_at", (0,)),
        ("delete_last", ()),
        ("delete_oldest", (1,)),
        ("archive_oldest", (1,)),
        ("replace", (said("f", "g"),)),
        ("refresh_ttl", ()),
    ]
    store.append("s", said("a")[0])
    for name, arguments in writes:
        assert store.set_ttl("s", 10) is True
        getattr(store, name)("s", *arguments)
        assert 90 < store.ttl_left("s") <= 100, name


EDITS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "append": ("append", (said("x")[0],), {}),
    "extend": ("extend", (said("x", "y"),), {}),
    "extend archived": ("extend", (said("x"),), {"archived": True}),
    "insert": ("insert", (0, said("x")[0]), {}),
    "insert at the end": ("insert", (99, said("x")[0]), {}),
    "replace": ("replace", (said("x", "y"),), {}),
    "replace by more": ("replace", (said(*"uvwxyz"),), {}),
    "replace archived": ("replace", (said("x"),), {"archived": True}),
    "replace whole": ("replace", (said("x"),), {"whole": True}),
    "archive the whole": ("replace", (said("x"),), {"archived": True, "whole": True}),
    "delete_at": ("delete_at", (0,), {}),
    "delete_last": ("delete_last", (), {}),
    "delete_oldest": ("delete_oldest", (1,), {}),
    "archive_oldest": ("archive_oldest", (1,), {}),
    "archive all": ("archive_oldest", (99,), {}),
    "take": ("take", (), {"keep_archived": True}),
    "delete_archived": ("delete_archived", (), {}),
}


@pytest.mark.parametrize("max_messages", [None, 4])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("there", ["active", "archived", "both"])
def test_no_edit_by_a_store_without_a_ttl_loses_the_one_that_is_there(
    make_store: Any,
    connection: ValkeyConnection,
    prefix: str,
    there: str,
    edit: str,
    max_messages: int | None,
) -> None:
    owner = make_store(ttl=100)
    owner.extend("s", said(*"abc"), archived=there == "archived")
    if there == "both":
        owner.archive_oldest("s", 1)
    name, arguments, options = EDITS[edit]
    getattr(make_store(max_messages=max_messages), name)("s", *arguments, **options)

    def left(key: str) -> Any:
        return (yield atomic("look", ("PTTL", key)))[0]

    for key in (f"{prefix}s", f"{{{prefix}s}}:archived"):
        found = connection.run(left(key))
        assert found == -2 or 90_000 < found <= 100_000, key


def test_reading_by_a_store_without_a_ttl_keeps_the_one_that_is_there(make_store: Any) -> None:
    make_store(ttl=100).extend("s", said(*"abcdef"))
    store = make_store()
    for read in (store.messages, store.archived, store.count, store.count_all, store.ttl_left):
        read("s")
    store.page("s", 0, 2)
    assert 90 < store.ttl_left("s") <= 100


def test_archived_messages_expire_with_the_conversation(
    make_store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    archived = sidecar(f"{prefix}s", "archived")

    def left() -> int:
        return connection.run(change_plan(Change("look", archived, (("PTTL", archived),))))

    make_store(ttl=100).extend("s", said("a", "b", "c"))
    make_store().archive_oldest("s", 1)
    assert 90_000 < left() <= 100_000
    make_store(ttl=500).append("s", said("d")[0])
    assert 490_000 < left() <= 500_000
    make_store().set_ttl("s", None)
    assert left() == -1


def test_set_ttl_and_persist(make_store: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0])
    assert store.set_ttl("s", timedelta(minutes=1)) is True
    assert 50 < store.ttl_left("s") <= 60
    assert store.set_ttl("s", None) is True
    assert store.ttl_left("s") is None


def test_reading_restarts_the_ttl_only_when_asked(make_store: Any) -> None:
    for refresh, low, high in ((False, 0, 10), (True, 90, 100)):
        store = make_store(ttl=100, refresh_ttl_on_read=refresh)
        store.replace("s", said("a"))
        reads: list[Callable[[Any], Any]]
        reads = [lambda s: s.messages("s", last=2), lambda s: s.page("s", 0, 1)]
        for read in reads:
            store.set_ttl("s", 10)
            assert texts(read(store)) == ["a"]
            assert low < store.ttl_left("s") <= high


def test_refresh_needs_a_ttl(make_store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl="):
        make_store().refresh_ttl("s")
    with pytest.raises(InvalidArgumentError, match="needs a ttl"):
        make_store(refresh_ttl_on_read=True)


def test_an_expired_conversation_is_gone_with_its_sidecars(make_store: Any) -> None:
    store = make_store(ttl=0.02)
    store.extend("s", said("a", "b"))
    store.archive_oldest("s", 1)
    while store.ttl_left("s"):
        pass
    assert store.messages("s") == []
    assert store.archived("s") == []


def test_extra_keys_on_request(make_store: Any) -> None:
    message = {"role": "user", "content": "a", "id": "m1", "mood": "glad"}
    make_store().append("s", message)
    assert make_store().messages("s") == [message]
    (full,) = make_store(extra_keys=True).messages("s")
    assert full.pop("ts") > 1_700_000_000_000
    assert full == message


def test_tool_fields_are_handed_out(make_store: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "c1", "name": "f"},
        {"role": "developer", "content": "be brief"},
    ]
    store = make_store()
    store.extend("s", conversation)
    assert store.messages("s") == conversation
