"""Windows of LlamaIndex's chat stores: what of them a model accepts, by LlamaIndex's counter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.utilities.token_counting import TokenCounter

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory import InvalidArgumentError, ValkeyConnection

from ..conversations.order import refusal


def says(role: str, text: str, **kwargs: Any) -> ChatMessage:
    return ChatMessage(role=role, content=text, additional_kwargs=kwargs)


def calls(*ids: str) -> ChatMessage:
    blocks = [ToolCallBlock(tool_call_id=one, tool_name="f", tool_kwargs={}) for one in ids]
    return ChatMessage(role="assistant", blocks=[TextBlock(text="let me see"), *blocks])


CONVERSATION = [
    says("system", "be brief"),
    says("user", "first one"),
    says("assistant", "one"),
    says("user", "second one"),
    calls("a", "b"),
    says("tool", "r r r", tool_call_id="a"),
    says("tool", "r r r", tool_call_id="b"),
    says("assistant", "two"),
    says("user", "third one"),
    says("chatbot", "three"),
]
STARTS = (0, 3, 8)
count = TokenCounter(tokenizer=str.split).estimate_tokens_in_messages


@pytest.fixture(params=["sync", "async", "db"])
def get(request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str) -> Any:
    """``get_messages`` of the conversation, of each store."""
    store = ValkeyChatStore(connection=connection, key_prefix=prefix)
    store.set_messages("s", CONVERSATION)
    db = ValkeyDBChatStore(connection=connection, key_prefix=prefix)
    if request.param == "sync":
        return lambda **options: store.get_messages("s", **options)
    if request.param == "async":
        return lambda **options: asyncio.run(store.aget_messages("s", **options))
    return lambda **options: asyncio.run(db.get_messages("s", **options))


def test_windows(get: Any) -> None:
    for start in STARTS:
        window = CONVERSATION[start:]
        assert get(max_tokens=count(window), count_tokens=count) == window
        assert get(last=len(window), whole_turns=True) == window
        assert refusal([LlamaIndexCodec().encode(message) for message in window]) is None
    assert get(max_tokens=count(CONVERSATION) - 1, count_tokens=count) == CONVERSATION[3:]
    assert get(max_tokens=10**6) == CONVERSATION
    assert get(max_tokens=1) == CONVERSATION[8:]
    assert get(last=4) == CONVERSATION[-4:]
    assert get(last=4, whole_turns=True) == CONVERSATION[8:]
    assert get() == CONVERSATION


def test_a_cut_turn(connection: ValkeyConnection, prefix: str) -> None:
    store = ValkeyChatStore(connection=connection, key_prefix=prefix)
    store.set_messages("s", CONVERSATION[:8])
    found = store.get_messages("s", 2, whole_turns=True, when_too_large="cut")
    assert found == [CONVERSATION[3], CONVERSATION[7]]


def test_nonsense_is_named(get: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="count_tokens must return"):
        get(max_tokens=10, count_tokens=lambda messages: float("nan"))
    with pytest.raises(InvalidArgumentError, match="max_tokens"):
        get(max_tokens=0)


@pytest.mark.parametrize(
    "beside",
    [
        {"limit": 3},
        {"offset": 0},
        {"status": None},
        {"status": MessageStatus.ARCHIVED},
    ],
)
@pytest.mark.parametrize("window", [{"max_tokens": 9}, {"last": 3}, {"when_too_large": "cut"}])
async def test_windows_are_of_active_messages_and_no_pages(
    beside: dict[str, Any], window: dict[str, Any]
) -> None:
    store = ValkeyDBChatStore(url="valkey://192.0.2.1:1")
    with pytest.raises(InvalidArgumentError, match="options of a window"):
        await store.get_messages("s", **beside, **window)


def test_a_buffer_over_a_store_of_whole_turns_begins_with_one(
    connection: ValkeyConnection, prefix: str
) -> None:
    store = ValkeyChatStore(
        connection=connection, key_prefix=prefix, max_messages=4, whole_turns=True
    )
    memory = ChatMemoryBuffer.from_defaults(
        chat_store=store, chat_store_key="s", token_limit=1000, tokenizer_fn=str.split
    )
    for message in CONVERSATION:
        memory.put(message)
        assert memory.get()[0].role in ("system", "user")
    assert memory.get() == CONVERSATION[8:]


async def test_an_async_store_keeps_whole_turns(connection: ValkeyConnection, prefix: str) -> None:
    store = ValkeyDBChatStore(
        connection=connection, key_prefix=prefix, max_messages=4, whole_turns=True
    )
    await store.add_messages("s", CONVERSATION)
    assert await store.get_messages("s") == CONVERSATION[8:]
    await store.set_messages("s", CONVERSATION[:8])
    assert await store.get_messages("s") == CONVERSATION[3:8]
