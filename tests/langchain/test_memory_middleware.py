"""Memory in real agents: what the model is told, what is stored, and what is not."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from pydantic import BaseModel

from langchain_valkey_glide import (
    ValkeyChatMessageHistory,
    ValkeyMemoryMiddleware,
    ValkeyRunLogger,
    ValkeySemanticCache,
    ValkeyToolCacheMiddleware,
    _agent_runs,
)
from langgraph_valkey_glide import ValkeySaver, ValkeyStore
from valkey_memory import (
    EmbeddedValkey,
    InvalidArgumentError,
    InvalidSessionIdError,
    LongTermMemory,
    NotOwnerError,
    SessionStore,
    Summary,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._memory.context import INTRODUCTION
from valkey_memory._plans import Lanes, Request

from ..conversations.test_round_trips import sent
from ..memory.scripted import ScriptedModel
from ..memory.test_facts import answer, new
from ..models.words import Words
from ..server.test_failures import process_id
from .memory_agents import Asking, ScriptedAgent, calling, create_agent


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(return_direct=True)
def shout(text: str) -> str:
    """Say it loudly."""
    return text.upper()


class Pair(BaseModel):
    """What a structured answer is."""

    first: str
    second: int


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Asking:
    return Asking(is_async=request.param)


@pytest.fixture
def ask_once() -> Asking:
    """For what is of one piece of code, whoever asks: what a turn is, say."""
    return Asking(is_async=True)


@pytest.fixture
def long_term(url: str) -> Iterator[LongTermMemory]:
    memory = LongTermMemory(Words(), url=url, index_name=f"test-{uuid.uuid4().hex}")
    yield memory
    memory.index.drop(delete_documents=True)


@pytest.fixture
def make(long_term: LongTermMemory, prefix: str) -> Callable[..., ValkeyMemoryMiddleware]:
    def make_one(**options: Any) -> ValkeyMemoryMiddleware:
        memory = options.pop("memory", long_term)
        return ValkeyMemoryMiddleware(memory, **({"key_prefix": prefix} | options))

    return make_one


@pytest.fixture
def messages(url: str, prefix: str) -> Callable[..., list[BaseMessage]]:
    """The messages that are stored of a thread."""
    return lambda thread="t": ValkeyChatMessageHistory(
        thread, url=url, key_prefix=prefix
    ).get_messages()


@pytest.fixture
def stored(messages: Callable[..., list[BaseMessage]]) -> Callable[..., list[str]]:
    return lambda thread="t": [one.text for one in messages(thread)]


# Before the model


def test_recall_reaches_the_model_and_no_state(
    make: Any, ask: Asking, long_term: LongTermMemory, stored: Any
) -> None:
    saver = InMemorySaver()
    model = ScriptedAgent("A nice name.", "Tom.", "Who are you?")
    agent = create_agent(model, system_prompt="Be kind.", middleware=[make()], checkpointer=saver)
    assert ask(agent, "My cat is called Tom.", "monday")["messages"][-1].text == "A nice name."
    assert model.notes == ["Be kind."]
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    state = ask(agent, "What is my cat called?", "friday")
    assert model.notes[1].startswith(f"Be kind.\n\n{INTRODUCTION}")
    assert "- Mia lives in Oslo." in model.notes[1]
    assert "user: My cat is called Tom." in model.notes[1]
    assert [one.text for one in state["messages"]] == ["What is my cat called?", "Tom."]
    assert state.keys() == {"messages"}
    assert stored("friday") == ["What is my cat called?", "Tom."]
    ask(agent, "What is my cat called?", "other", "ben")
    assert model.notes[2] == "Be kind."
    kept = list(saver.list(None))
    assert len(kept) >= 9
    assert b"Oslo" not in pickle.dumps([one[:3] for one in kept])
    assert b"Oslo" not in pickle.dumps([one.pending_writes for one in kept])
    assert b"Oslo" not in pickle.dumps(dict(saver.blobs))


def test_recall_is_asked_once_for_a_question(
    make: Any, ask: Asking, long_term: LongTermMemory
) -> None:
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    words = long_term.embedding
    model = ScriptedAgent(
        calling(("add", {"a": 1, "b": 2})),
        lambda _: (
            long_term.remember("Mia has a cat.", user_id="mia")
            and calling(("add", {"a": 3, "b": 3}))
        ),
        "6.",
        "You do.",
    )
    agent = create_agent(model, [add], middleware=[make()], checkpointer=InMemorySaver())
    words.calls.clear()
    ask(agent, "1 + 2 + 3?")
    assert len({*model.notes}) == 1
    assert len([1 for name, _ in words.calls if name.endswith("query")]) == 1
    ask(agent, "Do I have a cat?")
    assert "- Mia has a cat." in model.notes[-1]


def test_what_the_model_sees_anyway_is_not_recalled(
    make: Any, ask_once: Asking, stored: Any
) -> None:
    model = ScriptedAgent("I see.", "It is.", "Green.", "Green.")
    trimmed = _Trimmed()
    middleware = make(within_session=True)
    agent = create_agent(model, middleware=[trimmed, middleware], checkpointer=InMemorySaver())
    ask_once(agent, "The kayak is green.")
    ask_once(agent, "Is the kayak nice?")
    assert model.notes[1] == ""
    trimmed.on = True
    ask_once(agent, "Which colour has the kayak?")
    assert "The kayak is green." in model.notes[2]
    assert [one.text for one in model.heard[2][1:]] == ["Which colour has the kayak?"]
    other = create_agent(model, middleware=[make(), trimmed], checkpointer=InMemorySaver())
    ask_once(other, "Which colour has the kayak?")
    assert model.notes[3] == ""
    assert len(stored()) == 8


class _Trimmed(AgentMiddleware[Any, Any, Any]):
    """Cuts the state down to the question."""

    on = False

    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        gone = [RemoveMessage(id=one.id) for one in state["messages"][:-1]]
        return {"messages": gone} if self.on else None


def test_without_a_checkpointer_the_stored_messages_stand_before_the_question(
    make: Any, ask_once: Asking, stored: Any
) -> None:
    model = ScriptedAgent("Hi.", calling(("add", {"a": 1, "b": 1})), "2.", "Yes.")
    agent = create_agent(model, [add], middleware=[make(last=20)])
    ask_once(agent, "I am Mia.")
    state = ask_once(agent, "1 + 1?")
    assert [one.text for one in state["messages"]] == ["1 + 1?", "", "2", "2."]
    assert [one.text for one in model.heard[1]] == ["I am Mia.", "Hi.", "1 + 1?"]
    assert [one.text for one in model.heard[2]] == ["I am Mia.", "Hi.", "1 + 1?", "", "2"]
    assert stored() == ["I am Mia.", "Hi.", "1 + 1?", "2."]
    kept = create_agent(model, middleware=[make(last=20)], checkpointer=InMemorySaver())
    kept.update_state({"configurable": {"thread_id": "t"}}, {"messages": state["messages"]})
    ask_once(kept, "Sure?")
    said = [one.text for one in model.heard[3]]
    assert said == ["I am Mia.", "Hi.", "1 + 1?", "", "2", "2.", "Sure?"]


def test_a_summary_stands_among_the_notes(make: Any, ask_once: Asking) -> None:
    summary = Summary(ScriptedModel("They greet."), keep_last=2, when_over=3)
    model = ScriptedAgent("Hi.", "Hi again.", "Bye.")
    agent = create_agent(model, middleware=[make(summary=summary)], checkpointer=InMemorySaver())
    for question in ("Hello", "Hello again", "Bye"):
        ask_once(agent, question)
    assert model.notes[1] == ""
    assert "They greet." in model.notes[2]


def test_blocks_of_a_system_message_stay_as_they_are(
    make: Any, ask_once: Asking, long_term: LongTermMemory
) -> None:
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    block = {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}
    model = ScriptedAgent("Hi.")
    agent = create_agent(model, system_prompt=SystemMessage([block]), middleware=[make()])
    ask_once(agent, "Hello")
    content = model.heard[0][0].content
    assert content[0] == block
    assert "Oslo" in content[1]["text"]  # type: ignore[index]


def test_notes_fit_into_what_the_messages_leave(
    make: Any, ask_once: Asking, long_term: LongTermMemory
) -> None:
    for number in range(40):
        long_term.remember(f"Mia has a cat number {number}.", user_id="mia")
    model = ScriptedAgent("Hi.", "Hi.", "Hi.")
    agent = create_agent(model, middleware=[make(max_tokens=2000)])
    ask_once(agent, "Hello")
    ask_once(agent, "word " * 1_250, "long")
    ask_once(agent, "word " * 2_500, "longer")
    short, long, longer = (len(notes) / 4 for notes in model.notes)
    assert 100 < short < 1_000
    assert long < short
    assert longer == 0
    assert len(model.heard[2][-1].text) == 12_500


# After the agent


def test_a_turn_is_stored_with_its_record(
    make: Any, ask_once: Asking, stored: Any, url: str, prefix: str
) -> None:
    model = ScriptedAgent("Hi.", "Bye.")
    middleware = make(model="scripted-1", title=lambda question: question[:7], ttl=60)
    agent = create_agent(model, middleware=[middleware], checkpointer=InMemorySaver())
    ask_once(agent, "Hello there")
    ask_once(agent, "Goodbye")
    (session,) = SessionStore(url=url, key_prefix=prefix).of_user("mia")
    assert (session.session_id, session.title, session.model) == ("t", "Hello t", "scripted-1")
    assert session.message_count == 4
    assert stored() == ["Hello there", "Hi.", "Goodbye", "Bye."]


def test_parallel_tools(make: Any, ask_once: Asking, messages: Any) -> None:
    model = ScriptedAgent(
        calling(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4}), content="Let me see."),
        "3 and 7.",
        calling(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})),
        "3 and 7.",
    )
    agent = create_agent(model, [add], middleware=[make()], checkpointer=InMemorySaver())
    ask_once(agent, "1 + 2? 3 + 4?")
    assert [one.text for one in messages()] == ["1 + 2? 3 + 4?", "3 and 7."]
    agent = create_agent(model, [add], middleware=[make(tool_calls=True)])
    state = ask_once(agent, "1 + 2? 3 + 4?", "whole")
    found = messages("whole")
    assert found == state["messages"]
    assert [type(one).__name__ for one in found] == [
        "HumanMessage", "AIMessage", "ToolMessage", "ToolMessage", "AIMessage",
    ]  # fmt: skip


def test_an_answer_that_is_a_tools_result(make: Any, ask_once: Asking, messages: Any) -> None:
    model = ScriptedAgent(calling(("shout", {"text": "hi"}), ("shout", {"text": "you"})))
    agent = create_agent(model, [shout], middleware=[make()])
    ask_once(agent, "Shout!")
    assert [(type(one), one.text) for one in messages()] == [
        (HumanMessage, "Shout!"),
        (AIMessage, "HI\nYOU"),
    ]


def test_a_structured_answer(make: Any, ask_once: Asking, stored: Any) -> None:
    call = ("Pair", {"first": "ä", "second": 2})
    wrong = ("Pair", {"first": "ä"})
    model = ScriptedAgent(calling(call), calling(wrong), calling(call))
    agent = create_agent(
        model, middleware=[make()], response_format=ToolStrategy(Pair), checkpointer=InMemorySaver()
    )
    state = ask_once(agent, "A pair?")
    assert state["structured_response"] == Pair(first="ä", second=2)
    ask_once(agent, "Another?")
    said = json.dumps(call[1], ensure_ascii=False)
    assert stored() == ["A pair?", said, "Another?", said]


@pytest.mark.parametrize("mode", ["values", "updates", "messages"])
def test_streams(make: Any, ask_once: Asking, stored: Any, mode: str, long_term: Any) -> None:
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    model = ScriptedAgent("You live there.")
    agent = create_agent(model, middleware=[make()], checkpointer=InMemorySaver())
    chunks = ask_once.stream(agent, "Where do I live?", stream_mode=mode)
    assert "Oslo" in model.notes[0]
    assert "Oslo" not in repr(chunks)
    assert stored() == ["Where do I live?", "You live there."]


def test_a_question_that_the_model_fails_at_is_not_stored(
    make: Any, ask: Asking, stored: Any
) -> None:
    model = ScriptedAgent(RuntimeError("overloaded"), "Hi.", RuntimeError("overloaded"), "Fine.")
    agent = create_agent(model, middleware=[make()], checkpointer=InMemorySaver())
    with pytest.raises(RuntimeError, match="overloaded"):
        ask(agent, "Hello?")
    assert stored() == []
    ask(agent, None)  # resumed where it failed
    assert stored() == ["Hello?", "Hi."]
    with pytest.raises(RuntimeError, match="overloaded"):
        ask(agent, "How are you?")
    ask(agent, "How are you today?")  # asked anew, in the same thread
    assert stored() == ["Hello?", "Hi.", "How are you today?", "Fine."]


def test_retries_of_the_model(make: Any, ask: Asking, stored: Any, long_term: Any) -> None:
    model = ScriptedAgent(RuntimeError("overloaded"), RuntimeError("overloaded"), "Hi.")
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)
    for order in ([retry, make()], [make(), retry]):
        model._script = [RuntimeError("overloaded"), RuntimeError("overloaded"), "Hi."]
        long_term.embedding.calls.clear()
        thread = uuid.uuid4().hex
        ask(create_agent(model, middleware=order), "Hello?", thread)
        assert stored(thread) == ["Hello?", "Hi."]
        asked = [texts for name, texts in long_term.embedding.calls if name.endswith("query")]
        assert asked == [["Hello?"]]


@pytest.mark.parametrize(("decision", "same_process"), [("approve", True), ("reject", False)])
def test_interrupts(make: Any, ask: Asking, stored: Any, decision: str, same_process: bool) -> None:
    saver = InMemorySaver()
    model = ScriptedAgent(calling(("add", {"a": 1, "b": 2})), "Done.")

    def agent(middleware: ValkeyMemoryMiddleware) -> Any:
        human = HumanInTheLoopMiddleware(interrupt_on={"add": True})
        return create_agent(model, [add], middleware=[human, middleware], checkpointer=saver)

    middleware = make()
    state = ask(agent(middleware), "1 + 2?")
    assert state["__interrupt__"]
    assert stored() == []
    resumed = middleware if same_process else pickle.loads(pickle.dumps(make()))  # noqa: S301
    ask(agent(resumed), Command(resume={"decisions": [{"type": decision}]}))
    assert stored() == ["1 + 2?", "Done."]
    assert len(resumed._runs) == int(same_process)  # the run that was interrupted


def test_interrupts_between_nodes(make: Any, ask_once: Asking, stored: Any) -> None:
    model = ScriptedAgent(calling(("add", {"a": 1, "b": 2})), "3.")
    agent = create_agent(
        model,
        [add],
        middleware=[make()],
        checkpointer=InMemorySaver(),
        interrupt_before=["tools"],
        interrupt_after=["tools"],
    )
    ask_once(agent, "1 + 2?")
    ask_once(agent, None)
    assert stored() == []
    ask_once(agent, None)
    assert stored() == ["1 + 2?", "3."]


def test_time_travel(make: Any, ask_once: Asking, stored: Any) -> None:
    model = ScriptedAgent("One.", "Two.", "Two again.", "Two, edited.")
    agent = create_agent(model, middleware=[make()], checkpointer=InMemorySaver())
    ask_once(agent, "1?")
    ask_once(agent, "2?")
    config = {"configurable": {"thread_id": "t"}}

    def before_the_model() -> Any:
        return next(one for one in agent.get_state_history(config) if one.next == ("model",))

    again = before_the_model()
    agent.invoke(None, again.config, context={"user_id": "mia"})
    assert len(model.heard) == 3
    assert stored() == ["1?", "One.", "2?", "Two."]
    question = again.values["messages"][-1]
    edited = agent.update_state(
        again.config, {"messages": [HumanMessage("2, or 3?", id=question.id)]}
    )
    agent.invoke(None, edited, context={"user_id": "mia"})
    assert stored() == ["1?", "One.", "2?", "Two.", "2, or 3?", "Two, edited."]


def test_a_run_that_breaks_off_while_it_is_stored(
    make: Any, ask: Asking, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process that dies right after the write: LangGraph does the last node again."""
    from valkey_memory.adapters import MemoryBesideState

    saves = {name: getattr(MemoryBesideState, name) for name in ("save_turn", "asave_turn")}
    broken: list[str] = []

    def save_turn(self: Any, *given: Any, **more: Any) -> None:
        saves["save_turn"](self, *given, **more)
        broken.append("sync")
        raise KeyboardInterrupt if len(broken) == 1 else ValkeyMemoryError("gone")

    async def asave_turn(self: Any, *given: Any, **more: Any) -> None:
        await saves["asave_turn"](self, *given, **more)
        broken.append("async")
        raise ValkeyMemoryError("gone")

    agent = create_agent(ScriptedAgent("Hi."), middleware=[make()], checkpointer=InMemorySaver())
    with monkeypatch.context() as patched:
        patched.setattr(MemoryBesideState, "save_turn", save_turn)
        patched.setattr(MemoryBesideState, "asave_turn", asave_turn)
        for question in ("Hello?", None):
            with pytest.raises((KeyboardInterrupt, ValkeyMemoryError)):
                ask(agent, question)
    ask(agent, None)
    assert len(broken) == 2
    assert stored() == ["Hello?", "Hi."]


