"""What exact search's copy must never do: find nothing in silence, keep what is gone, block all."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from valkey_memory import ValkeyConnection
from valkey_memory._errors import (
    BulkWriteError,
    CommandError,
    DocumentError,
    IndexMismatchError,
    OperationTimeoutError,
    PermissionDeniedError,
    WriteRefusedError,
)
from valkey_memory._keys import changes_key, document_key, shape_key
from valkey_memory._plans import AskCluster, AskPrimaries, Plan, Request, Step
from valkey_memory._vectors import limits
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.exact import ExactEngine
from valkey_memory._vectors.index import VectorIndex

from ..conftest import Face
from ..search_server import send
from .conftest import WORKER
from .documents import QUERY, doc, ids

INDEX = f"vmcopy-{WORKER}"


@pytest.fixture(params=["standalone", "cluster"])
def connection(request: pytest.FixtureRequest) -> Iterator[ValkeyConnection]:
    found: ValkeyConnection = request.getfixturevalue(f"{request.param}_connection")
    yield found
    VectorIndex(INDEX, search="exact", connection=found).drop(delete_documents=True)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, connection: ValkeyConnection) -> Callable[..., Any]:
    """Makes objects that know nothing of each other, on one index."""

    def make(dimension: int | None = 4, **options: Any) -> Any:
        known: dict[str, Any] = {"search": "exact", "connection": connection}
        known["fields"] = {"user_id": "tag"}
        index = VectorIndex(INDEX, dimension, **(known | options))
        return Face(index, is_async=request.param == "async")

    return make


def five(vector: tuple[float, ...] = (1, 0, 0, 0, 0)) -> Any:
    return replace(doc(5), embedding=vector)


# The shape

OTHER_SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "dimension": ({"dimension": 5}, "its dimension is 4, not 5"),
    "metric": ({"metric": "l2"}, "its metric is cosine, not l2"),
    "metric alone": ({"dimension": None, "metric": "ip"}, "its metric is cosine, not ip"),
}


@pytest.mark.parametrize(("options", "message"), OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_an_index_of_another_shape_is_refused(
    make: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    make().upsert([doc(1)])
    size = options.get("dimension") or 4
    calls: dict[str, Callable[[Any], Any]] = {
        "create": lambda index: index.create(),
        "upsert": lambda index: index.upsert([replace(doc(2), embedding=[1.0] * size)]),
        "search": lambda index: index.search([1.0] * size),
        "page": lambda index: index.page(),
        "count": lambda index: index.count(),
        "delete": lambda index: index.delete(["d1"]),
        "delete_where": lambda index: index.delete_where(None),
    }
    for call in calls.values():
        with pytest.raises(IndexMismatchError, match=message):
            call(make(**options))
    assert ids(make().page()) == ["d1"]


def test_a_writer_that_only_wrote_finds_an_index_made_anew(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    """No search told it; it has to learn before it overwrites anything."""
    old = make()
    old.upsert([doc(5)])
    make(5).drop(delete_documents=True)
    make(5).upsert([five()])
    before = send(connection, "HGETALL", document_key(INDEX, "d5"))
    with pytest.raises(IndexMismatchError, match="its dimension is 5, not 4"):
        old.upsert([doc(5), doc(2)])
    assert send(connection, "HGETALL", document_key(INDEX, "d5")) == before
    assert send(connection, "EXISTS", document_key(INDEX, "d2")) == 0
    assert ids(make(5).page()) == ["d5"]


def test_an_index_that_another_process_made_anew_is_noticed_by_the_write(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    old = make()
    old.upsert([doc(1)])
    send(connection, "SET", shape_key(INDEX), b'{"dimension":5,"metric":"cosine"}')
    cluster = connection.run(asked_plan(AskCluster("look")))
    for number in (2, 3):  # a transaction has written when it looks, once; a cluster looks before
        with pytest.raises(IndexMismatchError, match="its dimension is 5, not 4"):
            old.upsert([doc(number)])
        written = send(connection, "EXISTS", document_key(INDEX, f"d{number}"))
        assert written == (number == 2 and not cluster)


def test_a_dropped_index_can_be_made_in_another_shape(make: Callable[..., Any]) -> None:
    old = make()
    old.upsert([doc(1)])
    assert ids(old.search(QUERY)) == ["d1"]
    assert make(5).drop(delete_documents=True) is True
    make(5, metric="l2").upsert([five()])
    with pytest.raises(IndexMismatchError, match="its dimension is 5, not 4"):
        old.search(QUERY)
    for _ in range(2):  # the object that knew the old shape, and then knows none
        with pytest.raises(IndexMismatchError, match="its dimension is 5, not 4"):
            old.upsert([doc(5), doc(2)])
    assert ids(make(5, metric="l2").page()) == ["d5"]


def test_an_index_of_an_earlier_version_has_no_shape(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    make().upsert([doc(1)])
    send(connection, "UNLINK", shape_key(INDEX))
    with pytest.raises(IndexMismatchError, match="its dimension is 4, not 5"):
        make(5).upsert([five()])
    assert ids(make(None).page()) == ["d1"]
    make().upsert([doc(2)])
    assert send(connection, "GET", shape_key(INDEX)) == b'{"dimension":4,"metric":"cosine"}'


def test_what_is_no_shape_is_an_error(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    make().create()
    send(connection, "SET", shape_key(INDEX), "?")
    with pytest.raises(IndexMismatchError, match="holds no shape"):
        make().count()


def test_two_first_writers_of_two_shapes(make: Callable[..., Any]) -> None:
    """Both looked before either wrote."""
    one, other = make(4), make(5)
    for index in (one, other):
        assert index.count() == 0
    one.upsert([doc(1)])
    with pytest.raises(IndexMismatchError, match="its dimension is 4, not 5"):
        other.upsert([five(), replace(five(), id="d1")])
    with pytest.raises(IndexMismatchError, match="its dimension is 4, not 5"):
        other.count()
    for index in (one, make()):
        assert index.get(["d1", "d5"], embeddings=True) == [doc(1)]
        assert ids(index.page()) == ["d1"]


def test_two_first_writers_at_once(connection: ValkeyConnection) -> None:
    """One does everything between any two steps of the other. Who is refused wrote nothing."""
    ended, steps = False, 0
    while not ended:
        one, other = (
            VectorIndex(INDEX, size, search="exact", connection=connection) for size in (4, 5)
        )
        slow = Driven(connection, one.plans.upsert_plan([sized(4)], None, None))
        ended = slow.goes(steps)
        quick = Driven(connection, other.plans.upsert_plan([sized(5)], None, None))
        assert quick.goes()
        assert slow.goes()
        won, lost, size = (slow, quick, 4) if slow.error is None else (quick, slow, 5)
        assert won.error is None
        assert isinstance(lost.error, IndexMismatchError)
        index = VectorIndex(INDEX, size, search="exact", connection=connection)
        assert index.get(["d1"], embeddings=True) == [sized(size)]
        assert index.count() == 1
        index.drop(delete_documents=True)
        steps += 1
    assert steps > 3


def sized(dimension: int) -> Document:
    return replace(doc(1), embedding=[float(dimension)] * dimension)


class Driven:
    """A plan that goes a few steps at a time."""

    def __init__(self, connection: ValkeyConnection, plan: Plan[Any]) -> None:
        self._connection = connection
        self._plan = plan
        self._reply: Any = None
        self.error: Exception | None = None

    def goes(self, steps: int = 1000) -> bool:
        """Go so many steps; whether it has ended."""
        try:
            for _ in range(steps):
                self._reply = self._connection._execute(self._plan.send(self._reply))
        except StopIteration:
            return True
        except IndexMismatchError as error:
            self.error = error
            return True
        return False


def test_the_same_shape_in_other_words(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    kept = b'{"metric": "cosine", "dimension": 4, "since": 3}'
    send(connection, "SET", shape_key(INDEX), kept)
    index = make()
    for number in (1, 2):
        index.upsert([doc(number)])
    assert sorted(ids(make().page())) == ["d1", "d2"]
    with pytest.raises(IndexMismatchError, match="its metric is cosine, not l2"):
        make(metric="l2").upsert([doc(1)])
    assert send(connection, "GET", shape_key(INDEX)) == kept


def test_one_that_cannot_be_written_keeps_no_other_back(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    send(connection, "SET", document_key(INDEX, "d2"), "somebody else's")
    try:
        index = make()
        with pytest.raises(BulkWriteError, match=r"(?i)wrongtype|another type") as caught:
            index.upsert([doc(1), doc(2), doc(3)])
        assert "d2" in caught.value.unknown
        assert caught.value.remaining == []
        if not connection.run(asked_plan(AskCluster("look"))):
            assert sorted(ids(make().page())) == ["d1", "d3"]
    finally:
        send(connection, "UNLINK", document_key(INDEX, "d2"))


# A server that came back with older data


def dumped(connection: ValkeyConnection, keys: list[str]) -> dict[str, bytes | None]:
    return {key: send(connection, "DUMP", key) for key in keys}


def restore(connection: ValkeyConnection, dumps: dict[str, bytes | None]) -> None:
    for key, dump in dumps.items():
        send(connection, "UNLINK", key)
        if dump is not None:
            send(connection, "RESTORE", key, "0", dump)


@pytest.mark.parametrize("since", [0, 3], ids=["nothing since", "more changes since"])
def test_older_data_is_noticed(
    make: Callable[..., Any], connection: ValkeyConnection, since: int
) -> None:
    reader, writer = make(), make()
    keys = [changes_key(INDEX), *(document_key(INDEX, f"d{number}") for number in range(9))]
    writer.upsert([doc(1), doc(2)])
    saved = dumped(connection, keys)
    writer.delete(["d1"])
    writer.upsert([doc(3)])
    assert sorted(ids(reader.page())) == ["d2", "d3"]
    restore(connection, saved)
    for number in range(since):
        writer.upsert([doc(4 + number)])
    expected = ["d1", "d2", *(f"d{4 + number}" for number in range(since))]
    assert sorted(ids(reader.page())) == expected
    assert sorted(ids(writer.page())) == expected


def test_the_first_changes_are_lost_with_their_log(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    reader, writer = make(), make()
    writer.upsert([doc(1)])
    assert ids(reader.page()) == ["d1"]
    restore(connection, {changes_key(INDEX): None, document_key(INDEX, "d1"): None})
    assert reader.page() == []


def test_documents_without_a_log_get_one(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    """Else nothing would tell when they are gone with a server's memory."""
    make().upsert([doc(1)])
    send(connection, "UNLINK", changes_key(INDEX))
    reader = make()
    assert ids(reader.page()) == ["d1"]
    assert send(connection, "XLEN", changes_key(INDEX)) == 1
    restore(connection, {changes_key(INDEX): None, document_key(INDEX, "d1"): None})
    assert reader.page() == []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_node_that_was_started_anew(
    cluster_connection: ValkeyConnection, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its documents may be older ones. The log, on another node, says nothing of that."""
    index = VectorIndex(INDEX, 4, search="exact", connection=cluster_connection)
    face: Any = Face(index, is_async=is_async)
    try:
        face.upsert([doc(1), doc(2)])
        assert len(face.page()) == 2
        send(cluster_connection, "UNLINK", document_key(INDEX, "d1"))  # without a note
        assert len(face.page()) == 2
        engine = index.plans.engine
        assert isinstance(engine, ExactEngine)
        nodes = dict(engine.copy.nodes or {})
        assert len(nodes) >= 3
        assert len(set(nodes.values())) == len(nodes)
        engine.copy.nodes = nodes | {next(iter(nodes)): "an earlier process"}
        assert len(face.page()) == 2  # it looks every few seconds
        monkeypatch.setattr(limits, "NODES_SECONDS", 0)
        assert ids(face.page()) == ["d2"]
        assert engine.copy.nodes == nodes
    finally:
        index.drop(delete_documents=True)


# Expiry


@pytest.mark.parametrize("count", [2, 60], ids=["by commands", "by script"])
def test_a_document_that_expires_while_it_is_read_is_gone(
    make: Callable[..., Any],
    connection: ValkeyConnection,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    """Its content is read, and then its expiry: there is none any more."""
    index = make()
    index.upsert([doc(number) for number in range(count)], ttl=100)
    key = document_key(INDEX, "d1")
    asked = ("PEXPIRETIME", key)
    expired: list[str] = []

    def expire(step: Any, reply: Any) -> Any:
        if isinstance(step, Request) and asked in step.commands:
            place = step.commands.index(asked)
            expired.append("by commands")
            return [*reply[:place], -2, *reply[place + 1 :]]
        if isinstance(step, Request) and step.commands[0][0] == "EVAL_RO":
            place = step.commands[0].index(key) - 3  # behind the script and the number of keys
            expired.append("by script")
            reply[0][place][-1] = -2
        return reply

    with answers_changed(connection, expire, monkeypatch):
        found = ids(index.page(limit=100))
    assert len(found) == count - 1
    assert "d1" not in found
    scripted = count >= limits.SCRIPTED_READ and not connection.run(asked_plan(AskCluster("look")))
    assert expired == ["by script" if scripted else "by commands"]


@contextmanager
def answers_changed(
    connection: ValkeyConnection,
    change: Callable[[Any, Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """``change`` sees each step with its reply, and gives the one to use."""
    execute, aexecute = connection._execute, connection._aexecute

    async def achanged(step: Any) -> Any:
        return change(step, await aexecute(step))

    with monkeypatch.context() as patched:
        patched.setattr(connection, "_execute", lambda step: change(step, execute(step)))
        patched.setattr(connection, "_aexecute", achanged)
        yield


# Writers that are cancelled or killed in the middle of a change


class KilledError(BaseException):
    """Nothing that runs afterwards."""


@pytest.mark.parametrize("change", ["upsert", "delete"])
@pytest.mark.parametrize("ending", [KilledError, OperationTimeoutError, asyncio.CancelledError])
def test_a_writer_that_ends_in_the_middle(
    make: Callable[..., Any],
    connection: ValkeyConnection,
    change: str,
    ending: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it changed is seen by those whose copies are older, and by those who come later."""
    reader, writer = make(), make()
    writer.upsert([doc(1), doc(2)])
    assert len(reader.page()) == 2

    def end(step: Any, reply: Any) -> Any:
        commands = step.commands if isinstance(step, Request) else ()
        if any(command[0] in ("HSET", "UNLINK") for command in commands):
            raise ending("in the middle")
        return reply

    with answers_changed(connection, end, monkeypatch), pytest.raises(BaseException):  # noqa: B017, PT011
        writer.upsert([doc(3)]) if change == "upsert" else writer.delete(["d1"])
    expected = ["d1", "d2", "d3"] if change == "upsert" else ["d2"]
    assert sorted(ids(reader.page())) == expected
    assert sorted(ids(make().page())) == expected


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_change_that_comes_in_late(
    cluster_connection: ValkeyConnection, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster the note goes before; a reader may see it before the change itself."""

    def make() -> Any:
        index = VectorIndex(INDEX, 4, search="exact", connection=cluster_connection)
        return Face(index, is_async=is_async)

    reader, writer = make(), make()
    try:
        writer.upsert([doc(1)])
        seen: list[int] = []
        late = make()

        def look(step: Any, reply: Any) -> Any:
            if isinstance(step, Request) and step.operation.startswith("note changes") and not seen:
                seen.append(0)
                with ValkeyConnection.from_url(cluster_connection.url) as other:
                    for one in (reader, late):
                        one.store.connection = other
                        one.store._primaries = other
                        seen.append(one.store.count())
            return reply

        with answers_changed(cluster_connection, look, monkeypatch):
            writer.upsert([doc(2)])
        assert seen == [0, 1, 1]
        for one in (reader, late):
            one.store.connection = one.store._primaries = cluster_connection
            assert sorted(ids(one.page())) == ["d1", "d2"]
    finally:
        writer.drop(delete_documents=True)


# Documents that cannot be read


def spoil(connection: ValkeyConnection, document_id: str) -> None:
    send(connection, "HSET", document_key(INDEX, document_id), "_metadata", "{no JSON")


def test_a_document_that_cannot_be_read_is_an_error_or_skipped(
    make: Callable[..., Any], connection: ValkeyConnection, caplog: pytest.LogCaptureFixture
) -> None:
    make().upsert([doc(1, user_id="alice"), doc(2, user_id="alice"), doc(3, user_id="bob")])
    spoil(connection, "d2")
    strict, lenient = make(), make(on_corrupt="skip")
    calls: list[Callable[[], Any]] = [
        lambda: strict.search(QUERY),
        lambda: strict.count(),
        lambda: strict.get(["d1", "d2"]),
    ]
    for call in calls:
        with pytest.raises(DocumentError, match=r"'d2' .* cannot be read"):
            call()
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert sorted(ids(lenient.search(QUERY))) == ["d1", "d3"]
    assert "skipped: document 'd2'" in caplog.text
    assert ids(lenient.search(QUERY, filter={"user_id": "alice"})) == ["d1"]
    assert ids(lenient.get(["d1", "d2"])) == ["d1"]
    assert lenient.count() == 2
    spoil(connection, "d3")  # while the copy is there
    lenient.upsert([doc(4)])
    assert sorted(ids(make(on_corrupt="skip").page())) == ["d1", "d4"]
    assert strict.delete(["d2", "d3"]) == 2
    assert sorted(ids(strict.page())) == ["d1", "d4"]


@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
def test_everything_is_deleted_also_what_no_search_finds(
    make: Callable[..., Any], connection: ValkeyConnection, on_corrupt: str
) -> None:
    """What cannot be read, what has another length, and more than is searched."""
    make().upsert([doc(number) for number in range(6)])
    spoil(connection, "d2")
    send(connection, "HSET", document_key(INDEX, "d3"), "_embedding", b"12345678")
    send(connection, "HSET", document_key(INDEX, "settings"), "a", "b")  # somebody else's
    reader = make(on_corrupt="skip")
    assert reader.count() == 4
    assert make(on_corrupt=on_corrupt, exact_limit=3).delete_where(None) == 6
    assert reader.count() == make().count() == 0
    assert send(connection, "UNLINK", document_key(INDEX, "settings")) == 1
    make().upsert([doc(7)])
    assert ids(reader.page()) == ["d7"]


def test_a_value_of_another_type_than_declared_is_skipped_too(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    make().upsert([doc(1), doc(2)])
    send(connection, "HSET", document_key(INDEX, "d2"), "_metadata", '{"user_id": 1.5}')
    with pytest.raises(DocumentError, match="'user_id' is a tag"):
        make().count()
    assert ids(make(on_corrupt="skip").page()) == ["d1"]


# A server without memory


def asked_plan(step: Step) -> Plan[Any]:
    return (yield step)


def configure(connection: ValkeyConnection, maxmemory: str) -> None:
    command = ("CONFIG", "SET", "maxmemory", maxmemory)
    connection.run(asked_plan(AskPrimaries("configure", command)))


def test_documents_of_a_full_server_can_be_deleted(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    reader, writer = make(), make()
    writer.upsert([doc(number, user_id=f"u{number % 2}") for number in range(10)])
    assert reader.count() == 10
    configure(connection, "1")
    try:
        with pytest.raises((BulkWriteError, WriteRefusedError), match=r"(?i)oom"):
            writer.upsert([doc(90)])
        assert writer.delete(["d0", "d1"]) == 2
        assert reader.count() == writer.count() == make().count() == 8
        assert writer.delete_where({"user_id": "u0"}) == 4
        assert reader.count() == make().count() == 4
        assert writer.drop(delete_documents=True) is True
        assert reader.count() == 0
    finally:
        configure(connection, "0")
    writer.upsert([doc(1)])
    assert reader.count() == 1


def test_a_search_of_a_full_server_restarts_the_expiry(
    make: Callable[..., Any], connection: ValkeyConnection
) -> None:
    """It needs no memory for that, and the note of it is not worth a search that fails."""
    reader, other = make(ttl=100, refresh_ttl_on_read=True), make()
    reader.upsert([doc(1), doc(2)])
    for one in ("d1", "d2"):
        send(connection, "PEXPIRE", document_key(INDEX, one), "5000")
    assert other.count() == 2
    configure(connection, "1")
    try:
        assert len(reader.search(QUERY)) == 2
    finally:
        configure(connection, "0")
    assert send(connection, "PTTL", document_key(INDEX, "d1")) > 90_000
    assert other.count() == 2
    engine = other.store.plans.engine
    assert min(row.expires_ms for row in engine.copy._rows) - time.time() * 1000 > 90_000


# Where this module leaves nothing


def test_nothing_is_left(own_keys: Callable[[], list[bytes]], make: Callable[..., Any]) -> None:
    index = make()
    index.upsert([doc(1)])
    assert index.drop(delete_documents=True) is True
    assert index.drop(delete_documents=True) is False
    assert own_keys() == []


@pytest.fixture
def own_keys(connection: ValkeyConnection) -> Callable[[], list[bytes]]:
    keys = [changes_key(INDEX), shape_key(INDEX), document_key(INDEX, "d1")]
    return lambda: [key.encode() for key in keys if send(connection, "EXISTS", key)]


# Pickles and copies

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda index: pickle.loads(pickle.dumps(index)),  # noqa: S301 - our own
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_begins_anew_with_the_same_options(
    make: Callable[..., Any], copied: Callable[[Any], Any]
) -> None:
    options = {"ttl": timedelta(hours=1), "refresh_ttl_on_read": True, "on_corrupt": "skip"}
    index = make(metric="l2", exact_limit=50, **options)
    index.upsert([doc(1, user_id="alice")])
    assert index.count() == 1
    again = Face(copied(index.store), is_async=index.is_async)
    assert again.store.mode is None
    assert again.store.plans.options() == index.store.plans.options()
    assert again.store.connection.url == index.store.connection.url
    assert again.count({"user_id": "alice"}) == 1
    again.upsert([doc(2)])
    assert sorted(ids(index.page())) == ["d1", "d2"]
    unknown = copied(make(None, metric="l2").store)
    assert unknown.dimension is None


# Reading many documents


@pytest.mark.parametrize("refusal", [None, PermissionDeniedError, CommandError])
def test_many_documents_are_read_by_script_where_that_can_be(
    make: Callable[..., Any],
    connection: ValkeyConnection,
    refusal: type[CommandError] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make().upsert([doc(number) for number in range(120)], ttl=1000)
    spoil(connection, "d7")
    send(connection, "HSET", document_key(INDEX, "other"), "a", "b")
    scripts = []

    def refuse(step: Any, reply: Any) -> Any:
        if isinstance(step, Request) and step.commands[0][0] == "EVAL_RO":
            scripts.append(step)
            return reply if refusal is None else [refusal("no")]
        return reply

    connection._factory.facts.pop("reads documents by script", None)
    try:
        with answers_changed(connection, refuse, monkeypatch):
            index = make(on_corrupt="skip")
            assert len(index.page(limit=1000)) == 119
            assert make(on_corrupt="skip").count() == 119
    finally:
        connection._factory.facts.pop("reads documents by script", None)
    if connection.run(asked_plan(AskCluster("look"))):
        assert not scripts
    else:
        assert len(scripts) == (1 if refusal is PermissionDeniedError else 2)
    engine = index.store.plans.engine
    assert all(row.expires_ms > 0 for row in engine.copy._rows)
