"""What follows a failure: whether to ask again, and on which client.

A client that gets no replies may be stuck for good: GLIDE keeps a connection whose path is dead, a
cluster's primary that hangs, and a primary that was demoted behind its address, while a new client
works at once. So after a failure the client is examined, and replaced where a new one is answered
and it is not. A server that is only slow answers both, or none; then the client stays.

What is sent again is applied once: see ``Request.repeatable``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from .._errors import (
    AuthenticationError,
    ConnectionClosedError,
    ConnectionFailedError,
    NotPrimaryError,
    OperationTimeoutError,
    ReplyLostError,
    ServerUnavailableError,
    ValkeyMemoryError,
)
from .._plans import AskPrimaries, Elapsed, Pause, Plan, Reply, Request, Scan, Step, Work
from .clients import ClientFactory
from .execution import ServerStep, aping, ping
from .failures import ScriptNotHeldError

PING_SECONDS = 1.0
"""How long a client may take to show that it is alive; one that needs longer is taken for stuck."""

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_NOT_APPLIED = ServerUnavailableError, NotPrimaryError, ConnectionClosedError


class Renewer(Protocol):
    """What holds the clients of a connection."""

    def renew(self, step: Renew) -> bool:
        """Serve ``step`` for the sync client."""
        ...

    async def arenew(self, step: Renew) -> bool:
        """Serve ``step`` for the running loop's async client."""
        ...


@dataclass(frozen=True, slots=True)
class Renew(Work):
    """Examine the client, and replace it where a new one is answered and it is not.

    The reply tells whether the server answers now.

    Raises:
        ConnectionFailedError: No new client can be made, and why.
    """

    renewer: Renewer
    operation: str
    key: str
    since: float
    """When the call was begun that failed. What was examined later needs no second look."""
    replica: bool
    """The client leads to a replica, and is to be replaced although it answers."""

    def serve(self) -> bool:
        return self.renewer.renew(self)

    async def aserve(self) -> bool:
        return await self.renewer.arenew(self)


def may_recover(error: ValkeyMemoryError) -> bool:
    """Whether anything follows ``error`` at all."""
    recoverable = (*_NOT_APPLIED, ConnectionFailedError, OperationTimeoutError)
    return isinstance(error, recoverable) and not isinstance(
        error, AuthenticationError | ReplyLostError
    )


def recovered_plan(
    request: ServerStep,
    error: ValkeyMemoryError,
    since: float,
    renewer: Renewer,
    request_timeout: float,
    connection_timeout: float,
) -> Plan[Reply]:
    """The reply to ``request``, which was begun at ``since`` and failed with ``error``.

    It is tried again until ``request_timeout`` has passed, where that can help and cannot apply
    anything twice; and once after that, where the first try got no reply. A server that was never
    reached is tried for ``connection_timeout``. One that lacks a script gets its text, however late
    it is.

    Raises:
        ValkeyMemoryError: The last error.
    """
    last = since + (connection_timeout if _was_never_sent(error) else request_timeout)
    pause, first = _FIRST_PAUSE, True
    while may_recover(error):
        somebody_answers, unreachable = False, None
        if not isinstance(error, ServerUnavailableError) and not _was_never_sent(error):
            try:
                somebody_answers = yield _renewal(renewer, request, error, since)
            except AuthenticationError as refused:
                refused.outcome_unknown = error.outcome_unknown
                raise
            except ConnectionFailedError as failed:
                unreachable = failed
            else:
                if not somebody_answers:
                    break
        late = (yield Elapsed()) > last
        # A server that answers, and breaks off again over what it was sent, is not hurried.
        at_once = (somebody_answers and first) or isinstance(error, ScriptNotHeldError)
        if not _may_repeat(request, error) or (late and not at_once):
            if unreachable is not None:
                error = _unreachable(error, unreachable)
            break
        if not at_once:
            yield Pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        first, since = False, (yield Elapsed())
        if unreachable is not None:
            continue  # a request would wait for its timeout: first look whether somebody is there
        try:
            return (yield request)
        except ValkeyMemoryError as again:
            error = again
    raise error