def test_with_summarization_even_of_the_question(make: Any, ask_once: Asking, stored: Any) -> None:
    summarize = SummarizationMiddleware(
        ScriptedAgent(lambda _: "They added."), trigger=("messages", 4), keep=("messages", 2)
    )
    model = ScriptedAgent(
        *[calling(("add", {"a": number, "b": 1})) for number in range(3)], "3.", "Gladly."
    )
    agent = create_agent(model, [add], middleware=[summarize, make()], checkpointer=InMemorySaver())
    state = ask_once(agent, "0 + 1 + 1 + 1?")
    assert "They added." in state["messages"][0].text
    assert "0 + 1 + 1 + 1?" not in [one.text for one in state["messages"]]
    assert stored() == ["0 + 1 + 1 + 1?", "3."]
    ask_once(agent, "Thanks")
    assert stored() == ["0 + 1 + 1 + 1?", "3.", "Thanks", "Gladly."]


def test_with_summarization_and_a_resume_elsewhere(
    make: Any, ask_once: Asking, stored: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The one case where a turn has no question any more."""
    summarize = SummarizationMiddleware(
        ScriptedAgent(lambda _: "They added."), trigger=("messages", 4), keep=("messages", 2)
    )
    saver = InMemorySaver()
    model = ScriptedAgent(*[_adding()] * 3, RuntimeError("overloaded"), "3.")
    for middleware in (make(), make()):
        agent = create_agent(model, [add], middleware=[summarize, middleware], checkpointer=saver)
        if middleware_is_first := len(model.heard) == 0:
            with pytest.raises(RuntimeError, match="overloaded"):
                ask_once(agent, "0 + 1 + 1 + 1?")
        else:
            ask_once(agent, None)
    assert not middleware_is_first
    assert stored() == []
    assert "question is in the state no more" in caplog.text


class _Reminding(AgentMiddleware[Any, Any, Any]):
    """Adds to each prompt, and to none of the state; and takes the question out of it later."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(messages=[*request.messages, HumanMessage("Be brief.")]))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        more = [*request.messages, HumanMessage("Be brief.")]
        return await handler(request.override(messages=more))

    def after_model(self, state: Any, runtime: Any) -> dict[str, Any]:
        gone = [one for one in state["messages"] if one.text == "Secret?"]
        return {"messages": [RemoveMessage(id=one.id) for one in gone]}


def test_prompts_that_others_change(make: Any, ask_once: Asking, stored: Any) -> None:
    model = ScriptedAgent("Hi.", _adding(), "Yes.")
    agent = create_agent(
        model, [add], middleware=[_Reminding(), make()], checkpointer=InMemorySaver()
    )
    ask_once(agent, "Hello?")
    assert stored() == ["Hello?", "Hi."]
    ask_once(agent, "Secret?")
    assert [one.text for one in model.heard[-1]][:2] == ["Hello?", "Hi."]
    assert stored() == ["Hello?", "Hi.", "Secret?", "Yes."]


def test_messages_of_tools_in_the_users_name(make: Any, ask_once: Asking, stored: Any) -> None:
    @tool
    def look(tool_call_id: Any = "look-0") -> Any:
        """Look at the picture."""
        shown = HumanMessage("(the picture)")
        return Command(update={"messages": [ToolMessage("below", tool_call_id="look-0"), shown]})

    model = ScriptedAgent(calling(("look", {})), "A cat.")
    agent = create_agent(model, [look], middleware=[make()], checkpointer=InMemorySaver())
    ask_once(agent, "What is on it?")
    assert stored() == ["What is on it?", "(the picture)", "A cat."]


@pytest.mark.parametrize("given", [[], [("assistant", "Hi.")], [("system", "x")]])
def test_a_run_without_a_question(make: Any, ask_once: Asking, stored: Any, given: Any) -> None:
    agent = create_agent(ScriptedAgent("Hello."), middleware=[make()])
    ask_once(agent, {"messages": given})
    assert stored() == []


def test_facts_are_found_in_the_background(
    make: Any, long_term: LongTermMemory, ask: Asking
) -> None:
    facts = ScriptedModel(lambda _: answer(new("Mia cannot swim.", 1)), seconds=0.2)
    middleware = make(extract=facts, background=True)
    agent = create_agent(ScriptedAgent("Noted."), middleware=[middleware])
    if ask.is_async:

        async def run() -> None:
            await agent.ainvoke(
                {"messages": [("user", "I cannot swim.")]},
                {"configurable": {"thread_id": "t"}},
                context={"user_id": "mia"},
            )
            assert long_term.facts("mia") == []
            await middleware.aclose()

        asyncio.run(run())
    else:
        ask(agent, "I cannot swim.")
        assert long_term.facts("mia") == []
        middleware.close()
    assert [one.text for one in long_term.facts("mia")] == ["Mia cannot swim."]
    assert middleware.last_error is None


# Whose memory it is


@dataclass
class Context:
    customer: str
    talk: str | None = None


def test_where_a_run_says_whose_memory_it_is(make: Any, ask_once: Asking, stored: Any) -> None:
    model = ScriptedAgent("Hi.", "Hi.")
    middleware = make(user_id="customer", session_id="talk")
    agent = create_agent(model, middleware=[middleware], context_schema=Context)
    ask_once(agent, "Hello", context=Context("mia", "own"))
    ask_once(agent, "Hello", context=Context("mia"))
    assert stored("own") == stored("t") == ["Hello", "Hi."]
    by_function = make(
        user_id=lambda runtime: runtime.context["who"]["id"],
        session_id=lambda runtime: f"who-{runtime.context['who']['id']}",
    )
    model._script = ["Hi."]
    ask_once(create_agent(model, middleware=[by_function]), "Hello", context={"who": {"id": "mia"}})
    assert stored("who-mia") == ["Hello", "Hi."]


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_run_that_does_not_say_it(make: Any, ask: Asking, on_error: str) -> None:
    model = ScriptedAgent("Hi.")
    agent = create_agent(model, middleware=[make(on_error=on_error)])
    for context in (None, {"user": "mia"}, Context("mia"), {"user_id": ""}, {"user_id": 5}):
        with pytest.raises(InvalidArgumentError, match="user_id") as caught:
            ask(agent, "Hello", context=context)
    assert "user_id must be" in str(caught.value)
    with pytest.raises(InvalidArgumentError, match=re.escape('context={"user_id": "..."}')):
        ask(agent, "Hello", context=None)
    with pytest.raises(InvalidArgumentError, match="thread_id"):
        agent.invoke({"messages": [("user", "Hello")]}, context={"user_id": "mia"})
    with pytest.raises(InvalidSessionIdError):
        ask(agent, "Hello", "\ud800")
    assert model.heard == []


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_a_conversation_of_another_user(
    make: Any, ask: Asking, stored: Any, long_term: LongTermMemory, on_error: str
) -> None:
    """Its state would tell the model what the other one said, whatever memory does."""
    saver = InMemorySaver()
    model = ScriptedAgent("Hi.")
    ask(create_agent(model, middleware=[make()], checkpointer=saver), "I am Mia.")
    agent = create_agent(model, middleware=[make(on_error=on_error)], checkpointer=saver)
    with pytest.raises(NotOwnerError, match="is not of user 'ben'"):
        ask(agent, "Who am I?", user="ben")
    assert len(model.heard) == 1
    assert stored() == ["I am Mia.", "Hi."]
    assert long_term.list("ben") == []


@pytest.mark.parametrize("on_error", ["raise", "warn"])
def test_an_approval_by_another_user(make: Any, ask: Asking, stored: Any, on_error: str) -> None:
    """The run ends with a tool's result, so the model is not asked before the turn is stored."""
    saver = InMemorySaver()
    model = ScriptedAgent("Hi.", calling(("shout", {"text": "hi"})))

    def agent() -> Any:
        human = HumanInTheLoopMiddleware(interrupt_on={"shout": True})
        middleware = [human, make(on_error=on_error)]
        return create_agent(model, [shout], middleware=middleware, checkpointer=saver)

    ask(agent(), "Hello")
    assert ask(agent(), "Shout!")["__interrupt__"]
    with pytest.raises(NotOwnerError, match="is not of user 'ben'"):
        ask(agent(), Command(resume={"decisions": [{"type": "approve"}]}), user="ben")
    assert stored() == ["Hello", "Hi."]


HOSTILE = ["*", "a:b", "{x}", "[a]", "a\nb", "a\0b", "ä", "'", '"', "\\", "chat:*", "a" * 200]


def test_hostile_ids(make: Any, ask_once: Asking, stored: Any, long_term: LongTermMemory) -> None:
    model = ScriptedAgent(lambda messages: "Yes: " + messages[-1].text)
    agent = create_agent(model, middleware=[make()], checkpointer=InMemorySaver())
    for number, name in enumerate(HOSTILE):
        ask_once(agent, f"secret {number} of mine", f"{name}-t", name)
    for number, name in enumerate(HOSTILE):
        assert stored(f"{name}-t") == [f"secret {number} of mine", f"Yes: secret {number} of mine"]
        ask_once(agent, "secret of mine", f"{name}-other", name)
        told = re.findall(r"secret (\d+)", model.notes[-1])
        assert {*told} == {str(number)}


def test_many_users_at_once(make: Any, ask: Asking, stored: Any) -> None:
    """Threads, or tasks of a loop, with one agent and one middleware."""
    users = [f"user-{number}" for number in range(8)]

    def say(messages: list[BaseMessage]) -> Any:
        question = next(one for one in messages if isinstance(one, HumanMessage)).text
        if isinstance(messages[-1], ToolMessage):
            return f"Done: {question}"
        return calling(("add", {"a": 1, "b": 2}))

    model = ScriptedAgent(say)
    agent = create_agent(model, [add], middleware=[make()], checkpointer=InMemorySaver())

    def given(user: str, number: int) -> tuple[Any, Any]:
        question = f"The pet of {user} is called pet{number}-{user}."
        return {"messages": [("user", question)]}, {
            "configurable": {"thread_id": f"{user}/{number}"}
        }

    def talk(user: str) -> None:
        for number in range(2):
            agent.invoke(*given(user, number), context={"user_id": user})

    async def atalk(user: str) -> None:
        for number in range(2):
            await agent.ainvoke(*given(user, number), context={"user_id": user})

    if ask.is_async:

        async def all_of_them() -> None:
            await asyncio.gather(*map(atalk, users))

        asyncio.run(all_of_them())
    else:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(talk, users))
    for user in users:
        for number in range(2):
            question = f"The pet of {user} is called pet{number}-{user}."
            assert stored(f"{user}/{number}") == [question, f"Done: {question}"]
    recalled = 0
    for prompt, notes in zip(model.heard, model.notes, strict=True):
        question = next(one for one in prompt if isinstance(one, HumanMessage)).text
        (user,) = {*re.findall(r"user-\d+", question)}
        assert {*re.findall(r"user-\d+", notes)} <= {user}
        recalled += bool(notes)
    assert recalled == 2 * len(users)


