"""GLIDE's async clients, one per event loop, from threads and loops that come and go.

An async GLIDE client belongs to the loop that made it, and all clients of a process get their
replies through one reader, which GLIDE attaches to whichever loop made the first. Three things
follow, and all are done here:

- The first client is made on a loop of our own, in a daemon thread, so that the reader never stops
  with a user's loop, nor blocks when that loop is blocked. That client never connects.
- Each running loop gets its own client. An async generator started in the loop closes it when the
  loop shuts down (``asyncio.run`` finishes such generators); clients of loops that were closed
  without that are closed when the next loop asks for one.
- Every wait has a limit, so that what GLIDE leaves unanswered cannot hang a program.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .clients import AsyncClient

T = TypeVar("T")


class _Reader:
    """The process's loop that keeps GLIDE's reader alive. Made once, and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0

    def ensure(self) -> None:
        """Start the loop and attach the reader to it. Blocks for the import of ``glide``."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            loop = asyncio.new_event_loop()
            threading.Thread(
                target=loop.run_forever, name="valkey-memory-glide-reader", daemon=True
            ).start()
            self._client = asyncio.run_coroutine_threadsafe(self._attach(), loop).result()
            self._pid = os.getpid()

    @staticmethod
    async def _attach() -> AsyncClient:
        from .clients import load

        glide = load("glide")
        configuration = glide.GlideClientConfiguration([glide.NodeAddress()], lazy_connect=True)
        client: AsyncClient = await glide.GlideClient.create(configuration)
        return client


_reader = _Reader()


class _LoopClient:
    """The client of one loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = asyncio.Lock()
        self.client: AsyncClient | None = None
        self._closer: AsyncGenerator[None, None] | None = None

    async def open(
        self, create: Callable[[str], Awaitable[AsyncClient]], operation: str
    ) -> AsyncClient:
        async with self.lock:
            if self.client is None:
                client = await create(operation)
                self._closer = self._close_with_loop(client)
                await anext(self._closer)
                self.client = client
            return self.client

    async def _close_with_loop(self, client: AsyncClient) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self.client = None
            await client.close()

    def close(self) -> None:
        """Close from any thread. GLIDE's ``close`` awaits nothing, so one step finishes it."""
        client, self.client = self.client, None
        if client is not None:
            step = client.close()
            try:
                step.send(None)
            except StopIteration:
                pass
            finally:
                step.close()


class AsyncClients:
    """The async clients of one connection.

    Args:
        create: Makes a client for the running loop.
    """

    def __init__(self, create: Callable[[str], Awaitable[AsyncClient]]) -> None:
        self._create = create
        self._lock = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, _LoopClient] = {}

    async def get(self, operation: str) -> AsyncClient:
        """The running loop's client; ``operation`` is what wants it, for the error."""
        loop = asyncio.get_running_loop()
        entry = self._of_loop.get(loop)
        if entry is not None and entry.client is not None and entry.pid == os.getpid():
            return entry.client
        await asyncio.to_thread(_reader.ensure)
        with self._lock:
            self._forget_other_processes()
            for stale in [known for known in self._of_loop if known.is_closed()]:
                self._of_loop.pop(stale).close()
            entry = self._of_loop.setdefault(loop, _LoopClient())
        return await entry.open(self._create, operation)

    def _forget_other_processes(self) -> None:
        # A forked child has its parent's clients; they are not its own to close.
        for loop in [known for known, entry in self._of_loop.items() if entry.pid != os.getpid()]:
            del self._of_loop[loop]

    def after_fork(self) -> None:
        """A lock held by another thread of the parent is never released in the child."""
        self._lock = threading.Lock()

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
