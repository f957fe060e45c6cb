"""Work that nobody waits for until the end, and names for those who claim some."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from uuid import uuid4

from .._plans import Work
from .._server.threads import in_thread


class BackgroundJobs:
    """Threads of sync code and tasks of event loops. A forked child has none of its parent's."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._tasks: set[asyncio.Future[object]] = set()

    def start(self, job: Callable[[], object]) -> None:
        """Run ``job`` in a thread, which the interpreter waits for at its end."""

        def work() -> None:
            try:
                job()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        self._forget_parent()
        thread = threading.Thread(target=work, name="valkey-memory: background")
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def astart(self, job: Awaitable[object]) -> None:
        """Run ``job`` in a task of the running loop, which cancels it when it ends first."""
        self._forget_parent()
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def join(self) -> None:
        """Wait for the threads that run now."""
        self._forget_parent()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    async def ajoin(self, seconds: float) -> None:
        """Wait for the tasks of the running loop, and for the threads at most so many seconds."""
        loop = asyncio.get_running_loop()
        # A copy, as loops of other threads change the set.
        own = [task for task in list(self._tasks) if task.get_loop() is loop]
        await asyncio.gather(*own, return_exceptions=True)
        if self._threads:
            await in_thread(self.join, seconds, "joining the work in the background")

    def __reduce__(self) -> tuple[type[BackgroundJobs], tuple[()]]:
        return BackgroundJobs, ()  # a copy has jobs of its own

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]


class NewOwner(Work):
    """A name for whoever claims a conversation. The reply is a string."""

    __slots__ = ()

    def serve(self) -> str:
        return uuid4().hex

    async def aserve(self) -> str:
        return self.serve()
