"""A step of a plan, served by a GLIDE client.

What a client is asked, and what its reply means, is the same in sync and in async code: a
``Call``. The two forms differ in the call itself only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._errors import (
    ConnectionClosedError,
    ConnectionFailedError,
    OperationTimeoutError,
    ValkeyMemoryError,
)
from .._plans import AskCluster, AskPrimaries, Command, Reply, Request, Scan, ScanPage
from .clients import ClientFactory, is_cluster_client, load, milliseconds
from .failures import ScriptNotHeldError
from .forks import kept_awake
from .held_scripts import is_script

if TYPE_CHECKING:
    from .clients import AsyncClient, SyncClient

ServerStep: TypeAlias = Request | Scan | AskCluster | AskPrimaries

# Seconds granted to a batch on top of request_timeout, per byte: 10 MB/s is slow for a network
# and fast for a hung one.
_SECONDS_PER_BYTE = 1 / 10_000_000
_BULK = 1_000_000
_SCAN_COUNT = 1000

# GLIDE's own timeout comes first and names its cause; this one only ends what never returns.
_HANG_MARGIN_SECONDS = 2.0


def execute(client: SyncClient, step: ServerStep, factory: ClientFactory) -> Reply:
    """The reply to ``step``."""
    if isinstance(step, AskCluster):
        return is_cluster_client(client)
    glide = load("glide_sync")
    call = _call(glide, client, step, factory)
    try:
        reply = getattr(client, call.method)(*call.arguments)
    except glide.GlideError as error:
        raise factory.error(error, step.operation) from error
    return call.read(reply)


async def aexecute(client: AsyncClient, step: ServerStep, factory: ClientFactory) -> Reply:
    """``execute`` for an async client, with a limit on what GLIDE never answers."""
    if isinstance(step, AskCluster):
        return is_cluster_client(client)
    glide = load("glide")
    call = _call(glide, client, step, factory)
    limit = call.seconds + _HANG_MARGIN_SECONDS
    try:
        with kept_awake():
            async with asyncio.timeout(limit):
                reply = await getattr(client, call.method)(*call.arguments)
    except glide.GlideError as error:
        raise factory.error(error, step.operation) from error
    except TimeoutError as error:
        raise OperationTimeoutError(
            f"{step.operation} failed at {factory.address}: no answer within {limit:g} s. "
            "The outcome is unknown: a write may have been applied."
        ) from error
    return call.read(reply)


class _Call(NamedTuple):
    """A method of a client, what it is given, and what its reply means."""

    method: str
    arguments: tuple[Any, ...]
    read: Callable[[Any], Reply]
    seconds: float
    """How long it may take."""


def _call(
    glide: ModuleType, client: object, step: Request | Scan | AskPrimaries, factory: ClientFactory
) -> _Call:
    cluster, timeout = is_cluster_client(client), factory.request_timeout
    if isinstance(step, Request):
        if _goes_alone(step, cluster, factory):
            return _Call("custom_command", (list(step.commands[0]),), _as_one_reply, timeout)
        timeout = _allowed_seconds(step, timeout)
        commands, by_hash = step.commands, False
        read = partial(_checked, request=step, factory=factory)
        if is_script(commands):
            shorter = factory.scripts.by_hash(commands[0])
            if shorter is not None:
                commands, by_hash = (shorter,), True
            read = partial(_of_script, request=step, factory=factory, by_hash=by_hash)
        batch = _batch(glide, commands, cluster, atomic=step.atomic)
        options = None
        if timeout > factory.request_timeout:
            options_class = glide.ClusterBatchOptions if cluster else glide.BatchOptions
            options = options_class(timeout=milliseconds(timeout))
        # A single command goes as a batch of one, too. It costs the same, and a reply that is an
        # error comes back as a value; GLIDE prints those that it raises to stderr.
        return _Call("exec", (batch, False, options), read, timeout)
    if isinstance(step, Scan):
        start: object = glide.ClusterScanCursor() if cluster else b"0"
        # cursor, match, count, type
        return _Call(
            "scan",
            (
                start if step.cursor is None else step.cursor,
                step.pattern,
                _SCAN_COUNT,
                None if step.type is None else glide.ObjectType[step.type.upper()],
            ),
            _scan_page,
            timeout,
        )
    by_node = partial(_by_node, step=step, factory=factory)
    if cluster:
        arguments = (list(step.command), glide.AllPrimaries())
        return _Call("custom_command", arguments, by_node, timeout)
    batch = _batch(glide, (step.command,), cluster, atomic=False)
    return _Call("exec", (batch, False, None), by_node, timeout)


def ping(
    client: SyncClient, operation: str, key: str, seconds: float, factory: ClientFactory
) -> bool:
    """Whether a client gets an answer within ``seconds``.

    Raises:
        ConnectionFailedError: It never will, and why.
    """
    glide = load("glide_sync")
    try:
        client.exec(*_ping(glide, client, key, seconds))
    except glide.GlideError as error:
        return _is_life(factory.error(error, operation))
    return True


async def aping(
    client: AsyncClient, operation: str, key: str, seconds: float, factory: ClientFactory
) -> bool:
    """Async ``ping``."""
    glide = load("glide")
    try:
        with kept_awake():
            async with asyncio.timeout(seconds + _HANG_MARGIN_SECONDS):
                await client.exec(*_ping(glide, client, key, seconds))
    except TimeoutError:
        return False
    except glide.GlideError as error:
        return _is_life(factory.error(error, operation))
    return True


def _ping(glide: ModuleType, client: object, key: str, seconds: float) -> tuple[Any, ...]:
    """In a cluster the primary of ``key`` is asked, or all of them."""
    cluster = is_cluster_client(client)
    timeout = milliseconds(seconds)
    if cluster:
        route = glide.SlotKeyRoute(glide.SlotType.PRIMARY, key) if key else glide.AllPrimaries()
        options = glide.ClusterBatchOptions(timeout=timeout, route=route)
    else:
        options = glide.BatchOptions(timeout=timeout)
    return _batch(glide, [("PING",)], cluster, atomic=False), False, options


def _is_life(error: ValkeyMemoryError) -> bool:
    """Whether what a ping got is an answer of the server, though one of refusal."""
    if isinstance(error, OperationTimeoutError | ConnectionClosedError):
        return False
    if isinstance(error, ConnectionFailedError):
        raise error
    return True


def _batch(
    glide: ModuleType, commands: Sequence[Command], cluster: bool, *, atomic: bool
) -> object:
    batch = (glide.ClusterBatch if cluster else glide.Batch)(is_atomic=atomic)
    for command in commands:
        batch.custom_command(list(command))
    return batch


def _goes_alone(request: Request, cluster: bool, factory: ClientFactory) -> bool:
    """Whether a command has to go without a batch, so that a replica may answer it.

    A standalone client sends every batch to the primary, whatever ``read_from`` says.
    """
    return (
        request.read_only
        and factory.reads_replicas
        and len(request.commands) == 1
        and not cluster
        and not request.errors_as_replies
    )


def _allowed_seconds(request: Request, timeout: float) -> float:
    """How long ``request`` may take: ``timeout``, and more when it is bulky."""
    size = request.size()
    return timeout + size * _SECONDS_PER_BYTE if size > _BULK else timeout


def _as_one_reply(reply: Reply) -> list[Reply]:
    return [reply]


def _checked(
    replies: Sequence[Reply] | None, *, request: Request, factory: ClientFactory
) -> list[Reply]:
    """The replies; errors among them become ours, and the first is raised unless asked for."""
    found = list(replies or ())
    for position, reply in enumerate(found):
        if isinstance(reply, Exception):
            error = factory.error(reply, request.operation)
            if not request.errors_as_replies:
                raise error from reply
            found[position] = error
    return found


def _of_script(
    replies: Sequence[Reply] | None, *, request: Request, factory: ClientFactory, by_hash: bool
) -> list[Reply]:
    """``_checked`` of a single script, noting whether the server holds it."""
    (reply,) = replies or (None,)
    if not isinstance(reply, Exception):
        if not by_hash:
            factory.scripts.hold(request.commands[0])
        return [reply]
    error = factory.error(reply, request.operation)
    if by_hash and isinstance(error, ScriptNotHeldError):
        factory.scripts.lose(request.commands[0], error)
        raise error from reply
    return _checked(replies, request=request, factory=factory)


def _scan_page(reply: Sequence[Any]) -> ScanPage:
    cursor, keys = reply
    finished = cursor == b"0" if isinstance(cursor, bytes) else cursor.is_finished()
    return ScanPage(keys, None if finished else cursor)


def _by_node(reply: Any, *, step: AskPrimaries, factory: ClientFactory) -> dict[str, Reply]:
    """Replies by address. A standalone server answers a batch of one, with a list; a cluster may
    answer some commands, such as PING, with one reply for all."""
    if isinstance(reply, dict):
        found = {address.decode(): one for address, one in reply.items()}
    else:
        found = {factory.address: reply[0] if isinstance(reply, list) else reply}
    return {
        address: factory.error(one, step.operation) if isinstance(one, Exception) else one
        for address, one in found.items()
    }
