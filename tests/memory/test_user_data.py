"""All that is kept of a person: erased completely, none of others; exported and read back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from valkey_memory import (
    ConfigurationError,
    Document,
    EmbeddedValkey,
    ErasureIncompleteError,
    ExportFileError,
    InvalidArgumentError,
    KeyTypeError,
    Receipt,
    RunLog,
    ToolCache,
    UserCounts,
    UserData,
    ValkeyConnection,
    VectorIndex,
    forget_user,
)
from valkey_memory._conversations.erasing import BATCH
from valkey_memory._keys import ERASING, sidecar, user_key
from valkey_memory._memory import erasure
from valkey_memory._memory.erasure import forget_plan
from valkey_memory._memory.user_transfer import Existing, import_plan

from ..conftest import Face
from ..search_server import SearchSource
from ..servers import search_cluster, send
from .persons import Killed, Place, killed_after, messages, numbers_until_done
from .test_long_term import HOSTILE_IDS

ALICE = UserCounts(conversations=3, messages=5, archived=1, summaries=1, memories=5)
"""What ``Place.fill`` stores."""


@pytest.fixture
def place(connection: ValkeyConnection, prefix: str) -> Iterator[Place]:
    """On a standalone server and on a cluster, both without an index."""
    yield from _kept(Place(connection, prefix, prefix.removesuffix(":")))


@pytest.fixture
def searched(memory_connection: ValkeyConnection, backend: str, prefix: str) -> Iterator[Place]:
    """With an index of the server, and without."""
    search = {"hash": "server", "exact": "exact"}[backend]
    yield from _kept(Place(memory_connection, prefix, prefix.removesuffix(":"), search))


def _kept(place: Place) -> Iterator[Place]:
    yield place
    place.memory().index.drop(delete_documents=True)
    for key in place.keys():  # noqa: SIM118 - no dict
        send(place.connection, "UNLINK", key)


@pytest.fixture(params=["sync", "async"])
def data(request: pytest.FixtureRequest, place: Place) -> Any:
    return Face(place.data(), is_async=request.param == "async")


@pytest.fixture
def in_search_cluster(search_url: str, search_source: SearchSource, prefix: str) -> Iterator[Place]:
    """A cluster with valkey-search; ``search_url`` says that the test needs a search server."""
    if not search_source.modules:
        pytest.skip("the search server is given by URL, and no modules for a cluster are there")
    with (
        search_cluster(search_source.modules) as ports,
        ValkeyConnection.from_url(
            f"valkey://127.0.0.1:{ports[0]}", request_timeout=30
        ) as connection,
    ):
        yield Place(connection, prefix, prefix.removesuffix(":"), "server")


def counted(receipt: UserCounts) -> UserCounts:
    names = ("conversations", "messages", "archived", "summaries", "memories")
    return UserCounts(**{name: getattr(receipt, name) for name in names})


# Erasing


def test_a_user_is_erased_and_nobody_else(data: Any, place: Place) -> None:
    place.fill("bob", "bob")
    place.store(None).extend("nobodys", messages(2))
    before = place.everything()
    place.fill("alice", "alice")
    assert data.count("alice") == UserCounts(conversations=3, memories=5)
    told: list[tuple[int, int]] = []
    receipt = data.forget_user("alice", progress=lambda done, all_: told.append((done, all_)))
    assert counted(receipt) == ALICE
    assert (receipt.user_id, receipt.key_prefix) == ("alice", place.prefix)
    assert receipt.indexes == (place.index,)
    assert receipt.started_at <= receipt.finished_at
    assert not receipt.resumed
    assert told == [(3, 8), (8, 8)]
    assert place.everything() == before
    assert data.count("alice") == UserCounts()
    assert counted(data.forget_user("alice")) == UserCounts()
    assert data.unfinished() == []


def test_by_the_index_of_a_server(searched: Place) -> None:
    searched.fill("bob", "bob")
    before = searched.everything()
    searched.fill("alice", "alice")
    assert counted(searched.data().forget_user("alice")) == ALICE
    assert searched.everything() == before


@pytest.mark.slow
def test_in_a_cluster_with_an_index(in_search_cluster: Place) -> None:
    """The index shows writes after a moment, in either direction; nothing is missed for that."""
    place = in_search_cluster
    place.fill("bob", "bob")
    before, copy = place.everything(), io.BytesIO()
    for _ in range(3):
        place.fill("alice", "alice")
        assert place.data().export_user("alice", copy) == ALICE
        assert counted(place.data().forget_user("alice")) == ALICE
        assert place.everything() == before
        copy = io.BytesIO()
    place.fill("alice", "alice")
    place.data().export_user("alice", copy)
    kept = place.content()
    place.data().forget_user("alice")
    place.data().import_user(copy)
    assert place.content() == kept


def test_who_has_a_copy_sees_that_it_is_gone(searched: Place) -> None:
    memory = searched.memory()
    memory.remember("A fact", user_id="alice")
    copy = io.BytesIO()
    assert len(memory.list("alice")) == 1
    searched.data().export_user("alice", copy)
    searched.data().forget_user("alice")
    assert memory.list("alice") == []
    searched.data().import_user(copy)
    assert len(memory.list("alice")) == 1


def test_a_dropped_index_leaves_nothing_behind(searched: Place) -> None:
    searched.fill("alice", "alice")
    searched.memory().index.drop()
    assert searched.data().forget_user("alice").memories == 5
    assert searched.keys() == []


def test_hostile_ids(place: Place) -> None:
    store, memory, data = place.store(None), place.memory(), place.data()
    for number, user in enumerate(HOSTILE_IDS):
        store.append(f"s{number}", messages(1)[0], user_id=user)
        memory.remember("A secret", user_id=user)
        send(place.connection, "HSET", user_key(place.prefix, user, ERASING), "started_ms", "1")
    assert data.unfinished() == sorted(HOSTILE_IDS)
    for user in HOSTILE_IDS[::2]:
        receipt = data.forget_user(user)
        assert (receipt.conversations, receipt.memories, receipt.resumed) == (1, 1, True)
        assert receipt.started_at.timestamp() == 0.001
    for number, user in enumerate(HOSTILE_IDS):
        left = number % 2
        assert data.count(user) == UserCounts(conversations=left, memories=left)
    assert data.unfinished() == sorted(HOSTILE_IDS[1::2])


def test_hostile_session_ids(place: Place) -> None:
    store = place.store("alice")
    for one in HOSTILE_IDS:
        store.append(one, messages(1)[0])
    place.store("bob").append("bobs", messages(1)[0])
    assert place.data().forget_user("alice").conversations == len(HOSTILE_IDS)
    assert store.sessions() == ["bobs"]


@pytest.mark.parametrize("prefix", ["chat:", "chat:a@b%:", ""])
def test_users_of_another_prefix_are_others(url: str, prefix: str) -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        place = Place(connection, prefix, "memory")
        other = Place(connection, "other:", "other")
        for one in (place, other):
            one.store("alice").append("s", messages(1)[0])
            send(connection, "HSET", user_key(one.prefix, "a", ERASING), "started_ms", "1")
        data = UserData(connection=connection, key_prefix=prefix)
        assert data.unfinished() == ["a"]
        assert data.forget_user("alice").conversations == 1
        assert other.store("alice").count("s") == 1


def test_what_is_another_users_now_is_left(place: Place) -> None:
    place.store("alice").append("given", messages(1)[0])
    place.store("alice").append("unclaimed", messages(1)[0])
    # Bob's writer was cut off before it left Alice's list.
    send(place.connection, "HSET", sidecar(f"{place.prefix}given", "meta"), "user_id", "bob")
    send(place.connection, "UNLINK", sidecar(f"{place.prefix}unclaimed", "meta"))
    copy = io.BytesIO()
    assert place.data().count("alice").conversations == 1
    assert place.data().export_user("alice", copy).conversations == 1
    assert b"given" not in copy.getvalue()
    assert place.data().forget_user("alice").conversations == 1
    assert place.store("bob").count("given") == 1
    assert place.store("bob").count("unclaimed") == 0
    assert place.data().count("alice") == UserCounts()


def test_entries_that_name_no_conversation_go(place: Place) -> None:
    listed = user_key(place.prefix, "alice", "sessions")
    send(place.connection, "ZADD", listed, "1", b"\xff", "2", "", "inf", "gone")
    receipt = place.data().forget_user("alice")
    assert counted(receipt) == UserCounts()
    assert place.keys() == []


def test_many_conversations(place: Place) -> None:
    store = place.store("alice")
    for number in range(BATCH * 2 + 1):
        store.append(f"s{number}", messages(1)[0])
    assert place.data().forget_user("alice").conversations == BATCH * 2 + 1
    assert place.keys() == []


def test_a_key_of_another_type_is_told_when_all_else_is_gone(place: Place) -> None:
    place.fill("alice", "alice")
    send(place.connection, "SET", f"{place.prefix}alice-1", "mine")
    data = place.data()
    with pytest.raises(KeyTypeError, match="alice-1"):
        data.forget_user("alice")
    assert data.count("alice") == UserCounts(conversations=1)
    assert data.unfinished() == ["alice"]
    assert send(place.connection, "GET", f"{place.prefix}alice-1") == b"mine"
    send(place.connection, "UNLINK", f"{place.prefix}alice-1")
    receipt = data.forget_user("alice")
    assert receipt.resumed
    assert (receipt.conversations, receipt.memories) == (3, 5)
    assert place.keys() == []


def test_documents_that_no_index_has(place: Place) -> None:
    """Of another dimension, without fields, or of another program."""
    memory = place.memory()
    memory.remember("A fact", user_id="alice")
    of_document = send(place.connection, "HGETALL", place.keys()[0])
    fields = dict(of_document.items())
    short = [part for pair in (fields | {b"_embedding": b"1234"}).items() for part in pair]
    send(place.connection, "HSET", f"{place.index}:short", *short)
    send(place.connection, "HSET", f"{place.index}:foreign", "user_id", "alice")
    send(place.connection, "SET", f"{place.index}:string", "alice")
    assert place.data().forget_user("alice").memories == 2
    assert place.keys() == sorted(f"{place.index}:{one}".encode() for one in ("foreign", "string"))


def test_an_index_of_your_own(searched: Place) -> None:
    """Any index with the tag ``user_id``."""
    own = f"{searched.index}-own"
    fields: dict[str, Any] = {"user_id": "tag", "year": "numeric"}
    options: dict[str, Any] = {
        "connection": searched.connection, "search": searched.search, "storage": "hash",
    }  # fmt: skip
    index = VectorIndex(own, 2, fields=fields, **options)
    try:
        index.upsert(
            [
                Document("1", "Alice's", {"user_id": "alice", "year": 2026}, [1, 0]),
                Document("2", "Bob's", {"user_id": "bob"}, [0, 1]),
                Document("3", "Nobody's", {}, [0, 1]),
            ]
        )
        data = searched.data(indexes=[own, f"{searched.index}-none"])
        copy = io.BytesIO()
        assert data.export_user("alice", copy) == UserCounts(memories=1)
        assert data.forget_user("alice").memories == 1
        assert {one.id for one in index.page()} == {"2", "3"}
        data.import_user(copy)
        (found,) = index.search([1, 0], k=1, filter={"user_id": "alice"}, embeddings=True)
        assert found.document == Document(
            "1", "Alice's", {"user_id": "alice", "year": 2026}, [1.0, 0.0]
        )
    finally:
        index.drop(delete_documents=True)


# Interrupted


def test_killed_between_any_two_steps(place: Place) -> None:
    place.fill("bob", "bob")
    before = place.everything()
    marker = user_key(place.prefix, "alice", ERASING).encode()
    for steps in numbers_until_done():
        place.fill("alice", "alice")
        plan = forget_plan(place.prefix, "alice", [place.index], None)
        try:
            place.connection.run(killed_after(plan, steps))
        except Killed:
            left = place.everything()
            # As long as anything is left, somebody can find it.
            assert marker in left or left == before or steps <= 2
        else:
            break
        receipt = place.data().forget_user("alice")
        assert place.everything() == before
        assert receipt.memories <= ALICE.memories
        assert receipt.conversations <= ALICE.conversations
    assert steps > 10


def test_counts_go_on_where_a_run_was_interrupted(place: Place) -> None:
    place.fill("alice", "alice", conversations=4)
    data = place.data()

    def fail(*_: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        data.forget_user("alice", progress=fail)
    assert data.unfinished() == ["alice"]
    assert data.count("alice") == UserCounts(memories=5)
    receipt = data.forget_user("alice")
    assert receipt.resumed
    assert (receipt.conversations, receipt.memories) == (5, 5)


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.005, 0.01, 0.02])
def test_a_cancelled_task_can_go_on(place: Place, seconds: float) -> None:
    place.fill("alice", "alice")

    async def cancelled() -> None:
        task = asyncio.ensure_future(place.data().aforget_user("alice"))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancelled())
    place.data().forget_user("alice")
    assert place.keys() == []


# Raced


def test_what_is_written_meanwhile_is_found(place: Place) -> None:
    """A writer that goes on for a moment: at last nothing is left."""
    place.fill("alice", "alice")
    stop, wrote = threading.Event(), 0

    def write() -> None:
        nonlocal wrote
        store, memory = place.store("alice"), place.memory()
        while not stop.is_set() and wrote < 20:
            store.append("alice-0", messages(1)[0])
            memory.remember(f"fact {wrote}", user_id="alice")
            wrote += 1

    thread = threading.Thread(target=write)
    thread.start()
    with contextlib.suppress(ErasureIncompleteError):  # the writer is too fast for it
        place.data().forget_user("alice")
    stop.set()
    thread.join()
    place.data().forget_user("alice")
    assert place.keys() == []


def test_what_comes_anew_all_the_time_is_no_success(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_PAUSES", (0.0,))
    store = place.store("alice")
    data = place.data()
    number = 0

    def write_again(done: int, all_: int) -> None:
        nonlocal number
        number += 1
        store.append(f"s{number}", messages(1)[0])

    store.append("s", messages(1)[0])
    with pytest.raises(ErasureIncompleteError, match="1 conversations and 0 memories") as told:
        data.forget_user("alice", progress=write_again)
    assert told.value.left == {"conversations": 1, "memories": 0}
    assert data.unfinished() == ["alice"]
    assert data.forget_user("alice").conversations == erasure.ATTEMPTS + 1


def test_a_conversation_that_comes_back_without_its_entry_is_found(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster the entry is written first, and may be gone when the conversation comes."""
    store = place.store("alice")
    store.append("s", messages(1)[0])
    listed = user_key(place.prefix, "alice", "sessions")
    written = False

    def write_without_entry(done: int, all_: int) -> None:
        nonlocal written
        if not written:
            written = True
            store.append("s", messages(1)[0])
            send(place.connection, "ZREM", listed, "s")

    assert place.data().forget_user("alice", progress=write_without_entry).conversations == 2
    assert place.keys() == []