def test_an_agent_inside_of_another(make: Any, ask: Asking, stored: Any, long_term: Any) -> None:
    """Both have the same middleware, the same run and the same thread."""
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    middleware = make()
    inner_model = ScriptedAgent(_adding(), "Inner answer.")
    inner = create_agent(inner_model, [add], middleware=[middleware])

    @tool
    def research(question: str) -> str:
        """Ask another agent."""
        given = {"messages": [("user", question)]}
        return str(inner.invoke(given, context={"user_id": "mia"})["messages"][-1].text)

    @tool
    async def aresearch(question: str) -> str:
        """Ask another agent."""
        given = {"messages": [("user", question)]}
        found = await inner.ainvoke(given, context={"user_id": "mia"})
        return str(found["messages"][-1].text)

    name = "aresearch" if ask.is_async else "research"
    model = ScriptedAgent(calling((name, {"question": "Inner?"})), "Outer answer.")
    outer = create_agent(
        model, [research, aresearch], middleware=[middleware], checkpointer=InMemorySaver()
    )
    ask(outer, "Outer?")
    assert stored() == ["Inner?", "Inner answer.", "Outer?", "Outer answer."]
    assert len({*model.notes}) == len({*inner_model.notes}) == 1
    assert len(middleware._runs) == 0


@pytest.mark.parametrize("all_have_it", [False, True])
def test_agents_one_after_the_other(
    make: Any, ask_once: Asking, stored: Any, all_have_it: bool
) -> None:
    """A turn is known by its question, so of two answers to it the first is stored."""
    middleware = make()
    first = create_agent(ScriptedAgent("A draft."), middleware=[middleware] * all_have_it)
    second = create_agent(ScriptedAgent("A text."), middleware=[middleware])
    graph = StateGraph(MessagesState).add_sequence([("first", first), ("second", second)])
    compiled = graph.add_edge(START, "first").compile(checkpointer=InMemorySaver())
    ask_once(compiled, "Write!")
    assert stored() == ["Write!", "A draft."] + ["A text."] * (not all_have_it)


