"""LlamaIndex's memories over our stores, called from every kind of event loop situation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import (
    BaseMemoryBlock,
    ChatMemoryBuffer,
    ChatSummaryMemoryBuffer,
    Memory,
    SimpleComposableMemory,
)
from llama_index.core.storage.chat_store.base_db import MessageStatus
from pydantic import PrivateAttr

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import EventLoopError, MessageStore, ValkeyConnection
from valkey_memory._server.clients import load

from .behind import bare
from .messages import calling, said, texts_of
from .scripted import ScriptedLLM

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED

TOOL_TURN = [
    *said("What is 2 + 3?"),
    calling("add", "c1", a=2, b=3),
    ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": "c1"}),
    ChatMessage(role="assistant", content="Five."),
]


@pytest.fixture
def chat_store(url: str, prefix: str) -> ValkeyChatStore:
    return ValkeyChatStore(url=url, key_prefix=prefix)


@pytest.fixture
def db_store(url: str, prefix: str) -> ValkeyDBChatStore:
    return ValkeyDBChatStore(url=url, key_prefix=prefix)


def turns(count: int) -> list[ChatMessage]:
    """Turns of two messages, five words each."""
    return [
        ChatMessage(role=role, content=f"{role} says words in {turn}")
        for turn in range(count)
        for role in ("user", "assistant")
    ]


# ChatMemoryBuffer


def buffer(store: ValkeyChatStore, token_limit: int = 1000) -> ChatMemoryBuffer:
    return ChatMemoryBuffer.from_defaults(
        chat_store=store, chat_store_key="s", token_limit=token_limit, tokenizer_fn=str.split
    )


def test_a_buffer_keeps_the_conversation_and_another_goes_on(
    chat_store: ValkeyChatStore, url: str, prefix: str
) -> None:
    buffer(chat_store).put_messages(TOOL_TURN)
    second = buffer(ValkeyChatStore(url=url, key_prefix=prefix))
    assert second.get() == second.get_all() == TOOL_TURN
    second.put(said("And 4?")[0])
    assert buffer(chat_store).get() == [*TOOL_TURN, *said("And 4?")]


async def test_a_buffer_through_its_async_methods(
    chat_store: ValkeyChatStore, url: str, prefix: str
) -> None:
    memory = buffer(chat_store)
    await memory.aput(TOOL_TURN[0])
    await memory.aput_messages(TOOL_TURN[1:])
    assert await memory.aget() == await memory.aget_all() == TOOL_TURN
    await memory.aset(said("a"))
    assert bare(url, prefix, "s") == [{"role": "user", "content": "a"}]
    await memory.areset()
    assert await memory.aget() == []


def test_a_buffer_reads_what_fits_and_keeps_the_rest_stored(chat_store: ValkeyChatStore) -> None:
    memory = buffer(chat_store, token_limit=20)
    memory.set(turns(5))
    assert memory.get() == turns(5)[-4:]
    assert memory.get_all() == turns(5)


def test_a_window_may_begin_in_the_middle_of_a_turn(
    chat_store: ValkeyChatStore, url: str, prefix: str
) -> None:
    """As docs/concepts/ttl-and-windows.md says; where the buffer cuts, a turn begins."""
    narrow = ValkeyChatStore(url=url, key_prefix=prefix, max_messages=4)
    for message in [*TOOL_TURN, *turns(1)]:
        buffer(narrow).put(message)
    roles = [message.role.value for message in buffer(narrow).get()]
    assert roles == ["tool", "assistant", "user", "assistant"]
    chat_store.set_messages("s", [*TOOL_TURN, *turns(1)])
    roles = [message.role.value for message in buffer(chat_store, token_limit=12).get()]
    assert roles == ["user", "assistant"]


def test_a_buffer_made_with_a_history_stores_it(chat_store: ValkeyChatStore) -> None:
    memory = ChatMemoryBuffer.from_defaults(
        chat_history=turns(2), chat_store=chat_store, chat_store_key="s"
    )
    assert memory.get() == chat_store.get_messages("s") == turns(2)
    memory.reset()
    assert chat_store.get_keys() == []


# ChatSummaryMemoryBuffer


def summary_buffer(store: ValkeyChatStore, *summaries: str) -> ChatSummaryMemoryBuffer:
    return ChatSummaryMemoryBuffer.from_defaults(
        llm=ScriptedLLM(*summaries),
        chat_store=store,
        chat_store_key="s",
        token_limit=12,
        tokenizer_fn=str.split,
    )


def test_a_summary_replaces_the_oldest_messages(
    chat_store: ValkeyChatStore, url: str, prefix: str
) -> None:
    memory = summary_buffer(chat_store, "They counted.")
    memory.put_messages(turns(3))
    summarised = [ChatMessage(role="system", content="They counted."), *turns(3)[-2:]]
    assert memory.get() == summarised
    assert chat_store.get_messages("s") == summarised
    assert bare(url, prefix, "s")[0] == {"role": "system", "content": "They counted."}


def test_another_summary_buffer_goes_on_from_the_summary(chat_store: ValkeyChatStore) -> None:
    first = summary_buffer(chat_store, "They counted.")
    first.put_messages(turns(3))
    first.get()
    second = summary_buffer(chat_store, "They counted more.")
    second.put_messages(turns(1))
    assert texts_of(second.get())[0] == "They counted more."
    (prompt,) = second.llm.heard  # type: ignore[union-attr]
    assert "They counted." in str(prompt[-1].content)


def test_a_summary_buffer_is_written_down_and_goes_on(chat_store: ValkeyChatStore) -> None:
    memory = summary_buffer(chat_store)
    memory.put_messages(turns(1))
    again = ChatSummaryMemoryBuffer.from_string(memory.to_string(), llm=ScriptedLLM())
    assert again.get() == turns(1)


# SimpleComposableMemory


def test_a_composed_memory_adds_what_the_second_store_holds(
    url: str, prefix: str, chat_store: ValkeyChatStore
) -> None:
    notes = ValkeyChatStore(url=url, key_prefix=f"notes-{prefix}")
    notes.add_message("s", ChatMessage(role="user", content="Alice likes tea"))
    memory = SimpleComposableMemory.from_defaults(
        primary_memory=buffer(chat_store), secondary_memory_sources=[buffer(notes)]
    )
    memory.put(said("Hello")[0])
    system, hello = memory.get("Hello")
    assert "Alice likes tea" in str(system.content)
    assert hello == said("Hello")[0]
    assert chat_store.get_messages("s") == said("Hello")
    assert texts_of(notes.get_messages("s")) == ["Alice likes tea", "Hello"]
    memory.reset()
    assert chat_store.get_keys() == notes.get_keys() == []


async def test_a_composed_memory_through_its_async_methods(
    url: str, prefix: str, chat_store: ValkeyChatStore
) -> None:
    notes = ValkeyChatStore(url=url, key_prefix=f"notes-{prefix}")
    memory = SimpleComposableMemory.from_defaults(
        primary_memory=buffer(chat_store), secondary_memory_sources=[buffer(notes)]
    )
    await memory.aput(said("Hello")[0])
    assert await memory.aget() == await memory.aget_all() == said("Hello")
    assert await notes.aget_messages("s") == said("Hello")


# Memory


class Notebook(BaseMemoryBlock[str]):
    """A memory block that keeps what is flushed into it, as LlamaIndex's own blocks do."""

    name: str = "notebook"
    _noted: list[ChatMessage] = PrivateAttr(default_factory=list)

    @property
    def noted(self) -> list[ChatMessage]:
        return self._noted

    async def _aput(self, messages: list[ChatMessage]) -> None:
        self._noted.extend(messages)

    async def _aget(self, messages: list[ChatMessage] | None = None, **kwargs: Any) -> str:
        return " / ".join(str(message.content) for message in self._noted)


