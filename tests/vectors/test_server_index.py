"""What only an index on a search server has: shape, creation, modules, commands, clusters."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, InvalidArgumentError, ValkeyConnection
from valkey_memory._errors import CommandError, IndexMismatchError, SearchUnavailableError
from valkey_memory._keys import slot
from valkey_memory._plans import Plan
from valkey_memory._vectors import limits, server
from valkey_memory._vectors.index import VectorIndex
from valkey_memory._vectors.schema import IndexSchema

from ..conftest import Face
from ..search_server import SearchSource, send, wipe
from ..servers import SLOTS, search_cluster
from .conftest import BACKENDS, FIELDS, INDEX
from .documents import QUERY, doc, ids
from .recorder import RECORDINGS

server_backends = pytest.mark.parametrize(
    "backend", [name for name in BACKENDS if name != "exact"], indirect=True
)
sync_only = pytest.mark.parametrize("face", ["sync"], indirect=True)


# Attaching to what is there


MISMATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "dimension": ({"dimension": 5}, "its dimension is 4, not 5"),
    "metric": ({"metric": "l2"}, "its metric is cosine, not l2"),
    "algorithm": ({"algorithm": "flat"}, "its algorithm is hnsw, not flat"),
    "storage": ({"storage": "hash"}, "its storage is json, not hash"),
    "missing": ({"fields": {**FIELDS, "tenant": "tag"}}, "it lacks the tag field tenant"),
    "type": ({"fields": {"user_id": "text"}}, "its field user_id is tag, not text"),
    "several": (
        {"dimension": 8, "metric": "ip", "fields": {}},
        "its dimension is 4, not 8; its metric is cosine, not ip",
    ),
}


@pytest.mark.parametrize("backend", ["json"], indirect=True)
@pytest.mark.parametrize(("options", "message"), MISMATCHES.values(), ids=list(MISMATCHES))
def test_an_index_of_another_shape_is_refused(
    make_index: Any, options: dict[str, Any], message: str
) -> None:
    first = make_index()
    first.upsert([doc(1)])
    other = make_index(**options)
    with pytest.raises(IndexMismatchError) as caught:
        other.count()
    assert str(caught.value) == (
        f"index '{INDEX}' exists, but {message}. Use another index_name, declare what is there, "
        "or drop the index (its documents can stay) to make it anew"
    )
    assert first.count() == 1


@pytest.mark.parametrize("backend", ["json"], indirect=True)
@pytest.mark.parametrize("delete_documents", [False, True])
@pytest.mark.parametrize("options", [options for options, _ in MISMATCHES.values()], ids=MISMATCHES)
def test_an_index_of_another_shape_can_be_dropped(
    make_index: Any, options: dict[str, Any], delete_documents: bool
) -> None:
    """As the error advises."""
    first = make_index()
    first.upsert([doc(1)])
    other = make_index(**options)
    assert other.drop(delete_documents=delete_documents) is True
    other.create()
    assert [one.id for one in first.get(["d1"])] == ([] if delete_documents else ["d1"])


@server_backends
def test_fewer_fields_and_other_effort_fit(make_index: Any) -> None:
    make_index().upsert([doc(1, user_id="alice")])
    other = make_index(fields={"user_id": "tag"}, ef_runtime=10, m=8, ef_construction=50)
    assert other.count({"user_id": "alice"}) == 1


def _foreign(*schema: str, prefix: str = f"{INDEX}:") -> tuple[str, ...]:
    return ("FT.CREATE", INDEX, "ON", "HASH", "PREFIX", "1", prefix, "SCHEMA", *schema)


VECTOR = ("VECTOR", "FLAT", "6", "TYPE", "FLOAT32", "DIM", "4", "DISTANCE_METRIC", "COSINE")
FOREIGN: dict[str, tuple[tuple[str, ...], str]] = {
    "no vector": (_foreign("a", "TAG"), "it has no vector field _embedding"),
    "other vector": (_foreign("v", *VECTOR), "it has no vector field _embedding"),
    "other prefix": (
        _foreign("_embedding", *VECTOR, prefix="else:"),
        f"it indexes else:, not {INDEX}:",
    ),
    "more prefixes": (
        (
            "FT.CREATE",
            INDEX,
            "ON",
            "HASH",
            "PREFIX",
            "2",
            f"{INDEX}:",
            "else:",
            "SCHEMA",
            "_embedding",
            *VECTOR,
        ),
        f"it indexes {INDEX}:, else:, not {INDEX}:",
    ),
    "no own tag": (_foreign("_embedding", *VECTOR), "it lacks the tag field _has"),
}


@pytest.mark.parametrize("backend", ["hash"], indirect=True)
@sync_only
@pytest.mark.parametrize(("command", "message"), FOREIGN.values(), ids=list(FOREIGN))
def test_somebody_elses_index_is_refused(
    index: Any, vector_connection: ValkeyConnection, command: tuple[str, ...], message: str
) -> None:
    send(vector_connection, *command)
    with pytest.raises(IndexMismatchError, match=message):
        index.upsert([doc(1)])
    assert send(vector_connection, "EXISTS", f"{INDEX}:d1") == 0


@pytest.mark.parametrize("backend", ["hash"], indirect=True)
@sync_only
def test_the_documents_of_another_index_are_not_deleted(
    index: Any, vector_connection: ValkeyConnection
) -> None:
    send(vector_connection, "HSET", "else:1", "a", "b")
    send(vector_connection, *_foreign("a", "TAG", prefix="else:"))
    with pytest.raises(IndexMismatchError, match="are not this library's to delete"):
        index.drop(delete_documents=True)
    assert index.drop() is True
    assert send(vector_connection, "UNLINK", "else:1") == 1


@pytest.mark.parametrize("backend", ["hash"], indirect=True)
def test_the_second_of_two_creators_attaches(vector_connection: ValkeyConnection) -> None:
    """The plans of two creators, taken in turn so that both find no index."""
    schema = IndexSchema(INDEX, 4, storage="hash")
    one, other = (server.open_plan(schema, "raise") for _ in range(2))
    execute = vector_connection._execute
    creations = [plan.send(execute(next(plan))) for plan in (one, other)]
    replies = [execute(creation) for creation in creations]
    assert replies[0] == ["OK"]
    assert "already exists" in str(replies[1][0])
    found = [
        _finish(plan, reply, execute) for plan, reply in zip((one, other), replies, strict=True)
    ]
    assert found[0].schema == found[1].schema == schema


def _finish(plan: Plan[Any], reply: Any, execute: Callable[[Any], Any]) -> Any:
    try:
        while True:
            reply = execute(plan.send(reply))
    except StopIteration as done:
        return done.value


@pytest.mark.real_search
@server_backends
@sync_only
def test_many_threads_create_at_once(make_index: Any) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def create(number: int) -> None:
        index = make_index()
        barrier.wait()
        try:
            index.upsert([doc(number)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert make_index().count() == 8


@pytest.mark.real_search
@server_backends
def test_a_new_index_takes_in_documents_that_are_there(
    make_index: Any, vector_connection: ValkeyConnection
) -> None:
    make_index().upsert([doc(number) for number in range(300)])
    send(vector_connection, "FT.DROPINDEX", INDEX)
    index = make_index()
    assert index.wait_until_ready(30) is True
    assert index.info().documents == index.count() == 300


NEED_THE_INDEX: dict[str, Callable[[Any], Any]] = {
    "search": lambda index: index.search(QUERY),
    "search_diverse": lambda index: index.search_diverse(QUERY),
    "page": lambda index: index.page(),
    "count": lambda index: index.count(),
    "delete_where": lambda index: index.delete_where({"user_id": "alice"}),
    "info": lambda index: index.info(),
    "wait_until_ready": lambda index: index.wait_until_ready(),
}


@pytest.mark.real_search
@pytest.mark.parametrize("backend", ["json"], indirect=True)
@pytest.mark.parametrize("call", NEED_THE_INDEX.values(), ids=list(NEED_THE_INDEX))
def test_an_index_that_somebody_dropped_is_an_error_and_then_made_anew(
    index: Any, vector_connection: ValkeyConnection, call: Callable[[Any], Any]
) -> None:
    index.upsert([doc(number, user_id="bob") for number in range(30)])
    send(vector_connection, "FT.DROPINDEX", INDEX)
    with pytest.raises(CommandError, match=r"It was dropped after .* The next call makes it anew"):
        call(index)
    index.upsert([doc(30, user_id="bob")])
    assert index.wait_until_ready() is True
    assert len(index.search(QUERY, 50, filter={"user_id": "bob"})) == index.count() == 31


@pytest.mark.real_search
@pytest.mark.parametrize("backend", ["json", "hash"], indirect=True)
def test_a_cleared_server_is_an_error_once(index: Any, vector_connection: ValkeyConnection) -> None:
    index.upsert([doc(1)])
    wipe(vector_connection, INDEX)
    with pytest.raises(CommandError, match="It was dropped"):
        index.search(QUERY)
    assert index.search(QUERY) == []


# Which commands


@server_backends
def test_effort_of_a_search(make_index: Any, backend: str) -> None:
    index = make_index(ef_runtime=20)
    index.upsert([doc(number) for number in range(30)])
    assert ids(index.search(QUERY, 3, ef_runtime=500)) == ids(index.search(QUERY, 3))
    assert len(index.search(QUERY, 30)) == 30


def _recorded_commands() -> Iterator[tuple[Path, list[str]]]:
    for path in sorted(RECORDINGS.rglob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            if not line:
                continue
            for command in json.loads(line).get("commands", ()):
                yield path, command


@pytest.mark.real_search
@pytest.mark.parametrize("backend", ["hash"], indirect=True)
def test_the_server_has_a_limit_on_nearest_documents(index: Any) -> None:
    index.upsert([doc(1)])
    assert ids(index.search(QUERY, limits.NEAREST)) == ["d1"]
    with pytest.raises(InvalidArgumentError, match=r"k is 10,001, but .* at most 10,000 documents"):
        index.search(QUERY, limits.NEAREST + 1)


def test_every_search_says_how_many_and_what() -> None:
    searches = [(path, c) for path, c in _recorded_commands() if c[0] == "FT.SEARCH"]
    assert len(searches) > 500
    for path, command in searches:
        assert "LIMIT" in command, (path, command)
        assert ("RETURN" in command) != ("NOCONTENT" in command), (path, command)
        assert command[-2:] == ["DIALECT", "2"], (path, command)
        assert len(command[2].encode()) <= 10_240


def test_no_search_returns_vectors_unasked() -> None:
    asking = {
        path.stem.partition("[")[0]
        for path, command in _recorded_commands()
        if command[0] == "FT.SEARCH" and ("_embedding" in command or "$.embedding" in command)
    }
    assert asking == {
        "test_embeddings_come_back_equal_as_float32",
        "test_metadata_keys_overwrite_nothing",
        # MMR compares the vectors.
        "test_an_empty_index",
        "test_diverse_search_is_maximal_marginal_relevance",
        "test_filters_apply_to_every_read",
        "test_the_first_query_tells",
        "test_what_is_stored_tells",
        "test_variety_prefers_what_is_unlike",
    }


def test_the_library_never_sends_keys() -> None:
    names = {str(command[0]) for _, command in _recorded_commands()}
    assert names.isdisjoint({"KEYS", "FT._LIST", "MODULE", "FLUSHALL", "FLUSHDB"})
    assert {"FT.INFO", "FT.CREATE", "FT.SEARCH", "JSON.SET", "HSET"} <= names


# Which search


def _log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "valkey_memory"]


@pytest.mark.parametrize("backend", ["json", "hash"], indirect=True)
def test_auto_takes_the_server_if_it_can(make_index: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "valkey_memory")
    index = make_index(search="auto")
    assert index.create() == "server"
    index.upsert([doc(1)])
    assert ids(index.search(QUERY)) == ["d1"]
    assert _log_lines(caplog) == [f"index '{INDEX}': search on the server (valkey-search)"]


@pytest.mark.parametrize("backend", ["exact"], indirect=True)
@pytest.mark.parametrize("storage", ["json", "hash"])
def test_auto_compares_in_the_client_on_a_plain_server(
    make_index: Any, storage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "valkey_memory")
    index = make_index(search="auto", storage=storage)
    assert index.create() == "exact"
    index.upsert([doc(1)])
    assert ids(index.search(QUERY)) == ["d1"]
    (line,) = _log_lines(caplog)
    assert line.startswith(
        f"index '{INDEX}': exact search in the client, because the server has no FT.INFO"
    )


@pytest.mark.parametrize("backend", ["exact"], indirect=True)
@pytest.mark.parametrize("storage", ["json", "hash"])
def test_a_server_without_search_is_an_error_with_a_way_out(make_index: Any, storage: str) -> None:
    index = make_index(search="server", storage=storage)
    for call in (index.create, lambda: index.search(QUERY), lambda: index.upsert([doc(1)])):
        with pytest.raises(SearchUnavailableError) as caught:
            call()
        assert "load valkey-search" in str(caught.value)
        assert "valkey/valkey-bundle" in str(caught.value)
        assert 'use search="exact"' in str(caught.value)
    assert index.store.mode is None


@pytest.fixture(scope="module")
def search_without_json(search_source: SearchSource) -> Iterator[ValkeyConnection]:
    with (
        EmbeddedValkey(modules=search_source.modules[1:]) as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        yield connection


@pytest.mark.real_search(modules=True)
def test_json_documents_without_valkey_json(
    search_without_json: ValkeyConnection, face: str
) -> None:
    def make(**options: Any) -> Any:
        index = VectorIndex("nojson", 4, connection=search_without_json, **options)
        return Face(index, is_async=face == "async")

    with pytest.raises(SearchUnavailableError) as caught:
        make(search="server", storage="json").upsert([doc(1)])
    assert "the server has no JSON.GET: load valkey-json" in str(caught.value)
    assert 'use storage="hash"' in str(caught.value)
    assert make(search="server", storage="hash").create() == "server"
    assert make(search="auto", storage="json").create() == "exact"


# Expiry


@pytest.fixture(scope="module")
def never_cleans_up(search_source: SearchSource) -> Iterator[ValkeyConnection]:
    """A server that keeps what has expired until somebody asks for the key."""
    with (
        EmbeddedValkey(
            modules=search_source.modules, config={"enable-debug-command": "yes"}
        ) as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        send(connection, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
        yield connection


@pytest.mark.real_search(modules=True)
def test_an_expired_document_never_comes_back(
    never_cleans_up: ValkeyConnection, backend: str, face: str
) -> None:
    """Not even while the server still has it in its index: the key is looked at."""
    name = f"exp-{backend}-{face}"
    options = BACKENDS[backend] | {"fields": FIELDS, "connection": never_cleans_up}
    index = Face(VectorIndex(name, 4, **options), is_async=face == "async")
    index.upsert([doc(n, user_id="alice", year=n) for n in range(5)])
    index.upsert([doc(n, user_id="alice", year=n) for n in range(5, 10)], ttl=0.3)
    kept = {f"d{n}" for n in range(5)}
    # A copy for exact search is filled while all are there.
    assert len(index.search(QUERY, 50)) in (5, 10)
    threading.Event().wait(0.4)
    for condition in (None, {"user_id": "alice"}):
        assert set(ids(index.search(QUERY, 50, filter=condition))) == kept
        assert set(ids(index.search_diverse(QUERY, 50, filter=condition))) == kept
        assert set(ids(index.page(condition))) == kept
        assert ids(index.page(condition, order_by="year")) == sorted(kept)
    assert index.get(["d7"]) == []
    assert index.delete_where({"user_id": "alice"}) == 5
    assert index.count() == 0
    index.upsert([doc(7)])
    assert ids(index.search(QUERY, 50)) == ["d7"]


# More than valkey-search looks at


@pytest.mark.real_search(modules=True)
@server_backends
def test_more_documents_than_the_server_looks_at(
    never_cleans_up: ValkeyConnection, backend: str, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the first so many for all there are, and order these alone."""
    monkeypatch.setattr(limits, "RESULTS_LOOKED_AT", 100)
    setting = "search.max-nonvector-search-results-fetched"
    options = BACKENDS[backend] | {"fields": FIELDS, "connection": never_cleans_up}
    index = Face(VectorIndex(f"many-{backend}-{face}", 4, **options), is_async=face == "async")
    index.upsert([doc(n, user_id="alice" if n < 99 else "bob", year=n) for n in range(250)])
    send(never_cleans_up, "CONFIG", "SET", setting, "100")
    try:
        assert index.count() == 250
        assert index.count({"user_id": "alice"}) == 99
        assert len(index.page(limit=100)) == len(index.page(offset=50, limit=50)) + 50 == 100
        bobs = {"user_id": "bob"}
        refusals: list[Callable[[], Any]] = [
            lambda: index.count(bobs),
            lambda: index.page(bobs, order_by="year", limit=3),
            lambda: index.page(offset=90, limit=20),
            lambda: index.page(offset=100, limit=20),
        ]
        for refused in refusals:
            with pytest.raises(CommandError, match="looks at no more of them"):
                refused()
        assert index.delete_where(bobs) == 151
        assert index.count() == 99
        assert ids(index.page(order_by="year", limit=2)) == ["d0", "d1"]
    finally:
        send(never_cleans_up, "CONFIG", "SET", setting, "100000")