def _was_never_sent(error: ValkeyMemoryError) -> bool:
    """Whether there was no client to send with."""
    return type(error) is ConnectionFailedError


def _unreachable(error: ValkeyMemoryError, failed: ConnectionFailedError) -> ValkeyMemoryError:
    """What ``error`` became, now that no new client can be made."""
    if isinstance(error, NotPrimaryError) or "timed out" in str(failed):
        return error  # which says as much
    found = type(error)(f"{error} A new connection fails, too: {failed}")
    found.__cause__ = error.__cause__
    return found


def _renewal(
    renewer: Renewer, request: ServerStep, error: ValkeyMemoryError, since: float
) -> Renew:
    key = request.key if isinstance(request, Request) else ""
    return Renew(renewer, request.operation, key, since, isinstance(error, NotPrimaryError))


def _may_repeat(request: ServerStep, error: ValkeyMemoryError) -> bool:
    if isinstance(error, _NOT_APPLIED) or _was_never_sent(error):
        return True
    if isinstance(request, Request):
        repeatable = request.repeatable or request.read_only
    elif isinstance(request, Scan):
        # A cursor belongs to the client that gave it, and means nothing to a server started anew.
        repeatable = request.cursor is None
    else:
        repeatable = isinstance(request, AskPrimaries)
    return error.outcome_unknown and repeatable


# Examining a client

Client: TypeAlias = Any
"""One of GLIDE's, sync or async."""


@dataclass(frozen=True, slots=True)
class _Ping(Work):
    factory: ClientFactory
    client: Client
    renew: Renew

    def serve(self) -> bool:
        return ping(self.client, self.renew.operation, self.renew.key, PING_SECONDS, self.factory)

    async def aserve(self) -> bool:
        operation, key = self.renew.operation, self.renew.key
        return await aping(self.client, operation, key, PING_SECONDS, self.factory)


@dataclass(frozen=True, slots=True)
class _Open(Work):
    factory: ClientFactory
    renew: Renew

    def serve(self) -> Client:
        return self.factory.create_sync(self.renew.operation, self.renew.key)

    async def aserve(self) -> Client:
        return await self.factory.create_async(self.renew.operation, self.renew.key)


@dataclass(frozen=True, slots=True)
class _Close(Work):
    client: Client

    def serve(self) -> None:
        self.client.close()

    async def aserve(self) -> None:
        await self.client.close()


def examination_plan(factory: ClientFactory, client: Client, renew: Renew) -> Plan[Client | None]:
    """``client`` if it is answered, else a new one that is, else None.

    Raises:
        ConnectionFailedError: No new client can be made.
    """
    if not renew.replica:
        try:
            if (yield _Ping(factory, client, renew)):
                return client
        except ConnectionFailedError:
            pass  # as dead as one without an answer
    new = yield _Open(factory, renew)
    try:
        answered = yield _Ping(factory, new, renew)
    except ConnectionFailedError:
        yield _Close(new)
        raise
    if answered:
        return new
    yield _Close(new)
    return None


def serve(step: Step) -> Reply:
    """The executor of ``examination_plan``, whose steps serve themselves."""
    return cast("Work", step).serve()


async def aserve(step: Step) -> Reply:
    """Async ``serve``."""
    return await cast("Work", step).aserve()


class Findings:
    """What the last examination of a client found, for those who wait to ask for one.

    Not safe between threads by itself.
    """

    def __init__(self) -> None:
        self._examined = float("-inf")
        self._not_before = float("-inf")
        self._error: ConnectionFailedError | None = None
        self.answers = True

    def stand(self, since: float, now: float) -> bool:
        """Whether they hold for a call that was begun at ``since``.

        Raises:
            ConnectionFailedError: They do, and that was found.
        """
        if self._examined <= since and now >= self._not_before:
            return False
        if self._error is not None:
            raise type(self._error)(str(self._error)) from self._error.__cause__
        return True

    def note(self, now: float, outcome: bool | ConnectionFailedError, seconds: float) -> None:
        """Keep what was found; nobody looks again for ``seconds`` where nothing answered."""
        self._examined = now
        self._error = None if isinstance(outcome, bool) else outcome
        self.answers = outcome is True
        self._not_before = now if outcome is not False else now + seconds
