"""GLIDE's sync client of a connection: one for all threads, replaced when it is stuck."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from .._errors import ConnectionFailedError
from .._plans import run
from .clients import ClientFactory
from .recovery import Findings, Renew, examination_plan, serve

if TYPE_CHECKING:
    from .clients import SyncClient

# A client that was replaced is closed once the calls on it have ended.
_GRACE_SECONDS = 10.0


class SyncClientHolder:
    """The sync client of a connection, opened on first use.

    Args:
        factory: Makes it.
    """

    def __init__(self, factory: ClientFactory) -> None:
        self._factory = factory
        self.client: SyncClient | None = None
        self._findings = Findings()
        self._replaced: list[SyncClient] = []
        self.after_fork()

    def after_fork(self) -> None:
        """A lock held by another thread of the parent is never released in the child."""
        self._lock = threading.Lock()
        self._examining = threading.Lock()

    def open(self, operation: str) -> SyncClient:
        """The client, made now unless it is there."""
        with self._lock:
            if self.client is None:
                self.client = self._factory.create_sync(operation)
            return self.client

    def renew(self, step: Renew) -> bool:
        """Serve ``step``. Of threads that ask together one examines, and all take what it found."""
        with self._examining:
            if not self._findings.stand(step.since, time.monotonic()):
                self._examine(step)
            return self._findings.answers

    def _examine(self, step: Renew) -> None:
        seconds = self._factory.request_timeout
        client = self.client
        if client is None:  # closed meanwhile
            self._findings.note(time.monotonic(), False, 0)
            return
        try:
            found = run(examination_plan(self._factory, client, step), serve)
        except ConnectionFailedError as error:
            self._findings.note(time.monotonic(), error, seconds)
            raise
        self._findings.note(time.monotonic(), found is not None, seconds)
        if found is None or found is client:
            return
        with self._lock:
            if self.client is client:
                self.client = found
                self._replaced.append(client)
                timer = threading.Timer(2 * seconds + _GRACE_SECONDS, self._close, (client,))
                timer.daemon = True
                timer.start()
                return
        found.close()  # the connection was closed meanwhile

    def _close(self, client: SyncClient) -> None:
        with self._lock:
            if client not in self._replaced:
                return
            self._replaced.remove(client)
        client.close()

    def close(self) -> None:
        """Close the client, and those that it replaced."""
        with self._lock:
            client, self.client = self.client, None
            replaced, self._replaced = self._replaced, []
        for one in (client, *replaced):
            if one is not None:
                one.close()
