"""One conversation, begun in one framework and continued in another, or in none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory

from langchain_valkey_glide import ValkeyChatMessageHistory
from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import MessageStore, ValkeyConnection

from .conversations import LANGCHAIN, LLAMA, PLAIN, SAID
from .faces import SESSION, LlamaFace, View, of_langchain, of_llama, of_plain


class World:
    """The conversation ``s1`` as each of the four parties reads and writes it."""

    def __init__(self, langchain: Any, llama: LlamaFace, plain: MessageStore, raw: Any) -> None:
        self.langchain = langchain
        self.llama = llama
        self.plain = plain
        self.raw = raw
        self.key: str = langchain.key
        self.write: dict[str, Callable[[slice], None]] = {
            "langchain": lambda part: langchain.add_messages(LANGCHAIN[part]),
            "llama": lambda part: llama.add_messages(LLAMA[part]),
            "plain": lambda part: plain.extend(SESSION, PLAIN[part]),
            "raw": lambda part: raw.rpush(self.key, list(map(json.dumps, PLAIN[part]))),
        }

    def elements(self) -> list[bytes]:
        """What is in the list, byte for byte."""
        found: list[bytes] = self.raw.lrange(self.key, 0, -1)
        return found

    def views(self) -> dict[str, list[View]]:
        """What each reader sees."""
        return {
            "langchain": list(map(of_langchain, self.langchain.get_messages())),
            "llama": list(map(of_llama, self.llama.get_messages())),
            "plain": list(map(of_plain, self.plain.messages(SESSION))),
            "raw": [of_raw(json.loads(element)) for element in self.elements()],
        }


def of_raw(element: dict[str, Any]) -> View:
    """What code sees that knows nothing of dialects: role, answer, calls."""
    view = of_plain(element | {"content": ""})
    return View(view.role, calls=view.calls, answers=view.answers)


@pytest.fixture
def world(langchain: Any, llama: LlamaFace, plain: MessageStore, raw: Any) -> World:
    return World(langchain, llama, plain, raw)


WRITERS = ["langchain", "llama", "plain", "raw"]
every_writer = pytest.mark.parametrize("writer", WRITERS)
EVERYTHING = slice(None)


# Everybody sees the same


@every_writer
def test_every_reader_sees_what_one_wrote(world: World, writer: str) -> None:
    world.write[writer](EVERYTHING)
    views = world.views()
    assert views["langchain"] == SAID
    assert views["llama"] == SAID
    assert views["plain"] == SAID
    assert views["raw"] == [
        View(said.role, calls=said.calls, answers=said.answers) for said in SAID
    ]


@every_writer
@pytest.mark.parametrize("continuer", WRITERS)
def test_a_conversation_begun_by_one_is_continued_by_another(
    world: World, writer: str, continuer: str
) -> None:
    world.write[writer](slice(0, 4))
    begun = world.elements()
    world.write[continuer](slice(4, None))
    assert world.elements()[:4] == begun
    views = world.views()
    assert views["langchain"] == SAID
    assert views["llama"] == SAID
    assert views["plain"] == SAID


def test_all_take_turns(world: World) -> None:
    for number in range(len(SAID)):
        world.write[WRITERS[number % len(WRITERS)]](slice(number, number + 1))
        assert world.views()["langchain"] == SAID[: number + 1]
        assert world.views()["llama"] == SAID[: number + 1]
    assert world.views()["plain"] == SAID


@every_writer
def test_reading_changes_nothing(world: World, writer: str) -> None:
    world.write[writer](EVERYTHING)
    before = world.elements()
    world.raw.pexpire(world.key, 1_000_000)
    world.views()
    world.langchain.last_messages(3)
    world.plain.page(SESSION, 2, 3)
    assert world.elements() == before
    assert 0 < world.raw.pttl(world.key) <= 1_000_000


@every_writer
def test_langchain_reads_its_own_messages_equal_after_others_wrote(
    world: World, writer: str
) -> None:
    world.write["langchain"](EVERYTHING)
    world.write[writer](EVERYTHING)
    world.write["langchain"](EVERYTHING)
    found = world.langchain.get_messages()
    assert found[: len(LANGCHAIN)] == LANGCHAIN
    assert found[-len(LANGCHAIN) :] == LANGCHAIN


@every_writer
def test_llama_index_reads_its_own_messages_equal_after_others_wrote(
    world: World, writer: str
) -> None:
    world.write["llama"](EVERYTHING)
    world.write[writer](EVERYTHING)
    world.write["llama"](EVERYTHING)
    found = world.llama.get_messages()
    assert found[: len(LLAMA)] == LLAMA
    assert found[-len(LLAMA) :] == LLAMA


@every_writer
def test_plain_code_reads_its_own_messages_equal_after_others_wrote(
    world: World, writer: str
) -> None:
    world.write["plain"](EVERYTHING)
    world.write[writer](EVERYTHING)
    assert world.plain.messages(SESSION)[: len(PLAIN)] == PLAIN


@pytest.mark.parametrize("session_id", ["a{b}c", "50% off", "%7B", "会話", "a:b", "line\nbreak"])
def test_a_session_id_is_the_same_conversation_everywhere(
    connection: ValkeyConnection, prefix: str, session_id: str
) -> None:
    options: dict[str, Any] = {"connection": connection, "key_prefix": prefix}
    ValkeyChatMessageHistory(session_id, **options).add_user_message("Hi")
    store = ValkeyChatStore(**options)
    store.add_message(session_id, LlamaMessage("Hello", role="assistant"))
    assert MessageStore(**options).messages(session_id) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
    assert store.get_keys() == asyncio.run(ValkeyDBChatStore(**options).get_keys()) == [session_id]


def test_another_framework_keeps_the_ttl_that_is_there(world: World) -> None:
    world.write["langchain"](EVERYTHING)
    world.raw.pexpire(world.key, 1_000_000)
    world.write["llama"](EVERYTHING)
    world.write["plain"](EVERYTHING)
    assert 900_000 < world.raw.pttl(world.key) <= 1_000_000


# What plain code gets


BARE = {"role", "content", "tool_calls", "tool_call_id", "name"}


@every_writer
def test_plain_messages_have_only_what_model_apis_accept(world: World, writer: str) -> None:
    world.write[writer](EVERYTHING)
    messages = world.plain.messages(SESSION)
    assert len(messages) == len(SAID)
    assert all(message.keys() <= BARE for message in messages)
    blocks = [block for m in messages if isinstance(m["content"], list) for block in m["content"]]
    assert {block["type"] for block in blocks} == {"text", "image_url"}


@every_writer
def test_plain_messages_with_extra_keys_are_the_elements(
    world: World, writer: str, connection: ValkeyConnection, prefix: str
) -> None:
    # Without the one value that JSON has no word for, the artifact's tuple.
    world.write[writer](slice(5, None))
    store = MessageStore(connection=connection, key_prefix=prefix, extra_keys=True)
    assert store.messages(SESSION) == [json.loads(element) for element in world.elements()]


def test_extra_keys_show_values_that_json_has_no_word_for(
    world: World, connection: ValkeyConnection, prefix: str
) -> None:
    world.langchain.add_messages([ToolMessage("x", tool_call_id="1", artifact=(1, b"2"))])
    (message,) = MessageStore(connection=connection, key_prefix=prefix, extra_keys=True).messages(
        SESSION
    )
    assert message["lc"] == {"artifact": (1, b"2")}
    assert isinstance(message["ts"], int)


def test_keys_of_plain_code_that_nobody_knows_are_kept(
    world: World, connection: ValkeyConnection, prefix: str
) -> None:
    message = {"role": "user", "content": "Hi", "timestamp": "2026-01-02", "metadata": {"a": [1]}}
    world.raw.rpush(world.key, [json.dumps(message)])
    world.views()
    world.write["llama"](EVERYTHING)
    world.write["langchain"](EVERYTHING)
    store = MessageStore(connection=connection, key_prefix=prefix, extra_keys=True)
    assert store.messages(SESSION)[0] == message


# The frameworks' own memories


def test_a_chat_memory_buffer_continues_langchains_conversation(
    langchain: Any, connection: ValkeyConnection, prefix: str
) -> None:
    langchain.add_messages([HumanMessage("Hi"), AIMessage("Hello")])
    memory = ChatMemoryBuffer.from_defaults(
        chat_store=ValkeyChatStore(connection=connection, key_prefix=prefix),
        chat_store_key=SESSION,
        tokenizer_fn=str.split,
    )
    memory.put(LlamaMessage("How are you?", role="user"))
    assert [message.content for message in memory.get()] == ["Hi", "Hello", "How are you?"]
    assert langchain.get_messages() == [
        HumanMessage("Hi"),
        AIMessage("Hello"),
        HumanMessage("How are you?"),
    ]


def test_a_memory_continues_langchains_conversation(
    langchain: Any, connection: ValkeyConnection, prefix: str
) -> None:
    langchain.add_messages([HumanMessage("Hi"), AIMessage("Hello")])
    memory = Memory.from_defaults(
        session_id=SESSION,
        chat_store=ValkeyDBChatStore(connection=connection, key_prefix=prefix),
        tokenizer_fn=str.split,
    )
    memory.put(LlamaMessage("How are you?", role="user"))
    assert [message.content for message in memory.get()] == ["Hi", "Hello", "How are you?"]
    langchain.add_messages([AIMessage("Fine.")])
    assert [message.content for message in memory.get()][-1] == "Fine."
    assert langchain.get_messages()[2:] == [HumanMessage("How are you?"), AIMessage("Fine.")]


def test_what_llama_index_archived_langchain_no_longer_sees(
    langchain: Any, connection: ValkeyConnection, prefix: str
) -> None:
    langchain.add_messages(LANGCHAIN)
    store = ValkeyDBChatStore(connection=connection, key_prefix=prefix)
    asyncio.run(store.archive_oldest_messages(SESSION, 4))
    assert langchain.get_messages() == LANGCHAIN[4:]


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.delete_message(SESSION, 4),
        lambda store: store.add_message(SESSION, LlamaMessage("new"), 4),
        lambda store: store.delete_last_message(SESSION),
    ],
    ids=["delete", "insert", "delete last"],
)
def test_what_llama_index_changes_leaves_langchains_other_messages_equal(
    langchain: Any,
    connection: ValkeyConnection,
    prefix: str,
    change: Callable[[ValkeyChatStore], object],
) -> None:
    langchain.add_messages(LANGCHAIN)
    change(ValkeyChatStore(connection=connection, key_prefix=prefix))
    found: list[BaseMessage] = langchain.get_messages()
    assert found[:4] == LANGCHAIN[:4]
    kept = [message for message in found if message in LANGCHAIN]
    assert len(kept) >= len(LANGCHAIN) - 1
    assert [LANGCHAIN.index(message) for message in kept] == sorted(map(LANGCHAIN.index, kept))
