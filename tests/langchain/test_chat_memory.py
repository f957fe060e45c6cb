"""Conversation memory around LangChain's chat models, and in RunnableWithMessageHistory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from pydantic import PrivateAttr

from langchain_valkey_glide import ValkeyChatMemory, ValkeyChatMessageHistory
from valkey_memory import ConversationMemory, InvalidArgumentError, LongTermMemory, Summary
from valkey_memory._memory.context import INTRODUCTION

from ..memory.scripted import ScriptedModel
from ..models.words import Words


class ScriptedChat(BaseChatModel):
    """Says the next line of its script, whole or word by word; throws what is an exception."""

    _script: list[str | AIMessage | Exception] = PrivateAttr()
    _heard: list[list[BaseMessage]] = PrivateAttr(default_factory=list)

    def __init__(self, *script: str | AIMessage | Exception) -> None:
        super().__init__()
        self._script = list(script)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def heard(self) -> list[list[BaseMessage]]:
        return self._heard

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        self._heard.append(list(messages))
        line = self._script.pop(0)
        if isinstance(line, Exception):
            raise line
        return AIMessage(line) if isinstance(line, str) else line

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        said = self._next(messages)
        for word in str(said.content).split(" "):
            if word == "CRASH":
                raise RuntimeError("the stream broke")
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))


Ask = Callable[[Runnable[Any, Any], Any], str]


def invoke(model: Runnable[Any, Any], question: Any) -> str:
    return str(model.invoke(question).content)


def ainvoke(model: Runnable[Any, Any], question: Any) -> str:
    return str(asyncio.run(model.ainvoke(question)).content)


def stream(model: Runnable[Any, Any], question: Any) -> str:
    return "".join(str(chunk.content) for chunk in model.stream(question)).strip()


def astream(model: Runnable[Any, Any], question: Any) -> str:
    async def main() -> str:
        return "".join([str(chunk.content) async for chunk in model.astream(question)]).strip()

    return asyncio.run(main())


ways = pytest.mark.parametrize("ask", [invoke, ainvoke, stream, astream])


@pytest.fixture
def long_term(url: str) -> Iterator[LongTermMemory]:
    memory = LongTermMemory(Words(), url=url, index_name=f"test-{uuid.uuid4().hex}")
    yield memory
    memory.index.drop(delete_documents=True)


@pytest.fixture
def make_memory(long_term: LongTermMemory, prefix: str) -> Any:
    def make(session_id: str = "s", **options: Any) -> ValkeyChatMemory:
        known: dict[str, Any] = {"user_id": "mia", "long_term": long_term, "key_prefix": prefix}
        return ValkeyChatMemory(ConversationMemory(session_id=session_id, **(known | options)))

    return make


def stored(memory: ValkeyChatMemory) -> list[str]:
    return [str(message.content).strip() for message in memory.memory.messages()]


@ways
def test_a_model_remembers_across_sessions(
    make_memory: Any, long_term: LongTermMemory, ask: Ask
) -> None:
    assert ask(make_memory("monday").wrap(ScriptedChat("A nice name.")), "My cat is Tom.")
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    chat = ScriptedChat("Tom.", "You are welcome.")
    friday = make_memory("friday")
    model = friday.wrap(chat)
    assert ask(model, "What is my cat called?") == "Tom."
    notes, question = chat.heard[0]
    assert isinstance(notes, SystemMessage)
    assert "- Mia lives in Oslo." in notes.text
    assert "user: My cat is Tom." in notes.text
    assert question == HumanMessage("What is my cat called?")
    ask(model, [SystemMessage("Be kind."), HumanMessage("Thanks")])
    notes, *said = chat.heard[1]
    assert notes.text.startswith(f"Be kind.\n\n{INTRODUCTION}")
    assert [one.text.strip() for one in said] == ["What is my cat called?", "Tom.", "Thanks"]
    assert stored(friday) == ["What is my cat called?", "Tom.", "Thanks", "You are welcome."]
    assert [type(one) for one in friday.memory.messages()] == [HumanMessage, AIMessage] * 2
    other = ScriptedChat("Hello.")
    ask(make_memory("x", user_id="ben").wrap(other), "What is my cat called?")
    assert other.heard == [[HumanMessage("What is my cat called?")]]


@ways
def test_a_question_that_the_model_fails_at_is_not_stored(make_memory: Any, ask: Ask) -> None:
    memory = make_memory()
    model = memory.wrap(ScriptedChat(RuntimeError("overloaded"), "one CRASH two", "Hi."))
    with pytest.raises(RuntimeError, match="overloaded"):
        ask(model, "Hello?")
    if ask in (stream, astream):
        with pytest.raises(RuntimeError, match="the stream broke"):
            ask(model, "Hello?")
        assert ask(model, "Hello again?") == "Hi."
        assert stored(memory) == ["Hello again?", "Hi."]
    else:
        assert stored(memory) == []


def test_a_stream_that_nobody_reads_to_its_end_is_not_stored(make_memory: Any) -> None:
    memory = make_memory()
    chunks = memory.wrap(ScriptedChat("one two three")).stream("Hello?")
    assert next(chunks).content == "one "
    chunks.close()
    assert stored(memory) == []


def test_in_a_chain(make_memory: Any) -> None:
    memory, chat = make_memory(), ScriptedChat("Oslo.")
    prompt = ChatPromptTemplate.from_messages([("system", "Be {tone}."), ("human", "{question}")])
    chain = prompt | memory.wrap(chat) | StrOutputParser()
    assert chain.invoke({"tone": "kind", "question": "Capital of Norway?"}) == "Oslo."
    assert chat.heard[0] == [SystemMessage("Be kind."), HumanMessage("Capital of Norway?")]
    assert stored(memory) == ["Capital of Norway?", "Oslo."]
    texts = memory.wrap(RunnableLambda(lambda messages: f"{len(messages)} messages"))
    assert texts.invoke([("human", "And?")]) == "3 messages"
    assert stored(memory)[2:] == ["And?", "3 messages"]


def test_a_turn_with_tools_is_stored_with_its_answer(make_memory: Any) -> None:
    call = {"name": "add", "args": {"a": 2, "b": 3}, "id": "c1", "type": "tool_call"}
    calling = AIMessage("", tool_calls=[call])
    memory, chat = make_memory(), ScriptedChat(calling, "5.")
    model = memory.wrap(chat)
    question = HumanMessage("2 + 3?")
    first = model.invoke([question])
    assert stored(memory) == []
    turn = [question, first, ToolMessage("5", tool_call_id="c1")]
    assert model.invoke(turn).content == "5."
    found = memory.memory.messages()
    assert found[:3] == turn
    assert memory.context("?").messages == found


def test_instructions_are_taken_from_the_budget(make_memory: Any) -> None:
    memory, chat = make_memory(max_tokens=200), ScriptedChat(*["answer " * 5] * 12)
    model = memory.wrap(chat)
    for number in range(10):
        model.invoke(f"question {number}")
    model.invoke("short")
    model.invoke([SystemMessage("Be kind. " * 40), HumanMessage("short")])
    assert len(chat.heard[-1]) < len(chat.heard[-2])


@pytest.mark.parametrize(
    "given",
    [
        [],
        [SystemMessage("x")],
        [AIMessage("x"), HumanMessage("y")],
        [ToolMessage("x", tool_call_id="1")],
    ],
)
def test_an_input_without_a_question(make_memory: Any, given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="question"):
        make_memory().wrap(ScriptedChat("x")).invoke(given)


def test_what_it_refuses(make_memory: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ConversationMemory"):
        ValkeyChatMemory("memory")  # type: ignore[arg-type]
    memory = make_memory()
    with pytest.raises(InvalidArgumentError, match="runnable"):
        memory.wrap(lambda messages: "x")
    with pytest.raises(InvalidArgumentError, match="parse what comes out"):
        memory.wrap(RunnableLambda(lambda _: 5)).invoke("Hello?")
    assert stored(memory) == []


# As a history


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@ways
def test_in_runnable_with_message_history(
    make_memory: Any, long_term: LongTermMemory, ask: Ask
) -> None:
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    chat = ScriptedChat("Hi.", "Oslo.")
    runnable = RunnableWithMessageHistory(chat, make_memory)
    config = {"configurable": {"session_id": "r"}}
    model = runnable.with_config(config)  # type: ignore[arg-type]
    assert ask(model, [HumanMessage("Hello")]) == "Hi."
    long_term.remember("Mia has a cat.", user_id="mia")
    assert ask(model, [HumanMessage("Where do I live?")]) == "Oslo."
    notes, *said = chat.heard[1]
    assert "- Mia lives in Oslo." in str(notes.content)
    assert [one.text.strip() for one in said] == ["Hello", "Hi.", "Where do I live?"]
    assert stored(make_memory("r")) == ["Hello", "Hi.", "Where do I live?", "Oslo."]
    assert len(long_term.list("mia", kind="message")) == 4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_facts_that_come_during_a_run_shift_nothing(
    make_memory: Any, long_term: LongTermMemory
) -> None:
    def answers(messages: list[BaseMessage]) -> AIMessage:
        long_term.remember("Mia lives in Oslo.", user_id="mia")  # there were no notes before
        return AIMessage("Hi.")

    runnable = RunnableWithMessageHistory(RunnableLambda(answers), make_memory)
    runnable.invoke([HumanMessage("Hello")], {"configurable": {"session_id": "r"}})
    assert stored(make_memory("r")) == ["Hello", "Hi."]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_history(make_memory: Any, url: str, prefix: str, is_async: bool) -> None:
    summary = Summary(ScriptedModel("They greet."), keep_last=2, when_over=4)
    memory = make_memory(summary=summary)

    def run(name: str, *arguments: Any) -> Any:
        if not is_async:
            found = getattr(memory, "messages" if name == "get_messages" else name)
            return found(*arguments) if callable(found) else found
        return asyncio.run(getattr(memory, f"a{name}")(*arguments))

    for number in range(3):
        run("add_messages", [HumanMessage(f"q{number}"), AIMessage(f"a{number}")])
    notes, *said = run("get_messages")
    assert "They greet." in notes.text
    assert said == [HumanMessage("q2"), AIMessage("a2")]
    run("add_messages", [notes, HumanMessage("q3"), AIMessage("a3")])
    assert stored(memory) == ["q2", "a2", "q3", "a3"]
    same = ValkeyChatMessageHistory("s", url=url, key_prefix=prefix)
    assert len(same.messages) == 4
    run("clear")
    assert run("get_messages") == same.messages == []
    assert repr(memory) == "ValkeyChatMemory('s')"
    assert asyncio.run(memory.acontext("x")).messages == memory.context("x").messages == []
