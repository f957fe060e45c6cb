"""Checkpoints, configs and graphs of the tests, and a saver seen through one of its faces."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from langgraph_valkey_glide import ValkeySaver

from ..conftest import Face


def config(thread: object, namespace: object = "", checkpoint: object = None) -> Any:
    found = {"thread_id": thread, "checkpoint_ns": namespace}
    return {"configurable": found if checkpoint is None else {**found, "checkpoint_id": checkpoint}}


def checkpoint(values: dict[str, Any] | None = None, versions: Any = None, id: str = "") -> Any:  # noqa: A002
    """A checkpoint whose channels have the version 1 where ``versions`` says nothing else."""
    return {
        "v": 1,
        "id": id or str(uuid6()),
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values or {},
        "channel_versions": {**dict.fromkeys(values or {}, "1"), **(versions or {})},
        "versions_seen": {},
        "updated_channels": None,
    }


def put(
    saver: Any,
    where: Any,
    values: dict[str, Any] | None = None,
    *,
    versions: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    id: str = "",  # noqa: A002
    **metadata: Any,
) -> Any:
    """Store a checkpoint below ``where``, and its config. ``new`` are its new versions: all."""
    made = checkpoint(values, versions, id)
    fresh = made["channel_versions"] if new is None else new
    return saver.put(where, made, {"source": "loop", "step": 0, "parents": {}, **metadata}, fresh)


def ids(found: list[CheckpointTuple]) -> list[str]:
    return [one.config["configurable"]["checkpoint_id"] for one in found]


class SaverFace(Face):
    """Calls a saver's methods in one of their forms; ``list`` gives a list."""

    store: ValkeySaver

    def list(self, *args: Any, **kwargs: Any) -> list[CheckpointTuple]:
        if not self.is_async:
            return list(self.store.list(*args, **kwargs))

        async def collect() -> list[CheckpointTuple]:
            return [one async for one in self.store.alist(*args, **kwargs)]

        return asyncio.run(collect())


class GraphFace(Face):
    """Calls a graph's methods in one of their forms."""

    def history(self, where: Any) -> list[Any]:
        if not self.is_async:
            return list(self.store.get_state_history(where))

        async def collect() -> list[Any]:
            return [one async for one in self.store.aget_state_history(where)]

        return asyncio.run(collect())


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


def says(name: str, before: Callable[[], object] | None = None) -> Any:
    """A node that adds its name."""

    def node(state: State) -> State:
        if before is not None:
            before()
        return {"seen": [name]}

    return node


def chain(names: str, saver: Any = None, **nodes: Any) -> Any:
    """A graph of nodes one behind the other."""
    builder = StateGraph(State)
    last = START
    for name in names:
        builder.add_node(name, nodes[name] if name in nodes else says(name))
        builder.add_edge(last, name)
        last = name
    return builder.compile(checkpointer=saver)


def everything(saver: Any) -> Any:
    """A graph with a question, a subgraph that asks, too, and parallel branches by Send."""

    def ask(state: State) -> State:
        return {"seen": [f"ask:{interrupt('name?')}"]}

    def spread(state: State) -> Any:
        return [Send("leaf", {"seen": [], "number": number}) for number in range(5)]

    def leaf(state: Any) -> State:
        return {"seen": [f"leaf:{state['number']}"]}

    inner = StateGraph(State).add_node("deep", says("deep")).add_node("deep_ask", ask)
    inner.add_edge(START, "deep").add_edge("deep", "deep_ask")
    builder = StateGraph(State)
    builder.add_node("ask", ask).add_node("sub", inner.compile())
    builder.add_node("leaf", leaf).add_node("end", says("end"))
    builder.add_edge(START, "ask").add_edge("ask", "sub")
    builder.add_conditional_edges("sub", spread, ["leaf"])
    builder.add_edge("leaf", "end").add_edge("end", END)
    return builder.compile(checkpointer=saver)


def finish(graph: Any, where: Any, **options: Any) -> list[str]:
    """Run ``everything`` from where it is to its end, answering its questions."""
    given: Any = None if graph.get_state(where).metadata else {"seen": ["start"]}
    for _ in range(3):
        found = graph.invoke(given, where, **options)
        if not graph.get_state(where).next:
            seen: list[str] = found["seen"]
            return seen
        given = Command(resume="yes")
    raise AssertionError("it asks too much")
