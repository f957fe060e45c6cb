"""ValkeyChatStore: every method in both forms and on both topologies, against the real server."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import json
import pickle
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.schema import BaseComponent
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.base import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore
from llama_index.core.storage.chat_store.loading import load_chat_store
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import (
    ConfigurationError,
    ConnectionFailedError,
    CorruptMessageError,
    EmbeddedValkey,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageEncodeError,
    MessageStore,
    ValkeyConnection,
)
from valkey_memory._server.clients import load

from ..servers import admin, command_counts, send
from .behind import elements
from .messages import calling, said, texts_of

SECRET = "s3cr3t"
SECRET_URL = f"valkey://user:{SECRET}@localhost:7777/2"
STORES = [ValkeyChatStore, ValkeyDBChatStore]
both_stores = pytest.mark.parametrize("cls", STORES, ids=["ChatStore", "DBChatStore"])

# The async twin of each sync method, where it is not "a" and the name.
ASYNC_NAMES = {"add_message": "async_add_message"}
METHODS = [
    "set_messages",
    "get_messages",
    "add_message",
    "delete_messages",
    "delete_message",
    "delete_last_message",
    "get_keys",
]


def async_name(name: str) -> str:
    return ASYNC_NAMES.get(name, f"a{name}")


class Face:
    """Calls a store's method in its sync form, or in its async form in a loop of its own."""

    def __init__(self, store: ValkeyChatStore, *, is_async: bool) -> None:
        self.store = store
        self.is_async = is_async

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if not self.is_async:
            return getattr(self.store, name)  # type: ignore[no-any-return]
        method = getattr(self.store, async_name(name))
        return lambda *args, **kwargs: asyncio.run(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def make_chat_store(
    request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str
) -> Callable[..., Any]:
    """Makes a ValkeyChatStore, seen through its sync and its async face, on each topology."""

    def make(**options: Any) -> Face:
        options = {"key_prefix": prefix, "connection": connection} | options
        return Face(ValkeyChatStore(**options), is_async=request.param == "async")

    return make


@pytest.fixture
def store(make_chat_store: Callable[..., Any]) -> Any:
    return make_chat_store()


# Writing and reading


def test_messages_come_back_equal_and_in_order(store: Any) -> None:
    conversation = [
        *said("What is 2 + 3?"),
        calling("add", "c1", a=2, b=3),
        ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage(role="assistant", content="Five."),
    ]
    store.set_messages("s", conversation)
    assert store.get_messages("s") == conversation


def test_an_unknown_conversation_is_empty(store: Any) -> None:
    assert store.get_messages("s") == []
    assert store.delete_messages("s") is None
    assert store.delete_message("s", 0) is None
    assert store.delete_last_message("s") is None
    assert store.get_keys() == []


def test_set_messages_replaces_all(store: Any) -> None:
    store.set_messages("s", said("a", "b", "c"))
    store.set_messages("s", said("d"))
    assert store.get_messages("s") == said("d")
    store.set_messages("s", [])
    assert store.get_messages("s") == []
    assert store.get_keys() == []


def test_conversations_are_apart(store: Any) -> None:
    store.set_messages("s1", said("a"))
    store.set_messages("s2", said("b"))
    store.delete_messages("s1")
    assert store.get_messages("s1") == []
    assert store.get_messages("s2") == said("b")


def test_add_message_adds_at_the_end(store: Any) -> None:
    for message in said("a", "b", "c"):
        store.add_message("s", message)
    assert store.get_messages("s") == said("a", "b", "c")


@pytest.mark.parametrize("idx", [-99, -4, -3, -2, -1, 0, 1, 2, 3, 4, 99])
def test_add_message_at_an_index_is_list_insert(store: Any, idx: int) -> None:
    expected = said("a", "b", "c")
    expected.insert(idx, *said("new"))
    store.set_messages("s", said("a", "b", "c"))
    store.add_message("s", said("new")[0], idx=idx)
    assert store.get_messages("s") == expected


@pytest.mark.parametrize("idx", [-1, 0, 5])
def test_add_message_at_an_index_of_nothing(store: Any, idx: int) -> None:
    store.add_message("s", said("new")[0], idx)
    assert store.get_messages("s") == said("new")


def test_the_window_keeps_the_newest(make_chat_store: Callable[..., Any]) -> None:
    store = make_chat_store(max_messages=2)
    store.set_messages("s", said("a", "b", "c"))
    assert store.get_messages("s") == said("b", "c")
    store.add_message("s", said("d")[0])
    assert store.get_messages("s") == said("c", "d")


def test_each_read_gives_fresh_messages(store: Any) -> None:
    original = ChatMessage(role="user", content="a", additional_kwargs={"k": [1]})
    store.add_message("s", original)
    original.content = "changed by the writer"
    first = store.get_messages("s")
    first[0].content = "changed by the reader"
    first[0].additional_kwargs["k"].append(2)
    first.append(said("b")[0])
    second = store.get_messages("s")
    assert second == [ChatMessage(role="user", content="a", additional_kwargs={"k": [1]})]
    assert second is not first


def test_keys_are_those_under_the_prefix(make_chat_store: Callable[..., Any], prefix: str) -> None:
    mine, other = make_chat_store(), make_chat_store(key_prefix=f"other-{prefix}")
    for key in ("b", "a", "with {braces} and\nnewline", "*"):
        mine.add_message(key, said("x")[0])
    other.add_message("c", said("x")[0])
    assert mine.get_keys() == sorted(["b", "a", "with {braces} and\nnewline", "*"])
    assert other.get_keys() == ["c"]


# Deleting


@pytest.mark.parametrize("idx", [-3, -2, -1, 0, 1, 2])
def test_delete_message_is_list_pop(store: Any, idx: int) -> None:
    expected = said("a", "b", "c")
    deleted = expected.pop(idx)
    store.set_messages("s", said("a", "b", "c"))
    assert store.delete_message("s", idx) == deleted
    assert store.get_messages("s") == expected


@pytest.mark.parametrize("idx", [-4, 3, 99])
def test_delete_message_out_of_range_deletes_nothing(store: Any, idx: int) -> None:
    store.set_messages("s", said("a", "b", "c"))
    assert store.delete_message("s", idx) is None
    assert store.get_messages("s") == said("a", "b", "c")


def test_delete_message_tells_equal_messages_apart_by_index(store: Any) -> None:
    store.set_messages("s", said("same", "a", "same", "b", "same"))
    store.delete_message("s", 2)
    assert texts_of(store.get_messages("s")) == ["same", "a", "b", "same"]


def test_delete_last_message(store: Any) -> None:
    store.set_messages("s", said("a", "b", "c"))
    assert store.delete_last_message("s") == said("c")[0]
    assert store.get_messages("s") == said("a", "b")


@pytest.mark.parametrize(
    "delete",
    [
        lambda store: store.delete_message("s", 0),
        lambda store: store.delete_message("s", -1),
        lambda store: store.delete_last_message("s"),
        lambda store: store.delete_messages("s")[0],
    ],
    ids=["first", "minus-one", "last", "all"],
)
def test_deleting_the_only_message(
    store: Any, connection: ValkeyConnection, prefix: str, delete: Callable[[Any], Any]
) -> None:
    only = ChatMessage(role="assistant", content="only", additional_kwargs={"name": "bot"})
    store.add_message("s", only)
    assert delete(store) == only
    assert store.get_messages("s") == []
    assert send(connection, "EXISTS", f"{prefix}s") == 0


def test_delete_messages_returns_what_it_deleted(store: Any) -> None:
    store.set_messages("s", said("a", "b"))
    assert store.delete_messages("s") == said("a", "b")
    assert store.delete_messages("s") is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add_message"), st.none()),
            st.tuples(st.just("add_message"), st.integers(-6, 6)),
            st.tuples(st.just("delete_message"), st.integers(0, 4)),
            st.tuples(st.just("delete_last_message"), st.none()),
            st.tuples(st.just("set_messages"), st.integers(1, 3)),
            st.tuples(st.just("delete_messages"), st.none()),
        ),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=50)
