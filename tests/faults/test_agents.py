"""Graphs with their checkpointer and their store, where replies do not come and servers end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver, ValkeyStore
from valkey_memory import EmbeddedValkey, ValkeyConnection, ValkeyMemoryError

from ..langgraph.checkpoints import GraphFace, chain, config, says
from ..server.test_revive import kill
from .proxy import Proxy

ALICE = ("users", "alice")
WHOLE = ["start", "a", "b", "c"]


def run_through(
    connection: ValkeyConnection, fails: Callable[[], object], *, is_async: bool
) -> Any:
    """A graph whose second node meets a fault, once, and then writes to the store; its graph."""
    store, faults = ValkeyStore(connection=connection), iter([fails])

    def work() -> None:
        store.put(ALICE, "k", {"n": 1})
        next(faults, lambda: None)()
        store.put(ALICE, "k", {"n": 2})

    saver = ValkeySaver(connection=connection, ttl=60)
    graph = GraphFace(chain("abc", saver, b=says("b", work)), is_async=is_async)
    with contextlib.suppress(ValkeyMemoryError):
        graph.invoke({"seen": ["start"]}, config("t"), durability="sync")
    return graph


def check_whole(graph: Any, connection: ValkeyConnection) -> None:
    """It comes to its end, each node has its say once, and so has the store."""
    assert graph.get_state(config("t")).values["seen"] in (["start", "a"], [*"abc"], WHOLE)
    assert graph.invoke(None, config("t"))["seen"] == WHOLE
    store = ValkeyStore(connection=connection)
    assert [one.value for one in store.search(ALICE)] == [{"n": 2}]


@pytest.mark.parametrize("fault", ["cut", pytest.param("dead path", marks=pytest.mark.long)])
def test_replies_that_do_not_come(proxy: Proxy, runner: asyncio.Runner | None, fault: str) -> None:
    def cut() -> None:
        proxy.swallow_replies = False
        proxy.cut()

    def fails() -> None:
        if fault == "dead path":
            proxy.kill_paths()
        else:
            proxy.swallow_replies = True
            threading.Timer(0.2, cut).start()

    with ValkeyConnection.from_url(proxy.url, request_timeout=0.5) as connection:
        graph = run_through(connection, fails, is_async=runner is not None)
        check_whole(graph, connection)


@pytest.mark.long
@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_was_killed_in_a_step(tmp_path: Path, is_async: bool) -> None:
    with (
        EmbeddedValkey(tmp_path, config={"appendfsync": "always"}) as server,
        ValkeyConnection.from_url(server.url, request_timeout=0.5) as connection,
    ):
        graph = run_through(connection, lambda: kill(server), is_async=is_async)
        server.revive()
        check_whole(graph, connection)
