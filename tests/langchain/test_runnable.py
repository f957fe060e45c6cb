"""Conversations through ``RunnableWithMessageHistory``, in each way a runnable can be called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import (
    ConfigurableFieldSpec,
    Runnable,
    RunnableConfig,
    RunnableLambda,
)
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import ValkeyConnection

# LangChain's own class tells everybody who makes one to use LangGraph instead.
pytestmark = pytest.mark.filterwarnings(
    "ignore:RunnableWithMessageHistory is deprecated"
    ":langchain_core._api.deprecation.LangChainDeprecationWarning"
)


class ScriptedModel(BaseChatModel):
    """Says how many messages it saw and which human one was last; about the weather, asks a tool.

    So every answer shows whether the history reached it.
    """

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text = self._answer(messages)
        calls = []
        if not text:
            assert "tools" in kwargs
            calls = [{"name": "weather", "args": {"city": "Paris"}, "id": "call_1"}]
        message = AIMessage(text, tool_calls=calls, usage_metadata=_usage(messages))
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        text = self._answer(messages)
        for word in text.split(" ") if text else ():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
        pieces = [] if text else ['{"city": ', '"Paris"}']
        for number, piece in enumerate(pieces):
            chunk = {
                "name": None if number else "weather",
                "args": piece,
                "id": None if number else "call_1",
                "index": 0,
            }
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))
        last = AIMessageChunk(content="", usage_metadata=_usage(messages), chunk_position="last")
        yield ChatGenerationChunk(message=last)

    def _answer(self, messages: list[BaseMessage]) -> str:
        last = messages[-1]
        if isinstance(last, HumanMessage) and "weather" in last.content:
            return ""
        if isinstance(last, ToolMessage):
            return f"It is {last.content} ({last.tool_call_id})"
        return f"{len(messages)} messages, last: {last.content}"


def _usage(messages: list[BaseMessage]) -> dict[str, int]:
    return {"input_tokens": len(messages), "output_tokens": 1, "total_tokens": len(messages) + 1}


def _prompt(*turn: Any) -> ChatPromptTemplate:
    return ChatPromptTemplate.from_messages(
        [("system", "Be brief."), MessagesPlaceholder("history"), *turn]
    )


BOUND = ScriptedModel().bind_tools([{"name": "weather"}])


@dataclass(frozen=True)
class Wiring:
    """One way to put the model behind ``RunnableWithMessageHistory``."""

    runnable: Runnable[Any, Any]
    put: Callable[[list[BaseMessage]], Any]
    """The input for a turn of the user's or of a tool."""
    keys: dict[str, Any] = field(default_factory=dict)
    others: int = 0
    """How many messages the model sees beside the conversation."""


PROMPT_KEYS: dict[str, Any] = {"input_messages_key": "question", "history_messages_key": "history"}
PROMPT_WITH_TEXT = Wiring(
    _prompt(("human", "{question}")) | BOUND,
    lambda turn: {"question": turn[0].content},
    PROMPT_KEYS,
    others=1,
)
WIRINGS = {
    "messages": Wiring(BOUND, lambda turn: turn),
    "input key": Wiring(
        RunnableLambda(lambda inputs: inputs["question"]) | BOUND,
        lambda turn: {"question": turn},
        {"input_messages_key": "question"},
    ),
    "prompt with messages": Wiring(
        _prompt(MessagesPlaceholder("question")) | BOUND,
        lambda turn: {"question": turn},
        PROMPT_KEYS,
        others=1,
    ),
}


def _stream(chain: Runnable[Any, Any], value: Any, config: Any) -> Any:
    pieces = list(chain.stream(value, config))
    return sum(pieces[1:], start=pieces[0])


def _astream(chain: Runnable[Any, Any], value: Any, config: Any) -> Any:
    async def collect() -> list[Any]:
        return [piece async for piece in chain.astream(value, config)]

    pieces = asyncio.run(collect())
    return sum(pieces[1:], start=pieces[0])


