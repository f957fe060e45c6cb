"""A bulk load that stops in the middle says what was written."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, ValkeyConnection
from valkey_memory._errors import BulkWriteError, ConnectionFailedError, OperationTimeoutError
from valkey_memory._plans import Request
from valkey_memory._vectors import limits
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.index import VectorIndex

from ..conftest import Face
from ..search_server import SearchSource
from ..servers import admin
from .conftest import BACKENDS, FIELDS
from .documents import doc


@pytest.fixture
def own_server(backend: str, search_source: SearchSource) -> Iterator[EmbeddedValkey]:
    """A server to stop."""
    with EmbeddedValkey(modules=() if backend == "exact" else search_source.modules) as server:
        yield server


@pytest.fixture
def hasty(own_server: EmbeddedValkey) -> Iterator[ValkeyConnection]:
    """A connection that does not wait for long."""
    with ValkeyConnection.from_url(own_server.url, request_timeout=0.3) as connection:
        yield connection


@pytest.fixture
def load(
    hasty: ValkeyConnection, backend: str, face: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], None]], tuple[Any, BulkWriteError]]:
    """Loads ten documents in batches of three; what is given is called after the second."""
    monkeypatch.setattr(limits, "BATCH_DOCUMENTS", 3)

    def load(disturb: Callable[[], None]) -> tuple[Any, BulkWriteError]:
        options = BACKENDS[backend] | {"fields": FIELDS, "connection": hasty}
        index = Face(VectorIndex("bulk", 4, **options), is_async=face == "async")

        def progress(done: int, _: int) -> None:
            if done == 6:
                disturb()

        with pytest.raises(BulkWriteError) as caught:
            index.upsert([doc(number) for number in range(10)], progress=progress)
        return index, caught.value

    return load


def _says_what_was_written(error: BulkWriteError) -> None:
    assert error.written == ["d0", "d1", "d2", "d3", "d4", "d5"]
    assert error.unknown == ["d6", "d7", "d8"]
    assert error.remaining == ["d9"]
    assert "6 of 10 documents were written, 3 may have been, 1 were not sent" in str(error)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (copied.written, copied.unknown, copied.remaining, str(copied)) == (
        error.written,
        error.unknown,
        error.remaining,
        str(error),
    )


@pytest.mark.real_search(modules=True)
def test_a_timeout_leaves_one_batch_unknown(
    load: Callable[[Callable[[], None]], tuple[Any, BulkWriteError]], own_server: EmbeddedValkey
) -> None:
    port = own_server.port
    index, error = load(lambda: admin(port, "CLIENT", "PAUSE", "60000", "WRITE"))
    assert isinstance(error.__cause__, OperationTimeoutError)
    _says_what_was_written(error)
    admin(port, "CLIENT", "UNPAUSE")
    assert len(index.get(error.written)) == 6
    assert index.get(error.remaining) == []
    again = [doc(int(one[1:])) for one in (*error.unknown, *error.remaining)]
    index.upsert(again)
    assert index.count() == 10


@pytest.mark.real_search(modules=True)
def test_a_server_that_dies(
    load: Callable[[Callable[[], None]], tuple[Any, BulkWriteError]], own_server: EmbeddedValkey
) -> None:
    _, error = load(own_server.close)
    assert isinstance(error.__cause__, (OperationTimeoutError, ConnectionFailedError))
    _says_what_was_written(error)


@pytest.mark.parametrize("backend", ["exact"], indirect=True)
def test_a_callback_that_raises_ends_the_load(hasty: ValkeyConnection, backend: str) -> None:
    index = VectorIndex("bulk", 4, search="exact", connection=hasty)

    def progress(done: int, of: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        index.upsert([doc(number) for number in range(10)], progress=progress)
    assert index.count() == 10


def test_a_cluster_node_that_does_not_answer(
    cluster_connection: ValkeyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster, other copies learn of what was written before the failure."""
    options: dict[str, Any] = {"search": "exact", "connection": cluster_connection}
    writer, reader = (VectorIndex("bulk", 4, **options) for _ in range(2))
    writer.delete_where(None)
    assert reader.count() == 0
    execute = cluster_connection._execute

    def fail_in_the_second_batch(step: Any) -> Any:
        reply = execute(step)
        if isinstance(step, Request) and step.operation.startswith("write 2 documents "):
            written.append(step)
            if len(written) == 2:
                raise OperationTimeoutError("no answer")
        return reply

    written: list[Any] = []
    monkeypatch.setattr(limits, "BATCH_DOCUMENTS", 2)
    monkeypatch.setattr(limits, "CLUSTER_BATCH", 1)
    monkeypatch.setattr(cluster_connection, "_execute", fail_in_the_second_batch)
    with pytest.raises(BulkWriteError) as caught:
        writer.upsert([Document(str(n), "", {}, [1, 2, 3, n]) for n in range(6)])
    monkeypatch.undo()
    assert (caught.value.written, caught.value.unknown) == (["0", "1"], ["2", "3"])
    assert caught.value.remaining == ["4", "5"]
    # The batch that was not answered had arrived.
    assert sorted(d.id for d in reader.page()) == ["0", "1", "2", "3"]
    writer.delete_where(None)
