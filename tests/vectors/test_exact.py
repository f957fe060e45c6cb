"""Exact search in the client: fresh, in one round trip, and equal to FLAT on the server."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import EmbeddedValkey, ValkeyConnection
from valkey_memory._errors import ExactSearchLimitError
from valkey_memory._keys import changes_key
from valkey_memory._plans import AskCluster, AskFacts, Now, Request, Scan, Step, Work
from valkey_memory._vectors import limits
from valkey_memory._vectors.copy import LocalCopy
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.exact import ExactEngine
from valkey_memory._vectors.index import VectorIndex
from valkey_memory._vectors.reading import refresh_plan

from ..search_server import RealServer, send, wipe
from ..servers import admin, command_counts
from .conftest import FIELDS, INDEX, WORKER
from .documents import QUERY, doc, ids, score

STREAM = f"{{{INDEX}}}:changes"


@pytest.fixture(params=["standalone", "cluster"])
def connection(request: pytest.FixtureRequest) -> Iterator[ValkeyConnection]:
    found: ValkeyConnection = request.getfixturevalue(f"{request.param}_connection")
    clear(found)
    yield found
    clear(found)


def clear(connection: ValkeyConnection) -> None:
    index = VectorIndex(INDEX, 4, search="exact", connection=connection)
    index.drop(delete_documents=True)
    send(connection, "UNLINK", STREAM)


@pytest.fixture
def make(connection: ValkeyConnection) -> Callable[..., VectorIndex]:
    """Makes objects that know nothing of each other, on one index."""

    def make(**options: Any) -> VectorIndex:
        known: dict[str, Any] = {"fields": FIELDS, "search": "exact", "connection": connection}
        return VectorIndex(INDEX, 4, **(known | options))

    return make


def test_the_stream_is_where_the_tests_look_for_it() -> None:
    assert changes_key(INDEX) == STREAM


def test_a_search_sees_what_another_object_wrote(make: Callable[..., VectorIndex]) -> None:
    reader, writer = make(), make()
    assert reader.search(QUERY) == []
    writer.upsert([doc(1), doc(2, user_id="alice")])
    assert sorted(ids(reader.search(QUERY))) == ["d1", "d2"]
    writer.upsert([doc(1, "new", user_id="alice")])
    assert reader.count({"user_id": "alice"}) == 2
    assert reader.count({"content": "new"}) == 1
    writer.upsert([doc(3)])
    assert len(reader.search(QUERY)) == 3
    writer.delete(["d1", "d3"])
    assert ids(reader.search(QUERY)) == ids(reader.page()) == ["d2"]
    writer.delete_where({"user_id": "alice"})
    assert reader.search(QUERY) == []
    writer.upsert([doc(4)])
    assert ids(reader.search(QUERY)) == ["d4"]


def test_a_moved_vector_moves_the_document(make: Callable[..., VectorIndex]) -> None:
    reader, writer = make(), make()
    writer.upsert([Document("a", "", {}, [1, 0, 0, 0]), Document("b", "", {}, [0, 1, 0, 0])])
    assert ids(reader.search([1, 0, 0, 0])) == ["a", "b"]
    writer.upsert([Document("a", "", {}, [0, 0, 1, 0]), Document("b", "", {}, [1, 0, 0, 0])])
    assert ids(reader.search([1, 0, 0, 0])) == ["b", "a"]


PROCESS = """
    import sys
    from valkey_memory import Document, ValkeyConnection, VectorIndex

    with ValkeyConnection.from_url(sys.argv[1]) as connection:
        index = VectorIndex("vmtest", 4, search="exact", connection=connection)
        short = VectorIndex("vmtest", 4, search="exact", connection=connection, ttl=0.001)
        for line in sys.stdin:
            task, *ids = line.split()
            if task == "delete":
                index.delete(ids)
            else:
                documents = [Document(one, "by a process", {}, [1, 2, 3, 4]) for one in ids]
                (short if task == "expire" else index).upsert(documents)
            print("done", flush=True)
