"""Summaries of LangChain's histories, made by its chat models."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import Summary, ValkeyConnection
from valkey_memory._conversations.summaries import HEADING


def turns(first: int, number: int) -> list[BaseMessage]:
    return [
        one
        for n in range(first, first + number)
        for one in (HumanMessage(f"u{n}"), AIMessage(f"a{n}"))
    ]


def model() -> FakeListChatModel:
    """A scripted model: it answers nothing else."""
    return FakeListChatModel(responses=["first summary", "second summary"])


def test_a_history_with_a_summary(make_history: Any) -> None:
    history = make_history(summary=Summary(model(), keep_last=2, when_over=4), ttl=60)
    history.add_messages(turns(0, 3))
    assert history.get_messages() == [SystemMessage(f"{HEADING}first summary"), *turns(2, 1)]
    assert history.summary() == "first summary"
    history.add_messages(turns(3, 2))
    assert history.get_messages()[0].content == f"{HEADING}second summary"
    # What was read and comes back keeps its summary, which is no message.
    found = history.get_messages()
    history.replace_messages(found)
    assert history.get_messages() == found
    history.replace_messages(turns(7, 1))
    assert history.get_messages() == turns(7, 1)
    assert history.summary() is None


def test_summarising_now(make_history: Any) -> None:
    history = make_history(summary=Summary(model(), keep_last=2))
    history.add_messages(turns(0, 2))
    assert history.summarize_now() is True
    assert history.get_messages() == [SystemMessage(f"{HEADING}first summary"), *turns(1, 1)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("is_async", [False, True])
def test_in_a_runnable_with_message_history(
    connection: ValkeyConnection, prefix: str, is_async: bool
) -> None:
    summary = Summary(
        FakeListChatModel(responses=[f"summary {n}" for n in range(9)]), keep_last=2, when_over=4
    )

    def history(session_id: str) -> BaseChatMessageHistory:
        return ValkeyChatMessageHistory(
            session_id, connection=connection, key_prefix=prefix, summary=summary
        )

    asked: list[list[BaseMessage]] = []

    class Listening(GenericFakeChatModel):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
            asked.append(messages)
            return super()._generate(messages, *args, **kwargs)

    answers = (AIMessage(f"a{n}") for n in range(6))
    prompt = ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")])
    chain = RunnableWithMessageHistory(
        prompt | Listening(messages=answers),
        history,
        input_messages_key="question",
        history_messages_key="history",
    )
    config: Any = {"configurable": {"session_id": "s1"}}

    async def ask_all() -> None:
        for number in range(6):
            await chain.ainvoke({"question": f"u{number}"}, config)

    if is_async:
        asyncio.run(ask_all())
    else:
        for number in range(6):
            chain.invoke({"question": f"u{number}"}, config)
    store = history("s1").store  # type: ignore[attr-defined]
    found = store.archived("s1", and_active=True)
    assert [one.content for one in found] == [one.content for one in turns(0, 6)]
    assert len(asked[-1]) <= 6  # the summary, at most two turns, the question
    assert asked[-1][0].content == f"{HEADING}{store.summary('s1')}"
    assert asked[-1][1].type == "human"
