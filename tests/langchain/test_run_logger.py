"""The callback handler in real agents, graphs and chains: all in order, and nothing broken."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import CallbackManagerForRetrieverRun, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from langchain_valkey_glide import ValkeyRunLogger
from valkey_memory import EmbeddedValkey, InvalidArgumentError, RunEvent, ValkeyConnection

from .agents import Scripted, calling


@tool
def search(query: str, runtime: ToolRuntime[Any, Any]) -> str:
    """Search the web."""
    time.sleep(0.02)
    return f"secret of {query}"


@tool
def broken(how: str) -> str:
    """Fails."""
    raise ValueError(f"secret: {how}")


@tool
def ask(question: str) -> str:
    """Asks a person."""
    return str(interrupt(question))


@pytest.fixture(params=["sync", "async", "stream"])
def way(request: pytest.FixtureRequest) -> str:
    """How a chain or an agent is run."""
    name: str = request.param
    return name


@pytest.fixture
def is_async(way: str) -> bool:
    return way == "async"


@pytest.fixture
def make_logger(paired_connection: ValkeyConnection, prefix: str) -> Callable[..., ValkeyRunLogger]:
    def make(**options: Any) -> ValkeyRunLogger:
        known: dict[str, Any] = {"connection": paired_connection, "key_prefix": prefix}
        return ValkeyRunLogger(**(known | options))

    return make


def an_agent(*script: AIMessage, **options: Any) -> Any:
    model = Scripted(script=[*script, AIMessage("secret answer")])
    return create_agent(model, [search, broken, ask], name="support", **options)


@pytest.fixture
def invoke(way: str) -> Callable[..., Any]:
    """Runs a chain or an agent in one of the ways to do so."""

    def invoke(runnable: Any, given: Any, logger: ValkeyRunLogger, **config: Any) -> Any:
        config = {"callbacks": [logger], **config}
        if way == "sync":
            return runnable.invoke(given, config)
        if way == "async":
            return asyncio.run(runnable.ainvoke(given, config))
        return list(runnable.stream(given, config))[-1]

    return invoke


GO = {"messages": [("user", "secret question")]}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def events_of(logger: ValkeyRunLogger) -> list[RunEvent]:
    """The events of the last run."""
    return logger.log.read(logger.log.runs(1)[0].run_id)


def test_an_agent_from_start_to_end(make_logger: Any, invoke: Any) -> None:
    logger = make_logger()
    calls = calling(
        ("search", {"query": "tea"}), ("search", {"query": "mate"}), usage_metadata=USAGE
    )
    invoke(an_agent(calls), GO, logger)
    (run,) = logger.log.runs()
    assert (run.name, run.state) == ("support", "ended")
    events = logger.log.read(run.run_id)
    seen = [(e.action, e.details["name"]) for e in events]
    assert seen[0] == ("run_start", "support")
    assert seen[-1] == ("run_end", "support")
    model = [("model_start", "Scripted"), ("model_end", "Scripted")]
    assert seen[1:5] == [("chain_start", "model"), *model, ("chain_end", "model")]
    assert seen[-5:-1] == [("chain_start", "model"), *model, ("chain_end", "model")]
    for action in ("chain_start", "chain_end"):
        assert seen[5:-5].count((action, "tools")) == 2
    for action in ("tool_start", "tool_end"):
        assert seen[5:-5].count((action, "search")) == 2
    by_step = {event.step: event for event in events if event.action.endswith("_start")}
    assert [e.parent for e in events if e.action.startswith("run_")] == [None, None]
    for event in events:
        if event.action.endswith("_end"):
            began = by_step[event.step]
            assert began.details["name"] == event.details["name"]
            assert began.parent == event.parent
            assert 0 <= event.details["seconds"] < 30
        if event.parent is not None:
            assert by_step[event.parent].id < event.id
    ends = [event for event in events if event.action == "tool_end"]
    assert all(event.details["seconds"] >= 0.02 for event in ends)
    first = next(event for event in events if event.action == "model_end")
    assert (first.details["usage"], first.details["tools"]) == (USAGE, ["search", "search"])
    starts = [event.details["input"] for event in events if event.action == "tool_start"]
    assert sorted(one["query"] for one in starts) == ["mate", "tea"]
    assert all(one.keys() == {"query"} for one in starts)  # nothing that is injected
    assert {e.details["output"]["content"] for e in ends} == {"secret of tea", "secret of mate"}
    assert events[-1].details["output"]["content"] == "secret answer"


def test_without_payloads(make_logger: Any, invoke: Any) -> None:
    logger = make_logger(payloads=False)
    calls = calling(("search", {"query": "secret tea"}), usage_metadata=USAGE)
    invoke(an_agent(calls), GO, logger)
    with pytest.raises(ValueError, match="secret"):
        invoke(an_agent(calling(("broken", {"how": "secretly"}))), GO, logger)
    for run in logger.log.runs():
        events = logger.log.read(run.run_id)
        assert len(events) > 8
        assert "secret" not in repr(events)
    failed, ended = logger.log.runs()
    assert (failed.state, ended.state) == ("failed", "ended")
    assert [
        e.details.get("usage") for e in logger.log.read(ended.run_id) if e.action == "model_end"
    ] == [USAGE, None]


def test_errors(make_logger: Any, invoke: Any) -> None:
    logger = make_logger()
    with pytest.raises(ValueError, match="secret"):
        invoke(an_agent(calling(("broken", {"how": "x"}))), GO, logger)
    events = events_of(logger)
    failed = [event for event in events if event.action.endswith("_error")]
    assert [event.action for event in failed] == ["tool_error", "chain_error", "run_error"]
    assert {(e.details["error"], e.details["message"]) for e in failed} == {
        ("ValueError", "secret: x")
    }


def test_an_interrupt_is_no_error(make_logger: Any, invoke: Any) -> None:
    logger = make_logger()
    agent = an_agent(calling(("ask", {"question": "Sure?"})), checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    invoke(agent, GO, logger, **thread)
    events = events_of(logger)
    assert [e.action for e in events if "interrupt" in e.action] == [
        "tool_interrupt",
        "chain_interrupt",
    ]
    assert events[-1].action == "run_end"
    invoke(agent, Command(resume="yes"), logger, **thread)
    assert [run.state for run in logger.log.runs()] == ["ended", "ended"]
    assert "tool_end" in [event.action for event in events_of(logger)]


def test_run_ids(make_logger: Any, invoke: Any) -> None:
    logger = make_logger()
    wanted = uuid.uuid4()
    invoke(RunnableLambda(lambda x: x, name="echo"), 1, logger, run_id=wanted)
    assert [run.run_id for run in logger.log.runs()] == [str(wanted)]
    given = make_logger(run_id="thread 1")
    for _ in range(2):
        invoke(RunnableLambda(lambda x: x), 1, given)
    assert [event.action for event in given.log.read("thread 1")] == ["run_start", "run_end"] * 2
    assert {run.run_id for run in given.log.runs()} == {str(wanted), "thread 1"}


def test_whose_a_run_is(make_logger: Any, invoke: Any) -> None:
    logger = make_logger(payloads=False)
    agent = an_agent(calling(("search", {"query": "tea"})))
    invoke(agent, GO, logger, metadata={"user_id": "alice"})
    invoke(agent, GO, logger, metadata={"user_id": 5})
    assert {event.user_id for event in events_of(logger)} == {None}
    (run,) = [run for run in logger.log.runs() if run.user_id]
    assert {event.user_id for event in logger.log.read(run.run_id)} == {"alice"}
    assert logger.log.clear(user_id="alice") == 1


def test_many_runs_at_the_same_time(make_logger: Any) -> None:
    logger = make_logger()

    def one(n: int) -> Any:
        inner: Any = RunnableLambda(lambda x: x + 1, name="inner")
        return inner.invoke(n)

    chain = RunnableLambda(one, name="outer")
    chain.batch(list(range(8)), {"callbacks": [logger], "max_concurrency": 8})

    async def many() -> None:
        await asyncio.gather(*(chain.ainvoke(n, {"callbacks": [logger]}) for n in range(8)))

    asyncio.run(many())
    runs = logger.log.runs()
    assert len(runs) == 16
    for run in runs:
        assert (run.name, run.events, run.state) == ("outer", 4, "ended")
        events = logger.log.read(run.run_id)
        assert [(e.action, e.details["name"]) for e in events] == [
            ("run_start", "outer"),
            ("chain_start", "inner"),
            ("chain_end", "inner"),
            ("run_end", "outer"),
        ]


class Library(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        if query == "nothing":
            raise LookupError(query)
        return [Document(f"about {query}")]


def test_what_is_no_chain(make_logger: Any, invoke: Any) -> None:
    """A model, retriever or tool alone is a run, too."""
    logger = make_logger()
    invoke(FakeListLLM(responses=["Tea."]), "What?", logger)
    said = [
        (e.action, e.details.get("input") or e.details.get("output")) for e in events_of(logger)
    ]
    assert said == [
        ("run_start", None), ("model_start", "What?"), ("model_end", "Tea."), ("run_end", None),
    ]  # fmt: skip
    invoke(Library(), "tea", logger)
    events = events_of(logger)
    assert [e.action for e in events] == [
        "run_start", "retriever_start", "retriever_end", "run_end",
    ]  # fmt: skip
    assert (events[2].details["documents"], events[2].details["output"]) == (1, ["about tea"])
    with pytest.raises(LookupError):
        invoke(Library(), "nothing", logger)
    assert [e.action for e in events_of(logger)][-2:] == ["retriever_error", "run_error"]
    with pytest.raises(ValueError, match="secret"):
        invoke(broken, {"how": "x"}, logger)
    assert [e.action for e in events_of(logger)][-2:] == ["tool_error", "run_error"]


def test_events_of_the_application(make_logger: Any) -> None:
    logger = make_logger()

    def work(n: int) -> int:
        dispatch_custom_event("halfway", {"n": n})
        return n

    RunnableLambda(work).invoke(5, {"callbacks": [logger]})
    _, event, _ = events_of(logger)
    assert (event.action, event.details) == ("custom", {"name": "halfway", "data": {"n": 5}})


def test_agents_of_the_older_kind(make_logger: Any) -> None:
    logger = make_logger()
    run_id = uuid.uuid4()
    logger.on_chain_start(None, {}, run_id=run_id, name="old")
    logger.on_agent_action(AgentAction("search", "tea", "log"), run_id=run_id)
    logger.on_agent_finish(AgentFinish({"output": "Tea."}, "log"), run_id=run_id)
    logger.on_chain_end({}, run_id=run_id)
    _, action, finish, _ = events_of(logger)
    assert (action.action, action.details) == ("agent_action", {"name": "search", "input": "tea"})
    assert (finish.action, finish.details) == ("agent_finish", {"output": {"output": "Tea."}})


def test_a_stream_that_nobody_reads_to_its_end(make_logger: Any) -> None:
    logger = make_logger()
    calls = calling(("search", {"query": "tea"}))
    stream = an_agent(calls).stream(GO, {"callbacks": [logger]})
    next(stream)
    stream.close()
    (run,) = logger.log.runs()
    assert run.state == "failed"
    assert logger.log.read(run.run_id)[-1].details["error"] == "GeneratorExit"
    assert logger._recorder._steps == {}


def test_odd_payloads(make_logger: Any, invoke: Any) -> None:
    logger = make_logger(max_chars=100)
    circle: list[Any] = []
    circle.append(circle)
    odd = (None, object(), {1: b"\xff", "\ud800": (1, {2})}, "x" * 10_000, [circle])
    for number, value in enumerate(odd):
        name = f"chain {number}"
        invoke(RunnableLambda(lambda _: circle, name=name), {"value": value}, logger)
        (run,) = logger.log.runs(1)
        assert (run.name, run.events) == (name, 2)
        assert len(repr(events_of(logger))) < 2000


def test_steps_that_never_end_are_forgotten(make_logger: Any) -> None:
    logger = make_logger()
    root, left = uuid.uuid4(), uuid.uuid4()
    logger.on_chain_start(None, {}, run_id=root)
    logger.on_chain_start(None, {}, run_id=left, parent_run_id=root)
    logger.on_chain_end({}, run_id=root)
    logger.on_chain_end({}, run_id=left, parent_run_id=root)
    logger.on_tool_end("x", run_id=uuid.uuid4())
    assert [event.action for event in events_of(logger)] == ["run_start", "chain_start", "run_end"]
    assert logger._recorder._steps == {}


# A log that is down


@pytest.fixture
def nowhere() -> Iterator[ValkeyConnection]:
    url = "valkey://localhost:1?connection_timeout=0.2"
    with ValkeyConnection.from_url(url) as connection:
        yield connection


def test_without_a_server(
    nowhere: ValkeyConnection, invoke: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = ValkeyRunLogger(connection=nowhere)
    began = time.monotonic()
    invoke(an_agent(calling(("search", {"query": "tea"}))), GO, logger)
    assert time.monotonic() - began < 3  # one event has waited, and no other
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("valkey_memory", logging.WARNING)
    assert "The next one is tried in 30 s" in caplog.text


def test_a_server_that_goes(caplog: pytest.LogCaptureFixture) -> None:
    echo = RunnableLambda(lambda x: x)
    with EmbeddedValkey() as server:
        url = f"{server.url}?request_timeout=0.3&connection_timeout=0.3"
        with ValkeyConnection.from_url(url) as connection:
            given: Any = {"callbacks": [ValkeyRunLogger(connection=connection)]}
            assert echo.invoke(1, given) == 1
            server.close()
            assert echo.invoke(2, given) == 2
    assert "is not logged" in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_losses_are_told_once_it_goes_on(
    make_logger: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = make_logger()
    logger._recorder._lost = 7
    RunnableLambda(lambda x: x).invoke(1, {"callbacks": [logger]})
    assert [record.message for record in caplog.records] == [
        "the log of runs goes on; it lacks 7 events"
    ]


def test_a_foreign_key_stops_nothing(
    make_logger: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    from ..servers import send

    logger = make_logger(run_id="r")
    send(logger.log.connection, "SET", f"{prefix}r", "mine")
    assert RunnableLambda(lambda x: x).invoke(1, {"callbacks": [logger]}) == 1
    assert len(caplog.records) == 2  # another event may succeed, so none is left out
    assert "an event of the run 'r' is not logged" in caplog.text


def test_options_and_pickles(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="run_id"):
        ValkeyRunLogger(url=url, run_id="")
    with pytest.raises(InvalidArgumentError, match="ttl"):
        ValkeyRunLogger(url=url, ttl=0)
    logger = ValkeyRunLogger(url=url, run_id="pickled", payloads=False)
    copy = pickle.loads(pickle.dumps(logger))  # noqa: S301
    assert RunnableLambda(lambda x: x).invoke("secret", {"callbacks": [copy]}) == "secret"
    assert "secret" not in repr(logger.log.read("pickled"))
    assert [event.action for event in logger.log.read("pickled")] == ["run_start", "run_end"]
    logger.log.delete("pickled")
