"""Waits of an event loop, for threads of ours and for GLIDE, while loops are closed under them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .._errors import OperationTimeoutError

T = TypeVar("T")
Client = TypeVar("Client")

_LOOK_SECONDS = 0.005

HANG_MARGIN_SECONDS = 2.0
"""GLIDE's own timeout comes first and names its cause; ours only ends what never returns."""


async def in_thread(function: Callable[[], object], seconds: float, what: str) -> None:
    """Run ``function`` in a thread of its own and wait for its end, with its exception.

    The thread is looked at rather than waited for: the application's executor may be full, and the
    way in which a thread wakes a loop is shared between a forked child and its parent.

    Raises:
        OperationTimeoutError: It takes longer than ``seconds``; ``what`` says what. It goes on.
    """
    failures: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised by the one who waits
            failures.append(error)

    thread = threading.Thread(target=work, name=f"valkey-memory: {what}", daemon=True)
    thread.start()
    last = time.monotonic() + seconds
    while thread.is_alive():
        if time.monotonic() > last:
            raise OperationTimeoutError(f"{what} did not end within {seconds:g} s")
        await asyncio.sleep(_LOOK_SECONDS)
    for failure in failures:
        raise failure


async def reply_within(seconds: float, reply: Awaitable[T]) -> T:
    """A reply of GLIDE's, or TimeoutError: GLIDE leaves some calls unanswered.

    The loop may be closed meanwhile, and the call left to the garbage collector.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await reply
            except GeneratorExit:
                keep_until_collected(limit)
                raise
    except TimeoutError as error:
        raise TimeoutError(f"no answer within {seconds:g} s") from error


def keep_until_collected(holder: object) -> None:
    """Keep the task that ``holder`` refers to until the garbage collector runs once more.

    For coroutines that are closed. The collector may close an inner one of a task first. Were the
    task's last reference dropped in the middle of that, the task would close its coroutines again,
    from the outermost inwards, and CPython crashes over the one that runs.
    """
    ring = [holder]
    ring.append(ring)


class _SurvivedLoop:
    """A client's loop, as GLIDE's reader sees it: wakes it, unless it was closed.

    GLIDE reads replies of all loops together; the error of one that was closed would drop those
    that come after it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_soon_threadsafe(self, callback: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def surviving(client: Client) -> Client:
    """``client``, before its first reply, fit for a loop that is closed under it."""
    loop = getattr(client, "_loop", None)  # GLIDE does not publish it
    if loop is not None:
        client._loop = _SurvivedLoop(loop)  # type: ignore[attr-defined]
    # The garbage collector closes forgotten clients, wherever it runs. Looked up there for the
    # first time, this would wait for a lock that the interrupted call may hold.
    getattr(getattr(client, "_lib", None), "close_client", None)
    return client


def close_client(client: Any) -> None:
    """Close an async client, from any thread. GLIDE's ``close`` awaits nothing: one step does."""
    finalizer = getattr(client, "_core_client_finalizer", None)
    if finalizer is not None and not finalizer.alive:
        return  # garbage with the coroutine that closes it: GLIDE would free it a second time
    loop = getattr(client, "_loop", None)
    if loop is not None and loop.is_closed():
        # Nobody waits for these, and failing them would ask the closed loop for a call.
        getattr(client, "_pending_futures", {}).clear()
    step = client.close()
    try:
        step.send(None)
    except StopIteration:
        pass
    finally:
        step.close()
