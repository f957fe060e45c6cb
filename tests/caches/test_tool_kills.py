"""Callers that are killed at any moment: nobody waits for the dead longer than their lease."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

import pytest

from valkey_memory import ToolCache, ValkeyConnection

from ..servers import send
from .tools import FORK

LEASE, TOOL_SECONDS = 0.5, 0.05


def call_for_ever(url: str, prefix: str) -> None:
    """Call a few tools over and over; write down the longest call and what was wrong."""
    with ValkeyConnection.from_url(url) as connection:
        send(connection, "PING")  # to connect takes a forked child seconds
        cache = ToolCache(connection=connection, key_prefix=prefix, ttl=0.2, lease=LEASE)

        def run(n: int) -> Any:
            time.sleep(TOOL_SECONDS)
            send(connection, "HINCRBY", f"{prefix}-tally", "runs", "1")
            return {"n": n}

        while True:
            n = random.randrange(3)
            began = time.monotonic()
            right = cache.get_or_call("t", {"n": n}, partial(run, n)) == {"n": n}
            took = time.monotonic() - began
            send(connection, "ZADD", f"{prefix}-longest", "GT", str(took), "call")
            send(connection, "HINCRBY", f"{prefix}-tally", "right" if right else "wrong", "1")


@pytest.mark.long
@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kills(connection: ValkeyConnection, prefix: str) -> None:
    def start() -> Any:
        child = FORK.Process(target=call_for_ever, args=(connection.url, prefix), daemon=True)
        child.start()
        return child

    def right() -> int:
        return int(send(connection, "HGET", f"{prefix}-tally", "right") or 0)

    children = [start() for _ in range(5)]
    for _ in range(20):
        before = right()
        while right() < before + 10:  # a child needs seconds to begin
            time.sleep(0.05)
        time.sleep(random.uniform(0, 0.3))
        dead = children.pop(0)
        dead.kill()
        dead.join()
        children.append(start())
    for child in children:
        child.kill()
        child.join()
    tally = {name: int(n) for name, n in send(connection, "HGETALL", f"{prefix}-tally").items()}
    longest = float(send(connection, "ZSCORE", f"{prefix}-longest", "call"))
    print(tally, f"longest call {longest:.2f} s")
    assert b"wrong" not in tally
    assert tally[b"right"] > 100
    assert tally[b"runs"] < tally[b"right"]
    # Two holders may die one after the other; then a call runs the tool by itself.
    assert longest < 2 * LEASE + TOOL_SECONDS + 1.5
