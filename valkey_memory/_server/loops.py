"""GLIDE's async clients, one per event loop, from threads and loops that come and go.

An async GLIDE client belongs to the loop that made it, and all clients of a process get their
replies through one reader, which GLIDE attaches to whichever loop made the first. Four things
follow, and all are done here and in ``threads``:

- The first client is made on a loop of our own, in a daemon thread, so that the reader never stops
  with a user's loop, nor blocks when that loop is blocked. That client never connects.
- Each running loop gets its own client. An async generator started in the loop closes it when the
  loop shuts down (``asyncio.run`` finishes such generators). Of loops that stopped without that a
  few keep their clients, in case they go on.
- A reply for a loop that was closed is dropped, and takes no other loop's replies with it.
- Every wait has a limit, so that what GLIDE leaves unanswered cannot hang a program.

What a closed loop leaves suspended is closed by the garbage collector, in an order of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

from .._errors import ConnectionFailedError, EventLoopError
from .._plans import arun
from .forks import kept_awake
from .recovery import Findings, Renew, aserve, examination_plan
from .threads import close_client, in_thread, keep_until_collected, surviving

if TYPE_CHECKING:
    from .clients import AsyncClient, ClientFactory

_START_SECONDS = 30.0
_IDLE_LOOPS = 4
"""So many loops that do not run keep their clients."""
_GRACE_SECONDS = 10.0


class _Reader:
    """The process's loop that keeps GLIDE's reader alive. Made once, and again after a fork."""

    def __init__(self) -> None:
        self._pid = 0
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    async def ensure(self) -> None:
        """Start the loop and attach the reader to it, in a thread: GLIDE's import takes 0.3 s.

        Raises:
            OperationTimeoutError: It did not start in time.
        """
        if self._pid == os.getpid():
            return
        if _threads_are_patched():
            return  # a thread of gevent's would not run beside this loop: GLIDE reads in this one
        await in_thread(self._start, _START_SECONDS, "start of GLIDE")

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            loop = asyncio.new_event_loop()
            threading.Thread(
                target=loop.run_forever, name="valkey-memory-glide-reader", daemon=True
            ).start()
            attached = asyncio.run_coroutine_threadsafe(self._attach(), loop)
            self._client = attached.result(_START_SECONDS)
            self._pid = os.getpid()

    @staticmethod
    async def _attach() -> AsyncClient:
        from .clients import load

        glide = load("glide")
        configuration = glide.GlideClientConfiguration([glide.NodeAddress()], lazy_connect=True)
        client: AsyncClient = surviving(await glide.GlideClient.create(configuration))
        return client


_reader = _Reader()


def _threads_are_patched() -> bool:
    """Whether gevent put greenlets in place of threads."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_tasks: set[asyncio.Task[Any] | None] = set()


@contextlib.contextmanager
def _task_held() -> Iterator[None]:
    """Keep the running task from the garbage collector.

    A client that is being made is known to nobody but the task that waits for it, and an event loop
    holds tasks weakly. LangGraph lets go of the tasks in which it asks a cache.
    """
    task = asyncio.current_task()
    _tasks.add(task)
    try:
        yield
    except GeneratorExit:
        keep_until_collected(task)
        raise
    finally:
        _tasks.discard(task)


def _let_go_of_closed_loops() -> None:
    """Leave the tasks of loops that were closed to the garbage collector."""
    for task in _tasks.copy():
        if task is not None and task.get_loop().is_closed():
            _tasks.discard(task)


