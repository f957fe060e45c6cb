"""``ValkeyChatMessageHistory`` on real servers: each method, sync and async, on each topology."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)

import langchain_valkey_glide
from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import (
    ConfigurationError,
    CorruptMessageError,
    EmbeddedValkey,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageStore,
    ValkeyConnection,
)

from ..servers import admin, command_counts

CONVERSATION: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("What is the weather in Paris?", id="h1", name="alice"),
    AIMessage(
        "",
        id="a1",
        tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": "call_1"}],
        usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        response_metadata={"model_name": "some-model", "finish_reason": "tool_calls"},
    ),
    ToolMessage("18 C", tool_call_id="call_1", name="weather", artifact={"celsius": 18.0}),
    AIMessage([{"type": "text", "text": "18 degrees."}], id="a2"),
]


def humans(*texts: str) -> list[BaseMessage]:
    return [HumanMessage(text) for text in texts]


def numbered(count: int) -> list[BaseMessage]:
    return humans(*map(str, range(count)))


# Reading and writing


def test_a_conversation_comes_back_equal_and_in_order(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION[:2])
    history.add_messages(CONVERSATION[2:])
    assert history.get_messages() == CONVERSATION


def test_an_unknown_session_is_empty(make_history: Any) -> None:
    history = make_history("nobody")
    assert history.get_messages() == []
    assert history.last_messages(3) == []
    assert history.ttl_left() == 0.0


def test_messages_are_stored_as_one_plain_json_object_each(make_history: Any, raw: Any) -> None:
    history = make_history()
    history.add_messages([HumanMessage("Hi"), AIMessage("Hello", id="a1")])
    assert raw.type(history.key) == b"list"
    elements = [json.loads(element) for element in raw.lrange(history.key, 0, -1)]
    times = [element.pop("ts") for element in elements]
    assert elements == [
        {"role": "user", "content": "Hi"},
        # The empty part says that LangChain wrote the id: plain code does not want it.
        {"role": "assistant", "content": "Hello", "id": "a1", "lc": {}},
    ]
    assert all(type(time) is int for time in times)


def test_the_key_is_the_prefix_and_the_session_id(make_history: Any, prefix: str) -> None:
    assert make_history("sess_abc123").key == f"{prefix}sess_abc123"


def test_the_default_key_is_the_one_of_valkeys_cookbook(url: str) -> None:
    assert ValkeyChatMessageHistory("sess_abc123", url=url).key == "chat:sess_abc123"


def test_each_read_gives_fresh_messages(make_history: Any) -> None:
    history = make_history()
    history.add_messages([HumanMessage("Hi", additional_kwargs={"a": [1]})])
    history.get_messages()[0].additional_kwargs["a"].append(2)
    history.get_messages().clear()
    assert history.get_messages() == [HumanMessage("Hi", additional_kwargs={"a": [1]})]


def test_a_thousand_messages_at_once_keep_their_order(make_history: Any) -> None:
    history = make_history()
    history.add_messages(numbered(1000))
    assert history.get_messages() == numbered(1000)


def test_no_messages_change_nothing(make_history: Any, raw: Any) -> None:
    history = make_history(ttl=60)
    history.add_messages([])
    assert raw.exists([history.key]) == 0


def test_messages_may_come_from_a_generator(make_history: Any) -> None:
    history = make_history()
    history.add_messages(message for message in CONVERSATION)
    assert history.get_messages() == CONVERSATION


def test_a_second_object_continues_the_conversation(make_history: Any) -> None:
    make_history().add_messages(CONVERSATION[:1])
    make_history().add_messages(CONVERSATION[1:])
    assert make_history().get_messages() == CONVERSATION


def test_sessions_and_prefixes_do_not_mix(make_history: Any, prefix: str) -> None:
    places = [("s1", prefix), ("s2", prefix), ("s1", prefix + "other:")]
    for index, (session_id, key_prefix) in enumerate(places):
        make_history(session_id, key_prefix=key_prefix).add_messages(humans(str(index)))
    for index, (session_id, key_prefix) in enumerate(places):
        history = make_history(session_id, key_prefix=key_prefix)
        assert history.get_messages() == humans(str(index))


@pytest.mark.parametrize(
    "session_id",
    [
        "alice@example.com", "a:b:c", "with space", "naïve 会話 🙂", "50% off", "%7B", "{tag}",
        "}{", "line\nbreak", "nul\x00", "*", "?[a-z]", "../..", "0", " ", "x" * 2000,
    ],
    ids=lambda session_id: repr(session_id[:20]),
)  # fmt: skip
def test_any_session_id_is_a_conversation_of_its_own(make_history: Any, session_id: str) -> None:
    other = make_history(session_id + "~")
    other.add_messages(humans("other"))
    history = make_history(session_id, ttl=60, max_messages=5)
    history.add_messages(humans("mine"))
    assert history.get_messages() == humans("mine")
    history.clear()
    assert history.get_messages() == []
    assert other.get_messages() == humans("other")


@pytest.mark.parametrize("last", [1, 2, 5, 99])
def test_last_messages_are_the_newest_oldest_of_them_first(make_history: Any, last: int) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    assert history.last_messages(last) == CONVERSATION[-last:]


@pytest.mark.parametrize("last", [0, -1, 1.0, "1", True], ids=repr)
def test_last_messages_wants_a_count(make_history: Any, last: Any) -> None:
    history = make_history()
    with pytest.raises(InvalidArgumentError, match="last"):
        history.last_messages(last)


def test_replacing_puts_new_messages_in_place_of_all(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    history.replace_messages(humans("new", "newer"))
    assert history.get_messages() == humans("new", "newer")
    history.replace_messages([])
    assert history.get_messages() == []


def test_what_was_read_can_be_written_back(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    history.replace_messages(history.get_messages()[1:])
    assert history.get_messages() == CONVERSATION[1:]


def test_a_subset_replaced_from_another_conversation_leaves_that_alone(make_history: Any) -> None:
    source, target = make_history("source"), make_history("target")
    source.add_messages(CONVERSATION)
    target.replace_messages(source.last_messages(2))
    assert source.get_messages() == CONVERSATION
    assert target.get_messages() == CONVERSATION[-2:]


def test_clear_deletes_this_session_only(make_history: Any, prefix: str, raw: Any) -> None:
    others = ["s", "s11", "s1:x", "S1", "s1*"]
    for session_id in [*others, "s1"]:
        make_history(session_id).add_messages(humans(session_id))
    raw.set(f"{prefix}s1-of-somebody-else", "untouched")
    history = make_history("s1")
    history.clear()
    assert history.get_messages() == []
    assert raw.exists([history.key]) == 0
    for session_id in others:
        assert make_history(session_id).get_messages() == humans(session_id)
    assert raw.get(f"{prefix}s1-of-somebody-else") == b"untouched"


def test_clear_deletes_what_was_archived_too(
    make_history: Any, connection: ValkeyConnection, prefix: str
) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    store = MessageStore(connection=connection, key_prefix=prefix)
    assert len(store.archive_oldest("s1", 2)) == 2
    history.clear()
    assert store.count_all("s1") == (0, 0)


def test_a_cleared_session_can_be_used_again(make_history: Any) -> None:
    history = make_history()
    history.clear()
    history.add_messages(CONVERSATION)
    history.clear()
    history.clear()
    history.add_messages(humans("again"))
    assert history.get_messages() == humans("again")


# The window


def test_the_window_keeps_the_newest_messages(make_history: Any) -> None:
    history = make_history(max_messages=3)
    history.add_messages(numbered(5))
    assert history.get_messages() == numbered(5)[-3:]
    history.add_messages(humans("a", "b"))
    assert history.get_messages() == humans("4", "a", "b")
    history.replace_messages(numbered(9))
    assert history.get_messages() == numbered(9)[-3:]


def test_a_window_counts_messages_not_turns(make_history: Any) -> None:
    """What docs/concepts/ttl-and-windows.md says, the way out included."""
    history = make_history(max_messages=4)
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "c1"}
    history.add_messages(
        [
            HumanMessage("2 + 3?"),
            AIMessage("", tool_calls=[call]),
            ToolMessage("5", tool_call_id="c1"),
            AIMessage("Five."),
            HumanMessage("Thanks"),
            AIMessage("Welcome"),
        ]
    )
    found = history.get_messages()
    assert [message.type for message in found] == ["tool", "ai", "human", "ai"]
    fitting = trim_messages(found, max_tokens=4, token_counter=len, start_on="human")
    assert [message.content for message in fitting] == ["Thanks", "Welcome"]


def test_without_a_window_nothing_is_cut(make_history: Any) -> None:
    make_history().add_messages(numbered(5))
    assert len(make_history(max_messages=2).get_messages()) == 5


@pytest.mark.parametrize("max_messages", [0, -1, 2.0, "3", True], ids=repr)
def test_a_window_that_is_no_count_is_refused(url: str, max_messages: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="max_messages"):
        ValkeyChatMessageHistory("s1", url=url, max_messages=max_messages)


# Expiry


WRITES: dict[str, Callable[[Any], None]] = {
    "add": lambda history: history.add_messages(humans("new")),
    "replace": lambda history: history.replace_messages(humans("new")),
}
READS: dict[str, Callable[[Any], None]] = {
    "all": lambda history: history.get_messages(),
    "last": lambda history: history.last_messages(1),
}


@pytest.mark.parametrize("ttl", [100, 100.0, timedelta(seconds=100)], ids=repr)
def test_a_ttl_is_set_with_the_first_message(make_history: Any, raw: Any, ttl: Any) -> None:
    history = make_history(ttl=ttl)
    history.add_messages(humans("Hi"))
    assert 90_000 < raw.pttl(history.key) <= 100_000
    assert 90 < history.ttl_left() <= 100


@pytest.mark.parametrize("write", WRITES)
def test_each_write_restarts_the_ttl(make_history: Any, raw: Any, write: str) -> None:
    history = make_history(ttl=100)
    history.add_messages(humans("Hi"))
    raw.pexpire(history.key, 50_000)
    WRITES[write](history)
    assert 90_000 < raw.pttl(history.key) <= 100_000


@pytest.mark.parametrize("write", WRITES)
def test_without_a_ttl_one_that_is_there_is_kept(make_history: Any, raw: Any, write: str) -> None:
    history = make_history()
    history.add_messages(humans("Hi"))
    assert history.ttl_left() is None
    raw.pexpire(history.key, 50_000)
    WRITES[write](history)
    assert 40_000 < raw.pttl(history.key) <= 50_000


@pytest.mark.parametrize("read", READS)
def test_reading_leaves_the_ttl_alone_by_default(make_history: Any, raw: Any, read: str) -> None:
    history = make_history(ttl=100)
    history.add_messages(humans("Hi"))
    raw.pexpire(history.key, 50_000)
    READS[read](history)
    assert 40_000 < raw.pttl(history.key) <= 50_000


@pytest.mark.parametrize("read", READS)
def test_reading_restarts_the_ttl_when_asked(make_history: Any, raw: Any, read: str) -> None:
    history = make_history(ttl=100, refresh_ttl_on_read=True)
    history.add_messages(humans("Hi"))
    raw.pexpire(history.key, 50_000)
    READS[read](history)
    assert 90_000 < raw.pttl(history.key) <= 100_000


def test_reading_an_unknown_session_makes_no_key(make_history: Any, raw: Any) -> None:
    history = make_history("nobody", ttl=100, refresh_ttl_on_read=True)
    assert history.get_messages() == []
    assert raw.exists([history.key]) == 0


def test_an_expired_conversation_is_gone(make_history: Any, raw: Any) -> None:
    history = make_history(ttl=0.001)
    history.add_messages(humans("Hi"))
    while raw.exists([history.key]):
        pass
    assert history.get_messages() == []
    assert history.ttl_left() == 0.0


@pytest.mark.parametrize("ttl", [0, -1, "60", True, float("nan"), float("inf")], ids=repr)
def test_a_ttl_that_is_no_time_is_refused(url: str, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl"):
        ValkeyChatMessageHistory("s1", url=url, ttl=ttl)


def test_a_refresh_without_a_ttl_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="refresh_ttl_on_read needs a ttl"):
        ValkeyChatMessageHistory("s1", url=url, refresh_ttl_on_read=True)


# What only the sync face has, because LangChain's base has it in this form only


@pytest.fixture
def history(connection: ValkeyConnection, prefix: str) -> ValkeyChatMessageHistory:
    return ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix)


def test_assigning_messages_replaces_them(history: ValkeyChatMessageHistory) -> None:
    history.add_messages(CONVERSATION)
    history.messages = humans("new")
    assert history.messages == humans("new")
    history.messages = []
    assert history.messages == []


def test_single_messages_are_added_at_the_end(history: ValkeyChatMessageHistory) -> None:
    for message in CONVERSATION:
        history.add_message(message)
    assert history.messages == CONVERSATION


def test_langchains_convenience_methods_work(history: ValkeyChatMessageHistory) -> None:
    history.add_user_message("Hi")
    history.add_ai_message("Hello")
    history.add_user_message(HumanMessage("How are you?", id="h2"))
    history.add_ai_message(AIMessage("Fine.", id="a2"))
    assert history.messages == [
        HumanMessage("Hi"),
        AIMessage("Hello"),
        HumanMessage("How are you?", id="h2"),
        AIMessage("Fine.", id="a2"),
    ]


def test_str_is_the_conversation_as_text(history: ValkeyChatMessageHistory) -> None:
    assert str(history) == ""
    history.add_messages([HumanMessage("Hi"), AIMessage("Hello")])
    assert str(history) == "Human: Hi\nAI: Hello"


def test_repr_names_session_and_server_without_reading(history: ValkeyChatMessageHistory) -> None:
    assert "'s1'" in repr(history)
    assert history.store.connection.address in repr(history)


def test_repr_hides_the_password() -> None:
    history = ValkeyChatMessageHistory("s1", url="valkey://alice:hunter2@localhost:1")
    assert "hunter2" not in repr(history)
    assert "s1" in repr(history)


# The interface


def test_it_is_langchains_chat_history() -> None:
    assert issubclass(ValkeyChatMessageHistory, BaseChatMessageHistory)
    assert langchain_valkey_glide.__all__.count("ValkeyChatMessageHistory") == 1


@pytest.mark.parametrize(
    "name",
    [name for name, _ in inspect.getmembers(BaseChatMessageHistory, inspect.iscoroutinefunction)],
)
def test_each_async_method_of_the_base_is_native(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(ValkeyChatMessageHistory, name))
    assert getattr(ValkeyChatMessageHistory, name) is not getattr(BaseChatMessageHistory, name)


def test_the_base_has_the_async_methods_that_we_know_of() -> None:
    names = inspect.getmembers(BaseChatMessageHistory, inspect.iscoroutinefunction)
    assert {name for name, _ in names} == {"aget_messages", "aadd_messages", "aclear"}


@pytest.mark.parametrize(
    "name",
    ["add_messages", "replace_messages", "clear", "get_messages", "last_messages", "ttl_left"],
)
def test_sync_and_async_take_and_return_the_same(name: str) -> None:
    method = getattr(ValkeyChatMessageHistory, name)
    twin = getattr(ValkeyChatMessageHistory, f"a{name}")
    assert inspect.iscoroutinefunction(twin)
    assert not inspect.iscoroutinefunction(method)
    assert inspect.signature(method) == inspect.signature(twin)


@pytest.mark.parametrize(
    "name", ["add_message", "add_messages", "aadd_messages", "aget_messages", "clear", "aclear"]
)
def test_signatures_agree_with_the_base(name: str) -> None:
    ours = inspect.signature(getattr(ValkeyChatMessageHistory, name))
    theirs = inspect.signature(getattr(BaseChatMessageHistory, name))
    parameters, asked = [*ours.parameters.values()], len(theirs.parameters)
    # What is asked of a history comes first; more may be said, and need not be.
    assert all(own.default is None or own.default == "keep" for own in parameters[asked:])
    assert ours.replace(parameters=parameters[:asked]) == theirs


def test_async_methods_run_in_the_callers_loop_and_in_no_thread(
    connection: ValkeyConnection, prefix: str
) -> None:
    history = ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix)

    async def use() -> list[BaseMessage]:
        loop = asyncio.get_running_loop()
        await history.aget_messages()  # the first use may look up the address in a thread

        def refuse(*arguments: object) -> None:
            raise AssertionError(f"run_in_executor{arguments}")

        loop.run_in_executor = refuse  # type: ignore[method-assign, assignment]
        await history.aadd_messages(CONVERSATION)
        await history.areplace_messages(CONVERSATION[:2])
        assert await history.alast_messages(1) == CONVERSATION[1:2]
        assert await history.attl_left() is None
        found = await history.aget_messages()
        await history.aclear()
        return found

    assert asyncio.run(use()) == CONVERSATION[:2]


def test_concurrent_async_writers_lose_nothing(connection: ValkeyConnection, prefix: str) -> None:
    history = ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix, ttl=60)
    pairs = [humans(f"{number} question", f"{number} answer") for number in range(50)]

    async def write() -> None:
        await asyncio.gather(*map(history.aadd_messages, pairs))

    asyncio.run(write())
    _assert_whole(history.messages, pairs)


def test_concurrent_threads_lose_nothing(connection: ValkeyConnection, prefix: str) -> None:
    history = ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix, ttl=60)
    pairs = [humans(f"{number} question", f"{number} answer") for number in range(50)]

    def write(share: list[list[BaseMessage]]) -> None:
        for pair in share:
            history.add_messages(pair)

    threads = [threading.Thread(target=write, args=(pairs[start::5],)) for start in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _assert_whole(history.messages, pairs)


def _assert_whole(messages: list[BaseMessage], pairs: list[list[BaseMessage]]) -> None:
    """Each pair is there once, unbroken."""
    found = [messages[index : index + 2] for index in range(0, len(messages), 2)]
    assert sorted(found, key=str) == sorted(pairs, key=str)


@pytest.mark.parametrize(
    "options",
    [
        {"tttl": 5},
        {"prefix": "x"},
        {"redis_url": "redis://localhost"},
        {"client": None},
        {"session_ttl": 5},
    ],
    ids=repr,
)
def test_an_unknown_argument_is_a_type_error(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        ValkeyChatMessageHistory("s1", url=url, **options)


def test_options_are_keyword_only(url: str) -> None:
    with pytest.raises(TypeError, match="positional"):
        ValkeyChatMessageHistory("s1", url)  # type: ignore[call-arg, arg-type, unused-ignore]


@pytest.mark.parametrize("session_id", ["", None, 5, 5.0, b"s1", ("s1",), "lone \ud800"], ids=repr)
def test_a_bad_session_id_is_refused_at_once(session_id: Any) -> None:
    with pytest.raises(InvalidSessionIdError, match="session id"):
        ValkeyChatMessageHistory(session_id, url="valkey://localhost:1")


def test_url_and_connection_together_are_refused(
    url: str, standalone_connection: ValkeyConnection
) -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        ValkeyChatMessageHistory("s1", url=url, connection=standalone_connection)


@pytest.mark.parametrize("on_corrupt", ["ignore", None, True], ids=repr)
def test_an_unknown_on_corrupt_is_refused(url: str, on_corrupt: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="on_corrupt"):
        ValkeyChatMessageHistory("s1", url=url, on_corrupt=on_corrupt)


def test_the_url_comes_from_the_environment(
    url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VALKEY_URL", url)
    ValkeyChatMessageHistory("s1", key_prefix=prefix).add_messages(CONVERSATION)
    monkeypatch.delenv("VALKEY_URL")
    assert ValkeyChatMessageHistory("s1", url=url, key_prefix=prefix).messages == CONVERSATION


def test_making_a_history_connects_to_nothing() -> None:
    history = ValkeyChatMessageHistory("s1", url="valkey://192.0.2.1:1", ttl=5, max_messages=5)
    assert history.key == "chat:s1"


# What others left in the list


CORRUPT = [b"not json", b"[]", b'"text"', b'{"content": "no role"}', b'{"role": 5}', b"\xff\xfe"]


@pytest.mark.parametrize("corrupt", CORRUPT, ids=repr)
def test_an_element_that_is_no_message_is_named_and_kept(
    make_history: Any, raw: Any, corrupt: bytes
) -> None:
    history = make_history()
    history.add_messages(humans("before"))
    raw.rpush(history.key, [corrupt])
    history.add_messages(humans("after"))
    with pytest.raises(CorruptMessageError) as caught:
        history.get_messages()
    assert (caught.value.key, caught.value.position) == (history.key, 1)
    with pytest.raises(CorruptMessageError) as caught:
        history.last_messages(2)
    assert caught.value.position == -2
    assert history.last_messages(1) == humans("after")
    assert raw.lindex(history.key, 1) == corrupt


def test_an_element_that_is_no_message_is_skipped_when_asked(
    make_history: Any, raw: Any, caplog: pytest.LogCaptureFixture
) -> None:
    history = make_history(on_corrupt="skip")
    history.add_messages(humans("before"))
    raw.rpush(history.key, CORRUPT)
    history.add_messages(humans("after"))
    with caplog.at_level(logging.WARNING, logger="valkey_memory"):
        assert history.get_messages() == humans("before", "after")
    assert len(caplog.records) == len(CORRUPT)
    assert all(history.key in record.getMessage() for record in caplog.records)
    assert raw.llen(history.key) == len(CORRUPT) + 2


@pytest.mark.parametrize(
    "use",
    [
        lambda history: history.get_messages(),
        lambda history: history.add_messages(humans("Hi")),
        lambda history: history.replace_messages(humans("Hi")),
        lambda history: history.replace_messages([]),
        lambda history: history.clear(),
    ],
    ids=["read", "add", "replace", "empty", "clear"],
)
def test_a_key_of_another_type_is_left_alone(
    make_history: Any, raw: Any, use: Callable[[Any], None]
) -> None:
    history = make_history(ttl=60, max_messages=5)
    raw.set(history.key, "somebody's")
    with pytest.raises(KeyTypeError):
        use(history)
    assert raw.get(history.key) == b"somebody's"
    assert raw.pttl(history.key) == -1


# Round trips


@pytest.fixture(params=["sync", "async"])
def counted(
    request: pytest.FixtureRequest, server: EmbeddedValkey, prefix: str
) -> Callable[..., dict[str, int]]:
    """Runs one operation, of one face, and counts the commands that the server got for it."""

    def count(
        sync_use: Callable[[ValkeyChatMessageHistory], object],
        async_use: Callable[[ValkeyChatMessageHistory], Any],
        **options: Any,
    ) -> dict[str, int]:
        history = ValkeyChatMessageHistory("s1", url=server.url, key_prefix=prefix, **options)

        def reset() -> None:
            assert admin(server.port, "CONFIG", "RESETSTAT") == "OK"

        if request.param == "sync":
            history.ttl_left()  # connects
            reset()
            sync_use(history)
        else:

            async def use() -> None:
                await history.attl_left()
                reset()
                await async_use(history)

            asyncio.run(use())
        return command_counts(server.port)

    return count


def test_adding_a_thousand_messages_is_one_script(
    counted: Callable[..., dict[str, int]],
) -> None:
    counts = counted(
        lambda history: history.add_messages(numbered(1000)),
        lambda history: history.aadd_messages(numbered(1000)),
        ttl=60,
        max_messages=500,
    )
    sent = {"rpush": 2, "ltrim": 1, "eval": 1}  # the messages, and the write's token
    assert {name: counts.get(name) for name in sent} == sent
    assert not counts.keys() & {"multi", "exec", "lpush", "expire", "lrange", "del"}


def test_reading_the_last_messages_is_one_command(counted: Callable[..., dict[str, int]]) -> None:
    counts = counted(
        lambda history: history.last_messages(20), lambda history: history.alast_messages(20)
    )
    assert counts.get("lrange") == 1
    assert not counts.keys() & {"exec", "multi", "eval", "pexpire", "llen", "exists"}


def test_reading_with_a_refreshed_ttl_is_one_transaction(
    counted: Callable[..., dict[str, int]],
) -> None:
    counts = counted(
        lambda history: history.last_messages(20),
        lambda history: history.alast_messages(20),
        ttl=60,
        refresh_ttl_on_read=True,
    )
    sent = {"multi", "lrange", "eval", "exec"}
    assert {name: counts.get(name) for name in sent} == dict.fromkeys(sent, 1)


@pytest.mark.parametrize(
    ("sync_use", "async_use", "sent"),
    [
        (
            lambda history: history.replace_messages(numbered(100)),
            lambda history: history.areplace_messages(numbered(100)),
            {"rpush": 2},  # the messages, and the write's token
        ),
        (lambda history: history.clear(), lambda history: history.aclear(), {"unlink": 2}),
    ],
    ids=["replace", "clear"],
)
def test_other_writes_are_one_script(
    counted: Callable[..., dict[str, int]],
    sync_use: Callable[[Any], None],
    async_use: Callable[[Any], Any],
    sent: dict[str, int],
) -> None:
    counts = counted(sync_use, async_use, ttl=60)
    assert {name: counts.get(name) for name in ("eval", *sent)} == {"eval": 1, **sent}


def test_adding_nothing_sends_nothing(counted: Callable[..., dict[str, int]]) -> None:
    counts = counted(
        lambda history: history.add_messages([]),
        lambda history: history.aadd_messages([]),
        ttl=60,
        max_messages=5,
    )
    assert not counts.keys() & {"multi", "exec", "eval", "rpush", "ltrim", "pexpire"}


# Silence


USE_IT = """
import asyncio, sys
from langchain_core.messages import AIMessage, HumanMessage
from langchain_valkey_glide import ValkeyChatMessageHistory

