"""Records that LangChain's histories keep."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import InvalidArgumentError, Session, SessionStore, ValkeyConnection

USAGE = {"input_tokens": 20, "output_tokens": 5, "total_tokens": 25}
TURN = [HumanMessage("Hello"), AIMessage("Hi", usage_metadata=USAGE)]


def record(connection: ValkeyConnection, prefix: str) -> Session:
    found = SessionStore(connection=connection, key_prefix=prefix).get("s1")
    assert found is not None
    return found


def test_each_write_keeps_the_record(
    make_history: Any, connection: ValkeyConnection, prefix: str
) -> None:
    history = make_history(user_id="alice", model="claude-sonnet", title="Greetings", ttl=60)
    history.add_messages(TURN)
    history.add_messages(TURN)
    found = record(connection, prefix)
    assert (found.user_id, found.model, found.title) == ("alice", "claude-sonnet", "Greetings")
    assert (found.message_count, found.token_count) == (4, 50)
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    assert sessions.of_user("alice") == [found]
    history.clear()
    assert sessions.of_user("alice") == []


def test_tokens_by_langchains_counter(
    make_history: Any, connection: ValkeyConnection, prefix: str
) -> None:
    history = make_history(count_tokens=count_tokens_approximately)
    history.add_messages(TURN)
    assert record(connection, prefix).token_count == count_tokens_approximately(TURN)


def test_replacing_counts_messages_and_no_tokens(
    make_history: Any, connection: ValkeyConnection, prefix: str
) -> None:
    history = make_history(user_id="alice")
    history.add_messages(TURN)
    history.replace_messages(TURN[:1])
    found = record(connection, prefix)
    assert (found.message_count, found.token_count) == (1, 25)


def test_a_user_that_cannot_be(make_history: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="user_id"):
        make_history(user_id="")


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_in_a_runnable_with_message_history(connection: ValkeyConnection, prefix: str) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("Hi", usage_metadata=USAGE)]))

    def history(session_id: str) -> BaseChatMessageHistory:
        return ValkeyChatMessageHistory(
            session_id, connection=connection, key_prefix=prefix, user_id="alice"
        )

    question: list[BaseMessage] = [HumanMessage("Hello")]
    config: Any = {"configurable": {"session_id": "s1"}}
    RunnableWithMessageHistory(model, history).invoke(question, config)
    found = record(connection, prefix)
    assert (found.user_id, found.message_count, found.token_count) == ("alice", 2, 25)