"""


def test_a_search_sees_what_another_process_did(
    make: Callable[..., VectorIndex], request: pytest.FixtureRequest
) -> None:
    topology = request.node.callspec.params["connection"]
    address = request.getfixturevalue("url" if topology == "standalone" else "cluster_url")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def tell(line: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    reader = make()
    reader.upsert([doc(1)])
    assert ids(reader.search(QUERY)) == ["d1"]
    with process:
        tell("write x y")
        assert sorted(ids(reader.search(QUERY))) == ["d1", "x", "y"]
        tell("delete x d1")
        assert ids(reader.search(QUERY)) == ["y"]
        tell("expire y")  # in a millisecond, which may not be over
        while reader.search(QUERY):
            assert send(reader.connection, "PTTL", f"{INDEX}:y") <= 1
    assert process.returncode == 0


def test_expired_documents_drop_out_without_a_round_trip_more(
    make: Callable[..., VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy counts the time itself; the clock of this machine is put forward."""
    reader = make()
    reader.upsert([doc(1)])
    make(ttl=3_600).upsert([doc(2), doc(3)])
    assert len(reader.search(QUERY)) == 3
    now = _exact_now()
    monkeypatch.setattr(Now, "serve", lambda _: now + 3_590_000)
    assert len(reader.search(QUERY)) == 3
    monkeypatch.setattr(Now, "serve", lambda _: now + 3_610_000)
    assert ids(reader.search(QUERY)) == ids(reader.page()) == ["d1"]
    assert reader.count() == 1


def _exact_now() -> int:
    return Now().serve()


