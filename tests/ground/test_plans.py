"""Plans compose: steps of other kinds, and changes that go together in one round trip."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from valkey_memory import (
    EmbeddedValkey,
    KeyTypeError,
    MessageStore,
    ValkeyConnection,
)
from valkey_memory._attempts import attempted_plan
from valkey_memory._conversations import changes
from valkey_memory._keys import SIDECARS, sidecar
from valkey_memory._models.chat import Ask
from valkey_memory._models.embedding import Embed
from valkey_memory._plans import (
    AskCluster,
    AskPrimaries,
    Blocking,
    Change,
    Now,
    Pause,
    Plan,
    Request,
    Work,
    change_plan,
    changes_plan,
    run,
)

from ..servers import admin, command_counts

ELEMENT = b'{"role":"user","content":"Valkey is a key-value store"}'


def embed(texts: list[str]) -> list[list[float]]:
    return [[float(len(text)), 1.0] for text in texts]


async def answer(prompt: str) -> str:
    return f"summary of {prompt}"


def summary_plan(key: str, user_key: str) -> Plan[list[Any]]:
    """Embed, ask a model, and store what came of it with the message: in one round trip."""
    (vector,) = yield Embed(embed, ["Valkey is a key-value store"])
    text = yield Ask(answer, "the conversation")
    notes = sidecar(key, "notes")
    return (
        yield from changes_plan(
            Change("note the user", user_key, (("ZADD", user_key, "1", key),)),
            changes.append(key, [ELEMENT], ttl_ms=60_000, window=10),
            Change("note", notes, (("HSET", notes, "summary", text, "size", str(vector[0])),)),
        )
    )


@pytest.fixture(autouse=True)
def extra_sidecar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIDECARS, "notes", "hash")


@pytest.fixture
def requests(connection: ValkeyConnection, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The round trips that ``connection`` makes to its server."""
    sent: list[Request] = []
    execute, aexecute = connection._execute, connection._aexecute

    def counted(step: Any) -> Any:
        sent.extend([step] if isinstance(step, Request) else [])
        return execute(step)

    async def acounted(step: Any) -> Any:
        sent.extend([step] if isinstance(step, Request) else [])
        return await aexecute(step)

    monkeypatch.setattr(connection, "_execute", counted)
    monkeypatch.setattr(connection, "_aexecute", acounted)
    return sent


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("one_slot", [False, True], ids=["two slots", "one slot"])
def test_changes_and_models_in_one_round_trip(
    connection: ValkeyConnection,
    requests: list[Request],
    prefix: str,
    is_async: bool,
    one_slot: bool,
) -> None:
    key = f"{prefix}s"
    user_key = sidecar(key, "user") if one_slot else f"{{{prefix}user}}:sessions"
    plan = summary_plan(key, user_key)
    results = asyncio.run(connection.arun(plan)) if is_async else connection.run(plan)
    assert results == [1, None, 2]
    (request,) = requests
    is_cluster = connection.run(cluster_plan())
    assert request.atomic is (one_slot or not is_cluster)
    assert MessageStore(connection=connection, key_prefix=prefix).count("s") == 1
    found = connection.run(read_plan(sidecar(key, "notes"), user_key))
    assert found[0] == {b"summary": b"summary of the conversation", b"size": b"27.0"}
    assert found[1] == [key.encode()]


def cluster_plan() -> Plan[bool]:
    is_cluster: bool = yield AskCluster("look")
    return is_cluster


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("command", [("PING",), ("INFO", "server")])
def test_every_primary_is_asked(
    connection: ValkeyConnection, command: tuple[str, ...], is_async: bool
) -> None:
    def ask_plan() -> Plan[dict[str, Any]]:
        replies: dict[str, Any] = yield AskPrimaries("ask", command)
        return replies

    async def ask() -> dict[str, Any]:
        return await connection.arun(ask_plan())

    replies = asyncio.run(ask()) if is_async else connection.run(ask_plan())
    if command == ("INFO", "server"):
        assert len(replies) == (3 if connection.run(cluster_plan()) else 1)
    for reply in replies.values():
        assert b"PONG" in reply or b"redis_version" in reply


