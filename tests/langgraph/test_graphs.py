"""Graphs of LangGraph on a ``ValkeySaver``: what users do with a checkpointer."""

from __future__ import annotations

import asyncio
import multiprocessing
import operator
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langgraph.channels.delta import DeltaChannel
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import ValkeyConnection

from .checkpoints import GraphFace, chain, config, everything, finish, says

DURABILITY = ["sync", "async", "exit"]
SEEN = ["start", "ask:yes", "start", "ask:yes", "deep", "ask:yes", *(f"leaf:{n}" for n in range(5))]


@pytest.fixture
def make_graph(make_plain_saver: Any, is_async: bool) -> Any:
    def make(build: Any, *arguments: Any, **options: Any) -> Any:
        graph = build(*arguments, make_plain_saver(), **options)
        return GraphFace(graph, is_async=is_async)

    return make


@pytest.mark.parametrize("durability", DURABILITY)
def test_questions_subgraphs_and_parallel_branches(make_graph: Any, durability: str) -> None:
    graph = make_graph(everything)
    assert finish(graph, config("t"), durability=durability) == [*SEEN, "end"]


def test_the_state_while_it_waits(make_graph: Any) -> None:
    graph = make_graph(everything)
    found = graph.invoke({"seen": ["start"]}, config("t"))
    assert [one.value for one in found["__interrupt__"]] == ["name?"]
    assert graph.get_state(config("t")).next == ("ask",)
    graph.invoke(Command(resume="one"), config("t"))
    state = graph.get_state(config("t"), subgraphs=True)
    assert state.next == ("sub",)
    inner = state.tasks[0].state
    assert inner.values["seen"] == ["start", "ask:one", "deep"]
    assert inner.config["configurable"]["checkpoint_ns"].startswith("sub:")


@pytest.mark.parametrize("durability", ["async", "exit"])
def test_a_node_that_failed_is_done_again_alone(make_graph: Any, durability: str) -> None:
    """The writes of the tasks beside it are kept."""
    calls: list[str] = []

    def build(saver: Any) -> Any:
        def fails(state: Any) -> Any:
            if "ready" not in calls:
                while "works" not in calls:
                    time.sleep(0.01)
                time.sleep(0.2)  # the other's writes are on their way; LangGraph would drop them
                raise ValueError("not now")
            return {"seen": ["fails"]}

        builder = StateGraph(chain("a").builder.state_schema)
        builder.add_node("works", says("works", lambda: calls.append("works")))
        builder.add_node("fails", fails).add_edge(START, "works").add_edge(START, "fails")
        return builder.compile(checkpointer=saver)

    graph = make_graph(build)
    with pytest.raises(ValueError, match="not now"):
        graph.invoke({"seen": []}, config("t"), durability=durability)
    graph_again = make_graph(build)
    before = calls.count("works")
    calls.append("ready")
    assert sorted(graph_again.invoke(None, config("t"))["seen"]) == ["fails", "works"]
    assert calls.count("works") == before


def test_time_travel(make_graph: Any) -> None:
    graph = make_graph(lambda saver: chain("abc", saver))
    graph.invoke({"seen": ["start"]}, config("t"))
    history = graph.history(config("t"))
    assert [state.values.get("seen", []) for state in history] == [
        ["start", "a", "b", "c"],
        ["start", "a", "b"],
        ["start", "a"],
        ["start"],
        [],
    ]
    after_a = history[2]
    assert after_a.next == ("b",)
    assert graph.invoke(None, after_a.config)["seen"] == ["start", "a", "b", "c"]
    forked = graph.update_state(after_a.config, {"seen": ["changed"]})
    assert graph.invoke(None, forked)["seen"] == ["start", "a", "changed", "b", "c"]
    # The first branch is as it was.
    assert graph.get_state(history[0].config).values["seen"] == ["start", "a", "b", "c"]
    sources = [state.metadata["source"] for state in graph.history(config("t"))]
    assert sources.count("update") == 1


def test_update_state_of_a_thread_that_is_new(make_graph: Any) -> None:
    graph = make_graph(lambda saver: chain("abc", saver))
    graph.update_state(config("t"), {"seen": ["given"]}, as_node="a")
    assert graph.get_state(config("t")).next == ("b",)
    assert graph.invoke(None, config("t"))["seen"] == ["given", "b", "c"]


def test_a_thread_id_that_is_a_number(make_graph: Any) -> None:
    graph = make_graph(lambda saver: chain("ab", saver))
    graph.invoke({"seen": []}, config(7))
    assert graph.invoke({"seen": ["again"]}, config("7"))["seen"] == ["a", "b", "again", "a", "b"]


class Deltas(TypedDict):
    log: Annotated[
        list[str],
        DeltaChannel(
            lambda held, new: held + [one for each in new for one in each], snapshot_frequency=4
        ),
    ]
    count: Annotated[int, operator.add]


def delta_graph(saver: Any) -> Any:
    builder = StateGraph(Deltas)
    builder.add_node("add", lambda state: {"log": [f"n{len(state['log'])}"], "count": 1})
    builder.add_edge(START, "add")
    return builder.compile(checkpointer=saver)


