"""How documents are written over the nodes of a cluster: in pipelines, or in lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from valkey_memory import ValkeyConnection
from valkey_memory._errors import BulkWriteError
from valkey_memory._keys import document_key, slot
from valkey_memory._plans import AskPrimaries, Lanes, Request, Step
from valkey_memory._server.topology import (
    _numbering,
    _version,
    nodes_of_slots_plan,
    takes_pipelines_plan,
)
from valkey_memory._vectors.index import VectorIndex

from ..conftest import Face
from ..search_server import send
from .conftest import WORKER
from .documents import QUERY, doc, ids

INDEX = f"vmwrites-{WORKER}"
DOCUMENTS = [doc(number, user_id=f"u{number % 3}") for number in range(300)]


@pytest.fixture(params=["pipelines", "lanes"])
def connection(
    request: pytest.FixtureRequest, cluster_connection: ValkeyConnection
) -> Iterator[ValkeyConnection]:
    """A cluster that takes pipelines, and one that is treated like an older one, which hangs."""
    facts = cluster_connection._factory.facts
    assert cluster_connection.run(takes_pipelines_plan("look")) is True
    facts["pipelines"] = request.param == "pipelines"
    yield cluster_connection
    facts["pipelines"] = True
    VectorIndex(INDEX, search="exact", connection=cluster_connection).drop(delete_documents=True)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, connection: ValkeyConnection) -> Callable[..., Any]:
    def make(**given: Any) -> Any:
        options: dict[str, Any] = {"fields": {"user_id": "tag", "year": "numeric"}}
        options |= given
        index = VectorIndex(INDEX, 4, search="exact", connection=connection, **options)
        return Face(index, is_async=request.param == "async")

    return make


def test_documents_are_written_and_deleted(make: Callable[..., Any]) -> None:
    writer, reader = make(), make()
    progress: list[tuple[int, int]] = []
    writer.upsert(DOCUMENTS, progress=lambda *done: progress.append(done))
    assert progress == [(300, 300)]
    assert reader.count() == 300
    assert reader.count({"user_id": "u1"}) == 100
    writer.upsert([doc(number, year=number) for number in range(300)])
    assert reader.count({"year": {"$gte": 0}}) == 300
    assert reader.count({"user_id": {"$exists": True}}) == 0  # removed before what is set
    assert writer.delete(["d1", "d2", "d3"], {"year": {"$gte": 2}}) == 2
    writer.upsert([doc(2), doc(3)])
    assert writer.delete([f"d{number}" for number in range(299)]) == 299
    assert ids(reader.page()) == ["d299"]


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RICH: dict[str, Any] = {
    "at": NOON,
    "day": NOON.date(),
    "uuid": UUID(int=7),
    "price": Decimal("1.50"),
    "pair": (1, ("a", NOON)),
    "number": np.int64(5),
    "share": np.float32(0.5),
    "flag": np.bool_(True),
    "moment": np.datetime64("2026-03-01T12:00", "s"),
}


def test_rich_metadata(connection: ValkeyConnection, make: Callable[..., Any]) -> None:
    fields = {"at": "numeric", "price": "numeric", "share": "numeric", "day": "tag", "uuid": "tag"}
    index = make(fields=fields)
    index.upsert([replace(doc(1), metadata=RICH), doc(2, at=NOON.replace(hour=13), price=3)])
    (found,) = index.get(["d1"])
    plain = {"number": 5, "share": 0.5, "flag": True, "moment": NOON.replace(tzinfo=None)}
    assert found.metadata == RICH | plain
    assert {n: type(v) for n, v in found.metadata.items()} == {
        n: type(v) for n, v in (RICH | plain).items()
    }
    conditions: list[dict[str, Any]] = [
        {"at": {"$lte": NOON}},
        {"price": {"$lt": Decimal(2)}},
        {"share": np.float32(0.5)},
        {"day": NOON.date()},
        {"uuid": str(UUID(int=7))},
    ]
    for condition in conditions:
        assert ids(index.page(condition)) == ids(index.search(QUERY, filter=condition)) == ["d1"]


def test_a_document_that_fails_is_named(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    send(connection, "SET", document_key(INDEX, "d7"), "somebody else's")
    with pytest.raises(BulkWriteError, match=r"(?i)wrongtype|another type") as caught:
        make().upsert(DOCUMENTS[:20])
    error = caught.value
    assert "d7" in error.unknown
    assert {*error.written, *error.unknown} == {f"d{number}" for number in range(20)}
    assert error.remaining == []
    found = set(ids(make().page()))
    assert set(error.written) <= found
    if connection._factory.facts["pipelines"]:
        assert error.unknown == ["d7"]
    else:  # one that fails ends its lane
        node_of = connection.run(nodes_of_slots_plan("look"))
        nodes = {node_of(slot(document_key(INDEX, one))) for one in error.unknown}
        assert nodes == {node_of(slot(document_key(INDEX, "d7")))}
    send(connection, "UNLINK", document_key(INDEX, "d7"))


def test_what_is_sent(
    connection: ValkeyConnection, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[Step] = []
    execute, aexecute = connection._execute, connection._aexecute

    def kept(step: Step) -> Any:
        steps.append(step)
        return execute(step)

    async def akept(step: Step) -> Any:
        steps.append(step)
        return await aexecute(step)

    index = make()
    index.create()
    monkeypatch.setattr(connection, "_execute", kept)
    monkeypatch.setattr(connection, "_aexecute", akept)
    index.upsert(DOCUMENTS)
    writes = [
        step
        for step in steps
        if isinstance(step, Request) and any(command[0] == "HSET" for command in step.commands)
    ]
    lanes = [step for step in steps if isinstance(step, Lanes)]
    if connection._factory.facts["pipelines"]:
        (write,) = writes
        assert (write.atomic, write.repeatable) == (False, True)
        assert not lanes
        assert len([step for step in steps if isinstance(step, Request)]) == 3  # with two notes
    else:
        assert not any(len(step.commands) > 1 for step in writes)
        (step,) = lanes
        assert len(step.lanes) == 3
        assert all(request.repeatable for lane in step.lanes for request in lane)


def test_old_servers_are_recognised() -> None:
    assert [_version(text) for text in ("9.1.2", "9.1.2-rc1", "8.1.7", "")] == [
        (9, 1, 2),
        (9, 1, 2),
        (8, 1, 7),
        (),
    ]


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["9.1.2", "9.2.0"], True),
        (["9.1.2", "9.1.1"], False),
        (["9.0.8", "9.0.8"], False),
        ([None, "9.1.2"], False),
    ],
)
def test_one_old_node_is_enough(versions: list[str | None], expected: bool) -> None:
    facts: dict[str, Any] = {}
    plan = takes_pipelines_plan("write")
    next(plan)
    asked = plan.send(facts)
    assert isinstance(asked, AskPrimaries)
    replies = {
        str(number): BulkWriteError("no answer", [], [], [])
        if version is None
        else f"# Server\r\nvalkey_version:{version}\r\n".encode()
        for number, version in enumerate(versions)
    }
    with pytest.raises(StopIteration) as done:
        plan.send(replies)
    assert done.value.value is expected
    assert facts == ({} if None in versions else {"pipelines": expected})


def test_nodes_of_slots(cluster_connection: ValkeyConnection) -> None:
    node_of = cluster_connection.run(nodes_of_slots_plan("look"))
    assert {node_of(0), node_of(8000), node_of(16_383)} == {0, 1, 2}
    assert [len({node_of(one) for one in range(a, b)}) for a, b in ((0, 5000), (6000, 10_000))] == [
        1,
        1,
    ]
    assert _numbering([])(7) == 0