def read_plan(notes: str, user_key: str) -> Plan[list[Any]]:
    return changes_plan(
        Change("read", notes, (("HGETALL", notes),), read_only=True),
        Change("read", user_key, (("ZRANGE", user_key, "0", "-1"),), read_only=True),
    )


def test_together_they_are_one_transaction(server: EmbeddedValkey, url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        connection.run(cluster_plan())
        admin(server.port, "CONFIG", "RESETSTAT")
        connection.run(summary_plan(f"{prefix}s", f"{prefix}user"))
        counts = command_counts(server.port)
    assert (counts["multi"], counts["exec"], counts["eval"]) == (1, 1, 1)


def test_what_must_be_whole_is_one_script_where_slots_differ(
    cluster_connection: ValkeyConnection, prefix: str
) -> None:
    one, other = f"{{{prefix}1}}", f"{{{prefix}2}}"
    two: Change[str] = Change(
        "write twice", one, (("SET", f"{one}a", "1"), ("SET", f"{one}b", "1"))
    )
    plan = changes_plan(two, Change("write", other, (("SET", f"{other}a", "1"),)))
    with pytest.raises(ValueError, match=r"write twice.*must be one script"):
        cluster_connection.run(plan)


def test_the_error_of_one_change_names_all(connection: ValkeyConnection, prefix: str) -> None:
    key = f"{prefix}s"
    connection.run(change_plan(Change("set", key, (("SET", key, "x"),))))
    with pytest.raises(KeyTypeError, match=rf"look and append to '{key}' failed"):
        connection.run(
            changes_plan(
                Change("look", key, (("TYPE", key),)),
                changes.append(key, [ELEMENT], ttl_ms=None, window=None),
            )
        )


@dataclass(frozen=True)
class Failing(Work):
    """Work that fails in the way of its own kind."""

    def serve(self) -> None:
        raise ZeroDivisionError("a model's own error")

    async def aserve(self) -> None:
        self.serve()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_error_of_work_is_raised_as_it_is(connection: ValkeyConnection, is_async: bool) -> None:
    def failing_plan() -> Plan[None]:
        yield Failing()

    async def fail() -> None:
        await connection.arun(failing_plan())

    with pytest.raises(ZeroDivisionError, match="a model's own error"):
        asyncio.run(fail()) if is_async else connection.run(failing_plan())


def test_the_clock_and_a_pause_need_no_server() -> None:
    def wait_plan() -> Plan[tuple[int, int]]:
        before: int = yield Now()
        yield Pause(0.01)
        after: int = yield Now()
        return before, after

    with ValkeyConnection.from_url("valkey://127.0.0.1:1") as nowhere:
        for before, after in (nowhere.run(wait_plan()), asyncio.run(nowhere.arun(wait_plan()))):
            assert after >= before + 10
            assert abs(after - time.time() * 1000) < 5_000


class _Throws(Work):
    def serve(self) -> None:
        raise LookupError("work")

    async def aserve(self) -> None:
        self.serve()


def test_an_attempted_plan_hears_of_what_its_work_throws() -> None:
    def inner() -> Plan[str]:
        try:
            yield _Throws()
        except LookupError as error:
            return f"heard of {error}"
        return "nothing"

    def outer() -> Plan[str]:
        return (yield from attempted_plan(inner()))

    def serve(step: Any) -> Any:
        return step.serve()

    assert run(attempted_plan(inner()), serve) == "heard of work"
    assert run(attempted_plan(outer()), serve) == "heard of work"
    with pytest.raises(LookupError):
        run(inner(), serve)


def test_what_blocks_runs_beside_the_event_loop(url: str) -> None:
    def plan() -> Plan[threading.Thread]:
        thread: threading.Thread = yield Blocking(threading.current_thread)
        return thread

    with ValkeyConnection.from_url(url) as connection:
        assert connection.run(plan()) is threading.current_thread()
        assert asyncio.run(connection.arun(plan())) is not threading.current_thread()