history = ValkeyChatMessageHistory(sys.argv[2], url=sys.argv[1], ttl=60, max_messages=9)
history.add_messages([HumanMessage("Hi"), AIMessage("Hello")])
history.add_user_message("How are you?")
assert len(history.messages) == 3
assert len(history.last_messages(2)) == 2

async def use():
    before = await history.aget_messages()
    await history.aadd_messages([AIMessage("Fine.")])
    assert len(await history.aget_messages()) == len(before) + 1
    await history.aclear()

asyncio.run(use())
asyncio.run(use())
history.clear()
assert str(history) == ""
"""
FAIL_AT_IT = """
import asyncio, sys
from langchain_core.messages import HumanMessage
from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import ConnectionFailedError, KeyTypeError
from valkey_memory._plans import atomic

def expect(error, operation):
    try:
        operation()
    except error:
        return
    sys.exit(f"no {error.__name__}")

nowhere = ValkeyChatMessageHistory("s1", url="valkey://127.0.0.1:1")
expect(ConnectionFailedError, lambda: nowhere.messages)
expect(ConnectionFailedError, lambda: asyncio.run(nowhere.aget_messages()))

history = ValkeyChatMessageHistory(sys.argv[2], url=sys.argv[1])

def somebody_elses_key():
    yield atomic("set", ("SET", history.key, "no list"))

history.store.connection.run(somebody_elses_key())
expect(KeyTypeError, lambda: history.messages)
expect(KeyTypeError, lambda: history.add_messages([HumanMessage("Hi")]))
expect(KeyTypeError, lambda: asyncio.run(history.aclear()))
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        ("from langchain_valkey_glide import ValkeyChatMessageHistory", ""),
        (USE_IT, ""),
        (FAIL_AT_IT, "were not saved: KeyTypeError: "),  # the log, where none is set up
    ],
    ids=["import", "use", "handled error"],
)
def test_nothing_is_warned_of_and_only_what_was_not_saved_is_printed(
    script: str, printed: str, url: str, prefix: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, url, prefix],
        cwd=Path(langchain_valkey_glide.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert len(lines) == bool(printed)
    assert printed in "".join(lines)
