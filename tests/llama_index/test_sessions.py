"""Records that LlamaIndex's chat stores keep."""

from __future__ import annotations

import asyncio
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import (
    ConfigurationError,
    InvalidArgumentError,
    Session,
    SessionStore,
    ValkeyConnection,
)


def answer(**kwargs: Any) -> ChatMessage:
    return ChatMessage(role="assistant", content="Hi", additional_kwargs=kwargs)


QUESTION = ChatMessage(role="user", content="Hello")
ANSWER = answer(usage={"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25})


def record(connection: ValkeyConnection, prefix: str) -> Session:
    found = SessionStore(connection=connection, key_prefix=prefix).get("s")
    assert found is not None
    return found


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_chat_store_keeps_records(
    connection: ValkeyConnection, prefix: str, is_async: bool
) -> None:
    store = ValkeyChatStore(
        connection=connection, key_prefix=prefix, user_id="alice", model="m", title="t"
    )

    def do(name: str, *arguments: Any) -> Any:
        if not is_async:
            return getattr(store, name)(*arguments)
        twin = {"add_message": "async_add_message"}.get(name, f"a{name}")
        return asyncio.run(getattr(store, twin)(*arguments))

    do("add_message", "s", QUESTION)
    do("add_message", "s", ANSWER)
    do("add_message", "s", QUESTION, 0)
    found = record(connection, prefix)
    assert (found.user_id, found.model, found.title) == ("alice", "m", "t")
    assert (found.message_count, found.token_count) == (3, 25)
    do("set_messages", "s", [QUESTION, ANSWER])
    assert record(connection, prefix).message_count == 2
    do("delete_last_message", "s")
    assert record(connection, prefix).message_count == 1
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    assert [one.session_id for one in sessions.of_user("alice")] == ["s"]
    do("delete_messages", "s")
    assert sessions.of_user("alice") == []


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (answer(usage={"input_tokens": 3, "output_tokens": 4}), 7),
        (answer(prompt_tokens=1, completion_tokens=2, total_tokens=3), 3),
        (answer(raw={"usage": {"total_tokens": 9}}), 9),
        (answer(raw={"usageMetadata": {}, "usage_metadata": {"total_token_count": 8}}), 8),
        (answer(raw={"usage": {"inputTokens": 2, "outputTokens": 3, "totalTokens": 5}}), 5),
        (answer(), 0),
        (answer(usage=None, total_tokens="12"), 0),
    ],
)
def test_tokens_of_what_llamaindex_keeps_of_an_answer(
    connection: ValkeyConnection, prefix: str, message: ChatMessage, tokens: int
) -> None:
    store = ValkeyChatStore(connection=connection, key_prefix=prefix, user_id="alice")
    store.add_message("s", message)
    assert record(connection, prefix).token_count == tokens


def test_usage_may_be_an_object(connection: ValkeyConnection, prefix: str) -> None:
    raw = SimpleNamespace(usage=SimpleNamespace(total_tokens=11))
    store = ValkeyChatStore(connection=connection, key_prefix=prefix, user_id="alice")
    store.add_message("s", answer(raw=raw))
    assert record(connection, prefix).token_count == 11


def test_in_memories(connection: ValkeyConnection, prefix: str) -> None:
    store = ValkeyChatStore(connection=connection, key_prefix=prefix, user_id="alice")
    ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="s").put_messages(
        [QUESTION, ANSWER]
    )
    assert record(connection, prefix).message_count == 2
    db_store = ValkeyDBChatStore(
        connection=connection, key_prefix=prefix, user_id="bob", count_tokens=len
    )
    Memory.from_defaults(session_id="s", chat_store=db_store, token_limit=4).put_messages(
        [QUESTION, ANSWER] * 3
    )
    found = record(connection, prefix)  # archived messages stay counted
    assert (found.user_id, found.message_count, found.token_count) == ("bob", 8, 31)


def test_options_are_written_down(url: str) -> None:
    store = ValkeyChatStore(url=url, user_id="alice", model="m", title="t")
    assert ValkeyChatStore.from_dict(store.to_dict()) == store
    assert pickle.loads(pickle.dumps(store)).user_id == "alice"  # noqa: S301
    with pytest.raises(InvalidArgumentError, match="user_id"):
        ValkeyChatStore(url=url, user_id="")
    counting = ValkeyChatStore(url=url, count_tokens=len)
    with pytest.raises(ConfigurationError, match="count_tokens"):
        counting.to_dict()