def memory_over(store: ValkeyDBChatStore, **options: Any) -> Memory:
    defaults: dict[str, Any] = {"session_id": "s", "tokenizer_fn": str.split}
    return Memory.from_defaults(chat_store=store, **(defaults | options))


def tiny(store: ValkeyDBChatStore, *blocks: BaseMemoryBlock[Any]) -> Memory:
    """A memory that flushes beyond 20 words, 10 at a time."""
    return memory_over(
        store,
        token_limit=40,
        chat_history_token_ratio=0.5,
        token_flush_size=10,
        memory_blocks=list(blocks),
    )


async def test_memory_keeps_the_conversation_and_another_goes_on(
    db_store: ValkeyDBChatStore, url: str, prefix: str
) -> None:
    memory = memory_over(db_store)
    await memory.aput(TOOL_TURN[0])
    await memory.aput_messages(TOOL_TURN[1:])
    second = memory_over(ValkeyDBChatStore(url=url, key_prefix=prefix))
    assert await second.aget() == await second.aget_all() == TOOL_TURN
    await second.aput(said("And 4?")[0])
    assert await memory.aget() == [*TOOL_TURN, *said("And 4?")]
    await memory.areset()
    assert await second.aget_all() == []


async def test_memory_archives_beyond_its_token_limit(db_store: ValkeyDBChatStore) -> None:
    memory = tiny(db_store)
    for message in turns(5):
        await memory.aput(message)
    active = await memory.aget_all(ACTIVE)
    archived = await memory.aget_all(ARCHIVED)
    assert archived + active == await memory.aget_all() == turns(5)
    assert active[0].role == "user"
    assert 0 < sum(len(str(message.content).split()) for message in active) <= 20
    assert await memory.aget() == active