def test_another_clock_than_the_servers(
    make: Callable[..., VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = _exact_now()
    monkeypatch.setattr(Now, "serve", lambda _: now + 86_400_000)
    make(ttl=3_600).upsert([doc(1)])
    assert ids(make().search(QUERY)) == ["d1"]


def test_a_touched_document_lives_on(
    make: Callable[..., VectorIndex], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, toucher = make(), make(ttl=7_200, refresh_ttl_on_read=True)
    make(ttl=3_600).upsert([doc(1)])
    assert len(reader.search(QUERY)) == len(toucher.search(QUERY)) == 1
    reader.search(QUERY)
    now = _exact_now()
    monkeypatch.setattr(Now, "serve", lambda _: now + 3_610_000)
    assert ids(reader.search(QUERY)) == ["d1"]


# Round trips


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


class CountingConnection(ValkeyConnection):
    """Keeps the steps that went to the server."""

    steps: list[Step]

    def _execute(self, step: Step) -> Any:
        if not isinstance(step, (Work, AskCluster, AskFacts)):  # which are free
            self.steps.append(step)
        return super()._execute(step)


@pytest.fixture
def counting(own_server: EmbeddedValkey) -> Iterator[CountingConnection]:
    admin(own_server.port, "FLUSHALL")
    with CountingConnection.from_url(own_server.url) as connection:
        assert isinstance(connection, CountingConnection)
        connection.steps = []
        yield connection


def exact(connection: ValkeyConnection, **options: Any) -> VectorIndex:
    return VectorIndex(INDEX, 4, search="exact", connection=connection, **options)


def test_a_repeated_search_is_one_round_trip(
    counting: CountingConnection, own_server: EmbeddedValkey
) -> None:
    index = exact(counting)
    index.upsert([doc(number) for number in range(50)])
    index.search(QUERY)
    counting.steps.clear()
    admin(own_server.port, "CONFIG", "RESETSTAT")
    index.search(QUERY)
    counts = command_counts(own_server.port)
    assert len(counting.steps) == 1
    assert counts["xrange"] == 1
    assert set(counts).isdisjoint({"multi", "scan", "hmget", "hgetall", "pexpiretime"})


def test_a_change_fetches_only_what_changed(
    counting: CountingConnection, own_server: EmbeddedValkey
) -> None:
    index = exact(counting)
    index.upsert([doc(number) for number in range(50)])
    index.search(QUERY)
    index.upsert([doc(7), doc(90)])
    index.delete(["d8"])
    admin(own_server.port, "CONFIG", "RESETSTAT")
    assert index.count() == 50
    counts = command_counts(own_server.port)
    assert counts["hmget"] == 3
    assert "scan" not in counts


def test_a_trimmed_stream_means_reading_everything(counting: CountingConnection) -> None:
    reader, writer = exact(counting), exact(counting)
    writer.upsert([doc(1)])
    assert reader.count() == 1
    for trim in ("1", "0"):
        writer.upsert([doc(2)])
        writer.delete(["d1"])
        writer.upsert([doc(3)])
        send(counting, "XTRIM", STREAM, "MAXLEN", trim)
        counting.steps.clear()
        assert sorted(ids(reader.search(QUERY))) == ["d2", "d3"]
        assert any(isinstance(step, Scan) for step in counting.steps)
        counting.steps.clear()
        assert len(reader.search(QUERY)) == 2
        assert len(counting.steps) == 1
        writer.upsert([doc(1)])
        assert reader.count() == 3
        writer.delete(["d3"])
        reader.count()


def test_a_stream_trimmed_since_it_was_empty(counting: CountingConnection) -> None:
    """The copy was loaded before the first change; some changes since are no longer there."""
    reader, writer = exact(counting), exact(counting)
    assert reader.count() == 0
    for number in range(3):
        writer.upsert([doc(number)])
    send(counting, "XTRIM", STREAM, "MAXLEN", "1")
    assert reader.count() == 3


def test_a_deleted_stream_means_reading_everything(counting: CountingConnection) -> None:
    reader, writer = exact(counting), exact(counting)
    writer.upsert([doc(1)])
    assert reader.count() == 1
    send(counting, "UNLINK", f"{INDEX}:d1", STREAM)
    assert reader.count() == 0
    writer.upsert([doc(2)])
    assert ids(reader.page()) == ["d2"]


def test_more_changes_than_one_read_takes(
    counting: CountingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGES_READ", 2)
    reader, writer = exact(counting), exact(counting)
    writer.upsert([doc(0)])
    assert reader.count() == 1
    for number in range(1, 6):
        writer.upsert([doc(number)])
    counting.steps.clear()
    assert reader.count() == 6
    assert not any(isinstance(step, Scan) for step in counting.steps)


def test_the_stream_is_kept_short(
    counting: CountingConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHANGES_KEPT", 10)
    index = exact(counting)
    for number in range(300):
        index.upsert([doc(number % 3)])
    assert send(counting, "XLEN", STREAM) < 250  # trimmed by whole nodes of 100
    assert index.count() == 3


def test_every_write_notes_its_change_in_its_transaction(counting: CountingConnection) -> None:
    index = exact(counting)
    index.upsert([doc(1)])
    index.delete(["d1"])
    writes = [
        step
        for step in counting.steps
        if isinstance(step, Request) and step.commands[0][0] in ("HDEL", "HSET", "UNLINK")
    ]
    assert len(writes) == 2
    for step in writes:
        assert step.atomic
        assert ("XADD", STREAM) in [command[:2] for command in step.commands]


def local_copy(index: VectorIndex) -> LocalCopy:
    index.create()
    engine = index.plans.engine
    assert isinstance(engine, ExactEngine)
    return engine.copy


def test_a_slow_load_does_not_undo_a_later_one(counting: CountingConnection) -> None:
    """Two threads load at first; the one that read earlier ends after a write was seen."""
    copy = local_copy(exact(counting))
    slow = refresh_plan(copy)
    step = next(slow)
    replies = []
    while isinstance(step, (Scan, Work)) or "load" in getattr(
        step, "operation", ""
    ):  # up to its end, but for the last
        replies.append(counting._execute(step))
        try:
            step = slow.send(replies[-1])
        except StopIteration:
            raise AssertionError("the load was to wait") from None
        if isinstance(step, Scan):
            break
    late = counting._execute(step)
    writer = exact(counting)
    writer.upsert([doc(1)])
    counting.run(refresh_plan(copy))
    assert copy.count(None, _exact_now()) == 1

    def rest() -> Any:
        reply = late
        while True:
            try:
                following = slow.send(reply)
            except StopIteration:
                return
            reply = yield following

    counting.run(rest())
    assert copy.count(None, _exact_now()) == 1


# Limits


def test_more_documents_than_exact_search_is_for(counting: CountingConnection) -> None:
    index = exact(counting, exact_limit=5)
    index.upsert([doc(number) for number in range(5)])
    assert len(index.search(QUERY, 10)) == 5
    index.upsert([doc(5)])
    for call in (lambda: index.search(QUERY), index.count, index.page):
        with pytest.raises(ExactSearchLimitError, match=r"more than 5 documents.*exact_limit"):
            call()
    assert exact(counting, exact_limit=6).count() == 6
    index.delete(["d0"])
    assert len(index.search(QUERY, 10)) == 5


def test_more_documents_than_the_limit_can_be_dropped(
    counting: CountingConnection,
) -> None:
    index = exact(counting, exact_limit=5)
    index.upsert([doc(number) for number in range(6)])
    send(counting, "HSET", f"{INDEX}:settings", "not", "a document")
    assert index.drop(delete_documents=True) is True
    assert send(counting, "EXISTS", *(f"{INDEX}:d{number}" for number in range(6))) == 0
    assert send(counting, "UNLINK", f"{INDEX}:settings") == 1


def test_what_others_keep_under_the_prefix_is_left_out(counting: CountingConnection) -> None:
    index = exact(counting)
    index.upsert([doc(1)])
    send(counting, "HSET", f"{INDEX}:other", "a", "b")
    send(counting, "SET", f"{INDEX}:string", "x")
    send(counting, "RPUSH", f"{INDEX}:list", "x")
    send(counting, "HSET", f"{INDEX}:short", "_metadata", "{}", "_embedding", b"0123")
    assert ids(exact(counting).search(QUERY, 10)) == ["d1"]


def test_a_changed_result_does_not_change_the_copy(counting: CountingConnection) -> None:
    index = exact(counting)
    index.upsert([doc(1, list=[1])])
    metadata = index.search(QUERY)[0].document.metadata
    assert isinstance(metadata, dict)
    metadata["list"].append(2)
    metadata["new"] = 1
    assert index.search(QUERY)[0].document.metadata == {"list": [1]}


def test_threads_share_one_copy(counting: CountingConnection) -> None:
    index = exact(counting)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(15):
                one = number * 100 + step
                index.upsert([doc(one)])
                assert index.count() >= 1
                found = index.search(doc(one).embedding, 200)
                assert f"d{one}" in ids(found)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert index.count() == 90


# The same as on the server

numbers = st.integers(-1_000_000, 1_000_000).map(lambda number: number / 1_024)
vectors = st.lists(numbers, min_size=3, max_size=3)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(stored=st.lists(vectors, min_size=1, max_size=12), query=vectors)
def test_scores_in_float32_are_close_to_those_in_double(
    standalone_connection: ValkeyConnection,
    metric: Any,
    stored: list[list[float]],
    query: list[float],
) -> None:
    index = VectorIndex(
        f"{INDEX}-double-{metric}",
        3,
        search="exact",
        metric=metric,
        connection=standalone_connection,
    )
    index.delete_where(None)
    index.upsert([Document(str(n), "", {}, vector) for n, vector in enumerate(stored)])
    _check_hits(index.search(query, 20), stored, query, metric)


@pytest.mark.real_search
@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.lists(vectors, min_size=1, max_size=12),
    query=vectors,
    k=st.integers(1, 15),
)
def test_exact_search_is_flat_search(
    real_server: RealServer | None,
    metric: Any,
    stored: list[list[float]],
    query: list[float],
    k: int,
) -> None:
    assert real_server is not None
    options: dict[str, Any] = {"metric": metric, "algorithm": "flat", "storage": "hash"}
    name = f"{INDEX}-{metric}-{WORKER}"
    flat, local = (
        VectorIndex(name, 3, search=search, connection=real_server.connection, **options)
        for search in ("server", "exact")
    )
    flat.delete_where(None)
    flat.upsert([Document(str(n), "", {}, vector) for n, vector in enumerate(stored)])
    theirs, ours = flat.search(query, k), local.search(query, k)
    assert len(ours) == len(theirs) == min(k, len(stored))
    _check_hits(ours, stored, query, metric)
    _check_hits(theirs, stored, query, metric)
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, rel=1e-4, abs=_noise(metric, stored, query))


def _noise(metric: str, stored: list[list[float]], query: list[float]) -> float:
    """How far float32 may be off: relative to the products summed up, not to their sum."""
    if metric != "ip":
        return 1e-5
    largest = np.abs(np.array([*stored, query])).max()
    return float(largest * largest * 3 * 1e-6 + 1e-6)


def _check_hits(hits: Any, stored: list[list[float]], query: list[float], metric: str) -> None:
    """Scores are those of the definition, and no better document was left out."""
    expected = [score(metric, query, vector) for vector in stored]
    noise = _noise(metric, stored, query)
    for hit in hits:
        true = expected[int(hit.document.id)]
        assert hit.score == pytest.approx(true, rel=1e-4, abs=noise)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    best = sorted(expected, reverse=True)[: len(hits)]
    assert scores == pytest.approx(best, rel=1e-4, abs=noise)


@pytest.fixture(scope="module", autouse=True)
def leave_nothing(
    standalone_connection: ValkeyConnection, real_server: RealServer | None
) -> Iterator[None]:
    yield
    wipe(standalone_connection, *(f"{INDEX}-double-{one}" for one in ("cosine", "l2", "ip")))
    if real_server is not None:
        wipe(
            real_server.connection,
            *(f"{INDEX}-{metric}-{WORKER}" for metric in ("cosine", "l2", "ip")),
        )