def test_any_sequence_of_calls_has_simple_chat_stores_outcome(
    standalone_connection: ValkeyConnection, calls: list[tuple[str, int | None]]
) -> None:
    ours = ValkeyChatStore(connection=standalone_connection, key_prefix=f"{uuid.uuid4()}:")
    theirs = SimpleChatStore()
    # Theirs raises where it has seen no message yet.
    for store in (ours, theirs):
        store.set_messages("s", said("first"))
    for position, (name, number) in enumerate(calls):
        message = said(f"message {position}")[0]
        arguments: tuple[Any, ...] = () if number is None else (number,)
        if name == "add_message":
            arguments = (message, *arguments)
        elif name == "set_messages":
            arguments = ([message] * int(number or 1),)
        if not theirs.get_messages("s") and name in ("delete_message", "delete_last_message"):
            continue
        results = [getattr(store, name)("s", *arguments) for store in (ours, theirs)]
        assert (results[0] or None) == (results[1] or None)
        assert ours.get_messages("s") == theirs.get_messages("s")


# Expiry

CHANGES: dict[str, Callable[[Any], Any]] = {
    "add": lambda store: store.add_message("s", said("x")[0]),
    "insert": lambda store: store.add_message("s", said("x")[0], idx=1),
    "delete": lambda store: store.delete_message("s", 1),
    "delete-last": lambda store: store.delete_last_message("s"),
    "set": lambda store: store.set_messages("s", said("x", "y")),
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def pttl(connection: ValkeyConnection, prefix: str) -> int:
    milliseconds: int = send(connection, "PTTL", f"{prefix}s")
    return milliseconds


@changes
def test_a_change_keeps_a_ttl_that_is_there(
    store: Any, connection: ValkeyConnection, prefix: str, change: Callable[[Any], Any]
) -> None:
    store.set_messages("s", said("a", "b", "c"))
    send(connection, "PEXPIRE", f"{prefix}s", "900000")
    change(store)
    assert 800_000 < pttl(connection, prefix) <= 900_000


@changes
def test_a_change_restarts_the_stores_ttl(
    make_chat_store: Callable[..., Any],
    connection: ValkeyConnection,
    prefix: str,
    change: Callable[[Any], Any],
) -> None:
    store = make_chat_store(ttl=1000)
    store.set_messages("s", said("a", "b", "c"))
    assert 900_000 < pttl(connection, prefix) <= 1_000_000
    send(connection, "PEXPIRE", f"{prefix}s", "50000")
    change(store)
    assert 900_000 < pttl(connection, prefix) <= 1_000_000


@pytest.mark.parametrize("refresh", [False, True])
def test_reading_restarts_the_ttl_only_when_asked(
    make_chat_store: Callable[..., Any],
    connection: ValkeyConnection,
    prefix: str,
    refresh: bool,
) -> None:
    store = make_chat_store(ttl=timedelta(seconds=1000), refresh_ttl_on_read=refresh)
    store.set_messages("s", said("a"))
    send(connection, "PEXPIRE", f"{prefix}s", "50000")
    store.get_messages("s")
    assert (pttl(connection, prefix) > 50_000) is refresh


def test_without_a_ttl_nothing_expires(
    store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store.set_messages("s", said("a"))
    assert pttl(connection, prefix) == -1


@both_stores
@pytest.mark.parametrize("ttl", [0, 0.0, -1, timedelta(0), True, "60", float("nan")])
def test_an_impossible_ttl_is_an_error(cls: Any, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl"):
        cls(ttl=ttl)


# Other readers and writers of the same list


def test_plain_messages_of_other_code_are_read(
    store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    send(
        connection,
        "RPUSH",
        f"{prefix}s",
        '{"role": "user", "content": "What is Valkey?"}',
        '{"role": "assistant", "content": "A key-value store."}',
    )
    assert store.get_messages("s") == [
        ChatMessage(role="user", content="What is Valkey?"),
        ChatMessage(role="assistant", content="A key-value store."),
    ]


def test_other_code_reads_plain_messages(
    store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store.set_messages("s", [*said("2 + 3?"), calling("add", "c1", a=2)])
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}
    assert MessageStore(connection=connection, key_prefix=prefix).messages("s") == [
        {"role": "user", "content": "2 + 3?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]


@pytest.mark.parametrize(
    "raw",
    [
        "not json",
        "[]",
        '{"content": "no role"}',
        '{"role": "user", "content": "", "li": {"blocks": [{"block_type": "os.system"}]}}',
        '{"role": "user", "content": "", "li": {"kwargs": {"x": {"~": "object", "v": 1}}}}',
        '{"role": "user", "content": 7}',
    ],
)
def test_an_unreadable_element_is_named_and_kept(
    make_chat_store: Callable[..., Any], connection: ValkeyConnection, prefix: str, raw: str
) -> None:
    store = make_chat_store()
    store.add_message("s", said("a")[0])
    send(connection, "RPUSH", f"{prefix}s", raw)
    store.add_message("s", said("b")[0])
    with pytest.raises(CorruptMessageError) as caught:
        store.get_messages("s")
    assert (caught.value.key, caught.value.position) == (f"{prefix}s", 1)
    assert make_chat_store(on_corrupt="skip").get_messages("s") == said("a", "b")
    assert send(connection, "LINDEX", f"{prefix}s", "1") == raw.encode()


@pytest.mark.parametrize("name", ["set_messages", "get_messages", "add_message", "delete_messages"])
def test_a_key_of_another_type_is_left_alone(
    store: Any, connection: ValkeyConnection, prefix: str, name: str
) -> None:
    send(connection, "SET", f"{prefix}s", "somebody else's")
    arguments: dict[str, Any] = {"set_messages": [said("x")], "add_message": said("x")}
    with pytest.raises(KeyTypeError):
        getattr(store, name)("s", *arguments.get(name, []))
    assert send(connection, "GET", f"{prefix}s") == b"somebody else's"


# Wrong arguments


@pytest.mark.parametrize("message", ["Hello", {"role": "user", "content": "Hello"}, None])
def test_what_is_no_message_is_refused_and_nothing_is_stored(store: Any, message: Any) -> None:
    store.set_messages("s", said("a"))
    with pytest.raises(MessageEncodeError):
        store.add_message("s", message)
    with pytest.raises(MessageEncodeError):
        store.set_messages("s", [*said("b"), message])
    assert store.get_messages("s") == said("a")


@pytest.mark.parametrize("idx", [1.0, "0", True])
def test_an_index_is_an_integer(store: Any, idx: Any) -> None:
    store.set_messages("s", said("a"))
    with pytest.raises(InvalidArgumentError, match="index"):
        store.delete_message("s", idx)
    with pytest.raises(InvalidArgumentError, match="index"):
        store.add_message("s", said("b")[0], idx)
    assert store.get_messages("s") == said("a")


@pytest.mark.parametrize("key", ["", None, 7])
def test_impossible_keys_are_errors(store: Any, key: Any) -> None:
    with pytest.raises(InvalidSessionIdError):
        store.add_message(key, said("a")[0])


@both_stores
@pytest.mark.parametrize("name", ["redis_url", "tll", "class_name", "session_id", "_store"])
def test_an_unknown_argument_is_an_error(cls: Any, name: str) -> None:
    with pytest.raises(TypeError, match=name):
        cls(**{name: "x"})


@both_stores
def test_arguments_are_by_name(cls: Any) -> None:
    with pytest.raises(TypeError):
        cls("valkey://localhost")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_making_a_store_connects_to_nothing_and_using_it_says_what_failed(is_async: bool) -> None:
    store = Face(ValkeyChatStore(url="valkey://127.0.0.1:1"), is_async=is_async)
    with pytest.raises(ConnectionFailedError, match=r"127\.0\.0\.1:1"):
        store.get_messages("s")


# What is sent


def test_a_thousand_messages_are_set_with_one_push(
    server: EmbeddedValkey, url: str, prefix: str
) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix, ttl=60)
    store.get_messages("s")  # opens the connection
    admin(server.port, "CONFIG", "RESETSTAT")
    store.set_messages("s", said(*map(str, range(1000))))
    counts = command_counts(server.port)
    assert counts["rpush"] == 2  # the messages, and the write's token
    assert sum(counts.values()) < 25
    assert len(store.get_messages("s")) == 1000


def test_listing_never_uses_keys(server: EmbeddedValkey, url: str, prefix: str) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix)
    store.add_message("s", said("a")[0])
    admin(server.port, "CONFIG", "RESETSTAT")
    assert store.get_keys() == ["s"]
    assert "keys" not in command_counts(server.port)


def test_a_stored_message_holds_nothing_twice(
    store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store.add_message("s", said("Hello")[0])
    (element,) = elements(connection, f"{prefix}s")
    assert element.pop("ts") > 1_700_000_000_000
    assert element == {"role": "user", "content": "Hello"}


# Written down and rebuilt

OPTIONS = {
    "ttl": 60.0,
    "max_messages": 7,
    "key_prefix": "mine:",
    "refresh_ttl_on_read": True,
    "on_corrupt": "skip",
    "whole_turns": True,
}


def fields_of(store: Any) -> dict[str, Any]:
    return {name: getattr(store, name) for name in ("url", *OPTIONS)}


REBUILT: dict[str, Callable[[Any], Any]] = {
    "dict": lambda store: type(store).from_dict(store.to_dict()),
    "dict through JSON": lambda store: type(store).from_dict(
        json.loads(json.dumps(store.to_dict()))
    ),
    "pickle": lambda store: pickle.loads(pickle.dumps(store)),  # noqa: S301
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda store: store.model_copy(),
    "model_validate": lambda store: type(store).model_validate(fields_of(store)),
    "model_dump": lambda store: type(store).model_validate(store.model_dump()),
    "model_dump as JSON": lambda store: type(store).model_validate(store.model_dump(mode="json")),
    "model_dump_json": lambda store: type(store).model_validate_json(store.model_dump_json()),
}
rebuilds = pytest.mark.parametrize("rebuild", REBUILT.values(), ids=REBUILT)


@both_stores
@rebuilds
def test_a_rebuilt_store_has_the_same_fields(cls: Any, rebuild: Callable[[Any], Any]) -> None:
    store = cls(url=SECRET_URL, **OPTIONS)
    again = rebuild(store)
    assert type(again) is cls
    assert fields_of(again) == fields_of(store) == {"url": SECRET_URL, **OPTIONS}


@both_stores
@rebuilds
def test_a_rebuilt_store_is_equal(cls: Any, rebuild: Callable[[Any], Any]) -> None:
    store = cls(url=SECRET_URL, **OPTIONS)
    assert rebuild(store) == store


@both_stores
@rebuilds
def test_a_timedelta_comes_back_as_the_same_time(cls: Any, rebuild: Callable[[Any], Any]) -> None:
    store = cls(url=SECRET_URL, ttl=timedelta(minutes=1, milliseconds=500))
    assert store.ttl == 60.5
    again = rebuild(store)
    assert again.ttl == 60.5
    again.ttl = timedelta(hours=1)  # pydantic does not check what is assigned
    assert rebuild(again).ttl in (3600.0, timedelta(hours=1))


@both_stores
def test_a_timedelta_is_taken_by_validation_and_in_other_values(cls: Any) -> None:
    minute = timedelta(minutes=1)
    assert cls.model_validate({"url": SECRET_URL, "ttl": minute}).ttl == 60
    assert cls.from_dict({"url": SECRET_URL}, ttl=minute).ttl == 60
    written = cls(url=SECRET_URL, ttl=1).model_copy(update={"ttl": minute}).model_dump()
    assert written["ttl"] == 60
    assert cls.model_validate(written).ttl == 60


@both_stores
def test_a_field_holds_a_store_and_is_validated_from_a_dump(cls: Any) -> None:
    """As LlamaIndex's own objects hold one."""

    class Holder(BaseModel):
        store: cls

    holder = Holder(store=cls(url=SECRET_URL, ttl=60))
    assert Holder.model_validate(holder.model_dump()) == holder
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


@pytest.mark.parametrize("data", [{"urll": "x"}, {"class_name": "Other"}, {"ttl": 0}, 5, "{}"])
@both_stores
def test_what_no_store_is_made_of_is_refused(cls: Any, data: Any) -> None:
    with pytest.raises((ValidationError, InvalidArgumentError, TypeError)):
        cls.model_validate(data)


@both_stores
def test_stores_with_different_fields_are_not_equal(cls: Any) -> None:
    assert cls(url=SECRET_URL, ttl=1) != cls(url=SECRET_URL, ttl=2)


@rebuilds
def test_a_rebuilt_store_reads_and_writes_the_same_conversations(
    url: str, prefix: str, rebuild: Callable[[Any], Any]
) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix, max_messages=2)
    store.set_messages("s", said("a", "b"))
    again = rebuild(store)
    assert again.get_messages("s") == said("a", "b")
    asyncio.run(again.async_add_message("s", said("c")[0]))
    assert store.get_messages("s") == said("b", "c")


def test_json_rebuilds_the_chat_store(url: str, prefix: str) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix, ttl=timedelta(minutes=1))
    store.add_message("s", said("a")[0])
    again = ValkeyChatStore.from_json(store.to_json())
    assert again.get_messages("s") == said("a")
    assert again.ttl == 60
    assert json.loads(store.json()) == store.to_dict()


@both_stores
def test_from_dict_takes_other_values_of_single_fields(cls: Any) -> None:
    store = cls.from_dict(cls(url=SECRET_URL, ttl=60).to_dict(), ttl=None, key_prefix="x:")
    assert (store.url, store.ttl, store.key_prefix) == (SECRET_URL, None, "x:")


@both_stores
def test_the_class_name_is_written_down(cls: Any) -> None:
    assert cls.class_name() == cls.__name__ == cls(url=SECRET_URL).to_dict()["class_name"]


def test_llama_index_finds_the_store_by_its_class_name(url: str) -> None:
    assert type(load_chat_store(ValkeyChatStore(url=url).to_dict())) is ValkeyChatStore


@pytest.mark.parametrize("way", ["string", "dict"])
def test_a_memory_buffer_is_written_down_and_goes_on(url: str, prefix: str, way: str) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix, ttl=60)
    memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="s", token_limit=99)
    memory.put(said("a")[0])
    if way == "string":
        again = ChatMemoryBuffer.from_string(memory.to_string())
    else:
        again = ChatMemoryBuffer.from_dict(memory.to_dict())
    assert type(again.chat_store) is ValkeyChatStore
    assert again.token_limit == 99
    again.put(said("b")[0])
    assert memory.get() == again.get() == said("a", "b")


def test_without_a_url_none_is_written_down(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("VALKEY_URL", url)
    written = ValkeyChatStore().to_dict()
    assert written["url"] is None
    assert ValkeyChatStore.from_dict(written).get_messages(f"no such {uuid.uuid4()}") == []


def assigned(store: ValkeyChatStore) -> ValkeyChatStore:
    with contextlib.suppress(ValidationError):
        store.key_prefix = "other:"
    return store


@pytest.mark.parametrize(
    "change",
    [assigned, lambda store: store.model_copy(update={"key_prefix": "other:"})],
    ids=["assignment", "model_copy"],
)
def test_a_store_does_what_its_fields_say(
    url: str, prefix: str, change: Callable[[ValkeyChatStore], ValkeyChatStore]
) -> None:
    store = ValkeyChatStore(url=url, key_prefix=prefix)
    store.add_message("s", said("a")[0])
    changed = change(store)
    expected = said("a") if changed.key_prefix == prefix else []
    assert changed.get_messages("s") == expected


def test_a_url_put_over_a_connection_takes_effect_or_is_refused(url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        store = ValkeyChatStore(connection=connection, key_prefix=prefix)
        with contextlib.suppress(ValidationError):
            store.url = "valkey://127.0.0.1:1"
        refused = contextlib.nullcontext()
        with refused if store.url == url else pytest.raises(ConnectionFailedError):
            store.add_message("s", said("a")[0])


# A store over ready clients


@pytest.fixture
def ready(server: EmbeddedValkey) -> Iterator[ValkeyConnection]:
    glide = load("glide_sync")
    address = glide.NodeAddress("127.0.0.1", server.port)
    client = glide.GlideClient.create(glide.GlideClientConfiguration([address]))
    yield ValkeyConnection.from_clients(client)
    client.close()


def test_a_store_over_ready_clients_works(ready: ValkeyConnection, prefix: str) -> None:
    store = ValkeyChatStore(connection=ready, key_prefix=prefix)
    store.add_message("s", said("a")[0])
    assert copy.copy(store).get_messages("s") == said("a")


def in_a_buffer(store: Any) -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(chat_store=store)


WRITTEN: dict[str, Callable[[Any], Any]] = {
    "to_dict": lambda store: store.to_dict(),
    "to_json": lambda store: store.to_json(),
    "json": lambda store: store.json(),
    "pickle": pickle.dumps,
    "buffer to_string": lambda store: in_a_buffer(store).to_string(),
    "buffer to_dict": lambda store: in_a_buffer(store).to_dict(),
}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_a_store_over_ready_clients_cannot_be_written_down(
    ready: ValkeyConnection, write: Callable[[Any], Any]
) -> None:
    """It would be rebuilt with another server, the one at VALKEY_URL or localhost."""
    # Pydantic puts errors from inside a memory in one of its own.
    with pytest.raises((ConfigurationError, PydanticSerializationError), match="make it with url="):
        write(ValkeyChatStore(connection=ready))


@pytest.mark.parametrize("write", [lambda s: s.to_dict(), pickle.dumps], ids=["to_dict", "pickle"])
def test_a_db_store_over_ready_clients_cannot_be_written_down(
    ready: ValkeyConnection, write: Callable[[Any], Any]
) -> None:
    with pytest.raises(ConfigurationError, match="make it with url="):
        write(ValkeyDBChatStore(connection=ready))


# Passwords

SHOWN: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda store: f"{store}",
    "devtools": lambda store: repr(list(store.__pretty__(repr))),
    "rich": lambda store: repr(list(store.__rich_repr__())),
}


@both_stores
@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_the_password_is_never_shown(cls: Any, show: Callable[[Any], str]) -> None:
    for options in (
        {"url": SECRET_URL},
        {"connection": ValkeyConnection.from_url(SECRET_URL)},
    ):
        shown = show(cls(**options))
        assert SECRET not in shown
        if show is repr:
            assert "localhost:7777" in shown


def test_memories_do_not_show_the_password() -> None:
    buffer = ChatMemoryBuffer.from_defaults(chat_store=ValkeyChatStore(url=SECRET_URL))
    memory = Memory.from_defaults(chat_store=ValkeyDBChatStore(url=SECRET_URL))
    assert "ValkeyChatStore" in repr(buffer)
    assert "ValkeyDBChatStore" in repr(memory)
    assert SECRET not in repr(buffer) + str(buffer) + repr(memory) + str(memory)


@both_stores
@pytest.mark.parametrize("options", [{"on_corrupt": "ignore"}, {"key_prefix": 7}, {"ttl": "x"}])
def test_errors_about_other_arguments_do_not_show_the_password(
    cls: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any of them must be silent
        cls(url=SECRET_URL, **options)
    assert SECRET not in str(caught.value)


# The framework's interface


def coroutine_functions(base: type) -> list[str]:
    return [
        name
        for name, function in inspect.getmembers(base, inspect.iscoroutinefunction)
        if not name.startswith("_")
    ]


@pytest.mark.parametrize("name", coroutine_functions(BaseChatStore))
def test_every_async_method_of_the_base_is_native(name: str) -> None:
    assert getattr(ValkeyChatStore, name) is not getattr(BaseChatStore, name)
    assert inspect.iscoroutinefunction(getattr(ValkeyChatStore, name))


@pytest.mark.parametrize("name", coroutine_functions(AsyncDBChatStore))
def test_every_method_of_the_async_db_base_is_implemented(name: str) -> None:
    assert getattr(ValkeyDBChatStore, name) is not getattr(AsyncDBChatStore, name)
    assert inspect.iscoroutinefunction(getattr(ValkeyDBChatStore, name))


def test_the_bases_have_the_methods_that_are_tested() -> None:
    assert set(coroutine_functions(BaseChatStore)) == {async_name(name) for name in METHODS}
    abstract = BaseChatStore.__abstractmethods__ | AsyncDBChatStore.__abstractmethods__
    assert set(METHODS) <= abstract
    assert len(coroutine_functions(AsyncDBChatStore)) == 10


@both_stores
def test_a_store_is_a_complete_class_of_the_frameworks(cls: Any) -> None:
    base = BaseChatStore if cls is ValkeyChatStore else AsyncDBChatStore
    assert issubclass(cls, base)
    assert not cls.__abstractmethods__
    assert issubclass(ValkeyChatStore, BaseComponent)


@pytest.mark.parametrize("name", METHODS)
def test_sync_and_async_signatures_agree(name: str) -> None:
    sync = inspect.signature(getattr(ValkeyChatStore, name))
    asynchronous = inspect.signature(getattr(ValkeyChatStore, async_name(name)))
    assert sync == asynchronous


@pytest.mark.parametrize(
    ("cls", "base", "name"),
    [
        *(
            (ValkeyChatStore, BaseChatStore, name)
            for method in METHODS
            for name in (method, async_name(method))
        ),
        *(
            (ValkeyDBChatStore, AsyncDBChatStore, name)
            for name in coroutine_functions(AsyncDBChatStore)
        ),
    ],
)
def test_whatever_the_base_takes_is_taken(cls: type, base: type, name: str) -> None:
    ours = list(inspect.signature(getattr(cls, name)).parameters.values())
    theirs = list(inspect.signature(getattr(base, name)).parameters.values())
    for mine, expected in zip(ours, theirs, strict=False):
        assert (mine.name, mine.default, mine.kind) == (
            expected.name,
            expected.default,
            expected.kind,
        )
    assert len(ours) >= len(theirs)
    assert all(extra.default is not inspect.Parameter.empty for extra in ours[len(theirs) :])
