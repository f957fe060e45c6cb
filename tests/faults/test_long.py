"""Hundreds of calls under faults that come again and again. They print how fast it recovers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection, ValkeyMemoryError
from valkey_memory._keys import list_key, slot

from ..conversations.test_message_lists import said, texts
from ..server.test_failures import process_id
from ..servers import replicated_cluster, told
from .callers import Caller, check
from .proxy import Proxy

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.timeout(300)]


def test_hundreds_of_appends_through_faults(proxy: Proxy, runner: asyncio.Runner | None) -> None:
    chance = random.Random(7)
    acknowledged = []
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.3) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("count", "s")
        faults = {
            "none": lambda: None,
            "swallow": lambda: setattr(proxy, "swallow_replies", True),
            "delay": lambda: setattr(proxy, "delay", 0.2),
            "cut": proxy.cut,
            "dead": proxy.kill_paths,
        }
        for number in range(300):
            if number % 10 == 0:
                fault = chance.choice(list(faults))
                faults[fault]()
            elif number % 10 == 2:
                proxy.swallow_replies, proxy.delay = False, 0
            with contextlib.suppress(ValkeyMemoryError):
                call("append", "s", said(str(number))[0])
                acknowledged.append(str(number))
        proxy.swallow_replies, proxy.delay = False, 0
        time.sleep(2)
        check(acknowledged, texts(call("messages", "s")))
        print(f"{len(acknowledged)} of 300 acknowledged")
        assert len(acknowledged) > 150


_WRITER = """
import sys
from valkey_memory import MessageStore
store = MessageStore(url=sys.argv[1])
for number in range(int(sys.argv[2]), 1_000_000):
    store.append("s", {"role": "user", "content": str(number)}, once=str(number))
    print(number, flush=True)
"""


def test_writers_that_are_killed(server: EmbeddedValkey, prefix: str) -> None:
    """A writer that is killed and goes on from what it knows repeats its last write by name."""
    told(server.port, "FLUSHALL")
    next_number = 0
    for _ in range(10):
        command = [sys.executable, "-c", _WRITER, server.url, str(next_number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for line in itertools.islice(writer.stdout, 50):
                next_number = int(line) + 1
            writer.kill()
            for line in writer.stdout:
                next_number = int(line) + 1
        next_number = max(0, next_number - 1)  # the last acknowledgement may not have come through
    found = texts(MessageStore(url=server.url).messages("s"))
    assert found == [str(number) for number in range(len(found))]
    assert len(found) >= next_number


def test_a_server_that_is_killed_again_and_again(
    tmp_path: Path, runner: asyncio.Runner | None
) -> None:
    acknowledged, slowest = [], 0.0
    with (
        EmbeddedValkey(tmp_path, config={"appendfsync": "always"}) as server,
        ValkeyConnection.from_url(server.url, request_timeout=1) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        for number in range(100):
            if number % 20 == 10:
                os.kill(process_id(server), signal.SIGKILL)
                server.revive()
            began = time.monotonic()
            with contextlib.suppress(ValkeyMemoryError):
                call("append", "s", said(str(number))[0])
                acknowledged.append(str(number))
            slowest = max(slowest, time.monotonic() - began)
        check(acknowledged, texts(call("messages", "s")))
    print(f"{len(acknowledged)} of 100 acknowledged, the slowest after {slowest:.1f} s")
    assert len(acknowledged) == 100


def test_a_frozen_primary_in_a_cluster(runner: asyncio.Runner | None) -> None:
    """Its replica is elected; the store goes on with it within two timeouts after that."""
    with replicated_cluster(replicas=3, node_timeout_ms=2000) as (primary, replica):
        pid = node_process(primary)
        session = next(in_third(0))
        with ValkeyConnection.from_url(
            f"valkey://127.0.0.1:{primary}", request_timeout=2
        ) as connection:
            call = Caller(MessageStore(connection=connection), runner)
            acknowledged = ["0"]
            call("append", session, said("0")[0])
            os.kill(pid, signal.SIGSTOP)
            try:
                while b"role:master" not in told(replica, "INFO", "replication"):
                    time.sleep(0.05)
                elected = time.monotonic()
                for number in itertools.count(1):
                    with contextlib.suppress(ValkeyMemoryError):
                        call("append", session, said(str(number))[0])
                        acknowledged.append(str(number))
                    if len(acknowledged) == 20:
                        break
                    if len(acknowledged) == 2:
                        recovered = time.monotonic() - elected
                print(f"recovered {recovered:.1f} s after the election, timeout 2 s")
                assert recovered < 2 * 2 + 1
                check(acknowledged, texts(call("messages", session)))
            finally:
                os.kill(pid, signal.SIGCONT)


def test_failovers_and_pauses_of_a_cluster(runner: asyncio.Runner | None) -> None:
    """Primaries that are frozen for less than a failover takes, and planned failovers, in turn."""
    sessions = [next(in_third(number)) for number in range(3)]
    acknowledged: dict[str, list[str]] = {session: [] for session in sessions}
    with replicated_cluster(replicas=3, node_timeout_ms=4000) as (primary, replica):
        ended = threading.Event()
        nodes = itertools.cycle([replica, primary])

        def disturb() -> None:
            while not ended.wait(2):
                port = next(nodes)
                told(port, "CLUSTER", "FAILOVER")  # its replica takes over
                if ended.wait(2):
                    return
                pid = node_process(port)
                os.kill(pid, signal.SIGSTOP)
                ended.wait(1.5)
                os.kill(pid, signal.SIGCONT)

        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            with ValkeyConnection.from_url(
                f"valkey://127.0.0.1:{primary}", request_timeout=0.5
            ) as connection:
                call = Caller(MessageStore(connection=connection), runner)
                until, slowest = time.monotonic() + 30, 0.0
                for number in itertools.count():
                    session, began = sessions[number % 3], time.monotonic()
                    if began > until:
                        break
                    with contextlib.suppress(ValkeyMemoryError):
                        call("append", session, said(str(number))[0])
                        acknowledged[session].append(str(number))
                    slowest = max(slowest, time.monotonic() - began)
                    time.sleep(0.01)
                ended.set()
                disturber.join()
                for session in sessions:
                    check(acknowledged[session], texts(call("messages", session)))
        finally:
            ended.set()
            disturber.join()
    total = sum(map(len, acknowledged.values()))
    print(f"{total} of {number} acknowledged, the slowest call took {slowest:.1f} s")
    assert total > 0.5 * number


def node_process(port: int) -> int:
    return int(told(port, "INFO", "server").partition(b"process_id:")[2].split()[0])


def in_third(third: int) -> Iterator[str]:
    """Session ids whose keys are in this third of the slots."""
    sessions = map(str, itertools.count())
    return (one for one in sessions if slot(list_key("chat:", one)) * 3 // 16384 == third)