def test_one_thread_twice_at_once(make: Any, ask: Asking, stored: Any) -> None:
    """Without a checkpointer nothing speaks against it; each turn is stored whole."""

    def say(messages: list[BaseMessage]) -> Any:
        return f"Done: {messages[0].text}" if messages[-1].type == "tool" else _adding()

    agent = create_agent(ScriptedAgent(say), [add], middleware=[make(k=0, facts=0)])
    config: Any = {"configurable": {"thread_id": uuid.UUID(int=5)}}
    given = [{"messages": [("user", f"question {number}")]} for number in range(8)]
    if ask.is_async:
        asyncio.run(agent.abatch(given, config, context={"user_id": "mia"}))
    else:
        agent.batch(given, config, context={"user_id": "mia"})
    said = stored(str(uuid.UUID(int=5)))
    assert sorted(said[::2]) == [f"question {number}" for number in range(8)]
    assert said[1::2] == [f"Done: {question}" for question in said[::2]]


def test_a_run_that_is_cancelled(make: Any, stored: Any, long_term: LongTermMemory) -> None:
    async def run() -> None:
        agent = create_agent(ScriptedAgent("Hi.", "Hi."), middleware=[make()])
        for seconds in (0, 0.001, 0.005, 0.02):
            task = asyncio.ensure_future(
                agent.ainvoke(
                    {"messages": [HumanMessage("Hello", id="1")]},
                    {"configurable": {"thread_id": "t"}},
                    context={"user_id": "mia"},
                )
            )
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert stored() in ([], ["Hello", "Hi."])

    asyncio.run(run())


