"""Sync and async without two copies: steps, changes, plans, and the two runners that drive them.

A plan is a generator. It yields steps, receives their replies, and returns the result; it does no
I/O, reads no clock and asks no model. ``run`` drives it with a function, ``arun`` with a coroutine
function. Functions that return a plan end with ``_plan``: a call of one without ``yield from`` does
nothing, and so it is seen.

Steps are open. A request is served by the server; any other ``Work``, such as embedding texts or
asking a model, serves itself, in a sync and in an async form.

A ``Change`` is what an operation means, as a value: commands on keys, and how their replies are
read. A plan sends one of them, or several together.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from ._errors import ValkeyMemoryError
from ._keys import slot

T = TypeVar("T")
Command: TypeAlias = tuple[str | bytes, ...]
Reply: TypeAlias = Any
"""What GLIDE returns for a command: bytes, int, float, bool, None, ``"OK"``, or lists of these."""

# Steps that the server answers


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
    read_only: bool = False
    """Nothing is changed, so a replica may answer where the connection reads from them."""
    repeatable: bool = False
    """Sent twice it does the same as once, so it may be sent again when its outcome is unknown."""
    key: str = ""
    """One of its keys, which tells the node that has to answer. Empty: any."""

    def size(self) -> int:
        """Bytes of payload, roughly; long strings count by characters."""
        return sum(map(len, chain.from_iterable(self.commands)))


def atomic(operation: str, *commands: Command, repeatable: bool = False) -> Request:
    """All ``commands`` or none, in one round trip; a single command needs no transaction."""
    return Request(operation, commands, atomic=len(commands) > 1, repeatable=repeatable)


def answered(reply: Reply) -> Any:
    """One of the replies of a ``Request`` with errors among them; raised if it is one."""
    if isinstance(reply, ValkeyMemoryError):
        raise reply
    return reply


@dataclass(frozen=True, slots=True)
class Scan:
    """One page of SCAN over the whole keyspace, cluster-wide. The reply is a ``ScanPage``."""

    operation: str
    pattern: str
    type: Literal["list", "hash", "stream"] | None = "list"
    cursor: Any = None
    """None starts; later pages take ``ScanPage.cursor``."""


@dataclass(frozen=True, slots=True)
class ScanPage:
    keys: list[bytes]
    cursor: Any
    """What the next ``Scan`` needs, or None after the last page."""


@dataclass(frozen=True, slots=True)
class AskCluster:
    """Whether the server is a cluster; free once connected. The reply is a bool."""

    operation: str


@dataclass(frozen=True, slots=True)
class AskPrimaries:
    """One command to every primary. The reply is each one's reply by its address.

    What failed at a node has the error in place of its reply.
    """

    operation: str
    command: Command


@dataclass(frozen=True, slots=True)
class WriteToken:
    """A new token for a write that shall be applied once, however often it arrives.

    The reply is eight random bytes; none where the connection does not send writes again.
    """


@dataclass(frozen=True, slots=True)
class AskFacts:
    """What plans found out about the server; free. The reply is a dict, theirs to fill.

    It lives as long as the connection, so what is in it must not change while a server runs, or is
    checked again where it is used.
    """

    operation: str


# Steps made of others


@dataclass(frozen=True, slots=True)
class Lanes:
    """Requests in lanes: those of one lane one after the other, all lanes at the same time.

    The reply has a list for each lane, with the replies to its requests. One that failed has its
    error there, and ends its lane.
    """

    lanes: tuple[tuple[Request, ...], ...]

    def run(self, execute: Callable[[Step], Reply]) -> list[list[Reply]]:
        def drive(lane: tuple[Request, ...]) -> list[Reply]:
            replies: list[Reply] = []
            for request in lane:
                try:
                    replies.append(execute(request))
                except ValkeyMemoryError as error:
                    return [*replies, error]
            return replies

        if len(self.lanes) < 2:
            return [drive(lane) for lane in self.lanes]
        with ThreadPoolExecutor(len(self.lanes)) as threads:
            return list(threads.map(drive, self.lanes))

    async def arun(self, execute: Callable[[Step], Awaitable[Reply]]) -> list[list[Reply]]:
        async def drive(lane: tuple[Request, ...]) -> list[Reply]:
            replies: list[Reply] = []
            for request in lane:
                try:
                    replies.append(await execute(request))
                except ValkeyMemoryError as error:
                    return [*replies, error]
            return replies

        return await asyncio.gather(*map(drive, self.lanes))


class Jobs(Protocol):
    """Runs what nobody waits for."""

    def start(self, job: Callable[[], object]) -> None:
        """Run ``job`` in a thread."""

    def astart(self, job: Awaitable[object]) -> None:
        """Run ``job`` in a task of the running event loop."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Run another plan, and go on without waiting for it. The reply is None."""

    jobs: Jobs
    plan: Callable[[], Plan[object]]


