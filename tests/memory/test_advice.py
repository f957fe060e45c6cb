"""Advice at start, on real servers that are ill, and on memories that wait."""

from __future__ import annotations

import asyncio
import logging
import pickle
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import (
    ConnectionFailedError,
    Document,
    EmbeddedValkey,
    Finding,
    LongTermMemory,
    MessageStore,
    OperationTimeoutError,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._conversations.sessions import record_key
from valkey_memory._memory import waiting
from valkey_memory._memory.memories import FIELDS

from ..conftest import Face
from ..models.words import Words
from ..servers import admin, send
from .scripted import ScriptedModel
from .test_facts import answer, new
from .test_long_term import HOSTILE_IDS, turn

DAYS_AGO = 3 * 24 * 3600


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedValkey]:
    """A server whose settings these tests change; well as it is."""
    with EmbeddedValkey(config={"appendonly": "yes"}) as server:
        yield server


@pytest.fixture
def own_url(own_server: EmbeddedValkey) -> Iterator[str]:
    yield own_server.url
    for name, value in {
        "maxmemory": "0", "maxmemory-policy": "noeviction", "appendonly": "yes"
    }.items():  # fmt: skip
        admin(own_server.port, "CONFIG", "SET", name, value)
    admin(own_server.port, "FLUSHALL")


def memory_at(url: str | None = None, **options: Any) -> LongTermMemory:
    known: dict[str, Any] = {"index_name": "m", "search": "exact", "url": url}
    return LongTermMemory(Words(), **(known | options))


def by_check(findings: Any) -> dict[str, Finding]:
    assert isinstance(findings, tuple)
    assert all(one.level != "ok" and one.cause and one.fix for one in findings)
    assert len({one.check for one in findings}) == len(findings)
    return {one.check: one for one in findings}


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        one.getMessage()
        for one in caplog.records
        if one.name == "valkey_memory" and one.levelno == logging.WARNING
    ]


# The server


@pytest.mark.parametrize("is_async", [False, True])
def test_where_all_is_well_there_is_no_advice(own_url: str, is_async: bool) -> None:
    memory: Any = Face(memory_at(own_url), is_async=is_async)
    assert memory.advice() == ()
    memory.remember("Alice likes tea.", user_id="alice")
    assert memory.advice() == ()


