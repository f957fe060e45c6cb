"""The middleware in real agents: tools run once, and what comes back is what they gave."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, ToolRetryMiddleware
from langchain.tools import ToolRuntime
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

import langchain_valkey_glide
from langchain_valkey_glide import ValkeyToolCacheMiddleware
from valkey_memory import ConnectionFailedError, InvalidArgumentError, ValkeyConnection

from ..servers import send
from .agents import Scripted, calling

RUNS: list[Any] = []
_LOCK = threading.Lock()


def ran(what: Any) -> None:
    with _LOCK:
        RUNS.append(what)


@tool
def search(query: str, limit: float = 5) -> str:
    """Search the web."""
    ran(query)
    time.sleep(0.1)
    return f"about {query}, {len(RUNS)}"


@tool
def orders(runtime: ToolRuntime[Any, Any]) -> str:
    """The orders of the user."""
    ran(runtime.context)
    return f"of {runtime.context.user_id}"


@tool(response_format="content_and_artifact")
def table(name: str) -> tuple[list[dict[str, str]], Any]:
    """Rows, and what is behind them."""
    ran(name)
    artifact = {"documents": [Document("x")]} if name == "objects" else {"rows": (1, 2)}
    return [{"type": "text", "text": name}], artifact


@tool
def broken(how: str) -> Any:
    """Fails."""
    ran(how)
    if how == "raise":
        raise ValueError("no")
    return ToolMessage("no", tool_call_id="x", status="error")


@tool
def remember(fact: str, call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Changes the state."""
    ran(fact)
    return Command(update={"messages": [ToolMessage(fact, tool_call_id=call)]})


@tool
def ask(question: str) -> str:
    """Asks a person."""
    answer = interrupt(question)
    ran(answer)
    return str(answer)


@tool
def own_message(text: str, call: Annotated[str, InjectedToolCallId]) -> ToolMessage:
    """Gives a message of its own, with an id."""
    ran(text)
    return ToolMessage(text, tool_call_id=call, id=f"id-{len(RUNS)}", name="other")


TOOLS = [search, orders, table, broken, remember, ask, own_message]


@dataclass
class User:
    user_id: str | None


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


@pytest.fixture
def connection(paired_connection: ValkeyConnection) -> ValkeyConnection:
    return paired_connection


@pytest.fixture
def cached(connection: ValkeyConnection, prefix: str) -> Callable[..., ValkeyToolCacheMiddleware]:
    def make(
        tools: Any = ("search", "table", "broken", "remember", "ask", "own_message"),
        **options: Any,
    ) -> ValkeyToolCacheMiddleware:
        known: dict[str, Any] = {"connection": connection, "key_prefix": prefix}
        return ValkeyToolCacheMiddleware(tools, **(known | options))

    return make


@pytest.fixture
def results(is_async: bool) -> Callable[..., list[ToolMessage]]:
    """Runs an agent that makes the calls, and gives the messages of its tools."""

    def run(
        middleware: Any, *calls: tuple[str, dict[str, Any]], user: str | None = None, **options: Any
    ) -> list[ToolMessage]:
        model = Scripted(script=[calling(*calls), AIMessage("done")])
        before = middleware if isinstance(middleware, list) else [middleware]
        agent: Any = create_agent(model, TOOLS, middleware=before, context_schema=User)
        given = {"messages": [("user", "go")]}
        if is_async:
            state = asyncio.run(agent.ainvoke(given, context=User(user)))
        else:
            state = agent.invoke(given, context=User(user))
        assert state["messages"][-1].content == "done"
        return [one for one in state["messages"] if isinstance(one, ToolMessage)]

    return run


def test_a_call_is_made_once(cached: Any, results: Any) -> None:
    middleware = cached([search])
    (first,) = results(middleware, ("search", {"query": "tea"}))
    (other,) = results(middleware, ("orders", {}), user="alice")
    (again,) = results(middleware, ("search", {"query": "tea"}))
    assert [str(one) for one in RUNS] == ["tea", "User(user_id='alice')"]
    assert (first.content, first.name, first.status) == ("about tea, 1", "search", "success")
    assert again.model_dump(exclude={"id"}) == first.model_dump(exclude={"id"})
    assert again.id != first.id
    assert other.content == "of alice"
    stats = middleware.cache.stats()
    assert (stats.hits, stats.misses) == (1, 1)