CALLS: dict[str, Callable[[Runnable[Any, Any], Any, Any], Any]] = {
    "invoke": lambda chain, value, config: chain.invoke(value, config),
    "ainvoke": lambda chain, value, config: asyncio.run(chain.ainvoke(value, config)),
    "stream": _stream,
    "astream": _astream,
    "batch": lambda chain, value, config: chain.batch([value], [config])[0],
    "abatch": lambda chain, value, config: asyncio.run(chain.abatch([value], [config]))[0],
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
every_wiring = pytest.mark.parametrize(
    "wiring", [*WIRINGS.values(), PROMPT_WITH_TEXT], ids=[*WIRINGS, "prompt with text"]
)


@pytest.fixture
def history_of(
    connection: ValkeyConnection, prefix: str
) -> Callable[[str], ValkeyChatMessageHistory]:
    """A new history object for a session, as an application makes one for each request."""

    def make(session_id: str) -> ValkeyChatMessageHistory:
        return ValkeyChatMessageHistory(
            session_id, connection=connection, key_prefix=prefix, ttl=60, max_messages=100
        )

    return make


def session(session_id: str) -> RunnableConfig:
    return {"configurable": {"session_id": session_id}}


def said(messages: list[BaseMessage]) -> list[tuple[str, str]]:
    """Who said what. A streamed answer is stored as the chunk that LangChain hands over."""
    kinds = {"AIMessageChunk": "ai"}
    return [(kinds.get(m.type, m.type), str(m.text).strip()) for m in messages]


@every_wiring
@every_call
def test_a_conversation_is_stored_and_continued_by_a_second_object(
    history_of: Callable[[str], ValkeyChatMessageHistory],
    call: Callable[..., Any],
    wiring: Wiring,
) -> None:
    expected: list[tuple[str, str]] = []
    for number, text in enumerate(["Hi", "And then?", "Bye"]):
        chain = RunnableWithMessageHistory(wiring.runnable, history_of, **wiring.keys)
        answer = call(chain, wiring.put([HumanMessage(text)]), session("s1"))
        seen = 2 * number + 1 + wiring.others
        expected += [("human", text), ("ai", f"{seen} messages, last: {text}")]
        assert said([answer]) == expected[-1:]
        assert said(history_of("s1").messages) == expected


@pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
@every_call
def test_tool_calls_and_results_are_stored_and_continued(
    history_of: Callable[[str], ValkeyChatMessageHistory],
    call: Callable[..., Any],
    wiring: Wiring,
) -> None:
    turns: list[BaseMessage] = [
        HumanMessage("How is the weather?"),
        ToolMessage("18 C", tool_call_id="call_1", name="weather"),
    ]
    for turn in turns:
        chain = RunnableWithMessageHistory(wiring.runnable, history_of, **wiring.keys)
        call(chain, wiring.put([turn]), session("s1"))

    question, request, result, answer = history_of("s1").messages
    assert question == turns[0]
    assert isinstance(request, AIMessage)
    assert request.tool_calls == [
        {"type": "tool_call", "name": "weather", "args": {"city": "Paris"}, "id": "call_1"}
    ]
    assert result == turns[1]
    assert said([answer]) == [("ai", "It is 18 C (call_1)")]


@every_call
def test_what_is_stored_is_the_answer_that_was_given(
    history_of: Callable[[str], ValkeyChatMessageHistory], call: Callable[..., Any]
) -> None:
    chain = RunnableWithMessageHistory(BOUND, history_of)
    answer = call(chain, [HumanMessage("Hi", id="h1")], session("s1"))
    stored = history_of("s1").messages
    assert stored[0] == HumanMessage("Hi", id="h1")
    assert isinstance(stored[1], AIMessage)
    assert stored[1].content == answer.content
    assert stored[1].id == answer.id
    assert stored[1].usage_metadata == answer.usage_metadata == _usage(stored[:1])


@pytest.mark.parametrize("way", ["batch", "abatch"])
@every_wiring
def test_a_batch_keeps_its_sessions_apart(
    history_of: Callable[[str], ValkeyChatMessageHistory], wiring: Wiring, way: str
) -> None:
    names = [f"session-{number}" for number in range(8)]
    for turn in range(2):
        chain = RunnableWithMessageHistory(wiring.runnable, history_of, **wiring.keys)
        values = [wiring.put([HumanMessage(f"{name} {turn}")]) for name in names]
        configs = [session(name) for name in names]
        if way == "batch":
            chain.batch(values, configs)
        else:
            asyncio.run(chain.abatch(values, configs))
    for name in names:
        assert said(history_of(name).messages) == [
            ("human", f"{name} 0"),
            ("ai", f"{1 + wiring.others} messages, last: {name} 0"),
            ("human", f"{name} 1"),
            ("ai", f"{3 + wiring.others} messages, last: {name} 1"),
        ]


def test_sync_and_async_calls_take_turns_in_one_conversation(
    history_of: Callable[[str], ValkeyChatMessageHistory],
) -> None:
    chain = RunnableWithMessageHistory(BOUND, history_of)
    for text, call in zip("abcdef", CALLS.values(), strict=True):
        call(chain, [HumanMessage(text)], session("s1"))
    turns = said(history_of("s1").messages)
    assert [text for kind, text in turns if kind == "human"] == list("abcdef")
    assert turns[-1] == ("ai", "11 messages, last: f")


def test_the_window_bounds_what_the_model_sees(connection: ValkeyConnection, prefix: str) -> None:
    chain = RunnableWithMessageHistory(
        PROMPT_WITH_TEXT.runnable,
        lambda session_id: ValkeyChatMessageHistory(
            session_id, connection=connection, key_prefix=prefix, max_messages=2
        ),
        **PROMPT_KEYS,
    )
    for text in "abcd":
        answer = chain.invoke({"question": text}, session("s1"))
    # The system message, two of the history, and the question.
    assert answer.content == "4 messages, last: d"


def test_the_prompts_own_messages_are_not_stored(
    history_of: Callable[[str], ValkeyChatMessageHistory],
) -> None:
    chain = RunnableWithMessageHistory(PROMPT_WITH_TEXT.runnable, history_of, **PROMPT_KEYS)
    chain.invoke({"question": "Hi"}, session("s1"))
    assert [message.type for message in history_of("s1").messages] == ["human", "ai"]


def test_a_factory_with_its_own_keys_finds_the_conversation(
    history_of: Callable[[str], ValkeyChatMessageHistory],
) -> None:
    fields = [ConfigurableFieldSpec(id=name, annotation=str) for name in ("user", "thread")]
    chain = RunnableWithMessageHistory(
        BOUND,
        lambda user, thread: history_of(f"{user}/{thread}"),
        history_factory_config=fields,
    )
    config: RunnableConfig = {"configurable": {"user": "alice", "thread": "t1"}}
    chain.invoke([HumanMessage("Hi")], config)
    assert said(history_of("alice/t1").messages)[0] == ("human", "Hi")
    assert history_of("alice/t2").messages == []
