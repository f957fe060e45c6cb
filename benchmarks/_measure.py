"""Timing contenders against each other, so that the machine's noise hits all of them alike."""

from __future__ import annotations

import gc
import inspect
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Contender:
    """One way to do the job. ``call`` is timed; it may be a coroutine function for ``ameasure``."""

    name: str
    call: Callable[[], Any]
    prepare: Callable[[], object] = _nothing
    """Runs before each call, untimed."""
    times: int = 1
    """How many times one call does the job."""


@dataclass
class Timing:
    """Seconds per job, one value per round."""

    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


Timings = dict[str, Timing]


def _turns(contenders: Sequence[Contender], rounds: int) -> Iterator[tuple[Contender, bool]]:
    """Who runs next, and whether it counts. The first round warms up; nobody is always first."""
    for number in range(rounds + 1):
        shift = number % len(contenders)
        for contender in (*contenders[shift:], *contenders[:shift]):
            gc.collect()  # nobody pays for what another left behind
            yield contender, number > 0


def measure(contenders: Sequence[Contender], *, rounds: int, calls: int) -> Timings:
    """Time ``calls`` calls of each contender in each of ``rounds`` rounds."""
    timings = {contender.name: Timing() for contender in contenders}
    for contender, counts in _turns(contenders, rounds):
        elapsed = 0.0
        for _ in range(calls):
            contender.prepare()
            start = time.perf_counter()
            contender.call()
            elapsed += time.perf_counter() - start
        if counts:
            timings[contender.name].rounds.append(elapsed / calls / contender.times)
    return timings


async def ameasure(contenders: Sequence[Contender], *, rounds: int, calls: int) -> Timings:
    """``measure`` for coroutine functions, in the running event loop."""
    assert all(inspect.iscoroutinefunction(contender.call) for contender in contenders)
    timings = {contender.name: Timing() for contender in contenders}
    for contender, counts in _turns(contenders, rounds):
        elapsed = 0.0
        for _ in range(calls):
            contender.prepare()
            start = time.perf_counter()
            await contender.call()
            elapsed += time.perf_counter() - start
        if counts:
            timings[contender.name].rounds.append(elapsed / calls / contender.times)
    return timings