def test_parallel_calls_of_one_step_run_once(cached: Any, results: Any) -> None:
    found = results(cached(), *[("search", {"query": "tea", "limit": n}) for n in (1, 1.0)] * 4)
    assert RUNS == ["tea"]
    assert [one.content for one in found] == ["about tea, 1"] * 8
    assert [one.tool_call_id for one in found] == [f"call_{n}" for n in range(8)]


def test_content_and_artifact_come_back(cached: Any, results: Any) -> None:
    middleware = cached()
    for _ in range(2):
        (found,) = results(middleware, ("table", {"name": "t"}))
        assert found.content == [{"type": "text", "text": "t"}]
        assert found.artifact == {"rows": (1, 2)}
    assert RUNS == ["t"]


def test_an_artifact_of_objects_is_not_cached(
    cached: Any, results: Any, caplog: pytest.LogCaptureFixture
) -> None:
    middleware = cached()
    for _ in range(2):
        (found,) = results(middleware, ("table", {"name": "objects"}))
        assert found.artifact == {"documents": [Document("x")]}
    assert len(RUNS) == 2
    assert "of the tool 'table' is not cached" in caplog.text
    assert "Document" in caplog.text


def test_errors_are_not_cached(cached: Any, results: Any) -> None:
    middleware = cached()
    for _ in range(2):
        (found,) = results(middleware, ("broken", {"how": "return"}))
        assert found.status == "error"
        with pytest.raises(ValueError, match="no"):
            results(middleware, ("broken", {"how": "raise"}))
        # The model wrote arguments that the tool has not.
        (found,) = results(middleware, ("search", {"wrong": 1}))
        assert found.status == "error"
    assert RUNS == ["return", "raise"] * 2
    assert middleware.cache.stats().hits == 0


def test_around_retries(cached: Any, results: Any) -> None:
    retry = ToolRetryMiddleware(max_retries=1, initial_delay=0, on_failure="continue")
    for _ in range(2):
        for middleware in ([cached(), retry], [retry, cached()]):
            (found,) = results(middleware, ("broken", {"how": "raise"}))
            assert found.status == "error"
    assert RUNS == ["raise"] * 8


def test_a_command_is_not_cached(cached: Any, results: Any) -> None:
    middleware = cached()
    for _ in range(2):
        (found,) = results(middleware, ("remember", {"fact": "tea"}))
        assert found.content == "tea"
    assert len(RUNS) == 2


def test_ids_of_messages_stay_apart(cached: Any, results: Any) -> None:
    found = results(cached(), *[("own_message", {"text": "a"})] * 3)
    assert len(found) == len({one.id for one in found}) == 3
    assert {one.name for one in found} == {"other"}
    assert len(RUNS) == 1


def test_users_get_their_own(cached: Any, results: Any) -> None:
    middleware = cached(
        ["orders", "search"], user=lambda r: r.runtime.context.user_id, shared=["search"]
    )
    for _ in range(2):
        for user in ("alice", "bob"):
            found = results(middleware, ("orders", {}), ("search", {"query": "tea"}), user=user)
            assert [one.content for one in found] == [f"of {user}", "about tea, 2"]
    assert len(RUNS) == 3
    for _ in range(2):  # nobody's results are nobody's
        for nobody in (None, ""):
            results(middleware, ("orders", {}), user=nobody)
    assert len(RUNS) == 7
    assert middleware.cache.clear(user_id="alice") == 1


def test_ttl_per_tool(cached: Any, results: Any, connection: ValkeyConnection, prefix: str) -> None:
    middleware = cached({"search": timedelta(minutes=1), "table": None}, ttl=30)
    results(middleware, ("search", {"query": "tea"}), ("table", {"name": "t"}))
    left = {
        key.split(b":")[1]: send(connection, "TTL", key)
        for key in send(connection, "KEYS", f"{prefix}*")
    }
    assert 55 <= left[b"search"] <= 60
    assert 25 <= left[b"table"] <= 30


