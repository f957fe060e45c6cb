"""What was acknowledged is there exactly once; what was not, at most once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import (
    EmbeddedValkey,
    InvalidArgumentError,
    MessageStore,
    OperationTimeoutError,
    ReplyLostError,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._conversations.scripts import REMEMBERED
from valkey_memory._keys import WRITES, sidecar

from ..conversations.test_message_lists import EDITS, said, texts
from ..server.test_failures import process_id
from ..servers import replicated_cluster, told
from .proxy import Proxy, proxied
from .test_stuck_clients import Caller

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with EmbeddedValkey() as server, proxied(server.port) as proxy:
        yield proxy


@pytest.fixture(params=["sync", "async"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner | None]:
    if request.param == "sync":
        yield None
    else:
        with asyncio.Runner() as runner:
            yield runner


def check(acknowledged: list[str], found: list[str]) -> None:
    assert len(found) == len(set(found)), "something is there twice"
    assert not set(acknowledged) - set(found), "something acknowledged is missing"
    order = {text: position for position, text in enumerate(acknowledged)}
    assert [t for t in found if t in order] == acknowledged, "out of order"


@pytest.mark.parametrize("fault", ["reply lost", "cut", "late", "dead path"])
def test_an_append_whose_reply_does_not_come(
    proxy: Proxy, runner: asyncio.Runner | None, fault: str
) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.5) as connection:
        call = Caller(MessageStore(connection=connection, ttl=60), runner)
        call("append", "s", said("0")[0])
        for number in range(1, 4):
            if fault == "reply lost":
                proxy.swallow_replies = True
            elif fault == "late":
                proxy.delay = 0.8
            elif fault == "dead path":
                proxy.kill_paths()
            else:
                proxy.swallow_replies = True
                timer = asyncio.TimerHandle  # noqa: F841 - the cut comes from a thread, below
            with contextlib.suppress(OperationTimeoutError), mended(proxy, fault):
                call("append", "s", said(str(number))[0])
        time.sleep(2)
        check([], texts(call("messages", "s")))
        assert texts(call("messages", "s")) == ["0", "1", "2", "3"]


@contextlib.contextmanager
def mended(proxy: Proxy, fault: str) -> Iterator[None]:
    """The fault is over a moment after the first try has failed."""
    import threading

    def mend() -> None:
        if fault == "cut":
            proxy.cut()
        proxy.swallow_replies = False
        proxy.delay = 0

    timer = threading.Timer(0.2 if fault == "cut" else 0.6, mend)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_copies_that_come_late_change_nothing(proxy: Proxy, runner: asyncio.Runner | None) -> None:
    edits = {name: edit for name, edit in EDITS.items() if edit[0] != "take"}
    with ValkeyConnection.from_url(proxy.url) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        for name, (method, arguments, options) in edits.items():
            call("extend", name, said(*"abcdef"))
            call("archive_oldest", name, 2)
            call(method, name, *arguments, **options)
            call("append", name, said("z")[0])
        before = [texts(call("archived", name, and_active=True)) for name in edits]
        proxy.replay()
        assert [texts(call("archived", name, and_active=True)) for name in edits] == before


def test_a_conversation_that_was_emptied_remembers_for_a_minute(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(proxy.url) as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        store.delete_last("s")
        writes = sidecar(store.key("s"), WRITES)
        assert store.ttl_left("s") == 0.0
        assert store.sessions() == []
        assert 0 < int(told(proxy.target, "TTL", f"'{writes}'").strip(b":\r\n")) <= 60
        store.append("s", said("b")[0])
        proxy.replay()
        assert texts(store.messages("s")) == ["b"]
        assert store.ttl_left("s") is None
        assert told(proxy.target, "TTL", f"'{writes}'") == b":-1\r\n"


def test_what_deletes_everything_leaves_nothing(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(proxy.url) as connection:
        store = MessageStore(connection=connection)
        for delete in (store.delete, store.take):
            store.append("s", said("a")[0])
            delete("s")
            assert told(proxy.target, "DBSIZE") == b":0\r\n"


def test_a_deletion_whose_reply_is_lost_is_not_made_twice(
    proxy: Proxy, runner: asyncio.Runner | None
) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.5) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("extend", "s", said(*"abc"))
        proxy.swallow_replies = True
        with pytest.raises(OperationTimeoutError) as caught, mended(proxy, "reply lost"):
            call("delete_last", "s")
        assert texts(call("messages", "s")) == ["a", "b"]
        assert isinstance(caught.value, ReplyLostError)
        assert not caught.value.outcome_unknown


def test_without_tokens_nothing_is_sent_again(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(
        proxy.url, request_timeout=0.5, retry_writes=False
    ) as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        proxy.swallow_replies = True
        with pytest.raises(OperationTimeoutError) as caught, mended(proxy, "reply lost"):
            store.append("s", said("b")[0])
        assert caught.value.outcome_unknown
        assert texts(store.messages("s")) == ["a", "b"]
        assert told(proxy.target, "DBSIZE") == b":1\r\n"  # no tokens are kept


# once=


def test_once(make_store: Any) -> None:
    store = make_store(ttl=60, max_messages=10)
    for _ in range(3):
        store.append("s", said("a")[0], once="job-1")
        store.extend("s", said("b", "c"), once="job-2")
        store.extend("s", said("d"), once="job-3", archived=True)
    assert texts(store.archived("s", and_active=True)) == list("dabc")
    make_store().append("s", said("x")[0], once="job-1")  # another store, as another process
    assert store.count("s") == 3
    store.append("t", said("a")[0], once="job-1")  # another conversation has its own
    assert store.count("t") == 1


def test_once_is_forgotten_after_a_hundred_writes(make_store: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0], once="job")
    for number in range(REMEMBERED - 1):
        store.append("s", said(str(number))[0])
    store.append("s", said("a")[0], once="job")
    assert store.count("s") == REMEMBERED
    store.append("s", said("the one more")[0])
    store.append("s", said("a")[0], once="job")
    assert store.count("s") == REMEMBERED + 2


@pytest.mark.parametrize("once", ["", 1, b"job", "x" * 257, "\ud800", None.__class__])
def test_what_cannot_be_the_name_of_a_write(make_store: Any, once: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="once must be"):
        make_store().append("s", said("a")[0], once=once)
    assert make_store().count("s") == 0


# Longer ones


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_frozen_primary_in_a_cluster(runner: asyncio.Runner | None) -> None:
    """Its replica is elected; the store goes on with it within two timeouts after that."""
    with replicated_cluster(replicas=3, node_timeout_ms=2000) as (primary, replica):
        pid = int(told(primary, "INFO", "server").partition(b"process_id:")[2].split()[0])
        session = in_slot_zero()
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


def in_slot_zero() -> str:
    """A session id whose key is in the first third of the slots."""
    from valkey_memory._keys import list_key, slot

    return next(one for one in map(str, itertools.count()) if slot(list_key("chat:", one)) < 5000)
