"""Timing contenders against each other, so that the machine's noise hits all of them alike."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Contender(Generic[T]):
    """One way to do the job."""

    name: str
    call: Callable[[], T]
    prepare: Callable[[], object] = _nothing
    """Runs before each call, untimed."""
    times: int = 1
    """How many times one call does the job."""


@dataclass
class Timing:
    """Seconds per job, one value per round: the median of its calls."""

    rounds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def ratio(self, other: Timing) -> float:
        """How many times the other's time this took: the median over the rounds.

        Both ran in each round, so a machine that slows down for some of them takes nothing away.
        """
        return statistics.median(
            mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)
        )


Timings = dict[str, Timing]


def _turns(
    contenders: Sequence[Contender[T]], rounds: int, timings: Timings
) -> Iterator[tuple[Contender[T], list[float]]]:
    """Who runs next, and the list for the seconds of its calls.

    The first round warms up and is not kept. The order is drawn anew for each round: in a fixed one
    the same contender always comes after another client's threads, and finds its own asleep.
    """
    gc.collect()
    gc.freeze()  # what was imported is no garbage, and nobody's to look through
    order = random.Random(0)  # noqa: S311
    for number in range(rounds + 1):
        for contender in order.sample(contenders, len(contenders)):
            gc.collect()  # nobody pays for what another left behind
            seconds: list[float] = []
            yield contender, seconds
            if number:
                median = statistics.median(seconds) / contender.times
                timings[contender.name].rounds.append(median)


def measure(contenders: Sequence[Contender[Any]], *, rounds: int, calls: int) -> Timings:
    """Time ``calls`` calls in a row of each contender in each of ``rounds`` rounds."""
    timings = {contender.name: Timing() for contender in contenders}
    for contender, seconds in _turns(contenders, rounds, timings):
        for _ in range(calls):
            contender.prepare()
            start = time.perf_counter()
            contender.call()
            seconds.append(time.perf_counter() - start)
    return timings


async def ameasure(
    contenders: Sequence[Contender[Awaitable[object]]], *, rounds: int, calls: int
) -> Timings:
    """``measure`` for coroutine functions, in the running event loop."""
    timings = {contender.name: Timing() for contender in contenders}
    for contender, seconds in _turns(contenders, rounds, timings):
        for _ in range(calls):
            contender.prepare()
            start = time.perf_counter()
            await contender.call()
            seconds.append(time.perf_counter() - start)
    return timings