def test_eviction_and_persistence(
    own_url: str, own_server: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    memory = memory_at(own_url)
    admin(own_server.port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    found = by_check(memory.advice())
    assert found.keys() == {"eviction"}
    assert found["eviction"].level == "problem"
    assert "allkeys-lru throws memory away" in found["eviction"].what
    admin(own_server.port, "CONFIG", "SET", "appendonly", "no")
    admin(own_server.port, "CONFIG", "SET", "save", "")
    found = by_check(asyncio.run(memory.aadvice()))
    assert found.keys() == {"eviction", "persistence"}
    assert found["persistence"].what == "persistence is off"
    memory.advice()
    first, second = told(caplog)  # each kind once
    assert first.startswith("eviction: maxmemory-policy allkeys-lru throws memory away. ")
    assert "noeviction" in first
    assert second.startswith("persistence: persistence is off. ")
    memory_at(own_url).advice()  # another object says it again
    assert len(told(caplog)) == 4


def test_threads_that_ask_at_once_log_once(
    own_url: str, own_server: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    memory = memory_at(own_url)
    admin(own_server.port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    threads = [threading.Thread(target=memory.advice) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told(caplog)) == 1


def test_a_user_who_may_not_ask_hears_nothing(own_url: str, own_server: EmbeddedValkey) -> None:
    """As on managed services: what is not told is unknown, and no fault."""
    memory = memory_at(own_url)
    memory.remember("Alice likes tea.", user_id="alice")
    admin(own_server.port, "CONFIG", "SET", "appendonly", "no")
    refused = ("-config", "-scan", "-get", "-hget", "-eval_ro")
    admin(own_server.port, "ACL", "SETUSER", "alice", "on", ">pw", "~*", "+@all", *refused)
    url = own_url.replace("valkey://", "valkey://alice:pw@")
    assert memory_at(url).advice() == ()


def test_a_server_that_is_down_is_an_error() -> None:
    with EmbeddedValkey() as server:
        url = server.url
    connection = ValkeyConnection.from_url(url, request_timeout=1)
    with pytest.raises((ConnectionFailedError, OperationTimeoutError)):
        memory_at(connection=connection).advice()
    connection.close()


def test_a_module_is_missed_only_where_it_is_wanted(own_url: str) -> None:
    found = by_check(memory_at(own_url, search="auto").advice())
    assert found.keys() == {"search"}
    assert (found["search"].level, found["search"].what) == ("warning", "no search module")
    found = by_check(memory_at(own_url, search="server").advice())
    assert found["search"].level == "problem"
    assert "every call of this memory fails" in found["search"].cause


def test_a_memory_pickles_with_what_it_said(
    own_url: str, own_server: EmbeddedValkey, caplog: pytest.LogCaptureFixture
) -> None:
    memory = memory_at(own_url)
    admin(own_server.port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    memory.advice()
    assert len(pickle.loads(pickle.dumps(memory)).advice()) == 1  # noqa: S301 - our own
    assert len(told(caplog)) >= 1


# Its index


def test_exact_search_near_its_limit(own_url: str) -> None:
    memory = memory_at(own_url)
    for number in range(5):
        memory.remember(f"Fact number {number}.", user_id=f"user{number}")
    assert memory_at(own_url, exact_limit=7).advice() == ()
    found = by_check(memory_at(own_url, exact_limit=6).advice())["search"]
    assert (found.level, found.what) == ("warning", "'m' is nearly too large for exact search")
    found = by_check(memory_at(own_url, exact_limit=4).advice())["search"]
    assert (found.level, found.what) == ("problem", "'m' is too large for exact search")
    assert "5 memories of 4" in found.cause


def test_an_index_that_does_not_match(make_plain_memory: Any) -> None:
    memory = make_plain_memory()
    memory.remember("Alice likes tea.", user_id="alice")
    memory.index.wait_until_ready()
    other = make_plain_memory(dimension=3)
    found = by_check(other.advice())["index"]
    assert (found.level, found.check) == ("problem", "index")
    assert "does not match this memory" in found.what
    assert "its dimension is 64, not 3" in found.cause
    assert "index" not in by_check(make_plain_memory().advice())


def test_an_index_of_another_program(make_plain_memory: Any, backend: str) -> None:
    memory = make_plain_memory()
    foreign = VectorIndex(
        memory.index.name, 64, connection=memory.connection, storage="hash", metric="l2",
        search=memory.index.plans.search,
    )  # fmt: skip
    foreign.upsert([Document("1", "text", {}, [1.0] * 64)])
    foreign.wait_until_ready()
    found = by_check(memory.advice())["index"]
    assert "its metric is l2, not cosine" in found.cause
    assert ("it lacks the tag field user_id" in found.cause) == (backend == "hash")


def test_it_makes_no_index_and_changes_no_key(own_url: str) -> None:
    memory = memory_at(own_url)
    send(memory.connection, "HSET", "m:1", "name", "of somebody else")
    before = (send(memory.connection, "DBSIZE"), send(memory.connection, "INFO", "persistence"))
    memory.advice()
    after = (send(memory.connection, "DBSIZE"), send(memory.connection, "INFO", "persistence"))
    changed = [b"rdb_changes_since_last_save" in line for line in (before[1], after[1])]
    assert changed == [True, True]
    assert _changes(before[1]) == _changes(after[1])
    assert before[0] == after[0] == 1
    assert memory.index.mode is None


def _changes(info: bytes) -> bytes:
    (line,) = [one for one in info.splitlines() if one.startswith(b"rdb_changes_since")]
    return line


@pytest.mark.parametrize("backend", ["hash"], indirect=True)
def test_documents_without_their_index(make_plain_memory: Any) -> None:
    memory = make_plain_memory()
    assert "index" not in by_check(memory.advice())
    assert send(memory.connection, "FT._LIST").count(memory.index.name.encode()) == 0
    memory.remember("Alice likes tea.", user_id="alice")
    memory.index.drop()
    found = by_check(memory.advice())["index"]
    assert found.level == "warning"
    assert found.what == f"no index has 1 document of {memory.index.name!r}"
    memory.index.create()
    assert memory.index.wait_until_ready()
    assert "index" not in by_check(memory.advice())


# Facts that wait


class Conversations:
    """A memory that facts are extracted to, and conversations of its users."""

    def __init__(self, memory: LongTermMemory, prefix: str) -> None:
        self.memory = memory
        self.prefix = prefix

    def say(self, session_id: str, user_id: str | None, *, ago: float = DAYS_AGO) -> None:
        store = MessageStore(
            connection=self.memory.connection, key_prefix=self.prefix, user_id=user_id
        )
        store.extend(session_id, turn("I like tea.", "So do I."))
        self.age(session_id, ago)

    def age(self, session_id: str, ago: float) -> None:
        """Set back when it was written to last."""
        key = record_key(self.prefix, session_id)
        written = send(self.memory.connection, "HGET", key, "last_active")
        if written is not None:
            then = f"{float(written) - ago:.3f}"
            send(self.memory.connection, "HSET", key, "last_active", then)

    def waiting(self) -> Finding | None:
        return by_check(self.memory.advice()).get("facts")


@pytest.fixture
def conversations(make_plain_memory: Any, prefix: str) -> Conversations:
    memory = make_plain_memory(key_prefix=prefix)
    memory.remember("Bob likes rain.", user_id="bob")
    return Conversations(memory, prefix)


def model(prompt: str) -> str:
    if "Known facts:" in prompt:
        return answer(new("Alice likes tea.", 1))
    return '{"title": "Tea", "summary": "They like tea."}'


def test_conversations_that_wait_for_extraction(conversations: Conversations) -> None:
    memory = conversations.memory
    assert conversations.waiting() is None
    for name in ("one", "two", "three"):
        conversations.say(name, "alice")
    conversations.say("not over", "alice", ago=23 * 3600)
    conversations.say("whose?", None)
    found = conversations.waiting()
    assert found is not None
    assert (found.level, found.check) == ("warning", "facts")
    assert found.what == "facts of 3 of 5 conversations wait for extraction"
    assert all(name in found.cause for name in ("'one'", "'two'", "'three'"))
    assert "consolidate" in found.fix
    memory.extract_facts("one", user_id="alice", model=model)
    found = conversations.waiting()
    assert found is not None
    assert found.what.startswith("facts of 2 of 5 ")
    memory.consolidate(model=ScriptedModel(model), idle=24 * 3600)
    assert conversations.waiting() is None
    conversations.say("two", "alice")  # more was said
    found = conversations.waiting()
    assert found is not None
    assert "'two'" in found.cause


def test_an_archived_conversation_waits_too(conversations: Conversations) -> None:
    conversations.say("s", "alice")
    store = MessageStore(
        connection=conversations.memory.connection, key_prefix=conversations.prefix
    )
    store.archive_oldest("s", 2)
    conversations.age("s", DAYS_AGO)
    assert conversations.waiting() is not None
    conversations.memory.extract_facts("s", user_id="alice", model=model)
    assert conversations.waiting() is None


def test_nothing_waits_where_nobody_extracts(make_plain_memory: Any, prefix: str) -> None:
    memory = make_plain_memory(key_prefix=prefix)
    conversations = Conversations(memory, prefix)
    conversations.say("s", "alice")
    assert conversations.waiting() is None
    memory.remember_turn("s", turn("I like tea.", "I see."), user_id="alice")
    memory.remember("A note.", user_id="alice", kind="fact2")
    assert conversations.waiting() is None
    memory.store_episode("s", user_id="alice", model=model)
    assert conversations.waiting() is not None


def test_hostile_ids_and_foreign_keys(conversations: Conversations) -> None:
    for name in HOSTILE_IDS:
        conversations.say(name, name)
    connection, prefix = conversations.memory.connection, conversations.prefix
    for name in ("meta", "memory"):
        conversations.say(f"foreign {name}", "alice")
        key = f"{{{prefix}foreign {name}}}:{name}"
        send(connection, "DEL", key)
        send(connection, "SET", key, "somebody else's")
    found = conversations.waiting()
    assert found is not None
    number = len(HOSTILE_IDS)
    assert found.what == f"facts of {number} of {number + 2} conversations wait for extraction"
    assert "\n" not in found.cause
    assert "\x00" not in found.cause
    assert len(found.cause) < 1000
    for name in HOSTILE_IDS:
        conversations.memory.extract_facts(name, user_id=name, model=ScriptedModel("[]"))
    assert conversations.waiting() is None


@pytest.mark.parametrize("backend", ["exact"], indirect=True)
def test_it_looks_at_some_and_says_so(
    conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOKED_AT", 12)
    monkeypatch.setattr(waiting, "_AT_ONCE", 5)
    for number in range(20):
        conversations.say(f"s{number}", "alice")
    found = conversations.waiting()
    assert found is not None
    assert found.what == "facts of 12 of the first 12 conversations wait for extraction"
    monkeypatch.setattr(waiting, "PAGES", 0)
    assert conversations.waiting() is None


def test_in_a_cluster(cluster_connection: ValkeyConnection, prefix: str) -> None:
    name = f"test-{uuid.uuid4().hex}"
    memory = LongTermMemory(
        Words(), connection=cluster_connection, index_name=name, key_prefix=prefix, search="exact"
    )
    conversations = Conversations(memory, prefix)
    memory.remember("Alice likes tea.", user_id="alice")
    for number in range(30):
        conversations.say(f"s{number}", "alice")
    found = conversations.waiting()
    assert found is not None
    assert found.what == "facts of 30 of 30 conversations wait for extraction"
    memory.index.drop(delete_documents=True)


def test_a_cancelled_call_leaves_the_memory_usable(conversations: Conversations) -> None:
    memory = conversations.memory

    async def cancelled() -> None:
        task = asyncio.create_task(memory.aadvice())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await memory.aadvice(), tuple)

    asyncio.run(cancelled())


def test_an_index_that_is_no_memory_is_left_alone(own_url: str) -> None:
    assert FIELDS["kind"] == "tag"
    with ValkeyConnection.from_url(own_url) as connection:
        other = VectorIndex("m", 64, connection=connection, search="exact")
        other.upsert([Document("1", "text", {"kind": "fact"}, [1.0] * 64)])
        found = Conversations(memory_at(connection=connection), "chat:")
        found.say("s", "alice")
        assert found.waiting() is None
