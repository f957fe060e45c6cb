"""Summaries in LlamaIndex: its chat store, and the block of ``Memory``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.memory import ChatMemoryBuffer, Memory

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore, ValkeySummaryBlock
from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory import ConfigurationError, InvalidArgumentError, Summary, ValkeyConnection
from valkey_memory._conversations.summaries import HEADING
from valkey_memory.adapters import ConversationStore

from ..memory.scripted import ScriptedModel, shown


def turns(first: int, number: int) -> list[ChatMessage]:
    return [
        ChatMessage(role=role, content=f"{role[0]}{n}")
        for n in range(first, first + number)
        for role in ("user", "assistant")
    ]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_chat_store_with_a_summary(
    connection: ValkeyConnection, prefix: str, is_async: bool
) -> None:
    summary = Summary(MockLLM(max_tokens=3), keep_last=2, when_over=4, max_tokens=100)
    store = ValkeyChatStore(connection=connection, key_prefix=prefix, summary=summary)
    for message in turns(0, 3):
        if is_async:
            asyncio.run(store.async_add_message("s", message))
        else:
            store.add_message("s", message)
    found = asyncio.run(store.aget_messages("s")) if is_async else store.get_messages("s")
    assert found[0].role.value == "system"
    assert str(found[0].content).startswith(HEADING)
    assert found[1:] == turns(2, 1)
    store.set_messages("s", found)
    assert store.get_messages("s") == found
    assert store.delete_messages("s") == turns(2, 1)
    assert store.get_messages("s") == []


def test_in_a_chat_engine(connection: ValkeyConnection, prefix: str) -> None:
    model = ScriptedModel()
    store = ValkeyChatStore(
        connection=connection,
        key_prefix=prefix,
        summary=Summary(model, keep_last=2, when_over=4),
    )
    memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="s", token_limit=900)
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
    for number in range(4):
        engine.chat(f"question {number}")
    found = memory.get()
    assert found[0].content == f"{HEADING}summary {len(model.prompts)}"
    assert found[1].role.value == "user"
    assert shown(model.prompts[0])[1][0] == "user: question 0"
    old = ConversationStore(LlamaIndexCodec(), connection=connection, key_prefix=prefix)
    assert len(old.archived("s")) + len(found) - 1 == 8


def test_a_store_with_a_summary_is_not_written_down(url: str) -> None:
    store = ValkeyChatStore(url=url, summary=Summary(ScriptedModel()))
    with pytest.raises(ConfigurationError, match="summary"):
        store.to_dict()
    with pytest.raises(ConfigurationError, match="ValkeySummaryBlock"):
        ValkeyDBChatStore(url=url, summary=Summary(ScriptedModel()))


def memory_of(
    connection: ValkeyConnection, prefix: str, model: Any, session_id: str = "s"
) -> Memory:
    block = ValkeySummaryBlock(model, connection=connection, key_prefix=f"{prefix}summary:", ttl=60)
    return Memory.from_defaults(
        session_id=session_id,
        chat_store=ValkeyDBChatStore(connection=connection, key_prefix=prefix),
        memory_blocks=[block],
        token_limit=30,
        token_flush_size=4,
    )


def test_the_block_of_memory(connection: ValkeyConnection, prefix: str) -> None:
    model = ScriptedModel()
    memory = memory_of(connection, prefix, model)
    for message in turns(0, 20):
        memory.put(message)
    assert model.prompts
    text = str(memory.get()[0].content)
    assert f"summary {len(model.prompts)}" in text
    assert shown(model.prompts[-1])[0] == f"summary {len(model.prompts) - 1}"
    said = [line for prompt in model.prompts for line in shown(prompt)[1]]
    flushed = asyncio.run(memory.sql_store.get_messages("s", status=None))
    assert said == [f"{m.role.value}: {m.content}" for m in flushed[: len(said)]]
    active = asyncio.run(memory.sql_store.get_messages("s"))
    assert len(said) + len(active) == 40
    # Another process goes on, and another session knows nothing of it.
    assert text == memory_of(connection, prefix, model).get()[0].content
    assert "summary" not in str(memory_of(connection, prefix, model, "other").get())


def test_the_block_of_a_model_that_fails_forgets_nothing(
    connection: ValkeyConnection, prefix: str
) -> None:
    model = ScriptedModel(ZeroDivisionError("no"))
    block = ValkeySummaryBlock(model, connection=connection, key_prefix=prefix)

    async def main() -> None:
        assert await block.aget(session_id="s") == ""
        await block.aput(turns(0, 1), session_id="s")
        assert await block.aget(session_id="s") == "Since then:\nuser: u0\nassistant: a0"
        call = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"q": 1})
        await block.aput(
            [turns(1, 1)[0], ChatMessage(role="assistant", blocks=[call])], session_id="s"
        )
        assert str(await block.aget(session_id="s")).endswith('assistant: [calls f with {"q":1}]')
        await block._store.adelete_last("s")
        await block._store.adelete_last("s")
        model.answer = "at last"
        await block._store.asummarize_now("s")
        assert await block.aget(session_id="s") == "at last"
        await block.aput(turns(1, 1), from_short_term_memory=True, session_id="s")
        assert shown(model.prompts[-1])[0] == "at last"
        assert await block.adelete("s")
        assert await block.aget(session_id="s") == ""

    asyncio.run(main())


def test_the_block_needs_a_session(connection: ValkeyConnection, prefix: str) -> None:
    block = ValkeySummaryBlock(ScriptedModel(), connection=connection, key_prefix=prefix)
    for call in (block.aput(turns(0, 1)), block.aget()):
        with pytest.raises(InvalidArgumentError, match="session_id="):
            asyncio.run(call)
    message = ChatMessage(role="user", content="x", additional_kwargs={"session_id": "s"})
    asyncio.run(block.aput([message]))
    assert asyncio.run(block.aget(session_id="s")) == "Since then:\nuser: x"


def test_the_block_is_truncated_at_its_end(url: str) -> None:
    block = ValkeySummaryBlock(ScriptedModel(), url=url)
    assert asyncio.run(block.atruncate("0123456789", 2)) == "01"
    assert asyncio.run(block.atruncate("0123456789", 3)) is None