def test_with_a_person_in_the_loop(cached: Any, results: Any) -> None:
    """Who approves or edits a call comes before the cache; a tool that asks runs when answered."""
    saver = InMemorySaver()
    model = Scripted(script=[calling(("search", {"query": "tea"})), AIMessage("done")])
    approve = HumanInTheLoopMiddleware({"search": True})
    agent: Any = create_agent(model, TOOLS, middleware=[approve, cached()], checkpointer=saver)
    decisions: list[dict[str, Any]] = [
        {"type": "approve"},
        {"type": "edit", "edited_action": {"name": "search", "args": {"query": "mate"}}},
        {"type": "approve"},
        {"type": "reject"},
    ]
    said = []
    for n, decision in enumerate(decisions):
        config = {"configurable": {"thread_id": str(n)}}
        paused = agent.invoke({"messages": [("user", "go")]}, config)
        assert paused["__interrupt__"]
        state = agent.invoke(Command(resume={"decisions": [decision]}), config)
        said.append(next(m for m in state["messages"] if isinstance(m, ToolMessage)).content)
    assert [str(one).splitlines()[-1] for one in said[:3]] == [
        "about tea, 1",
        "about mate, 2",  # after a note to the model, which is not cached with it
        "about tea, 1",
    ]
    model.said = 0
    model.script[0] = calling(("search", {"query": "mate"}))
    agent = create_agent(model, TOOLS, middleware=[cached()])
    state = agent.invoke({"messages": [("user", "go")]})
    assert state["messages"][-2].content == "about mate, 2"
    assert RUNS == ["tea", "mate"]


def test_a_tool_that_interrupts(cached: Any) -> None:
    middleware = cached()
    model = Scripted(script=[calling(("ask", {"question": "Sure?"})), AIMessage("done")])
    agent: Any = create_agent(model, TOOLS, middleware=[middleware], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    paused = agent.invoke({"messages": [("user", "go")]}, config)
    assert paused["__interrupt__"][0].value == "Sure?"
    began = time.monotonic()  # the claim was given up
    state = agent.invoke(Command(resume="yes"), config)
    assert time.monotonic() - began < 5
    assert state["messages"][-2].content == "yes"
    again = agent.invoke({"messages": [("user", "go")]}, {"configurable": {"thread_id": "2"}})
    assert again["messages"][-2].content == "yes"
    assert RUNS == ["yes"]


def test_without_a_server(results: Any, caplog: pytest.LogCaptureFixture) -> None:
    url = "valkey://localhost:1?connection_timeout=0.2"
    with ValkeyConnection.from_url(url) as connection:
        with pytest.raises(ConnectionFailedError):
            results(
                ValkeyToolCacheMiddleware(["search"], connection=connection),
                ("search", {"query": "tea"}),
            )
        assert RUNS == []
        warns = ValkeyToolCacheMiddleware(["search"], connection=connection, on_error="warn")
        (found,) = results(warns, ("search", {"query": "tea"}))
    assert found.content == "about tea, 1"
    assert "runs without its cache" in caplog.text


@pytest.mark.parametrize(
    ("tools", "options", "match"),
    [
        ("search", {}, "tools"),
        (search, {}, "tools"),
        ([], {}, "names no tool"),
        (5, {}, "tools"),
        ([""], {}, "name"),
        ([5], {}, "name"),
        ({"search": 0}, {}, "ttl of results of 'search'"),
        ({"search": "1"}, {}, "ttl of results of 'search'"),
        (["search"], {"user": "user_id"}, "function"),
        (["search"], {"shared": ["other"]}, "shared"),
        (["search"], {"shared": "search"}, "shared"),
        (["search"], {"on_error": "x"}, "on_error"),
    ],
)
def test_options_that_cannot_work(tools: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        ValkeyToolCacheMiddleware(tools, url="valkey://localhost:1", **options)


def test_it_pickles(url: str) -> None:
    middleware = ValkeyToolCacheMiddleware({"search": 5}, url=url)
    pickled = pickle.dumps(middleware)
    assert b"langchain_valkey_glide._" not in pickled
    assert pickle.loads(pickled).name == "ValkeyToolCacheMiddleware"  # noqa: S301


def test_a_name_that_the_face_has_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        langchain_valkey_glide.nothing  # type: ignore[attr-defined]  # noqa: B018
