"""Operations that have to see every document, while an index is filled in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from valkey_memory import ServerUnavailableError, Tag, ValkeyConnection
from valkey_memory._errors import CommandError, IndexNotFoundError
from valkey_memory._keys import document_key
from valkey_memory._plans import AskCluster, Pause, Plan, Request, Scan, ScanPage, run
from valkey_memory._vectors import limits
from valkey_memory._vectors.engine import EmptyEngine
from valkey_memory._vectors.schema import IndexSchema
from valkey_memory._vectors.server import ServerEngine
from valkey_memory._vectors.walk import delete_all_plan, stored_ids_plan

from ..search_server import send
from .conftest import INDEX, WORKER
from .documents import doc

MANY = 3_000

once_in_async = pytest.mark.parametrize(
    "face", ["sync", pytest.param("async", marks=pytest.mark.long)], indirect=True
)
"""Both faces run the same plans; with thousands of documents the second is for the long tests."""
server_backends = pytest.mark.parametrize("backend", ["json", "hash", "flat-hash"], indirect=True)

# On a real server


@pytest.fixture
def left(make_index: Any) -> Callable[..., Any]:
    """Many documents, whose index was dropped."""
    index = make_index()
    index.upsert([doc(number, user_id=f"u{number % 3}") for number in range(MANY)])
    assert index.drop() is True
    return lambda **options: make_index(**options)


def stored(connection: ValkeyConnection) -> int:
    found, cursor = 0, b"0"
    while True:
        cursor, keys = send(connection, "SCAN", cursor, "MATCH", f"{INDEX}:*", "COUNT", "1000")
        found += len(keys)
        if cursor == b"0":
            return found


@pytest.mark.real_search
@server_backends
@once_in_async
def test_a_new_index_answers_completely(left: Callable[[], Any]) -> None:
    index = left()
    index.create()
    assert index.count() == MANY
    assert left().count({"user_id": "u1"}) == MANY // 3
    assert len(left().page(limit=MANY)) == MANY


@pytest.mark.real_search
@server_backends
@once_in_async
def test_a_new_index_deletes_completely(
    left: Callable[[], Any], vector_connection: ValkeyConnection
) -> None:
    index = left()
    index.create()
    assert index.delete_where({"user_id": "u1"}) == MANY // 3
    assert stored(vector_connection) == MANY - MANY // 3
    assert index.delete_where(None) == MANY - MANY // 3
    assert stored(vector_connection) == 0


@pytest.mark.real_search
@server_backends
@once_in_async
def test_a_new_index_is_dropped_with_all_documents(
    left: Callable[[], Any], vector_connection: ValkeyConnection
) -> None:
    index = left()
    index.create()
    assert index.drop(delete_documents=True) is True
    assert stored(vector_connection) == 0


@pytest.mark.real_search
@server_backends
@once_in_async
def test_documents_without_an_index_are_dropped(
    left: Callable[[], Any], vector_connection: ValkeyConnection
) -> None:
    send(vector_connection, "SET", f"{INDEX}:counter", "5")
    send(vector_connection, "HSET", f"{INDEX}:settings", "a", "b")
    assert left().drop(delete_documents=True) is True
    assert stored(vector_connection) == 2
    assert left().drop(delete_documents=True) is False


@pytest.mark.real_search
@server_backends
def test_what_could_not_be_indexed_is_dropped_too(
    make_index: Any, vector_connection: ValkeyConnection
) -> None:
    index = make_index()
    index.upsert([doc(1), doc(2)])
    index.drop()
    # Documents of four numbers, and an index of three.
    small = make_index(dimension=3)
    small.create()
    assert small.drop(delete_documents=True) is True
    assert stored(vector_connection) == 0


@pytest.mark.real_search
@server_backends
def test_everything_is_deleted_also_what_could_not_be_indexed(
    make_index: Any, vector_connection: ValkeyConnection
) -> None:
    index = make_index()
    index.upsert([doc(1), doc(2)])
    index.drop()
    small = make_index(dimension=3)
    small.create()
    assert small.wait_until_ready() is True
    assert small.delete_where(None) == 2
    assert stored(vector_connection) == 0
    assert small.count() == 0


LEFT: dict[str, Callable[[Any], bool]] = {
    "count": lambda index: index.count() == MANY,
    "page": lambda index: len(index.page(limit=MANY)) == MANY,
    "delete_where": lambda index: index.delete_where({"user_id": "u1"}) == MANY // 3,
    "delete_where of all": lambda index: index.delete_where(None) == MANY,
}


@pytest.mark.real_search
@server_backends
@once_in_async
@pytest.mark.parametrize("complete", LEFT.values(), ids=LEFT)
def test_an_index_of_unknown_dimension_sees_what_was_left(
    left: Callable[..., Any], complete: Callable[[Any], bool]
) -> None:
    """Nothing was written or asked that would tell its dimension: the documents do."""
    index = left(dimension=None)
    assert complete(index)
    assert index.create() == "server"
    assert index.store.dimension == 4


# The plans, step by step

SCHEMA = IndexSchema("notes", 4, fields={"user_id": "tag"})
OPERATIONS: dict[str, Callable[[ServerEngine], Plan[Any]]] = {
    "count": lambda engine: engine.count_plan(None),
    "page": lambda engine: engine.page_plan(
        None, 0, 5, embeddings=False, order_by=None, descending=False
    ),
    "delete_where": lambda engine: engine.delete_where_plan(Tag("user_id") == "alice"),
}
BUSY, READY = {b"state": b"backfill_in_progress"}, {b"state": b"ready"}


def driven(plan: Plan[Any], *, cluster: bool, states: Iterator[Any]) -> tuple[Any, list[Any]]:
    """The result of a plan on a server without documents, and the steps that it took."""
    steps: list[Any] = []
    reply: Any = None
    try:
        while True:
            step = plan.send(reply)
            steps.append(step)
            if isinstance(step, AskCluster):
                reply = cluster
            elif isinstance(step, Request):
                reply = [next(states) if c[0] == "FT.INFO" else [0] for c in step.commands]
            else:
                reply = None
    except StopIteration as done:
        return done.value, steps


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("cluster", [False, True], ids=["standalone", "cluster"])
def test_an_index_is_waited_for(
    operation: Callable[[ServerEngine], Plan[Any]], cluster: bool
) -> None:
    states = [BUSY, BUSY, READY] if cluster else [BUSY, BUSY, BUSY, READY]
    plan = operation(ServerEngine(SCHEMA))
    _, steps = driven(plan, cluster=cluster, states=iter(states))
    assert len([step for step in steps if isinstance(step, Pause)]) == 2
    searches = [step.commands[-1][0] for step in steps if isinstance(step, Request)]
    assert searches[-1] == "FT.SEARCH"
    # Nothing is asked before every node is ready.
    assert steps[-2].commands == (("FT.INFO", "notes", *(["CLUSTER"] if cluster else [])),)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("cluster", [False, True], ids=["standalone", "cluster"])
def test_a_ready_index_costs_no_more(
    operation: Callable[[ServerEngine], Plan[Any]], cluster: bool
) -> None:
    states = iter([READY] * 10)
    _, steps = driven(operation(ServerEngine(SCHEMA)), cluster=cluster, states=states)
    trips = [step for step in steps if not isinstance(step, AskCluster)]
    assert len(trips) == (2 if cluster else 1)
    assert all(one.repeatable or one.read_only for one in trips)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_index_that_is_never_ready_is_an_error(
    operation: Callable[[ServerEngine], Plan[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "READY_SECONDS", 0.2)
    states = iter([BUSY] * 100)
    with pytest.raises(ServerUnavailableError, match=r"after 0\.2 s the index is still being"):
        driven(operation(ServerEngine(SCHEMA)), cluster=False, states=states)


def test_a_dropped_index_is_made_over_what_it_left() -> None:
    """Of unknown dimension: the documents tell it."""
    schema = replace(SCHEMA, dimension=None)
    info = {
        "index_name": "notes",
        "index_definition": {"key_type": "JSON", "prefixes": ["notes:"]},
        "attributes": [
            {"attribute": "_has", "type": "TAG"},
            {"attribute": "user_id", "type": "TAG"},
            {"attribute": "_embedding", "type": "VECTOR", "index": HNSW_OF_TWO},
        ],
    }
    answers: dict[str, Any] = {
        "FT.INFO": iter([IndexNotFoundError("none"), info, READY]),
        "JSON.GET": iter(
            [CommandError("wrong type"), None, b"[]", b"{", b'["[0.5,1]"]', b"[5]", None]
        ),
        "FT.CREATE": iter(["OK"]),
        "FT.SEARCH": iter([[7]]),
    }
    pages = iter([ScanPage([b"notes:a"], 5), ScanPage([b"notes:%d" % n for n in range(5)], None)])
    sent: list[Any] = []

    def serve(step: Any) -> Any:
        if isinstance(step, Request):
            sent.extend(step.commands)
            return [next(answers[str(command[0])]) for command in step.commands]
        return next(pages) if isinstance(step, Scan) else False

    assert run(EmptyEngine("server", schema, "raise").count_plan(None), serve) == 7
    (create,) = [command for command in sent if command[0] == "FT.CREATE"]
    assert create[create.index("DIM") + 1] == "2"


HNSW_OF_TWO = {"dimensions": 2, "distance_metric": "COSINE", "algorithm": {"name": "HNSW"}}


@pytest.mark.parametrize("mode", ["server", "exact"])
def test_where_nothing_was_left_there_is_nothing(mode: Any) -> None:
    empty = EmptyEngine(mode, replace(SCHEMA, dimension=None), "raise")
    plans: list[Plan[Any]] = [
        empty.count_plan(None),
        empty.delete_where_plan(None),
        empty.page_plan(None, 0, 5, embeddings=False, order_by=None, descending=False),
    ]
    assert [run(plan, lambda _: ScanPage([], None)) for plan in plans] == [0, 0, []]


# The walk over the keys, which any server can do


@pytest.fixture(params=["standalone", "cluster"])
def plain(request: pytest.FixtureRequest) -> Iterator[ValkeyConnection]:
    connection: ValkeyConnection = request.getfixturevalue(f"{request.param}_connection")
    yield connection
    connection.run(delete_all_plan(IndexSchema(NAME, 4, storage="hash"), ("hash", "json")))
    send(connection, "UNLINK", f"{NAME}:counter", errors_as_replies=True)
    send(connection, "UNLINK", f"{NAME}:settings", errors_as_replies=True)


NAME = f"vmwalk-{WORKER}"


def test_a_walk_finds_documents_and_nothing_else(plain: ValkeyConnection) -> None:
    schema = IndexSchema(NAME, 4, storage="hash")
    for number in range(30):
        send(plain, "HSET", document_key(NAME, f"d{number}"), "_metadata", "{}", "_embedding", "x")
    send(plain, "SET", f"{NAME}:counter", "5")
    send(plain, "HSET", f"{NAME}:settings", "a", "b")
    send(plain, "HSET", f"{NAME}x:d1", "_embedding", "x")
    found = plain.run(stored_ids_plan("look", schema, ("hash", "json")))
    assert found == {"hash": sorted(f"d{number}" for number in range(30)), "json": []}
    assert plain.run(delete_all_plan(schema, ("hash", "json"))) == 30
    assert send(plain, "EXISTS", f"{NAME}:settings") == 1
    assert send(plain, "EXISTS", f"{NAME}x:d1") == 1
    send(plain, "UNLINK", f"{NAME}x:d1")
