"""Any value in the open fields of a message is stored and read; none costs a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from llama_index.core.base.llms.types import (
    ChatMessage,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.schema import NodeWithScore, TextNode

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory import MessageStore, ValkeyConnection
from valkey_memory._messages.elements import dump_element, load_element

from ..messages.test_objects import AS_TEXT, OPEN, objects
from ..messages.test_values import typed

CODEC = LlamaIndexCodec()
SURROGATE = "caf\udce9"


def again(message: ChatMessage) -> ChatMessage:
    return CODEC.decode(load_element(dump_element(CODEC.encode(message), ts=1)))


def _tool(value: Any) -> ChatMessage:
    call = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs={"a": value})
    return ChatMessage(role="assistant", blocks=[TextBlock(text="x"), call])


PLACES: dict[str, tuple[Callable[[Any], ChatMessage], Callable[[Any], Any]]] = {
    "additional_kwargs": (
        lambda value: ChatMessage("x", additional_kwargs={"a": [1, (value,)]}),
        lambda found: found.additional_kwargs["a"][1][0],
    ),
    "a name in additional_kwargs": (
        lambda value: ChatMessage("x", additional_kwargs={"tool_calls": {"a": value}}),
        lambda found: found.additional_kwargs["tool_calls"]["a"],
    ),
    "tool_kwargs": (_tool, lambda found: found.blocks[1].tool_kwargs["a"]),
    "additional_information": (
        lambda value: ChatMessage(
            blocks=[ThinkingBlock(content="x", additional_information={"a": value})]
        ),
        lambda found: found.blocks[0].additional_information["a"],
    ),
}
places = pytest.mark.parametrize("place", PLACES)


@places
@pytest.mark.parametrize(("value", "expected"), OPEN.values(), ids=OPEN)
def test_an_object_comes_back_in_its_plain_form(place: str, value: Any, expected: Any) -> None:
    make, read = PLACES[place]
    assert typed(read(again(make(value)))) == typed(expected)


@places
@pytest.mark.parametrize(("value", "expected"), AS_TEXT.values(), ids=AS_TEXT)
def test_what_has_no_plain_form_comes_back_as_text(place: str, value: Any, expected: str) -> None:
    make, read = PLACES[place]
    found = read(again(make(value)))
    (text,) = found if isinstance(found, dict) else [found]
    assert text.startswith(expected)


@places
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(value=objects)
def test_any_value_is_stored_and_can_be_read(place: str, value: Any) -> None:
    make, read = PLACES[place]
    once = again(make(value))
    read(once)
    again(once)


@places
@pytest.mark.parametrize("depth", [200, 300, 5000])
def test_a_value_nested_too_deep_is_cut(place: str, depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    make, read = PLACES[place]
    found = read(again(make(value)))
    assert type(found) is list
    assert found != []


@pytest.mark.parametrize(
    "kwargs",
    [
        {"name": SURROGATE},
        {"tool_call_id": SURROGATE},
        {"tool_calls": [{"id": "1", "function": {"name": SURROGATE, "arguments": "{}"}}]},
        {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": SURROGATE}}]},
        {"tool_calls": [{"id": SURROGATE, "function": {"name": "f", "arguments": "{}"}}]},
        {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}, SURROGATE: 1}]},
        {SURROGATE: SURROGATE},
        {"name": 5, "tool_call_id": object},
    ],
    ids=ascii,
)
def test_no_value_under_a_known_name_costs_the_turn(kwargs: dict[str, Any]) -> None:
    found = again(ChatMessage("x", additional_kwargs=kwargs))
    assert found.content == "x"
    assert found.additional_kwargs.keys() == kwargs.keys()
    if object not in kwargs.values():
        assert found.additional_kwargs == kwargs


def test_arguments_in_a_string_with_a_lone_surrogate_have_the_escape_of_json() -> None:
    call = ToolCallBlock(tool_name="f", tool_kwargs='{"a": "caf\udce9"}')
    (found,) = again(ChatMessage(role="assistant", blocks=[call])).blocks
    assert isinstance(found, ToolCallBlock)
    assert found.tool_kwargs == '{"a": "caf\\udce9"}'


HITS = {"sources": (NodeWithScore(node=TextNode(text="Cats sleep.", id_="n1"), score=0.5),)}


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_buffer_keeps_the_turn_of_an_engine_with_its_sources(
    connection: ValkeyConnection, prefix: str, face: str
) -> None:
    store = ValkeyChatStore(connection=connection, key_prefix=prefix)
    memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="s")
    answer = ChatMessage("They sleep.", role="assistant", additional_kwargs=HITS)
    if face == "sync":
        memory.put(answer)
        (found,) = memory.get()
    else:
        asyncio.run(memory.aput(answer))
        (found,) = asyncio.run(memory.aget())
    assert found.content == "They sleep."
    (source,) = found.additional_kwargs["sources"]
    assert (source["node"]["text"], source["score"]) == ("Cats sleep.", 0.5)
    plain = MessageStore(connection=connection, key_prefix=prefix)
    assert plain.messages("s") == [{"role": "assistant", "content": "They sleep."}]


def test_a_memory_keeps_the_turn_of_an_engine_with_its_sources(
    connection: ValkeyConnection, prefix: str
) -> None:
    store = ValkeyDBChatStore(connection=connection, key_prefix=prefix)
    memory = Memory.from_defaults(session_id="s", chat_store=store)
    memory.put(ChatMessage("They sleep.", role="assistant", additional_kwargs=HITS))
    memory.put(_tool({1, 2}))
    assert [message.role.value for message in asyncio.run(store.get_messages("s"))] == [
        "assistant",
        "assistant",
    ]
