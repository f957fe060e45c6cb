"""Sync and async without two copies: operations as plans, and the two runners that drive them.

A plan is a generator. It yields requests, receives their replies, and returns the result; it does
no I/O and reads no clock. ``run`` drives it with a function, ``arun`` with a coroutine function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias, TypeVar

from ._errors import ValkeyMemoryError

Command: TypeAlias = tuple[str | bytes, ...]
Reply: TypeAlias = Any
"""What GLIDE returns for a command: bytes, int, float, bool, None, ``"OK"``, or lists of these."""


@dataclass(slots=True)
class Request:
    """One round trip: commands sent together, applied together when ``atomic``.

    The reply is a list, one item per command.
    """

    operation: str
    commands: tuple[Command, ...]
    atomic: bool = False
    errors_as_replies: bool = False
    """Put the error of a command in place of its reply instead of raising the first one."""

    def size(self) -> int:
        """Bytes of payload, roughly; long strings count by characters."""
        return sum(map(len, chain.from_iterable(self.commands)))


@dataclass(frozen=True, slots=True)
class Scan:
    """One page of SCAN over the whole keyspace, cluster-wide. The reply is a ``ScanPage``."""

    operation: str
    pattern: str
    type: Literal["list", "hash", "stream"] = "list"
    cursor: Any = None
    """None starts; later pages take ``ScanPage.cursor``."""


@dataclass(frozen=True, slots=True)
class ScanPage:
    keys: list[bytes]
    cursor: Any
    """What the next ``Scan`` needs, or None after the last page."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait. The reply is None."""

    operation: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AskCluster:
    """Whether the server is a cluster; free once connected. The reply is a bool."""

    operation: str


Step: TypeAlias = Request | Scan | Pause | AskCluster
T = TypeVar("T")
Plan: TypeAlias = Generator[Step, Reply, T]


def atomic(operation: str, *commands: Command) -> Request:
    """All ``commands`` or none, in one round trip; a single command needs no transaction."""
    return Request(operation, commands, atomic=len(commands) > 1)


def run(plan: Plan[T], execute: Callable[[Step], Reply]) -> T:
    """Drive ``plan`` to its result, with ``execute`` for each step."""
    try:
        step = next(plan)
        while True:
            try:
                reply = execute(step)
            except ValkeyMemoryError as error:
                step = plan.throw(error)
            else:
                step = plan.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        plan.close()


async def arun(plan: Plan[T], execute: Callable[[Step], Awaitable[Reply]]) -> T:
    """``run`` for an async ``execute``."""
    try:
        step = next(plan)
        while True:
            try:
                reply = await execute(step)
            except ValkeyMemoryError as error:
                step = plan.throw(error)
            else:
                step = plan.send(reply)
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        plan.close()
