"""A step of a plan, served by a GLIDE client.

What a client is asked, and what its reply means, is the same in sync and in async code: a
``_Call``. The two forms differ in the call itself only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

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
from .threads import HANG_MARGIN_SECONDS, reply_within

if TYPE_CHECKING:
    from .clients import AsyncClient, SyncClient

ServerStep: TypeAlias = Request | Scan | AskCluster | AskPrimaries

# Seconds granted to a batch on top of request_timeout, per byte: 10 MB/s is slow for a network
# and fast for a hung one.
_SECONDS_PER_BYTE = 1 / 10_000_000
_BULK = 1_000_000
_SCAN_COUNT = 1000

# A method of a client, what it is given, what reads its reply, and how many seconds it may take
# beside the request timeout.
_Call: TypeAlias = tuple[str, tuple[Any, ...], Callable[[Any, "ClientFactory", Any], Reply], float]


def execute(client: SyncClient, step: ServerStep, factory: ClientFactory) -> Reply:
    """The reply to ``step``."""
    if isinstance(step, AskCluster):
        return is_cluster_client(client)
    glide = load("glide_sync")
    method, arguments, read, _ = _call(glide, client, step, factory)
    try:
        reply = getattr(client, method)(*arguments)
    except glide.GlideError as error:
        raise factory.error(error, step.operation) from error
    return read(step, factory, reply)


async def aexecute(client: AsyncClient, step: ServerStep, factory: ClientFactory) -> Reply:
    """``execute`` for an async client, with a limit on what GLIDE never answers."""
    if isinstance(step, AskCluster):
        return is_cluster_client(client)
    glide = load("glide")
    method, arguments, read, extra = _call(glide, client, step, factory)
    limit = factory.request_timeout + extra + HANG_MARGIN_SECONDS
    try:
        with kept_awake():
            reply = await reply_within(limit, getattr(client, method)(*arguments))
    except (glide.GlideError, TimeoutError) as error:
        raise factory.error(error, step.operation) from error
    return read(step, factory, reply)


def _call(
    glide: ModuleType, client: object, step: Request | Scan | AskPrimaries, factory: ClientFactory
) -> _Call:
    cluster = is_cluster_client(client)
    if not isinstance(step, Request):
        return _call_of_many(glide, cluster, step)
    commands, extra, options = step.commands, 0.0, None
    if step.read_only and _goes_alone(step, cluster, factory):
        return "custom_command", (list(commands[0]),), _as_one_reply, extra
    size = step.size()
    if size > _BULK:
        extra = size * _SECONDS_PER_BYTE
        options_class = glide.ClusterBatchOptions if cluster else glide.BatchOptions
        options = options_class(timeout=milliseconds(factory.request_timeout + extra))
    read = _checked
    if is_script(commands):
        held = factory.scripts.by_hash(commands[0])
        if held is None:
            read = _of_text
        else:
            commands, read = (held,), _of_hash
    batch = _batch(glide, commands, cluster, atomic=step.atomic)
    # A single command goes as a batch of one, too. It costs the same, and a reply that is an
    # error comes back as a value; GLIDE prints those that it raises to stderr.
    return "exec", (batch, False, options), read, extra


def _call_of_many(glide: ModuleType, cluster: bool, step: Scan | AskPrimaries) -> _Call:
    """The call for what concerns all nodes."""
    if isinstance(step, Scan):
        start: object = glide.ClusterScanCursor() if cluster else b"0"
        cursor = start if step.cursor is None else step.cursor
        kind = None if step.type is None else glide.ObjectType[step.type.upper()]
        return "scan", (cursor, step.pattern, _SCAN_COUNT, kind), _scan_page, 0.0
    if cluster:
        return "custom_command", (list(step.command), glide.AllPrimaries()), _by_node, 0.0
    batch = _batch(glide, (step.command,), cluster, atomic=False)
    return "exec", (batch, False, None), _by_node, 0.0


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
            asked = client.exec(*_ping(glide, client, key, seconds))
            await reply_within(seconds + HANG_MARGIN_SECONDS, asked)
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
    """Whether what only reads has to go without a batch, so that a replica may answer it.

    A standalone client sends every batch to the primary, whatever ``read_from`` says.
    """
    return (
        factory.reads_replicas
        and len(request.commands) == 1
        and not cluster
        and not request.errors_as_replies
    )


def _as_one_reply(_step: Request, _factory: ClientFactory, reply: Reply) -> list[Reply]:
    return [reply]


def _checked(
    request: Request, factory: ClientFactory, replies: Sequence[Reply] | None
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


def _of_text(
    request: Request, factory: ClientFactory, replies: Sequence[Reply] | None
) -> list[Reply]:
    """``_checked`` of a single script, which the server holds from now on."""
    (reply,) = replies or (None,)
    if not isinstance(reply, Exception):
        factory.scripts.hold(request.commands[0])
    return _checked(request, factory, (reply,))


def _of_hash(
    request: Request, factory: ClientFactory, replies: Sequence[Reply] | None
) -> list[Reply]:
    """``_checked`` of a single script that was sent as its hash."""
    (reply,) = replies or (None,)
    if not isinstance(reply, Exception):
        return [reply]
    error = factory.error(reply, request.operation)
    if isinstance(error, ScriptNotHeldError):
        factory.scripts.lose(request.commands[0], error)
        raise error from reply
    return _checked(request, factory, (reply,))


def _scan_page(_step: Scan, _factory: ClientFactory, reply: Sequence[Any]) -> ScanPage:
    cursor, keys = reply
    finished = cursor == b"0" if isinstance(cursor, bytes) else cursor.is_finished()
    return ScanPage(keys, None if finished else cursor)


def _by_node(step: AskPrimaries, factory: ClientFactory, reply: Any) -> dict[str, Reply]:
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