def test_a_question_that_cannot_be_stored(
    make: Any, ask_once: Asking, stored: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedAgent("Hi.", "Hi.")
    with pytest.raises(ValkeyMemoryError):
        ask_once(create_agent(model, middleware=[make()]), "\ud800")
    assert model.heard == []
    ask_once(create_agent(model, middleware=[make(on_error="warn")]), "\ud800")
    assert stored() == []
    assert "not stored" in caplog.text


# A memory that is down


@pytest.fixture
def gone() -> Iterator[ValkeyConnection]:
    """A connection to a server that is no more."""
    with EmbeddedValkey() as server:
        url = f"{server.url}?connection_timeout=0.1&request_timeout=0.1"
    with ValkeyConnection.from_url(url) as connection:
        yield connection


@pytest.fixture
def gone_memory(gone: ValkeyConnection) -> LongTermMemory:
    return LongTermMemory(Words(), connection=gone)


def test_a_memory_that_is_down_raises(make: Any, ask: Asking, gone_memory: Any) -> None:
    model = ScriptedAgent("Hi.")
    agent = create_agent(model, middleware=[make(memory=gone_memory)])
    with pytest.raises(ValkeyMemoryError):
        ask(agent, "Hello")
    assert model.heard == []


def test_or_the_agent_goes_on_without_it(
    make: Any, ask: Asking, gone_memory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedAgent(calling(("add", {"a": 1, "b": 2})), "3.")
    agent = create_agent(model, [add], middleware=[make(memory=gone_memory, on_error="warn")])
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert ask(agent, "1 + 2?")["messages"][-1].text == "3."
    said = [one.getMessage() for one in caplog.records if one.name == "valkey_memory"]
    assert [line.partition(" 't'")[0] for line in said] == [
        "nothing is recalled for",
        "the turn is not stored of",
    ]


def test_a_server_that_dies_while_the_model_thinks(
    tmp_path: Path, ask_once: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """And comes back for the next question."""
    with EmbeddedValkey(tmp_path) as server:
        url = f"{server.url}?connection_timeout=0.3&request_timeout=0.3"

        def dies(_: Any) -> str:
            os.kill(process_id(server), signal.SIGKILL)
            return "Hi."

        with ValkeyConnection.from_url(url) as connection:
            model = ScriptedAgent(dies, "Hi again.")
            memory = LongTermMemory(Words(), connection=connection)
            agent = create_agent(
                model, middleware=[ValkeyMemoryMiddleware(memory, on_error="warn")]
            )
            assert ask_once(agent, "My cat is called Tom.")["messages"][-1].text == "Hi."
            assert caplog.text.count("the turn is not stored of 't'") == 1
            server.revive()
            assert ask_once(agent, "My dog is called Rex.")["messages"][-1].text == "Hi again."
            history = ValkeyChatMessageHistory("t", connection=connection)
            assert [one.text for one in history.messages] == ["My dog is called Rex.", "Hi again."]
            assert len(caplog.records) == 1


def test_an_embedding_that_fails(
    make: Any, ask_once: Asking, url: str, stored: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(texts: list[str]) -> list[list[float]]:
        raise RuntimeError("no model")

    memory = LongTermMemory(fails, url=url, index_name=f"test-{uuid.uuid4().hex}", dimension=4)
    middleware = make(memory=memory, on_error="warn")
    agent = create_agent(ScriptedAgent("Hi."), middleware=[middleware])
    ask_once(agent, "Hello")
    assert stored() == ["Hello", "Hi."]
    assert "RuntimeError: no model" in caplog.text
    assert str(middleware.last_error) == "no model"


# What it costs


def test_round_trips(
    server: EmbeddedValkey,
    make: Any,
    ask: Asking,
    url: str,
    long_term: LongTermMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two before the model, one that stores: whatever the number of the model's calls."""
    memory = LongTermMemory(Words(), url=url, index_name=long_term.index.name, search="exact")
    model = ScriptedAgent(lambda messages: "3." if messages[-1].type == "tool" else _adding())
    middleware = make(memory=memory)
    agent = create_agent(model, [add], middleware=[middleware])
    memory.remember("Mia lives in Oslo.", user_id="mia")
    ask(agent, "1 + 2?")

    steps: list[Request | Lanes] = []
    executing(memory.connection.for_primaries(), steps, monkeypatch)
    monkeypatch.setattr(middleware._settings.after, "after_turn_plan", lambda *_: iter(()))
    ask(agent, "1 + 2?")
    assert len(model.heard) == 4
    assert all(isinstance(one, Request) for one in steps)
    assert 2 <= len(steps) <= 3
    sent_words = [
        command[0] for one in steps if isinstance(one, Request) for command in one.commands
    ]
    assert sent_words.count("EVAL") == 1
    counts = sent(server, lambda: ask(agent, "1 + 2?"))
    assert (counts["eval"], counts["hgetall"]) == (1, 1)

    steps.clear()
    bare = create_agent(model, [add], middleware=[make(memory=None, url=url)])
    ask(bare, "1 + 2?", "bare")
    assert len(steps) == 2


def executing(connection: Any, steps: list[Request | Lanes], monkeypatch: Any) -> None:
    """Note the requests that reach the connection's executors."""
    execute, aexecute = connection._execute, connection._aexecute

    def note(step: Any) -> Any:
        steps.extend([step] if isinstance(step, Request | Lanes) else [])
        return execute(step)

    def anote(step: Any) -> Any:
        steps.extend([step] if isinstance(step, Request | Lanes) else [])
        return aexecute(step)

    monkeypatch.setattr(connection, "_execute", note)
    monkeypatch.setattr(connection, "_aexecute", anote)


def _adding() -> AIMessage:
    return calling(("add", {"a": 1, "b": 2}))


def test_in_a_cluster(cluster_connection: ValkeyConnection, prefix: str, ask_once: Asking) -> None:
    memory = LongTermMemory(
        Words(), connection=cluster_connection, index_name=prefix[:-1], search="exact"
    )
    summary = Summary(ScriptedModel("They talk."), keep_last=2, when_over=4)
    middleware = ValkeyMemoryMiddleware(memory, key_prefix=prefix, summary=summary, last=4)
    model = ScriptedAgent(lambda messages: f"Yes: {messages[-1].text}")
    agent = create_agent(model, middleware=[middleware])
    try:
        for number in range(3):
            ask_once(agent, f"Tea {number}", f"s{number % 2}")
        assert "user: Tea 1" in model.notes[-1]
        assert [one.text for one in model.heard[-1][1:]] == ["Tea 0", "Yes: Tea 0", "Tea 2"]
        sessions = SessionStore(connection=cluster_connection, key_prefix=prefix)
        assert {one.session_id for one in sessions.of_user("mia")} == {"s0", "s1"}
    finally:
        memory.index.drop(delete_documents=True)


def test_with_the_librarys_checkpointer_and_store(
    connection: ValkeyConnection, prefix: str, ask: Asking
) -> None:
    """On each topology: an approval, with agents that know nothing of each other."""
    memory = LongTermMemory(Words(), connection=connection, index_name=prefix[:-1], search="exact")
    model = ScriptedAgent(_adding(), "3.")

    def agent() -> Any:
        return create_agent(
            model,
            [add],
            middleware=[
                HumanInTheLoopMiddleware(interrupt_on={"add": True}),
                ValkeyMemoryMiddleware(memory, key_prefix=prefix),
            ],
            checkpointer=ValkeySaver(connection=connection, key_prefix=f"graph-{prefix}"),
            store=ValkeyStore(connection=connection, name=f"store-{prefix[:-1]}"),
        )

    history = ValkeyChatMessageHistory("t", connection=connection, key_prefix=prefix)
    try:
        memory.remember("Mia lives in Oslo.", user_id="mia")
        assert ask(agent(), "1 + 2?")["__interrupt__"]
        assert history.get_messages() == []
        ask(agent(), Command(resume={"decisions": [{"type": "approve"}]}))
        assert [one.text for one in history.get_messages()] == ["1 + 2?", "3."]
        assert all("Mia lives in Oslo." in notes for notes in model.notes)
        saved = list(agent().checkpointer.list({"configurable": {"thread_id": "t"}}))
        assert len(saved) > 5
        assert "Oslo" not in repr(saved)
    finally:
        memory.index.drop(delete_documents=True)


def test_with_the_librarys_caches_and_its_run_log(
    make: Any, ask_once: Asking, url: str, prefix: str, stored: Any, long_term: LongTermMemory
) -> None:
    """What the model was told of one user answers no other user's question."""
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    added: list[int] = []

    @tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        added.append(a + b)
        return a + b

    model = ScriptedAgent(
        lambda messages: f"{messages[0].text[-5:]} 3." if messages[-1].type == "tool" else _adding()
    )
    model.cache = ValkeySemanticCache(Words(), url=url, index_name=f"answers-{prefix[:-1]}", ttl=60)
    tools = ValkeyToolCacheMiddleware(["add"], url=url, key_prefix=f"tool-{prefix}", ttl=60)
    logger = ValkeyRunLogger(url=url, key_prefix=f"log-{prefix}", ttl=60)
    agent = create_agent(model, [add], middleware=[make(k=0), tools])
    agent = agent.with_config(callbacks=[logger])
    for thread, user in (("a", "mia"), ("b", "ben"), ("c", "mia"), ("d", "ben")):
        ask_once(agent, "1 + 2?", thread, user)
    told_of_mia, told_of_ben = "Oslo. 3.", " + 2? 3."
    assert [stored(one)[1] for one in "abcd"] == [told_of_mia, told_of_ben] * 2
    assert (len(model.heard), added) == (4, [3])
    runs = logger.log.runs()
    assert len(runs) == 4
    assert all(run.state == "ended" for run in runs)
    events = [event for run in runs for event in logger.log.read(run.run_id)]
    assert "1 + 2?" in repr(events)
    assert "lives in Oslo" not in repr(events)


# The object


async def _who(runtime: Any) -> str:
    return "mia"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"memory": "memory"}, InvalidArgumentError),
        ({"user_id": ""}, InvalidArgumentError),
        ({"user_id": None}, InvalidArgumentError),
        ({"session_id": 5}, InvalidArgumentError),
        ({"user_id": _who}, InvalidArgumentError),
        ({"on_error": "ignore"}, InvalidArgumentError),
        ({"tool_calls": 1}, InvalidArgumentError),
        ({"within_session": "yes"}, InvalidArgumentError),
        ({"title": "A talk"}, InvalidArgumentError),
        ({"last": -1}, InvalidArgumentError),
        ({"last": None}, InvalidArgumentError),
        ({"facts": -1}, InvalidArgumentError),
        ({"summary": "summary"}, InvalidArgumentError),
        ({"max_messages": 0}, InvalidArgumentError),
        ({"ttl": 0}, InvalidArgumentError),
        ({"memory": None, "extract": ScriptedModel()}, InvalidArgumentError),
        ({"shares": {"facts": 0.2}}, InvalidArgumentError),
        ({"colour": "red"}, TypeError),
    ],
)
def test_wrong_arguments(make: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"user_id": lambda _: None}, "returned None"),
        ({"session_id": lambda _: {"id": "t"}}, "a string, a number or a UUID, not {'id': 't'}"),
        ({"session_id": lambda _: True}, "a string, a number or a UUID, not True"),
    ],
)
def test_functions_that_do_not_know_it(make: Any, options: dict[str, Any], said: str) -> None:
    agent = create_agent(ScriptedAgent("Hi."), middleware=[make(**options)])
    with pytest.raises(InvalidArgumentError, match=re.escape(said)):
        Asking(is_async=False)(agent, "Hello")


