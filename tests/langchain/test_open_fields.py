"""Any value in the open fields of a message is stored; only what others must read is refused."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import create_retriever_tool

from langchain_valkey_glide import ValkeyChatMessageHistory, ValkeyVectorStore
from langchain_valkey_glide._codec import LangChainCodec
from valkey_memory import EmbeddedValkey, MessageEncodeError, MessageStore, ValkeyConnection
from valkey_memory._messages.elements import dump_element, load_element

from ..messages.test_objects import AS_TEXT, OPEN, Custom, objects
from ..messages.test_values import typed
from .test_codec import changed

CODEC = LangChainCodec()


def again(message: BaseMessage) -> Any:
    return CODEC.decode(load_element(dump_element(CODEC.encode(message), ts=1)))


PLACES: dict[str, tuple[Callable[[Any], BaseMessage], Callable[[Any], Any]]] = {
    "additional_kwargs": (
        lambda value: HumanMessage("x", additional_kwargs={"a": [1, {"b": value}]}),
        lambda found: found.additional_kwargs["a"][1]["b"],
    ),
    "response_metadata": (
        lambda value: AIMessage("x", response_metadata={"a": (1, value)}),
        lambda found: found.response_metadata["a"][1],
    ),
    "artifact": (
        lambda value: ToolMessage("x", tool_call_id="1", artifact=value),
        lambda found: found.artifact,
    ),
    "extra attribute": (lambda value: HumanMessage("x", mood=[value]), lambda found: found.mood[0]),
    "tool call": (
        lambda value: AIMessage("", tool_calls=[{"name": "f", "args": {"a": value}, "id": "1"}]),
        lambda found: found.tool_calls[0]["args"]["a"],
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
def test_what_has_no_plain_form_comes_back_as_text(
    place: str, value: Any, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, read = PLACES[place]
    found = read(again(make(value)))
    (text,) = found if isinstance(found, dict) else [found]
    assert text.startswith(expected)
    assert "is stored as text" in caplog.text


@places
@settings(deadline=None, max_examples=50)
@given(value=objects)
def test_any_value_is_stored_and_can_be_read(place: str, value: Any) -> None:
    make, read = PLACES[place]
    once = again(make(value))
    read(once)
    again(once)


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@places
@pytest.mark.parametrize("depth", [200, 300, 5000])
def test_a_value_nested_too_deep_is_cut(place: str, depth: int) -> None:
    make, read = PLACES[place]
    found = read(again(make(_nested(depth))))
    assert type(found) is list
    assert found != []


def test_a_value_that_contains_itself_is_cut() -> None:
    cycle: dict[str, Any] = {"a": 1}
    cycle["itself"] = cycle
    found = again(changed(HumanMessage("x"), additional_kwargs=cycle)).additional_kwargs
    assert found["a"] == 1
    assert "..." in str(found["itself"])


@places
def test_the_message_stays_as_it_was(place: str) -> None:
    message = PLACES[place][0]({"hits": (Document("x"), np.zeros(2), Custom)})
    before = repr(message)
    again(message)
    assert repr(message) == before


def test_an_object_in_a_content_block_comes_back_in_its_plain_form() -> None:
    block = {"type": "x", "data": (np.int64(1), Document("x", id="d"))}
    (found,) = again(HumanMessage([block])).content
    plain = {"id": "d", "metadata": {}, "page_content": "x", "type": "Document"}
    assert found == {"type": "x", "data": (1, plain)}


# What others must read has to be valid Unicode

SURROGATE = "caf\udce9"
SURROGATES: dict[str, tuple[BaseMessage, str]] = {
    "content text": (HumanMessage(SURROGATE), "content"),
    "content block": (HumanMessage(["x", {"type": "text", "text": SURROGATE}]), "content"),
    "name": (HumanMessage("x", name=SURROGATE), "name"),
    "id": (HumanMessage("x", id=SURROGATE), "id"),
    "tool_call_id": (ToolMessage("x", tool_call_id=SURROGATE), "tool_call_id"),
    "role": (ChatMessage(content="x", role=SURROGATE), "role"),
    "tool name": (AIMessage("", tool_calls=[{"name": SURROGATE, "args": {}, "id": "1"}]), "name"),
}


@pytest.mark.parametrize("place", SURROGATES)
def test_a_lone_surrogate_in_the_neutral_part_is_named_with_its_path(place: str) -> None:
    message, field = SURROGATES[place]
    with pytest.raises(MessageEncodeError, match=rf"(?<!\w){field}(?!\w)"):
        dump_element(CODEC.encode(message), ts=1)


@pytest.mark.parametrize("depth", [300, 5000])
def test_a_content_nested_too_deep_is_refused(depth: int) -> None:
    message = HumanMessage([{"type": "x", "data": _nested(depth)}])
    with pytest.raises(MessageEncodeError):
        dump_element(CODEC.encode(message), ts=1)


@pytest.mark.parametrize(
    "message",
    [
        changed(HumanMessage("x"), content=5),
        changed(HumanMessage("x"), content=None),
        changed(HumanMessage("x"), content={"type": "text"}),
        changed(AIMessage("x"), tool_calls=[{"args": {}}]),
        changed(AIMessage("x"), tool_calls=5),
        changed(AIMessage("x"), tool_calls=["search"]),
        changed(HumanMessage("x"), name=object()),
    ],
    ids=["number", "None", "dict", "nameless call", "calls", "text as call", "name"],
)
def test_a_message_of_another_form_is_refused_by_our_own_error(message: BaseMessage) -> None:
    with pytest.raises(MessageEncodeError):
        dump_element(CODEC.encode(message), ts=1)


# The turn that LangChain would lose


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_the_turn_of_our_own_retriever_as_a_tool_is_stored(
    server: EmbeddedValkey, prefix: str, mode: str
) -> None:
    """Its artifact is a list of Documents."""
    store = ValkeyVectorStore(
        DeterministicFakeEmbedding(size=4),
        re.sub(r"\W", "", f"hits{prefix}{mode}"),
        url=server.url,
        search="exact",
    )
    store.add_documents([Document("Cats sleep.", metadata={"page": 3}, id="d1")])
    tool = create_retriever_tool(
        store.as_retriever(), "search", "Search.", response_format="content_and_artifact"
    )
    call = {"name": "search", "args": {"query": "cats"}, "id": "call_1", "type": "tool_call"}

    def turn(messages: list[BaseMessage]) -> list[BaseMessage]:
        return [AIMessage("", tool_calls=[call]), tool.invoke(call), AIMessage("They sleep.")]

    def history_of(session_id: str) -> ValkeyChatMessageHistory:
        return ValkeyChatMessageHistory(session_id, url=server.url, key_prefix=prefix)

    chain = RunnableWithMessageHistory(RunnableLambda(turn), history_of)
    config: Any = {"configurable": {"session_id": "s1"}}
    if mode == "sync":
        chain.invoke([HumanMessage("Do cats sleep?")], config)
    else:
        asyncio.run(chain.ainvoke([HumanMessage("Do cats sleep?")], config))
    found = history_of("s1").messages
    assert [message.type for message in found] == ["human", "ai", "tool", "ai"]
    assert isinstance(found[2], ToolMessage)
    (document,) = found[2].artifact
    assert document["page_content"] == "Cats sleep."
    assert document["metadata"] == {"page": 3}
    assert MessageStore(url=server.url, key_prefix=prefix).messages("s1")[2]["role"] == "tool"


# Errors of saving are logged, because LangChain swallows them

SAVE: dict[str, Callable[[Any, list[BaseMessage]], Any]] = {
    "add_message": lambda history, messages: history.add_message(messages[-1]),
    "add_messages": lambda history, messages: history.add_messages(messages),
    "aadd_messages": lambda history, messages: asyncio.run(history.aadd_messages(messages)),
    "replace_messages": lambda history, messages: history.replace_messages(messages),
    "areplace_messages": lambda history, messages: asyncio.run(history.areplace_messages(messages)),
    "assignment": lambda history, messages: setattr(history, "messages", messages),
}


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_an_error_of_saving_is_logged_and_raised(
    connection: ValkeyConnection,
    prefix: str,
    save: Callable[[Any, list[BaseMessage]], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    history = ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix)
    with caplog.at_level(logging.ERROR, "valkey_memory"), pytest.raises(MessageEncodeError):
        save(history, [HumanMessage("fine"), HumanMessage(SURROGATE)])
    (record,) = [one for one in caplog.records if one.name == "valkey_memory"]
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("messages of 's1' were not saved: MessageEncodeError: ")
    assert history.messages == []


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_a_turn_that_langchain_swallows_is_in_the_log(
    connection: ValkeyConnection, prefix: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As docs/troubleshooting.md says."""

    def answer_badly(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(SURROGATE)

    chain = RunnableWithMessageHistory(
        RunnableLambda(answer_badly),
        lambda session_id: ValkeyChatMessageHistory(
            session_id, connection=connection, key_prefix=prefix
        ),
    )
    config: Any = {"configurable": {"session_id": "s1"}}
    turn = [HumanMessage("Hi")]
    with caplog.at_level(logging.ERROR, "valkey_memory"):
        if mode == "sync":
            answer = chain.invoke(turn, config)
        else:
            answer = asyncio.run(chain.ainvoke(turn, config))
    assert answer.content == SURROGATE  # as if nothing had happened
    ours = [one.getMessage() for one in caplog.records if one.name == "valkey_memory"]
    assert [text.partition(" were ")[0] for text in ours] == ["messages of 's1'"]
    history = ValkeyChatMessageHistory("s1", connection=connection, key_prefix=prefix)
    assert history.messages == []
