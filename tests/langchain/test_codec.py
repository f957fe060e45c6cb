"""What the codec writes, through real JSON, it reads back equal; what it cannot hold, it refuses.

No server here, except where the subject is that nothing of a batch reaches one.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import uuid
import zoneinfo
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langchain_core.messages.base import BaseMessageChunk

from langchain_valkey_glide import ValkeyChatMessageHistory, _codec
from langchain_valkey_glide._codec import LangChainCodec
from valkey_memory import CorruptMessageError, MessageEncodeError, ValkeyConnection
from valkey_memory._messages.elements import Element, dump_element, load_element

from .content import ALL_BLOCKS
from .strategies import MESSAGES, any_message, assert_same, values

CODEC = LangChainCodec()
pure = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


def stored(message: BaseMessage) -> Element:
    """The element as any other reader of the list finds it."""
    raw = dump_element(CODEC.encode(message), ts=1)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    element: Element = json.loads(raw, parse_constant=refuse)
    return element


def again(message: BaseMessage) -> BaseMessage:
    """The message after a trip through JSON."""
    return CODEC.decode(load_element(dump_element(CODEC.encode(message), ts=1)))


def changed(message: BaseMessage, **fields: Any) -> BaseMessage:
    """The message as code leaves it that assigns fields; LangChain validates none of these."""
    for name, value in fields.items():
        setattr(message, name, value)
    return message


# Equal messages


class Text(str):
    __slots__ = ()


_FIELDS: list[dict[str, Any]] = [
    {},
    *({"content": content} for content in ("", [], [""], Text("x"))),
    *({name: value} for name in ("id", "name") for value in (None, "", "x")),
    *({"additional_kwargs": kwargs} for kwargs in ({}, {"a": np.zeros(2)}, {"a": None})),
    {"response_metadata": {"a": 1}},
    {"additional_kwargs": OrderedDict()},
    {"extra": 0},
    {"type": Text("human")},
]


@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, SystemMessage])
@pytest.mark.parametrize("fields", _FIELDS, ids=repr)
def test_the_short_way_of_texts_leads_where_the_general_one_does(
    cls: type[BaseMessage], fields: dict[str, Any]
) -> None:
    message = changed(cls(content="Hello"), **fields)
    short = again(message)
    with mock.patch.dict(_codec._TEXT_ALONE, clear=True):
        assert_same(short, again(message))


@pure
@given(any_message)
def test_no_message_takes_a_way_that_is_too_short(message: BaseMessage) -> None:
    element = CODEC.to_element(message)
    with mock.patch.dict(_codec._TEXT_ALONE, clear=True):
        assert dump_element(element, 1) == dump_element(CODEC.to_element(message), 1)


def test_a_text_alone_takes_the_short_way() -> None:
    for cls in (HumanMessage, AIMessage, SystemMessage):
        assert _codec._is_text_alone(cls(content="Hello"))


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_any_message_of_a_class_comes_back_equal(cls: type[BaseMessage]) -> None:
    @settings(pure, max_examples=100)
    @given(MESSAGES[cls])
    def check(message: BaseMessage) -> None:
        assert type(message) is cls
        assert_same(again(message), message)

    check()


@pure
@given(any_message)
def test_encoding_leaves_the_message_as_it_was(message: BaseMessage) -> None:
    before = message.model_copy(deep=True)
    CODEC.encode(message)
    assert_same(message, before)


@pure
@given(any_message)
def test_a_stored_element_is_json_that_plain_code_reads(message: BaseMessage) -> None:
    element = stored(message)
    assert isinstance(element["role"], str)
    assert isinstance(element["content"], (str, list))
    assert element.get("tool_call_id", "") == getattr(message, "tool_call_id", "")
    assert element["ts"] == 1
    assert element.keys() <= {
        "role", "content", "tool_calls", "tool_call_id", "name", "id", "ts", "lc",
    }  # fmt: skip


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: json.dumps(block, default=str)[:60])
@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, AIMessageChunk, SystemMessage])
def test_a_content_block_of_any_dialect_comes_back_equal(
    cls: type[BaseMessage], block: dict[str, Any]
) -> None:
    message = cls(content=["Look:", block, block])
    assert_same(again(message), message)


@pytest.mark.parametrize("content", ["", [], [""], [{}], [{"type": "text", "text": ""}]], ids=repr)
@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, SystemMessageChunk])
def test_an_empty_content_keeps_its_form(cls: type[BaseMessage], content: Any) -> None:
    message = cls(content=content)
    assert_same(again(message), message)


@pytest.mark.parametrize("calls", [["", ""], ['{"a": 1}', "{cut"]], ids=repr)
def test_a_streamed_tool_call_comes_back_as_the_chunks_gave_it(calls: list[str]) -> None:
    chunks = [
        AIMessageChunk(
            content="",
            tool_call_chunks=[{"name": "f", "args": args, "id": f"call_{index}", "index": index}],
        )
        for index, args in enumerate(calls)
    ]
    message = chunks[0] + chunks[1] + AIMessageChunk(content="", chunk_position="last")
    assert len(message.tool_calls + message.invalid_tool_calls) == 2
    assert_same(again(message), message)


@pytest.mark.parametrize("arguments", [None, "", '{"q": "ca', "[1]"], ids=repr)
def test_an_invalid_call_of_a_chunk_does_not_turn_into_a_valid_one(arguments: str | None) -> None:
    invalid = {"name": "search", "args": arguments, "id": "call_1", "error": "cut off"}
    message = AIMessageChunk(content="", invalid_tool_calls=[invalid])
    assert (message.tool_calls, len(message.invalid_tool_calls)) == ([], 1)
    assert_same(again(message), message)


def test_a_list_of_blocks_given_as_content_blocks_comes_back_equal() -> None:
    message = AIMessage(
        content_blocks=[
            {"type": "reasoning", "reasoning": "Look it up."},
            {"type": "tool_call", "id": "call_1", "name": "search", "args": {"q": "cats"}},
        ]
    )
    assert_same(again(message), message)
    assert again(message).content_blocks == message.content_blocks


# Values inside


@pure
@given(values)
def test_any_python_value_in_an_artifact_comes_back_equal(value: Any) -> None:
    message = ToolMessage("x", tool_call_id="call_1", artifact=value)
    assert_same(again(message), message)


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1, 2), (1, 2)),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (UserDict({"a": (1,)}), {"a": (1,)}),
        (np.float64(0.5), 0.5),
        (dt.datetime(2026, 1, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),) * 2,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_of_a_plain_type_comes_back_as_its_equal(value: Any, expected: Any) -> None:
    found = again(HumanMessage("x", additional_kwargs={"value": value}))
    assert found.additional_kwargs == {"value": expected}
    assert value == expected


@pytest.mark.parametrize(
    "nan", [math.nan, Decimal("NaN"), Decimal("sNaN"), complex(0, math.nan)], ids=repr
)
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_nan_comes_back_as_nan(nan: Any, depth: int) -> None:
    """It is unequal to itself, so no other test sees it."""
    value = nan
    for _ in range(depth):
        value = {"a": (value,)}
    message = again(ToolMessage("x", tool_call_id="1", artifact=value))
    assert isinstance(message, ToolMessage)
    found = message.artifact
    for _ in range(depth):
        (found,) = found["a"]
    assert type(found) is type(nan)
    assert str(found) == str(nan)


@pytest.mark.parametrize(
    "value",
    [
        {"~": "tuple", "v": [1]},
        {"~": "no such tag", "v": None},
        {"~": {"~": "dict", "v": []}, "v": 1},
        {"lc": 1, "type": "constructor", "id": ["langchain", "x"], "kwargs": {}},
        '{"~":"set","v":[]}',
    ],
    ids=repr,
)
def test_a_value_that_looks_like_a_marker_stays_what_it_is(value: Any) -> None:
    message = HumanMessage([{"type": "x", "x": value}], additional_kwargs={"x": value})
    assert_same(again(message), message)


# The neutral part


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (HumanMessage("x"), "user"),
        (HumanMessageChunk(content="x"), "user"),
        (AIMessage("x"), "assistant"),
        (AIMessageChunk(content="x"), "assistant"),
        (SystemMessage("x"), "system"),
        (SystemMessageChunk(content="x"), "system"),
        (SystemMessage("x", additional_kwargs={"__openai_role__": "developer"}), "developer"),
        (ToolMessage("x", tool_call_id="1"), "tool"),
        (ToolMessageChunk(content="x", tool_call_id="1"), "tool"),
        (FunctionMessage(content="x", name="f"), "function"),
        (FunctionMessageChunk(content="x", name="f"), "function"),
        (ChatMessage(content="x", role="pirate"), "pirate"),
        (ChatMessageChunk(content="x", role="assistant"), "assistant"),
        (RemoveMessage(id="1"), "remove"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseMessage) else value,
)
def test_each_class_has_the_role_that_models_know(message: BaseMessage, role: str) -> None:
    assert stored(message)["role"] == role


@pytest.mark.parametrize(
    "message",
    [HumanMessage("x"), AIMessage("x"), SystemMessage("x"), ToolMessage("x", tool_call_id="1")],
    ids=lambda message: type(message).__name__,
)
def test_a_plain_message_needs_nothing_of_langchains(message: BaseMessage) -> None:
    assert "lc" not in stored(message)


def test_tool_calls_are_stored_as_model_apis_take_them() -> None:
    message = AIMessage("", tool_calls=[{"name": "f", "args": {"a": [1, "b"]}, "id": "call_1"}])
    (call,) = stored(message)["tool_calls"]
    arguments = call["function"].pop("arguments")
    assert call == {"id": "call_1", "type": "function", "function": {"name": "f"}}
    assert json.loads(arguments) == {"a": [1, "b"]}


MARKED: dict[str, BaseMessage] = {
    "human": HumanMessage("CONTENT", id="ID", name="NAME", response_metadata={"a": 1}),
    "human list": HumanMessage([{"type": "text", "text": "CONTENT"}, "CONTENT"], extra_field=1),
    "ai": AIMessage(
        "CONTENT",
        id="ID",
        name="NAME",
        tool_calls=[{"name": "TOOL", "args": {"a": "ARGS"}, "id": "CALL"}],
        invalid_tool_calls=[{"name": "other", "args": "{", "id": "other", "error": "cut"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    ),
    "ai chunk": AIMessageChunk(content="CONTENT", id="ID", name="NAME"),
    "tool": ToolMessage("CONTENT", tool_call_id="CALL", name="NAME", id="ID", artifact={"a": 1}),
    "chat": ChatMessage(content="CONTENT", role="ROLE", name="NAME", id="ID"),
    "function": FunctionMessageChunk(content="CONTENT", name="NAME", id="ID"),
    "remove": RemoveMessage(id="ID", name="NAME", additional_kwargs={"a": 1}),
}


@pytest.mark.parametrize("message", MARKED.values(), ids=MARKED)
def test_nothing_of_the_neutral_part_is_repeated_under_lc(message: BaseMessage) -> None:
    element = stored(message)
    langchains = json.dumps(element.pop("lc"))
    neutral = json.dumps(element)
    marks = {"CONTENT", "ID", "NAME", "CALL", "TOOL", "ARGS", "ROLE"}
    present = {mark for mark in marks if mark in repr(message)}
    assert present == {mark for mark in marks if mark in neutral}
    assert not {mark for mark in marks if mark in langchains}


@pure
@given(any_message)
def test_lc_has_no_key_of_the_neutral_part(message: BaseMessage) -> None:
    langchains = stored(message).get("lc", {})
    assert not langchains.keys() & {
        "role", "content", "name", "id", "tool_calls", "tool_call_id", "ts", "type",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"role": "user", "content": "x"}, HumanMessage("x")),
        ({"role": "assistant", "content": "x"}, AIMessage("x")),
        ({"role": "assistant", "content": None}, AIMessage("")),
        ({"role": "assistant"}, AIMessage("")),
        ({"role": "system", "content": "x"}, SystemMessage("x")),
        (
            {"role": "developer", "content": "x"},
            SystemMessage("x", additional_kwargs={"__openai_role__": "developer"}),
        ),
        (
            {"role": "tool", "content": "x", "tool_call_id": "1", "name": "f"},
            ToolMessage("x", tool_call_id="1", name="f"),
        ),
        ({"role": "tool", "content": "x"}, ToolMessage("x", tool_call_id="")),
        ({"role": "function", "content": "x"}, FunctionMessage(content="x", name="")),
        ({"role": "pirate", "content": "x"}, ChatMessage(content="x", role="pirate")),
        ({"role": "user", "content": "x", "ts": 5, "meta": {"a": 1}}, HumanMessage("x")),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{"}},
                ],
            },
            AIMessage(
                "",
                tool_calls=[{"name": "f", "args": {}, "id": "1"}],
                invalid_tool_calls=[
                    {
                        "name": "g",
                        "args": "{",
                        "id": "2",
                        "error": "arguments are not a JSON object",
                    }
                ],
            ),
        ),
    ],
    ids=lambda value: json.dumps(value)[:70] if isinstance(value, dict) else "",
)
def test_an_element_of_plain_code_is_read(element: Element, expected: BaseMessage) -> None:
    assert_same(CODEC.decode(load_element(json.dumps(element).encode())), expected)


# Subclasses


class MoodyMessage(HumanMessage):
    """A user's own class, with a field that LangChain's has not."""

    mood: str = "calm"


class NamedSubclass(AIMessageChunk):
    """A user's own class, without fields."""


