"""A server that is frozen, killed, full or refuses: our error in time, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import (
    AuthenticationError,
    CommandError,
    ConnectionFailedError,
    ConnectionLostError,
    EmbeddedValkey,
    KeyTypeError,
    MessageStore,
    OperationTimeoutError,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._plans import Plan, Request

from ..conftest import Face
from ..conversations.test_message_lists import EDITS, said, texts
from ..servers import told
from .test_connection import eventually

pytestmark = pytest.mark.timeout(60)
faces = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def process_id(server: EmbeddedValkey) -> int:
    return int(told(server.port, "INFO", "server").partition(b"process_id:")[2].split()[0])


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Writer(threading.Thread):
    """Appends the numbers from 0, one by one, until a call fails."""

    def __init__(self, store: MessageStore, *, is_async: bool) -> None:
        super().__init__()
        self.store = store
        self.is_async = is_async
        self.acknowledged: list[str] = []
        self.error: BaseException | None = None
        self.failed_after = 0.0

    def run(self) -> None:
        with asyncio.Runner() as runner:
            try:
                while True:
                    began = time.monotonic()
                    message = said(str(len(self.acknowledged)))[0]
                    if self.is_async:
                        runner.run(self.store.aappend("s", message))
                    else:
                        self.store.append("s", message)
                    self.acknowledged.append(message["content"])
            except BaseException as error:
                self.error = error
                self.failed_after = time.monotonic() - began

    def wait_for(self, number: int) -> None:
        while len(self.acknowledged) < number and self.is_alive():
            time.sleep(0.001)
        assert len(self.acknowledged) >= number, self.error

    def check(self, found: list[str]) -> None:
        """All that was acknowledged is there, in order and once; the last may be, too."""
        maybe = str(len(self.acknowledged))
        assert found in (self.acknowledged, [*self.acknowledged, maybe])


@faces
def test_a_server_frozen_mid_call(is_async: bool) -> None:
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(
            server.url, request_timeout=1, connection_timeout=1
        ) as connection,
    ):
        store = MessageStore(connection=connection, ttl=60)
        assert store.count("s") == 0  # opens the sync client
        writer = Writer(store, is_async=is_async)
        writer.start()
        writer.wait_for(50)
        with frozen(process_id(server)):
            writer.join(20)
            with pytest.raises(OperationTimeoutError, match=r"read 'chat:s' failed at 127\.0"):
                store.messages("s")
        assert isinstance(writer.error, OperationTimeoutError)
        assert isinstance(writer.error, TimeoutError)
        assert "append to 'chat:s' failed" in str(writer.error)
        assert "outcome is unknown" in str(writer.error)
        assert writer.error.__cause__ is not None
        assert writer.failed_after < 10
        eventually(lambda: store.count("s"))
        writer.check(texts(store.messages("s")))
        assert 40 < store.ttl_left("s") <= 60  # type: ignore[operator]
        store.replace("s", said("after"))
        assert asyncio.run(store.amessages("s")) == store.messages("s") == said("after")


@faces
def test_a_server_killed_mid_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    # By default the server answers before a write is on disk while an earlier one is being synced,
    # so a kill may cost the last seconds; here nothing acknowledged may be missing.
    server = EmbeddedValkey(tmp_path, config={"appendfsync": "always"})
    with ValkeyConnection.from_url(
        server.url, request_timeout=1, connection_timeout=1
    ) as connection:
        store = MessageStore(connection=connection, ttl=60)
        port = server.port
        writer = Writer(store, is_async=is_async)
        writer.start()
        writer.wait_for(50)
        os.kill(process_id(server), signal.SIGKILL)
        writer.join(20)
        assert isinstance(writer.error, (OperationTimeoutError, ConnectionFailedError))
        assert "append to 'chat:s' failed at 127.0.0.1" in str(writer.error)
        assert writer.failed_after < 10
        with pytest.raises(ValkeyMemoryError):
            store.messages("s")
        server.close()
        monkeypatch.setattr("valkey_memory._server.embedded._free_port", lambda: port)
        with EmbeddedValkey(tmp_path):
            assert eventually(lambda: store.count("s")) >= 50
            writer.check(texts(store.messages("s")))
            assert 40 < store.ttl_left("s") <= 60  # type: ignore[operator]
            asyncio.run(store.aappend("s", said("after")[0]))
            assert store.messages("s", last=1) == said("after")


def test_many_calls_in_flight_when_the_server_freezes() -> None:
    """Each gets an answer or our error; what was acknowledged is there, and nothing twice."""

    async def append_all(store: MessageStore, server: EmbeddedValkey) -> list[str]:
        await store.aappend("s", said("first")[0])
        pid = process_id(server)

        def begin(numbers: range) -> list[asyncio.Task[None]]:
            messages = said(*map(str, numbers))
            return [asyncio.create_task(store.aappend("s", message)) for message in messages]

        calls = begin(range(200))
        await asyncio.sleep(0)
        with frozen(pid):
            calls += begin(range(200, 250))  # the server may have been faster than the signal
            outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        assert all(one is None or isinstance(one, OperationTimeoutError) for one in outcomes)
        assert all(outcomes[200:])
        return [str(number) for number, one in enumerate(outcomes) if one is None]

    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(
            server.url, request_timeout=1, connection_timeout=1
        ) as connection,
    ):
        store = MessageStore(connection=connection)
        acknowledged = asyncio.run(append_all(store, server))
        eventually(lambda: store.count("s"))
        found = texts(store.messages("s"))
        assert len(found) == len(set(found))
        assert {"first", *acknowledged} <= set(found)


@pytest.mark.parametrize(
    "options",
    [{}, {"ttl": 60, "max_messages": 3}, {"max_messages": 3, "whole_turns": True}],
    ids=["plain", "ttl", "turns"],
)
@pytest.mark.parametrize("edit", EDITS)
def test_a_server_without_memory(edit: str, options: dict[str, Any], full: EmbeddedValkey) -> None:
    """An edit is done or not; what is not done raises, and leaves both lists as they were."""
    with ValkeyConnection.from_url(full.url) as connection:
        store = MessageStore(connection=connection, **options)
        told(full.port, "CONFIG", "SET", "maxmemory", "0")
        store.replace("s", said(*"abc"), whole=True)
        store.extend("s", said("z"), archived=True)
        told(full.port, "CONFIG", "SET", "maxmemory", "1")
        name, arguments, keywords = EDITS[edit]
        error: ValkeyMemoryError | None = None
        try:
            getattr(store, name)("s", *arguments, **keywords)
        except CommandError as caught:
            error = caught
        if error is None:
            assert name.startswith(("delete", "take"))
        else:
            assert "maxmemory" in str(error)
            assert texts(store.archived("s", and_active=True)) == list("zabc")
        assert store.delete("s") is True


@pytest.fixture(scope="module")
def full() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(config={"maxmemory-policy": "noeviction"}) as server:
        yield server


@faces
def test_a_server_that_breaks_off_over_what_it_is_sent_is_not_hurried(is_async: bool) -> None:
    """It answers all the while, so each try is made with a new connection."""
    with (
        EmbeddedValkey(config={"proto-max-bulk-len": "1mb"}) as server,
        ValkeyConnection.from_url(f"{server.url}?request_timeout=1") as connection,
    ):
        large = ("SET", "large", "x" * 2_000_000)
        commands = (("SET", "small", "x"), large, ("SET", "small", "y"))

        def plan() -> Plan[Any]:
            return (yield Request("write", commands, atomic=True, repeatable=True))

        with pytest.raises(ConnectionLostError):
            asyncio.run(connection.arun(plan())) if is_async else connection.run(plan())
        received = told(server.port, "INFO", "stats").partition(b"connections_received:")[2]
        assert int(received.split()[0]) < 40
        assert told(server.port, "EXISTS", "small") == b":0\r\n"


Refusal = tuple[str, str, type[ValkeyMemoryError]]
REFUSALS: dict[str, Refusal] = {
    "type": ("", "SET chat:s x", KeyTypeError),
    "password": ("", "CONFIG SET requirepass secret", AuthenticationError),
    "permission": ("reader:pw@", "ACL SETUSER reader on >pw +info ~*", CommandError),
    "read only": ("", "CONFIG SET min-replicas-to-write 3", CommandError),
}


@faces
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_every_refusal_names_address_and_operation_and_comes_from_glide(
    refusal: Refusal, is_async: bool
) -> None:
    user, command, kind = refusal
    with EmbeddedValkey() as server:
        url = server.url.replace("valkey://", f"valkey://{user}")
        told(server.port, *command.split())
        with ValkeyConnection.from_url(url) as connection:
            store = MessageStore(connection=connection)
            face = Face(store, is_async=is_async)
            with pytest.raises(kind, match="append to 'chat:s' failed at 127") as caught:
                face.append("s", said("x")[0])
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert type(caught.value.__cause__).__module__.startswith("glide")