# Steps that serve themselves


class Work:
    """A step that is no business of the server. It gives its reply in either form."""

    # No ABC: whether a step is one is asked for each step, which of an ABC takes long.

    __slots__ = ()

    @abstractmethod
    def serve(self) -> Reply:
        """The reply, in sync code."""

    @abstractmethod
    async def aserve(self) -> Reply:
        """The reply, in async code."""


@dataclass(frozen=True, slots=True)
class Pause(Work):
    """Wait so many seconds. The reply is None."""

    seconds: float

    def serve(self) -> None:
        time.sleep(self.seconds)

    async def aserve(self) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Elapsed(Work):
    """Seconds since an unknown moment in the past, for measuring durations."""

    def serve(self) -> float:
        return time.monotonic()

    async def aserve(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class Now(Work):
    """The time by this machine's clock, in Unix milliseconds."""

    def serve(self) -> int:
        return time.time_ns() // 1_000_000

    async def aserve(self) -> int:
        return self.serve()


@dataclass(frozen=True, slots=True)
class Blocking(Work):
    """A call that blocks, such as one of a file; async code makes it in a thread.

    The reply is what it returns.
    """

    call: Callable[[], Any]

    def serve(self) -> Any:
        return self.call()

    async def aserve(self) -> Any:
        return await asyncio.to_thread(self.call)


Step: TypeAlias = (
    Request | Scan | AskCluster | AskPrimaries | WriteToken | AskFacts | Lanes | Aside | Work
)
Plan: TypeAlias = Generator[Step, Reply, T]


# Changes


def first_reply(replies: Sequence[Reply]) -> Any:
    """How the replies of a change are read whose first is the result."""
    return replies[0]


def nothing(replies: Sequence[Reply]) -> None:
    """How the replies of a change are read that has nothing to say."""


class Change(NamedTuple, Generic[T]):
    """Commands on keys of one slot, and how their replies are read.

    Args:
        operation: What it does, with its key, for errors: ``"append to 'chat:s1'"``.
        key: One of its keys, or its slot's tag in braces.
        commands: Applied together, all or none.
        read: Makes the result of their replies; by default the first reply is the result.
        read_only: It only looks.
        repeatable: Applied twice it changes what it does once, or it carries a write token.
    """

    operation: str
    key: str
    commands: tuple[Command, ...]
    read: Callable[[Sequence[Reply]], T] = first_reply
    read_only: bool = False
    repeatable: bool = False


def change_plan(change: Change[T]) -> Plan[T]:
    """Send ``change``, in one round trip."""
    operation, key, commands, read, read_only, repeatable = change
    whole = len(commands) > 1
    repeatable = read_only or repeatable
    return read((yield Request(operation, commands, whole, False, read_only, repeatable, key)))


def changes_plan(*changes: Change[Any]) -> Plan[list[Any]]:
    """Send several changes together, in one round trip; their results, in order.

    They are one transaction, except in a cluster where they are in several slots. There they go in
    one pipeline, in order per node, and each of them is whole by itself.

    Raises:
        ValueError: A change of several commands could not be whole there: it must be a script.
    """
    operation = _all_of([change.operation for change in changes])
    commands = tuple(command for change in changes for command in change.commands)
    together = len({slot(change.key) for change in changes}) == 1 or not (
        yield AskCluster(operation)
    )
    if not together:
        for change in changes:
            if len(change.commands) > 1 and not change.read_only:
                raise ValueError(f"{change.operation!r} beside another slot must be one script")
    replies: list[Reply] = yield Request(
        operation,
        commands,
        atomic=together and len(commands) > 1,
        read_only=all(change.read_only for change in changes),
        repeatable=all(change.read_only or change.repeatable for change in changes),
        key=changes[0].key if together and changes else "",
    )
    results: list[Any] = []
    start = 0
    for change in changes:
        end = start + len(change.commands)
        results.append(change.read(replies[start:end]))
        start = end
    return results


_NAMED = 3


def _all_of(operations: Sequence[str]) -> str:
    """What several changes do, for errors: the first of many, each once."""
    different = list(dict.fromkeys(operations))
    named = " and ".join(different[:_NAMED])
    more = len(different) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


# Runners


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
    except BaseException:
        plan.close()
        raise


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
    except BaseException:
        plan.close()
        raise