def test_a_users_subclass_is_stored_as_langchains_class_with_its_extra_fields() -> None:
    message = MoodyMessage(content="x", id="1", mood="cheerful", weather="fine")
    assert_same(again(message), HumanMessage("x", id="1", mood="cheerful", weather="fine"))


def test_a_users_subclass_of_a_chunk_is_stored_as_that_chunk() -> None:
    assert_same(again(NamedSubclass(content="x")), AIMessageChunk(content="x"))


@pytest.mark.parametrize(
    "message",
    [
        BaseMessage(content="x", type="strange"),
        BaseMessageChunk(content="x", type="strange"),
        "Hello",
        ("user", "Hello"),
        {"role": "user", "content": "Hello"},
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_message_of_langchains_is_refused(message: Any) -> None:
    with pytest.raises(MessageEncodeError, match=type(message).__name__):
        CODEC.encode(message)


# What code did to a message after LangChain had validated it


def test_tool_calls_that_were_removed_stay_removed() -> None:
    """As a human in the loop does, who rejects them; LangChain derives them from the raw ones."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = AIMessage("x", additional_kwargs={"tool_calls": [call]})
    assert message.tool_calls
    rejected = message.model_copy(update={"tool_calls": []})
    assert_same(again(rejected), rejected)


def test_extras_of_an_assigned_tool_call_are_kept() -> None:
    call = {"type": "tool_call", "name": "f", "args": {}, "id": "1", "extras": {"signature": "Eq"}}
    message = changed(AIMessage("x"), tool_calls=[call])
    assert_same(again(message), message)


def test_an_assigned_tool_call_without_an_id_is_stored_or_refused_as_ours() -> None:
    message = changed(AIMessage("x"), tool_calls=[{"name": "f", "args": {"a": 1}}])
    try:
        stored = again(message)
    except MessageEncodeError:
        return
    assert isinstance(stored, AIMessage)
    (call,) = stored.tool_calls
    assert (call["name"], call["args"], call.get("id")) == ("f", {"a": 1}, None)


# What cannot be stored. Values of any class in open fields: test_open_fields.py


def test_an_integer_too_long_for_text_comes_back_or_is_refused_as_ours() -> None:
    """Python converts no more than 4,300 digits by default."""
    message = HumanMessage("x", additional_kwargs={"n": 10**5000})
    try:
        found = again(message)
    except MessageEncodeError:
        return
    assert_same(found, message)


@pytest.mark.parametrize(
    "bad",
    [
        HumanMessage("\ud800"),
        BaseMessage(content="x", type="strange"),
        "no message",
    ],
    ids=["surrogate", "unknown class", "string"],
)
@pytest.mark.parametrize("method", ["add_messages", "replace_messages"])
def test_nothing_of_a_batch_with_a_bad_message_is_stored(
    make_history: Any, method: str, bad: Any
) -> None:
    history = make_history()
    history.add_messages([HumanMessage("before")])
    with pytest.raises(MessageEncodeError):
        getattr(history, method)([HumanMessage("first"), bad, HumanMessage("last")])
    assert history.get_messages() == [HumanMessage("before")]


# What is stored can load nothing but messages


@pytest.mark.parametrize(
    "name",
    [
        "BaseMessage",
        "MoodyMessage",
        "Custom",
        "os.system",
        "builtins.eval",
        "langchain_core.messages.HumanMessage",
        "humanmessage",
        "HumanMessage ",
        "__class__",
        5,
        True,
        ["HumanMessage"],
        {"HumanMessage": 1},
    ],
    ids=repr,
)
def test_a_class_off_the_list_is_corrupt(
    standalone_connection: ValkeyConnection,
    raw_client_of: Callable[[ValkeyConnection], Any],
    prefix: str,
    name: object,
) -> None:
    history = ValkeyChatMessageHistory("s1", connection=standalone_connection, key_prefix=prefix)
    raw = raw_client_of(standalone_connection)
    elements = [
        json.dumps({"role": "user", "content": "fine"}),
        json.dumps({"role": "user", "content": "x", "lc": {"class": name}}),
    ]
    raw.rpush(history.key, elements)
    with pytest.raises(CorruptMessageError) as caught:
        history.messages  # noqa: B018
    assert (caught.value.key, caught.value.position) == (history.key, 1)
    assert raw.lrange(history.key, 0, -1) == [element.encode() for element in elements]


@pytest.mark.parametrize("lc", ["HumanMessage", 1, ["class"], True], ids=repr)
def test_an_lc_of_another_form_is_no_message(lc: object) -> None:
    element = load_element(json.dumps({"role": "user", "content": "x", "lc": lc}).encode())
    with pytest.raises((AttributeError, TypeError, ValueError, KeyError)):
        CODEC.decode(element)


@pytest.mark.parametrize(
    "tagged",
    [
        {"~": "object", "v": "os.system"},
        {"~": "Decimal", "v": "1"},
        {"~": "import", "v": "os"},
        {"~": "bytes", "v": 5},
        {"~": "datetime", "v": "yesterday"},
        {"~": "tuple", "v": None},
        {"~": "dict", "v": [1]},
        {"~": ["tuple"], "v": []},
        {"~": "set", "v": [[]]},
    ],
    ids=repr,
)
def test_a_tag_off_the_list_or_malformed_is_a_value_error(tagged: object) -> None:
    raw = json.dumps({"role": "user", "content": "x", "lc": {"additional_kwargs": {"a": tagged}}})
    with pytest.raises(ValueError, match=r"unknown tag|malformed|Invalid isoformat"):
        load_element(raw.encode())


def test_a_serialised_langchain_object_stays_a_dict() -> None:
    serialised = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "messages", "AIMessage"],
        "kwargs": {"content": "I was never said"},
    }
    element = {"role": "user", "content": [serialised], "lc": {"additional_kwargs": serialised}}
    found = CODEC.decode(load_element(json.dumps(element).encode()))
    assert_same(found, HumanMessage([serialised], additional_kwargs=serialised))


# Through the server


@settings(pure, max_examples=50, suppress_health_check=list(HealthCheck))
@given(messages=st.lists(any_message, min_size=1, max_size=5))
def test_any_batch_comes_back_equal_from_the_server(
    standalone_connection: ValkeyConnection, messages: list[BaseMessage]
) -> None:
    history = ValkeyChatMessageHistory(
        str(uuid.uuid4()), connection=standalone_connection, key_prefix="property:"
    )
    history.add_messages(messages)
    for found, expected in zip(history.messages, messages, strict=True):
        assert_same(found, expected)
    history.clear()


def test_a_hit_of_langchains_cache() -> None:
    """Its usage is made by LangChain, and would not pass LangChain's own validation."""
    for message in (AIMessage("Hi", id="1"), AIMessageChunk(content="Hi")):
        message = message.model_copy(update={"usage_metadata": {"total_cost": 0}})
        assert_same(again(message), message)