async def test_memory_flushes_to_a_block_exactly_what_it_archives(
    db_store: ValkeyDBChatStore,
) -> None:
    notebook = Notebook()
    memory = tiny(db_store, notebook)
    await memory.aput_messages(turns(5))
    archived = await memory.aget_all(ARCHIVED)
    assert archived
    assert texts_of(notebook.noted) == texts_of(archived)
    # The block marked its copies; what is stored is what was said.
    assert {message.additional_kwargs["session_id"] for message in notebook.noted} == {"s"}
    assert await memory.aget_all() == turns(5)
    system, *active = await memory.aget()
    assert system.role == "system"
    assert str(archived[0].content) in str(system.content)
    assert active == await memory.aget_all(ACTIVE)


async def test_flushing_does_not_part_a_tool_call_from_its_result(
    db_store: ValkeyDBChatStore,
) -> None:
    memory = tiny(db_store)
    conversation = [*turns(1), *TOOL_TURN, *turns(1), *TOOL_TURN, *turns(1)]
    for message in conversation:
        await memory.aput(message)
    active = await memory.aget_all(ACTIVE)
    assert await memory.aget_all() == conversation
    assert len(active) < len(conversation)
    assert active[0].role == "user"


async def test_two_memories_of_one_session_lose_nothing(db_store: ValkeyDBChatStore) -> None:
    first, second = memory_over(db_store), memory_over(db_store)
    texts = [f"message {number}" for number in range(40)]
    await asyncio.gather(
        *(
            memory.aput(message)
            for memory, message in zip([first, second] * 20, said(*texts), strict=True)
        )
    )
    assert sorted(str(text) for text in texts_of(await first.aget_all())) == sorted(texts)


def test_memory_made_with_a_history_stores_it(db_store: ValkeyDBChatStore) -> None:
    memory = memory_over(db_store, chat_history=TOOL_TURN)
    assert memory.get() == TOOL_TURN


# The sync methods of Memory run the store's coroutines in loops that come and go


def sync_life(memory: Memory) -> None:
    """Every sync method of ``Memory``, with its outcome."""
    memory.reset()
    memory.put(said("a")[0])
    memory.put_messages(said("b", "c"))
    assert texts_of(memory.get()) == ["a", "b", "c"]
    memory.set(said("d"))
    assert memory.get_all() == said("d")
    assert memory.get_all(ARCHIVED) == []
    memory.reset()
    assert memory.get_all() == []


def without_a_loop(work: Callable[[], None]) -> None:
    work()


def with_an_idle_loop(work: Callable[[], None]) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        work()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def inside_a_running_loop(work: Callable[[], None]) -> None:
    async def main() -> None:
        work()

    asyncio.run(main())