@pytest.mark.parametrize("title", [lambda _: 1 / 0, lambda _: 5])
def test_a_title_that_cannot_be(
    make: Any, ask_once: Asking, stored: Any, caplog: pytest.LogCaptureFixture, title: Any
) -> None:
    model = ScriptedAgent("Hi.", "Hi.")
    agent = create_agent(model, middleware=[make(title=title, on_error="warn")])
    assert ask_once(agent, "Hello")["messages"][-1].text == "Hi."
    assert "the turn is not stored of 't'" in caplog.text
    with pytest.raises((ZeroDivisionError, InvalidArgumentError)):
        ask_once(create_agent(model, middleware=[make(title=title)]), "Hello")
    assert stored() == []


def test_runs_without_an_end_do_not_pile_up(make: Any, ask_once: Asking, monkeypatch: Any) -> None:
    monkeypatch.setattr(_agent_runs, "_MOST_RUNS", 5)
    middleware = make()
    agent = create_agent(
        ScriptedAgent(lambda _: RuntimeError("overloaded")), middleware=[middleware]
    )
    for _ in range(8):
        with pytest.raises(RuntimeError):
            ask_once(agent, "Hello")
    assert len(middleware._runs) == 5


def test_pickles(url: str, prefix: str, stored: Any) -> None:
    memory = LongTermMemory(Words(), url=url, index_name=f"test-{uuid.uuid4().hex}")
    middleware = ValkeyMemoryMiddleware(memory, key_prefix=prefix, on_error="warn")
    copy = pickle.loads(pickle.dumps(middleware))  # noqa: S301
    assert repr(copy) == repr(middleware)
    assert b"_glide._middleware" not in pickle.dumps(middleware)
    Asking(is_async=False)(create_agent(ScriptedAgent("Hi."), middleware=[copy]), "Hello")
    assert stored() == ["Hello", "Hi."]
    assert middleware.name == "ValkeyMemoryMiddleware"