# Cluster


@pytest.fixture(scope="module")
def cluster_with_search(search_source: SearchSource) -> Iterator[ValkeyConnection]:
    with (
        search_cluster(search_source.modules) as ports,
        ValkeyConnection.from_url(
            f"valkey://127.0.0.1:{ports[0]}", request_timeout=30
        ) as connection,
    ):
        yield connection


def eventually(found: Callable[[], Any], expected: Any) -> None:
    """Poll until ``found()`` is ``expected``; pytest's timeout ends what never is."""
    for _ in range(200):
        if found() == expected:
            return
        threading.Event().wait(0.02)
    assert found() == expected


@pytest.mark.real_search(modules=True)
@server_backends
def test_search_in_a_cluster_sees_every_shard(
    cluster_with_search: ValkeyConnection, backend: str, face: str
) -> None:
    options = BACKENDS[backend] | {"fields": FIELDS, "connection": cluster_with_search}
    index = Face(VectorIndex(f"c-{backend}-{face}", 4, **options), is_async=face == "async")
    documents = [doc(n, user_id="alice" if n % 3 else "bob", year=n) for n in range(60)]
    steps: list[int] = []
    index.upsert(documents, progress=lambda done, _: steps.append(done))
    assert steps[-1] == 60
    # A write is acknowledged before the index of its shard has it.
    eventually(index.count, 60)
    slots = {slot(f"c-{backend}-{face}:{one.id}") * 3 // SLOTS for one in documents}
    assert slots == {0, 1, 2}
    assert sorted(ids(index.search(QUERY, 100))) == sorted(one.id for one in documents)
    near = index.search(QUERY, 5, filter={"user_id": "bob"})
    assert len(near) == 5
    assert [hit.score for hit in near] == sorted((hit.score for hit in near), reverse=True)
    assert ids(index.page(order_by="year", limit=4, offset=1)) == ["d1", "d2", "d3", "d4"]
    assert ids(index.get(["d7", "d59", "d0"])) == ["d7", "d59", "d0"]
    assert index.delete_where({"user_id": "bob"}) == 20
    eventually(index.count, 40)
    assert index.delete(["d1", "d2", "d0"]) == 2
    eventually(lambda: len(index.search(QUERY, 100)), 38)
    assert index.drop(delete_documents=True) is True
    again = Face(VectorIndex(f"c-{backend}-{face}", 4, **options), is_async=face == "async")
    assert again.wait_until_ready() is True
    assert (again.count(), again.get(["d4", "d5"])) == (0, [])


@pytest.mark.real_search(modules=True)
@pytest.mark.parametrize("page", [7, 1_000])
def test_delete_where_leaves_nothing_in_a_cluster(
    cluster_with_search: ValkeyConnection, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """The index still shows for a moment what is gone; that must not hide what is not."""
    monkeypatch.setattr(limits, "PAGE", page)
    index = VectorIndex(f"del-{page}", 4, storage="hash", connection=cluster_with_search)
    index.upsert([doc(number) for number in range(100)])
    eventually(index.count, 100)
    assert index.delete_where(None) == 100
    assert index.get([f"d{number}" for number in range(100)]) == []