class _LoopClient:
    """The client of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, factory: ClientFactory) -> None:
        self.pid = os.getpid()
        self.client: AsyncClient | None = None
        self._loop = loop
        self._factory = factory
        self._lock = asyncio.Lock()
        self._findings = Findings()
        self._replaced: list[AsyncClient] = []
        self._closer: AsyncGenerator[None, None] | None = None

    async def open(self, operation: str) -> AsyncClient:
        async with self._lock:
            if self.client is None:
                self.client = await self._create(operation)
                self._closer = self._close_with_loop()
                await anext(self._closer)
            return self.client

    async def _create(self, operation: str) -> AsyncClient:
        with kept_awake(), _task_held():
            return await self._factory.create_async(operation)

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.close()

    async def renew(self, step: Renew) -> bool:
        """Serve ``step``. Of tasks that ask together one examines, and all take what it found."""
        async with self._lock:
            if not self._findings.stand(step.since, time.monotonic()):
                await self._examine(step)
            return self._findings.answers

    async def _examine(self, step: Renew) -> None:
        seconds = self._factory.request_timeout
        client = self.client
        if client is None:  # closed meanwhile
            self._findings.note(time.monotonic(), False, 0)
            return
        try:
            with kept_awake(), _task_held():
                found = await arun(examination_plan(self._factory, client, step), aserve)
        except ConnectionFailedError as error:
            self._findings.note(time.monotonic(), error, seconds)
            raise
        self._findings.note(time.monotonic(), found is not None, seconds)
        if found is None or found is client:
            return
        if self.client is client:
            self.client = found
            self._replaced.append(client)
            # Calls on other nodes of a cluster may be under way on it.
            self._loop.call_later(2 * seconds + _GRACE_SECONDS, self._close_replaced, client)
        else:
            close_client(found)  # the connection was closed meanwhile

    def _close_replaced(self, client: AsyncClient) -> None:
        if client in self._replaced:
            self._replaced.remove(client)
            close_client(client)

    def close(self) -> None:
        """Close the client, and those that it replaced, from any thread."""
        client, self.client = self.client, None
        replaced, self._replaced = self._replaced, []
        for one in (client, *replaced):
            if one is not None:
                close_client(one)


def check_loop(client: AsyncClient) -> None:
    """Raise EventLoopError if ``client`` was made in another loop than the one that runs."""
    # GLIDE does not publish the loop of a client; without it nothing can be checked.
    loop = getattr(client, "_loop", None)
    if loop is not None and loop is not asyncio.get_running_loop():
        raise EventLoopError(
            "this GLIDE client was made in another event loop and would never answer here: "
            "make the connection with ValkeyConnection.from_url, which serves every loop"
        )


class AsyncClients:
    """The async clients of one connection.

    Args:
        factory: Makes a client for the running loop.
    """

    def __init__(self, factory: ClientFactory) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    def opened(self) -> AsyncClient | None:
        """The running loop's client, if it is there."""
        entry = self._of_loop.get(asyncio.get_running_loop())
        return entry.client if entry is not None and entry.pid == os.getpid() else None

    async def open(self, operation: str) -> AsyncClient:
        """The running loop's client, made now unless it is there."""
        await _reader.ensure()
        return await self._entry().open(operation)

    async def renew(self, step: Renew) -> bool:
        """Examine the running loop's client."""
        return await self._entry().renew(step)

    def _entry(self) -> _LoopClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._forget_other_processes()
            if loop not in self._of_loop:
                self._close_idle()
                self._of_loop[loop] = _LoopClient(loop, self._factory)
            return self._of_loop[loop]

    def _close_idle(self) -> None:
        """Close the clients of loops that were closed, and of those that stopped, but for a few."""
        closed = [loop for loop in self._of_loop if loop.is_closed()]
        for loop in closed:
            self._of_loop.pop(loop).close()
        _let_go_of_closed_loops()
        stopped = [loop for loop in self._of_loop if not loop.is_running()]
        for loop in stopped[:-_IDLE_LOOPS]:
            self._of_loop.pop(loop).close()

    def _forget_other_processes(self) -> None:
        # A forked child has its parent's clients; they are not its own to close.
        for loop in [known for known, entry in self._of_loop.items() if entry.pid != os.getpid()]:
            del self._of_loop[loop]

    def after_fork(self) -> None:
        """A lock held by another thread of the parent is never released in the child."""
        self._lock = threading.Lock()
        _reader.after_fork()

    def close(self) -> None:
        """Close the clients of all loops, from any thread."""
        with self._lock:
            self._forget_other_processes()
            entries, self._of_loop = self._of_loop, {}
        for loop, entry in entries.items():
            if loop.is_running() and loop is not _running_loop():
                # Pending requests of that loop are answered there, with ConnectionClosedError.
                loop.call_soon_threadsafe(entry.close)
            else:
                entry.close()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