def test_two_at_once(place: Place) -> None:
    place.fill("alice", "alice", conversations=30)
    receipts: list[Receipt] = []
    threads = [
        threading.Thread(target=lambda: receipts.append(place.data().forget_user("alice")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 3
    assert place.keys() == []


def test_on_a_full_server() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        place = Place(connection, "chat:", "memory")
        place.fill("alice", "alice")
        send(connection, "CONFIG", "SET", "maxmemory", "1")
        assert counted(place.data().forget_user("alice")) == ALICE
        assert place.keys() == []


# Export and import


def test_an_export_comes_back_equal(data: Any, place: Place, tmp_path: Path) -> None:
    place.fill("bob", "bob")
    others = place.everything()
    place.fill("alice", "alice")
    before = place.content()
    file, told = tmp_path / "alice.jsonl", list[tuple[int, int]]()
    exported = data.export_user("alice", file, progress=lambda *counts: told.append(counts))
    assert exported == ALICE
    assert told == [(3, 8), (8, 8)]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["alice.jsonl"]
    assert b"bob" not in file.read_bytes()
    data.forget_user("alice")
    assert place.everything() == others
    told.clear()
    assert data.import_user(file, progress=lambda *counts: told.append(counts)) == ALICE
    assert told[-1] == (8, 8)
    assert place.content() == before
    found = place.memory().recall("cannot swim", user_id="alice", k=1, ended=True)
    assert found[0].text in ("alice cannot swim", "alice swims")


def test_by_the_index_of_a_server_an_export_comes_back(searched: Place) -> None:
    searched.fill("alice", "alice")
    before, copy = searched.content(), io.BytesIO()
    assert searched.data().export_user("alice", copy) == ALICE
    searched.data().forget_user("alice")
    searched.memory().index.drop(delete_documents=True)
    searched.data().import_user(copy)
    assert searched.content() == before
    assert len(searched.memory().list("alice", ended=True)) == 5
    assert searched.memory().recall("To the sea", user_id="alice")


def test_floats_are_exact(place: Place) -> None:
    vector = [0.1, -1e-40, 3.4e38, 1 / 3]
    own = f"{place.index}-own"
    index = VectorIndex(
        own, 4, fields={"user_id": "tag"}, connection=place.connection, search="exact"
    )
    index.upsert([Document("1", "x", {"user_id": "alice"}, vector)])
    data, copy = place.data(indexes=[own]), io.BytesIO()
    raw = send(place.connection, "HGET", f"{own}:1", "_embedding")
    data.export_user("alice", copy)
    data.forget_user("alice")
    data.import_user(copy)
    assert send(place.connection, "HGET", f"{own}:1", "_embedding") == raw
    index.drop(delete_documents=True)


def test_hostile_users_come_back(place: Place) -> None:
    for number, user in enumerate(HOSTILE_IDS):
        place.store(user).append(f"{number}{user}", messages(1)[0])
        place.memory().remember("A secret", user_id=user)
    before = place.content()
    data = place.data()
    copies = {user: io.BytesIO() for user in HOSTILE_IDS}
    for user, copy in copies.items():
        data.export_user(user, copy)
        data.forget_user(user)
    assert place.keys() == []
    for user, copy in copies.items():
        data.import_user(copy, user_id=user)
    assert place.content() == before


def test_what_exists_is_refused_or_replaced(place: Place) -> None:
    place.fill("alice", "alice")
    data, copy = place.data(), io.BytesIO()
    data.export_user("alice", copy)
    before = place.everything()
    with pytest.raises(InvalidArgumentError, match="3 conversations and 5 memories"):
        data.import_user(copy)
    assert place.everything() == before
    place.store("alice").append("alice-1", messages(1)[0])
    place.store("alice").append("other", messages(1)[0])
    assert data.import_user(copy, existing="replace") == ALICE
    assert place.store("alice").count("alice-1") == 3
    assert place.store("alice").count("other") == 1
    with pytest.raises(InvalidArgumentError, match="'append' is unknown"):
        data.import_user(copy, existing="append")  # type: ignore[arg-type]


def test_what_is_anothers_now_is_not_replaced(place: Place) -> None:
    place.fill("alice", "alice")
    data, copy = place.data(), io.BytesIO()
    data.export_user("alice", copy)
    place.sessions().update("alice-1", user_id="bob")
    before = place.everything()
    for existing in get_args(Existing):
        with pytest.raises(InvalidArgumentError, match="'alice-1' that the export of"):
            data.import_user(copy, existing=existing)
    assert place.everything() == before


def test_a_killed_import_goes_on(place: Place) -> None:
    place.fill("alice", "alice")
    data, copy = place.data(), io.BytesIO()
    data.export_user("alice", copy)
    data.forget_user("alice")
    for steps in numbers_until_done():
        plan = import_plan(place.prefix, None, "refuse", copy, "copy", None)
        try:
            place.connection.run(killed_after(plan, steps))
        except Killed:
            data.import_user(copy, existing="replace")
            again = io.BytesIO()
            data.export_user("alice", again)
            assert without_ttls(again) == without_ttls(copy)
            data.forget_user("alice")
        else:
            break
    assert steps > 5


def without_ttls(file: io.BytesIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in file.getvalue().splitlines()]
    for line in found:
        line.pop("ttl_ms", None)
    return sorted(found, key=json.dumps)


def lines(file: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.getvalue().splitlines()]


def test_a_damaged_file_writes_nothing(place: Place) -> None:
    place.fill("alice", "alice")
    data, copy = place.data(), io.BytesIO()
    data.export_user("alice", copy)
    data.forget_user("alice")
    whole = lines(copy)
    memory = next(n for n, line in enumerate(whole) if line["type"] == "memory")
    index = next(n for n, line in enumerate(whole) if line["type"] == "index")
    conversation = next(n for n, line in enumerate(whole) if line["type"] == "conversation")

    def changed(number: int, **values: Any) -> list[dict[str, Any]]:
        return [*whole[:number], whole[number] | values, *whole[number + 1 :]]

    metadata, record = whole[memory]["metadata"], whole[conversation]["record"]
    damaged = {
        "cut off": whole[:-1],
        "counts at the end": [*whole[:memory], *whole[memory + 1 :]],
        "of 'bob'": changed(memory, metadata=metadata | {"user_id": "bob"}),
        "is of 'alice', but the conv": changed(conversation, record=record | {"user_id": "bob"}),
        "is of None": changed(memory, metadata={}),
        "twice": [*whole[:memory], whole[memory], *whole[memory:]],
        "before the shape": [*whole[:index], *whole[index + 1 :]],
        "no embedding": changed(memory, embedding=""),
        "has 1 numbers|has 1, not|dimension": changed(memory, embedding="AACAPw=="),
        "lacks its index": changed(memory, content=None),
        "no id": changed(memory, id=""),
        "ttl_ms is -1": changed(memory, ttl_ms=-1),
        "describes no index": changed(index, name="a:b"),
        "describes no index: .fields": [
            line if n != index else {k: v for k, v in line.items() if k != "fields"}
            for n, line in enumerate(whole)
        ],
        "no export of a user": [{k: v for k, v in whole[0].items() if k != "user_id"}, *whole[1:]],
    }
    for said, wrong in damaged.items():
        file = io.BytesIO(b"".join(json.dumps(line).encode() + b"\n" for line in wrong))
        with pytest.raises(ExportFileError, match=said):
            data.import_user(file)
    with pytest.raises(ExportFileError, match="of 'alice', not of 'bob'"):
        data.import_user(copy, user_id="bob")
    assert place.keys() == []


def test_an_index_of_another_shape_is_refused(place: Place) -> None:
    place.fill("alice", "alice")
    data, copy = place.data(), io.BytesIO()
    data.export_user("alice", copy)
    data.forget_user("alice")
    index = VectorIndex(place.index, 3, connection=place.connection, search="exact")
    place.memory().index.drop(delete_documents=True)
    index.upsert([Document("1", "x", {}, [1, 0, 0])])
    with pytest.raises(ValueError, match="dimension is 3, not 64"):
        data.import_user(copy)
    assert place.store("alice").count("alice-0") == 0


def test_a_failed_export_leaves_the_old_file(place: Place, tmp_path: Path) -> None:
    place.fill("alice", "alice")
    file = tmp_path / "alice.jsonl"
    file.write_text("old")

    def fail(*_: int) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        place.data().export_user("alice", file, progress=fail)
    assert file.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


# What other objects keep


@pytest.fixture
def is_async(place: Place, cluster_connection: ValkeyConnection) -> bool:
    """On the cluster alone: the plans are the same."""
    return place.connection is cluster_connection


def test_results_of_tools_and_runs_go_along(place: Place, is_async: bool) -> None:
    tools = ToolCache(connection=place.connection, key_prefix=f"tool:{place.prefix}")
    runs = RunLog(connection=place.connection, key_prefix=f"run:{place.prefix}")
    for user in ("alice", "bob", "alice*"):
        place.store(user).append(f"of {user}", messages(1)[0])
        runs.append(f"of {user}", "run_start", user_id=user)
        for n in range(3):
            tools.get_or_call("t", {"n": n}, lambda: 1, user_id=user)
    data = Face(place.data(also=[tools, runs]), is_async=is_async)
    receipt = data.forget_user("alice")
    assert (receipt.conversations, receipt.cleared) == (1, 4)
    assert data.forget_user("alice").cleared == 0
    more = forget_user(
        "bob", connection=place.connection, key_prefix=place.prefix, indexes=[], also=[tools]
    )
    assert more.cleared == 3
    assert (tools.clear(user_id="alice"), tools.clear()) == (0, 3)
    assert {run.run_id for run in runs.runs()} == {"of bob", "of alice*"}


class Keeper:
    """Has something of a user for some looks, and then fails or goes on."""

    def __init__(self, *found: int | Exception) -> None:
        self.found = list(found)

    def clear(self, *, user_id: str) -> int:
        assert user_id == "alice"
        found = self.found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def aclear(self, *, user_id: str) -> int:
        return self.clear(user_id=user_id)


def test_what_others_keep_is_looked_for_until_nothing_is_found(
    place: Place, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "_PAUSES", (0.0, 0.0, 0.0))

    def forget(*found: int | Exception) -> Any:
        return Face(place.data(also=[Keeper(*found)]), is_async=is_async).forget_user("alice")

    assert forget(2, 1, 0).cleared == 3
    with pytest.raises(ErasureIncompleteError, match="still finds something of 'alice'"):
        forget(*[1] * 10)
    with pytest.raises(RuntimeError, match="down"):
        forget(5, RuntimeError("down"))
    assert place.data().unfinished() == ["alice"]
    receipt = forget(0)
    assert receipt.resumed
    assert receipt.cleared == 4 + 5  # of all runs
    assert place.data().unfinished() == []


# Arguments


def test_arguments(url: str) -> None:
    data = UserData(url=url)
    for wrong in ("", None, 3, "\ud800"):
        for call in (data.count, data.forget_user, lambda u: data.export_user(u, io.BytesIO())):
            with pytest.raises(InvalidArgumentError, match="user_id"):
                call(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="a path or a binary file"):
        data.export_user("alice", 3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        data.import_user("/nowhere/alice.jsonl")
    with pytest.raises(ConfigurationError, match="a list of names"):
        UserData(url=url, indexes="memory")
    no_keepers: list[Any] = ["memory", ToolCache(url=url), [{}], [ToolCache], None]
    for also in no_keepers:
        with pytest.raises(ConfigurationError, match="also must be"):
            UserData(url=url, also=also)
    with pytest.raises(ConfigurationError, match="no colon"):
        UserData(url=url, indexes=["a:b"])
    assert repr(data).endswith("indexes=('memory',))")
