"""Clients that get no replies, where a new one would: replaced, once, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from valkey_memory import (
    AuthenticationError,
    EmbeddedValkey,
    MessageStore,
    NotPrimaryError,
    OperationTimeoutError,
    ServerUnavailableError,
    ValkeyConnection,
    ValkeyMemoryError,
)

from ..conversations.test_message_lists import said, texts
from ..server.test_failures import frozen, process_id
from ..servers import admin, replicated, told
from .callers import Caller
from .proxy import Proxy, proxied

pytestmark = pytest.mark.timeout(90)


def test_a_dead_path(proxy: Proxy, runner: asyncio.Runner | None) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=1) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        before = proxy.connections
        proxy.kill_paths()
        began = time.monotonic()
        call("append", "s", said("b")[0])  # not even an error
        print(f"recovered from a dead path in {time.monotonic() - began:.1f} s")
        for text in "cd":
            call("append", "s", said(text)[0])
        assert texts(call("messages", "s")) == list("abcd")
        assert proxy.connections <= before + 2  # the client's, and an examination's
        proxy.kill_paths()
        assert call("sessions") == ["s"]  # by SCAN


def test_many_callers_and_a_dead_path_open_few_connections(proxy: Proxy) -> None:
    async def work() -> None:
        async with ValkeyConnection.from_url(proxy.url, request_timeout=1) as connection:
            store = MessageStore(connection=connection)
            await store.aappend("s", said("x")[0])
            proxy.kill_paths()
            before = proxy.connections
            await asyncio.gather(*(store.aappend("s", said(str(n))[0]) for n in range(200)))
            assert await store.acount("s") == 201
            assert proxy.connections <= before + 2

    asyncio.run(work())


def test_a_slow_server_causes_no_churn(proxy: Proxy, runner: asyncio.Runner | None) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.2) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("0")[0])
        before = proxy.connections
        proxy.delay = 0.3
        for number in range(1, 4):
            with contextlib.suppress(OperationTimeoutError):
                call("append", "s", said(str(number))[0])
        assert proxy.connections == before
        proxy.delay = 0
        time.sleep(2)  # what waited on its way arrives
        call("append", "s", said("4")[0])
        found = texts(call("messages", "s"))
        assert found == list("01234")


def test_a_frozen_server_causes_no_churn(runner: asyncio.Runner | None) -> None:
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(
            server.url, request_timeout=0.5, connection_timeout=0.5
        ) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        with frozen(process_id(server)), pytest.raises(OperationTimeoutError, match="unknown"):
            call("append", "s", said("b")[0])
        call("append", "s", said("c")[0])
        assert texts(call("messages", "s")) == list("abc")
        clients = told(server.port, "CLIENT", "LIST").count(b"lib-name=Glide")
        assert clients <= 2


def test_an_embedded_server_that_was_killed(runner: asyncio.Runner | None) -> None:
    with ValkeyConnection.from_url("embedded://?request_timeout=1") as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        lease = connection._factory._lease
        assert lease is not None
        for _ in range(2):
            admin_kill(lease.port)
            began = time.monotonic()
            call("append", "s", said("b")[0])
            print(f"recovered from a killed server in {time.monotonic() - began:.1f} s")


def admin_kill(port: int) -> None:
    pid = int(told(port, "INFO", "server").partition(b"process_id:")[2].split()[0])
    os.kill(pid, signal.SIGKILL)


def test_a_planned_failover_behind_one_address(runner: asyncio.Runner | None) -> None:
    with (
        replicated() as (primary, replica),
        proxied(primary) as proxy,
        ValkeyConnection.from_url(proxy.url, request_timeout=3) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        for text in "ab":
            call("append", "s", said(text)[0])
        told(primary, "FAILOVER", "TO", "127.0.0.1", str(replica))
        while b"role:master" not in told(replica, "INFO", "replication"):
            time.sleep(0.01)
        proxy.target = replica  # the connections that are open still lead to the old one
        began = time.monotonic()
        call("append", "s", said("c")[0])
        print(f"recovered from a failover in {time.monotonic() - began:.1f} s")
        assert texts(call("messages", "s")) == list("abc")


def test_a_replica_for_good_says_so(runner: asyncio.Runner | None) -> None:
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url, request_timeout=0.5) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        told(server.port, "REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(NotPrimaryError) as caught:
            call("append", "s", said("b")[0])
        assert not caught.value.outcome_unknown


def test_a_replica_that_lost_its_primary(runner: asyncio.Runner | None) -> None:
    """It answers MASTERDOWN; as soon as it is a primary, the same store goes on."""
    with (
        EmbeddedValkey(config={"replica-serve-stale-data": "no"}) as server,
        ValkeyConnection.from_url(server.url, request_timeout=0.5) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        told(server.port, "REPLICAOF", "127.0.0.1", "1")
        for method, arguments in [("messages", ()), ("append", (said("b")[0],))]:
            with pytest.raises(NotPrimaryError) as caught:
                call(method, "s", *arguments)
            assert not caught.value.outcome_unknown
        told(server.port, "REPLICAOF", "NO", "ONE")
        call("append", "s", said("c")[0])
        assert texts(call("messages", "s")) == ["a", "c"]


def test_a_rotated_password(runner: asyncio.Runner | None) -> None:
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url, request_timeout=1) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        told(server.port, "CONFIG", "SET", "requirepass", "secret")
        kill_clients(server)
        for _ in range(2):
            with pytest.raises(AuthenticationError, match="wants a password"):
                call("append", "s", said("b")[0])
        again = ValkeyConnection.from_url(server.url, password="secret")
        with again:
            assert texts(MessageStore(connection=again).messages("s")) == ["a"]


def kill_clients(server: EmbeddedValkey) -> None:
    admin_with_password(server.port, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def admin_with_password(port: int, *command: str) -> None:
    with socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(f"AUTH secret\r\n{' '.join(command)}\r\nQUIT\r\n".encode())
        assert b"-" not in link.makefile("rb").read()


def test_a_server_that_is_busy_for_a_moment_is_waited_for(
    runner: asyncio.Runner | None,
) -> None:
    """A busy script stands for whatever ends by itself."""
    with (
        EmbeddedValkey(config={"busy-reply-threshold": "10"}) as server,
        ValkeyConnection.from_url(server.url, request_timeout=10) as connection,
    ):
        call = Caller(MessageStore(connection=connection), runner)
        call("append", "s", said("a")[0])
        with spinning(server.port, seconds=1.0):
            call("append", "s", said("b")[0])
        assert texts(call("messages", "s")) == list("ab")


class spinning:  # noqa: N801 - a context manager
    """A script that keeps the server busy for so long."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._timer = threading.Timer(seconds, told, (port, "SCRIPT", "KILL"))

    def _spin(self) -> None:
        with contextlib.suppress(Exception):  # it is killed
            admin(self.port, "EVAL", "while true do end", "0")

    def __enter__(self) -> None:
        self._thread.start()
        while True:
            try:
                told(self.port, "PING")
            except RuntimeError:
                break
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.join()
        self._thread.join()


def test_a_server_that_is_unavailable_for_long_says_so() -> None:
    with (
        EmbeddedValkey(config={"busy-reply-threshold": "10"}) as server,
        ValkeyConnection.from_url(server.url, request_timeout=0.5) as connection,
    ):
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        with spinning(server.port, seconds=2.0):
            began = time.monotonic()
            with pytest.raises(ServerUnavailableError) as caught:
                store.append("s", said("b")[0])
            assert 0.4 < time.monotonic() - began < 1.9
        assert not caught.value.outcome_unknown
        assert isinstance(caught.value, ValkeyMemoryError)
        assert store.count("s") == 1
