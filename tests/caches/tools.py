"""A tool for the tests: it counts its runs on the server, where processes see them, too."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from typing import Any

from valkey_memory import ToolCache, ValkeyConnection

from ..servers import send


class Tool:
    """Runs for a moment, and says how often it did."""

    def __init__(self, connection: ValkeyConnection, name: str, seconds: float = 0.1) -> None:
        self.connection = connection
        self.counter = f"runs-of-{name}"
        self.seconds = seconds

    @property
    def runs(self) -> int:
        return int(send(self.connection, "GET", self.counter) or 0)

    def __call__(self) -> dict[str, Any]:
        run = send(self.connection, "INCR", self.counter)
        time.sleep(self.seconds)
        return {"run": run}

    async def acall(self) -> dict[str, Any]:
        run = send(self.connection, "INCR", self.counter)
        await asyncio.sleep(self.seconds)
        return {"run": run}


def call_in_child(url: str, prefix: str, start: Any, results: Any) -> None:
    """One call, in a process of its own, once all are ready."""
    with ValkeyConnection.from_url(url) as connection:
        cache = ToolCache(connection=connection, key_prefix=prefix)
        tool = Tool(connection, prefix, seconds=0.3)
        start.wait()
        results.put(cache.get_or_call("search", {"q": 1}, tool))


def die_in_call(url: str, prefix: str, lease: float) -> None:
    """Claim a result, and wait to be killed."""
    with ValkeyConnection.from_url(url) as connection:
        cache = ToolCache(connection=connection, key_prefix=prefix, lease=lease)
        cache.get_or_call("search", {"q": 1}, Tool(connection, prefix, seconds=60))


FORK = multiprocessing.get_context("fork")
