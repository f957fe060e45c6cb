"""Whatever plain code stores comes back as it was given; what frameworks write is theirs alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import (
    CorruptMessageError,
    InvalidArgumentError,
    MessageEncodeError,
    MessageStore,
)
from valkey_memory._keys import sidecar
from valkey_memory._plans import atomic

from ..messages.plain import CALL, MESSAGES, ClientBlock, ClientMessage, ToolCall
from ..messages.test_values import typed


def elements(store: MessageStore, key: str) -> list[Any]:
    """What is in the list, as another program reads it."""

    def plan() -> Any:
        return (yield atomic("read", ("LRANGE", key, "0", "-1")))

    (raw,) = store.connection.run(plan())
    return [json.loads(element) for element in raw]


def test_every_message_comes_back_as_it_was_given(make_store: Any) -> None:
    store = make_store()
    given = list(MESSAGES.values())
    before = repr(given)
    store.extend("s", given)
    assert typed(store.messages("s")) == typed(given)
    assert repr(given) == before
    for index, message in enumerate(given):
        assert typed(store.page("s", index, 1)) == typed([message])


def test_every_way_of_writing_and_reading_gives_it_back(make_store: Any) -> None:
    store = make_store()
    first, second, third = (
        MESSAGES[f"{api} tool result"] for api in ("anthropic", "bedrock", "openai")
    )
    store.append("s", first)
    store.insert("s", 0, second)
    assert store.messages("s", last=2) == [second, first]
    store.replace("s", [first, second, third])
    assert store.archive_oldest("s", 1) == [first]
    assert store.archived("s", and_active=True) == [first, second, third]
    assert store.delete_last("s") == third
    assert store.delete_oldest("s", 1) == [second]
    store.replace("s", [third])
    assert store.take("s") == [third]


def test_all_keys_are_handed_out_with_the_time(make_store: Any) -> None:
    given = [message for message in MESSAGES.values() if "ts" not in message]
    store = make_store(extra_keys=True)
    store.extend("s", given)
    found = store.messages("s")
    assert all(type(message.pop("ts")) is int for message in found)
    assert typed(found) == typed(given)


def test_without_timestamps_elements_are_bare_messages(make_store: Any, prefix: str) -> None:
    """As readers need them that hand the elements to a model API as they are."""
    given = [json.loads(json.dumps(m)) for m in MESSAGES.values() if is_json(m)]
    store = make_store(timestamps=False)
    store.extend("s", given)
    store.insert("s", 0, given[0])
    assert elements(store.store, f"{prefix}s") == [given[0], *given]
    store.replace("s", given)
    assert elements(store.store, f"{prefix}s") == given
    assert store.messages("s") == given
    assert make_store().messages("s") == given


def is_json(message: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(message)) == message)
    except TypeError:
        return False


def test_a_time_of_ones_own_is_kept_and_comes_back(make_store: Any) -> None:
    message = {"role": "user", "content": "Hi", "ts": 12}
    for options in ({}, {"timestamps": False}):
        store = make_store(**options)
        store.replace("s", [message])
        assert store.messages("s") == [message]
        assert make_store(extra_keys=True).messages("s") == [message]


OBJECTS: dict[str, tuple[Any, Any]] = {
    "refusal": (
        ClientMessage(role="assistant", content=None, refusal="I cannot."),
        {"role": "assistant", "content": None, "refusal": "I cannot."},
    ),
    "tool call": (
        ClientMessage(role="assistant", content=None, tool_calls=[ToolCall(**CALL)]),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ),
    "objects in a dict": (
        {"role": "assistant", "content": [ClientBlock(type="text", text="Hi")]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    ),
    "tool calls in a dict": (
        {"role": "assistant", "content": None, "tool_calls": [ToolCall(**CALL)]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ),
}


@pytest.mark.parametrize(("given", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_objects_of_a_client_come_back_as_their_dict(
    make_store: Any, given: Any, expected: Any
) -> None:
    store = make_store()
    store.append("s", given)
    assert store.messages("s") == [expected]


# What is reserved


@pytest.mark.parametrize("key", ["lc", "li"])
@pytest.mark.parametrize(
    "part",
    [
        {},
        None,
        {"class": "SystemMessage"},
        {"role": "system"},
        {"blocks": [{"path": "/etc/hosts"}]},
    ],
    ids=json.dumps,
)
def test_the_frameworks_keys_are_refused_in_plain_writes(
    make_store: Any, key: str, part: Any
) -> None:
    store = make_store()
    store.append("s", {"role": "user", "content": "before"})
    bad = {"role": "user", "content": "Hi", key: part}
    writes: list[Callable[[], Any]] = [
        lambda: store.append("s", bad),
        lambda: store.extend("s", [{"role": "user", "content": "good"}, bad]),
        lambda: store.insert("s", 0, bad),
        lambda: store.replace("s", [bad]),
    ]
    for write in writes:
        with pytest.raises(MessageEncodeError, match=rf"key '{key}', which is reserved"):
            write()
    assert store.messages("s") == [{"role": "user", "content": "before"}]


def test_an_object_cannot_bring_in_a_frameworks_key(make_store: Any) -> None:
    class Sly:
        def model_dump(self) -> dict[str, Any]:
            return {"role": "user", "content": "Hi", "lc": {"class": "SystemMessage"}}

    with pytest.raises(MessageEncodeError, match="reserved"):
        make_store().append("s", Sly())


# What is refused, always by our own error


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


class Endless:
    def to_dict(self) -> Any:
        return self.to_dict()


class Unfit:
    def to_dict(self) -> Any:
        return {"role": "user", "content": Unfit}


UNFIT: dict[str, Any] = {
    "deep content": {"role": "user", "content": [nested(300)]},
    "very deep content": {"role": "user", "content": [nested(5000)]},
    "deep key of one's own": {"role": "user", "content": "x", "own": nested(5000)},
    "surrogate in the role": {"role": "\ud800", "content": "x"},
    "surrogate in a block": {"role": "user", "content": [{"type": "text", "text": "\udfff"}]},
    "surrogate as key": {"role": "user", "content": "x", "\ud800": 1},
    "number as key": {"role": "user", "content": "x", 1: 2},
    "dict as content": {"role": "user", "content": {"text": "x"}},
    "tuple as content": {"role": "user", "content": ("x",)},
    "no content of a tool": {"role": "tool", "content": None},
    "list as role": {"role": ["user"], "content": "x"},
    "object without end": Endless(),
    "object with a class in it": Unfit(),
    "class": Unfit,
    "number": 7,
    "bytes": b"bytes",
    "pairs": [("role", "user")],
}


@pytest.mark.parametrize("message", UNFIT.values(), ids=UNFIT)
def test_what_no_reader_could_use_is_refused_by_our_own_error(
    make_store: Any, message: Any
) -> None:
    store = make_store()
    with pytest.raises(MessageEncodeError):
        store.append("s", message)
    assert store.count("s") == 0


@pytest.mark.parametrize("messages", [None, 5, "text", {"role": "user", "content": "x"}])
def test_what_is_no_list_of_messages_is_refused(make_store: Any, messages: Any) -> None:
    for method in ("extend", "replace"):
        with pytest.raises(MessageEncodeError):
            getattr(make_store(), method)("s", messages)


@pytest.mark.parametrize(("offset", "limit"), [(None, 1), (0, None)])
def test_a_page_needs_its_numbers(make_store: Any, offset: Any, limit: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        make_store().page("s", offset, limit)


def test_deep_elements_of_other_programs_are_read_or_corrupt(make_store: Any, prefix: str) -> None:
    """As deep as JSON is read; beyond that our error, or nothing, and never a foreign one."""
    deep = ('{"role":"user","content":"x","own":%s}', '{"role":"user","content":"x","~":%s}')
    for text in deep:
        for depth in (100, 900, 5000):
            store = make_store(on_corrupt="raise")

            def push(element: str = text % ("[" * depth + "]" * depth)) -> Any:
                key = f"{prefix}deep"
                return (yield atomic("push", ("DEL", key), ("RPUSH", key, element)))

            store.store.connection.run(push())
            try:
                (message,) = store.messages("deep")
                assert message["content"] == "x"
            except CorruptMessageError:
                assert depth > 100
            assert len(make_store(on_corrupt="skip").messages("deep")) <= 1


def test_the_archived_list_holds_them_too(make_store: Any, prefix: str) -> None:
    store = make_store(timestamps=False)
    given = [MESSAGES["anthropic thinking and tool use"], MESSAGES["openai refusal"]]
    store.extend("s", given)
    store.archive_oldest("s", 2)
    assert elements(store.store, sidecar(f"{prefix}s", "archived")) == given
