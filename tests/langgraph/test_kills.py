"""Processes killed at any point of a step: the thread goes on from a whole checkpoint."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import ValkeyConnection

from .checkpoints import GraphFace, chain, config, everything, finish
from .test_graphs import SEEN


class Killed(ValkeySaver):
    """A saver whose process ends before or after its n-th write is applied."""

    last_write = 0
    after = False
    written = 0

    def begin(self) -> int:
        self.written += 1
        return self.end(self.written, after=False)

    def end(self, number: int, *, after: bool = True) -> int:
        if number == self.last_write and self.after is after:
            os._exit(9)
        return number

    def put(self, *arguments: Any) -> Any:
        number = self.begin()
        result = super().put(*arguments)
        self.end(number)
        return result

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        number = self.begin()
        super().put_writes(config, writes, task_id, task_path)
        self.end(number)

    async def aput(self, *arguments: Any) -> Any:
        number = self.begin()
        result = await super().aput(*arguments)
        self.end(number)
        return result

    async def aput_writes(
        self, config: Any, writes: Any, task_id: str, task_path: str = ""
    ) -> None:
        number = self.begin()
        await super().aput_writes(config, writes, task_id, task_path)
        self.end(number)


def in_child(run: Callable[[], object]) -> int:
    """The process id of a forked child that runs this and ends."""
    child = os.fork()
    if not child:
        code = 1
        try:
            run()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def resumed(graph: Any, where: Any) -> Any:
    """Run a graph to its end from where its last process left it."""
    begun = graph.get_state(where).metadata is not None
    return graph.invoke(None if begun else {"seen": ["start"]}, where)


@pytest.mark.forks
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("durability", ["sync", pytest.param("async", marks=pytest.mark.long)])
def test_killed_at_each_write(
    standalone_connection: ValkeyConnection, prefix: str, after: bool, durability: str
) -> None:
    is_async = after  # the faces share their plans
    codes = []
    for number in range(1, 10):
        where = config(f"t{number}")
        saver = Killed(connection=standalone_connection, key_prefix=prefix)
        saver.last_write, saver.after = number, after
        graph = GraphFace(chain("ab", saver), is_async=is_async)
        start = {"seen": ["start"]}
        codes.append(ended(in_child(lambda: graph.invoke(start, where, durability=durability))))  # noqa: B023
        good = ValkeySaver(connection=standalone_connection, key_prefix=prefix)
        survivor = GraphFace(chain("ab", good), is_async=is_async)
        history = survivor.history(where)
        for state in history:  # all that is there is whole
            seen = state.values.get("seen", [])
            assert seen == ["start", "a", "b"][: len(seen)]
        assert resumed(survivor, where)["seen"] == ["start", "a", "b"]
    # Four checkpoints, and the writes of two nodes and of the input: each was the last one once.
    assert codes == [9] * codes.count(9) + [0] * codes.count(0)
    assert codes.count(9) >= 6


class Telling(ValkeySaver):
    """A saver that says through a pipe that a step is under way: from then on kills are of use."""

    pipe = -1

    def get_next_version(self, current: Any, channel: None) -> Any:
        os.write(self.pipe, b".")
        return super().get_next_version(current, channel)


@pytest.mark.long
@pytest.mark.forks
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_killed_at_any_moment(
    connection: ValkeyConnection, prefix: str, durability: str, is_async: bool
) -> None:
    """SIGKILL, again and again, until the graph has come to its end by itself."""
    saver = Telling(connection=connection, key_prefix=prefix)
    where = config("t")

    def run() -> None:
        graph = GraphFace(everything(saver), is_async=is_async)
        assert finish(graph, where, durability=durability) == [*SEEN, "end"]

    code = -signal.SIGKILL
    for attempt in range(200):
        reader, saver.pipe = os.pipe()
        child = in_child(run)
        os.close(saver.pipe)
        os.read(reader, 1)
        time.sleep(random.random() * 0.006 * (1 + attempt))
        os.kill(child, signal.SIGKILL)
        code = ended(child)
        os.close(reader)
        if code != -signal.SIGKILL:
            break
        for found in saver.list({"configurable": {"thread_id": "t"}}):
            versions = found.checkpoint["channel_versions"]
            assert "seen" in found.checkpoint["channel_values"] or "seen" not in versions
    assert code == 0


async def test_a_step_that_is_cancelled_in_its_write(make_plain_saver: Any) -> None:
    """A write is applied whole or not at all, whenever its task is cancelled."""
    saver = make_plain_saver()
    graph = chain("abc", saver)
    for number in range(30):
        where = config(f"t{number}")
        task = asyncio.create_task(graph.ainvoke({"seen": ["start"]}, where, durability="sync"))
        await asyncio.sleep(number / 5000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        begun = (await graph.aget_state(where)).metadata is not None
        found = await graph.ainvoke(None if begun else {"seen": ["start"]}, where)
        assert found["seen"] == ["start", "a", "b", "c"]