@pytest.mark.parametrize(
    ("durability", "prune"), [("sync", True), ("async", False), ("exit", True)]
)
def test_delta_channels(
    make_graph: Any, make_plain_saver: Any, durability: str, prune: bool
) -> None:
    graph = make_graph(delta_graph)
    expected: list[str] = []
    for turn in range(7):
        found = graph.invoke({"log": [f"turn{turn}"]}, config("t"), durability=durability)
        expected += [f"turn{turn}", f"n{len(expected) + 1}"]
        assert found["log"] == expected
        if prune:
            make_plain_saver().prune(["t"])
            assert graph.get_state(config("t")).values["log"] == expected
    copied = make_plain_saver()
    copied.copy_thread("t", "u")
    assert graph.get_state(config("u")).values == {"log": expected, "count": 7}


def test_many_threads_at_once(make_plain_saver: Any) -> None:
    graph = chain("abc", make_plain_saver())

    def run(number: int) -> list[str]:
        where = config(f"t{number}")
        for _ in range(3):
            seen: list[str] = graph.invoke({"seen": [str(number)]}, where)["seen"]
        return seen

    with ThreadPoolExecutor(8) as threads:
        for number, seen in enumerate(threads.map(run, range(16))):
            assert seen == [str(number), "a", "b", "c"] * 3


async def test_many_tasks_at_once(make_plain_saver: Any) -> None:
    graph = chain("abc", make_plain_saver())

    async def run(number: int) -> list[str]:
        where = config(f"t{number}")
        for _ in range(3):
            seen: list[str] = (await graph.ainvoke({"seen": [str(number)]}, where))["seen"]
        return seen

    for number, seen in enumerate(await asyncio.gather(*map(run, range(16)))):
        assert seen == [str(number), "a", "b", "c"] * 3


async def test_a_cancelled_run_goes_on_later(make_plain_saver: Any) -> None:
    started = asyncio.Event()
    waits = True

    async def slow(state: Any) -> Any:
        started.set()
        if waits:
            await asyncio.sleep(60)
        return {"seen": ["b"]}

    graph = chain("abc", make_plain_saver(), b=slow)
    task = asyncio.create_task(graph.ainvoke({"seen": []}, config("t"), durability="sync"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    waits = False
    assert (await graph.ainvoke(None, config("t")))["seen"] == ["a", "b", "c"]


def test_threads_that_write_to_one_thread_leave_it_whole(make_plain_saver: Any) -> None:
    """Which of them wins is the graph's business; each checkpoint is whole."""
    saver = make_plain_saver()
    graph = chain("ab", saver)
    barrier = threading.Barrier(4)

    def run(number: int) -> None:
        barrier.wait()
        graph.invoke({"seen": [f"{number}"] * 50}, config("t"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(run, range(4)))
    for found in saver.list(config("t")):
        versions = found.checkpoint["channel_versions"]
        if "seen" in versions:
            assert "seen" in found.checkpoint["channel_values"]


@pytest.mark.forks
def test_a_forked_worker_goes_on(connection: ValkeyConnection, prefix: str) -> None:
    graph = chain("abc", ValkeySaver(connection=connection, key_prefix=prefix))
    graph.invoke({"seen": []}, config("t"))
    asyncio.run(graph.ainvoke({"seen": []}, config("t")))
    child = os.fork()
    if not child:
        try:
            first = graph.invoke({"seen": ["child"]}, config("t"))["seen"]
            second = asyncio.run(graph.ainvoke({"seen": ["child"]}, config("t")))["seen"]
            os._exit(0 if len(first) == 10 and len(second) == 14 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert len(graph.invoke({"seen": ["parent"]}, config("t"))["seen"]) == 18


def go_on(saver: ValkeySaver, results: Any) -> None:
    results.put(chain("abc", saver).invoke({"seen": ["spawned"]}, config("t"))["seen"])


@pytest.mark.long
def test_a_spawned_worker_goes_on(url: str, prefix: str) -> None:
    """It gets the saver as a pickle."""
    saver = ValkeySaver(url=url, key_prefix=prefix)
    chain("abc", saver).invoke({"seen": []}, config("t"))
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    worker = context.Process(target=go_on, args=(saver, results))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert results.get() == ["a", "b", "c", "spawned", "a", "b", "c"]


def test_an_agent(url: str, prefix: str, is_async: bool) -> None:
    model = GenericFakeChatModel(messages=iter(["first", "second"]))
    agent = create_agent(model, [], checkpointer=ValkeySaver(url=url, key_prefix=prefix))
    face = GraphFace(agent, is_async=is_async)
    face.invoke({"messages": [("user", "one")]}, config("t"))
    found = face.invoke({"messages": [("user", "two")]}, config("t"))
    assert [one.content for one in found["messages"]] == ["one", "first", "two", "second"]


def test_a_function_with_tasks(make_plain_saver: Any, is_async: bool) -> None:
    """LangGraph's functional interface: what a task returned is not done again."""
    calls: list[int] = []

    @task
    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    @entrypoint(checkpointer=make_plain_saver())
    def work(number: int, *, previous: Any = None) -> Any:
        found = double(number).result() + (previous or 0)
        answer = interrupt("add?")
        return entrypoint.final(value=found + answer, save=found)

    face = GraphFace(work, is_async=is_async)
    face.invoke(4, config("t"))
    assert face.invoke(Command(resume=1), config("t")) == 9
    assert calls == [4]
    face.invoke(1, config("t"))
    assert face.invoke(Command(resume=0), config("t")) == 10