def in_another_thread(work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert failures == []


SITUATIONS = [without_a_loop, with_an_idle_loop, inside_a_running_loop, in_another_thread]
situations = pytest.mark.parametrize("situation", SITUATIONS, ids=lambda run: run.__name__)


@situations
def test_the_sync_methods_of_memory(
    db_store: ValkeyDBChatStore, situation: Callable[[Callable[[], None]], None]
) -> None:
    situation(lambda: sync_life(memory_over(db_store)))


def test_the_sync_methods_of_memory_in_every_situation_in_turn_on_one_store(
    db_store: ValkeyDBChatStore,
) -> None:
    memory = memory_over(db_store)
    for situation in SITUATIONS * 2:
        situation(lambda: sync_life(memory))
        asyncio.set_event_loop(None)


def test_three_asyncio_runs_in_a_row_on_one_store(db_store: ValkeyDBChatStore) -> None:
    memory = memory_over(db_store)

    async def turn(number: int) -> list[ChatMessage]:
        await memory.aput(said(f"{number}")[0])
        return await memory.aget()

    seen = [asyncio.run(turn(number)) for number in range(3)]
    assert seen == [said("0"), said("0", "1"), said("0", "1", "2")]


@pytest.mark.timeout(60)
def test_twenty_nested_calls_inside_a_running_loop_do_not_hang(
    db_store: ValkeyDBChatStore,
) -> None:
    memory = memory_over(db_store)

    async def main() -> list[ChatMessage]:
        await memory.aput(said("first")[0])
        for number in range(20):
            memory.put(said(f"{number}")[0])
            assert len(memory.get()) == number + 2
        return await memory.aget()

    assert asyncio.run(main()) == said("first", *map(str, range(20)))


@pytest.mark.timeout(60)
def test_sync_calls_from_many_tasks_and_threads_at_once(db_store: ValkeyDBChatStore) -> None:
    memory = memory_over(db_store)

    async def main() -> None:
        await asyncio.gather(
            *(asyncio.to_thread(memory.put, message) for message in said(*"abcdefgh")),
            *(memory.aput(message) for message in said(*"ijklmnop")),
        )

    asyncio.run(main())
    assert sorted(map(str, texts_of(memory.get_all()))) == list("abcdefghijklmnop")


def test_a_summary_buffer_inside_a_running_loop(chat_store: ValkeyChatStore) -> None:
    memory = summary_buffer(chat_store, "They counted.")

    async def main() -> list[ChatMessage]:
        await memory.aput_messages(turns(3))
        return memory.get()

    assert texts_of(asyncio.run(main()))[0] == "They counted."


# A ready async client belongs to one loop; LlamaIndex's sync wrappers use others


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def over_a_ready_async_client(
    loop: asyncio.AbstractEventLoop, url: str, prefix: str
) -> tuple[Memory, Callable[[], Awaitable[None]]]:
    glide = load("glide")
    host, _, port = url.removeprefix("valkey://").partition(":")
    configuration = glide.GlideClientConfiguration([glide.NodeAddress(host, int(port))])
    # The store's own connection first: GLIDE's reader must not live in this loop.
    loop.run_until_complete(MessageStore(url=url).acount("s"))
    client = loop.run_until_complete(glide.GlideClient.create(configuration))
    connection = ValkeyConnection.from_clients(async_client=client)
    return memory_over(ValkeyDBChatStore(connection=connection, key_prefix=prefix)), client.close


def test_memory_over_a_ready_async_client_works_in_its_loop(
    loop: asyncio.AbstractEventLoop, url: str, prefix: str
) -> None:
    memory, close = over_a_ready_async_client(loop, url, prefix)
    loop.run_until_complete(memory.aput(said("a")[0]))
    assert loop.run_until_complete(memory.aget()) == said("a")
    loop.run_until_complete(close())


@situations
def test_a_sync_call_over_a_ready_async_client_says_what_is_wrong(
    loop: asyncio.AbstractEventLoop,
    url: str,
    prefix: str,
    situation: Callable[[Callable[[], None]], None],
) -> None:
    memory, close = over_a_ready_async_client(loop, url, prefix)

    def work() -> None:
        with pytest.raises(EventLoopError, match="another event loop"):
            memory.put(said("a")[0])

    situation(work)
    loop.run_until_complete(close())
