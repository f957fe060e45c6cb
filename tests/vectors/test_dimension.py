"""An index that is made without a dimension, and learns it."""

from __future__ import annotations

from typing import Any

import pytest

from valkey_memory import ConfigurationError, DocumentError, ValkeyConnection
from valkey_memory._keys import changes_key
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.index import VectorIndex

from ..search_server import send
from .conftest import INDEX
from .documents import QUERY, doc, ids


@pytest.fixture
def unknown(make_index: Any) -> Any:
    return make_index(dimension=None)


def test_nothing_known_and_nothing_stored(
    unknown: Any, vector_connection: ValkeyConnection, backend: str
) -> None:
    mode = "exact" if backend == "exact" else "server"
    assert unknown.create() == unknown.store.mode == mode
    assert unknown.count() == unknown.delete_where(None) == unknown.count({"year": 1}) == 0
    assert unknown.page() == unknown.page(order_by="year") == unknown.get(["a"]) == []
    assert unknown.info() is None
    assert unknown.wait_until_ready() is True
    assert unknown.drop() is unknown.drop(delete_documents=True) is False
    unknown.upsert([])
    assert unknown.store.dimension is None
    assert send(vector_connection, "EXISTS", changes_key(INDEX)) == 0
    assert unknown.delete(["a"]) == 0


def test_the_first_documents_tell(unknown: Any) -> None:
    unknown.upsert([doc(1), doc(2)])
    assert unknown.store.dimension == 4
    assert sorted(ids(unknown.search(QUERY))) == ["d1", "d2"]
    with pytest.raises(DocumentError, match="2 numbers, the index has dimension 4"):
        unknown.search([1.0, 2.0])


def test_the_first_query_tells(unknown: Any) -> None:
    assert unknown.search(QUERY) == unknown.search_diverse(QUERY) == []
    assert unknown.store.dimension == 4
    assert unknown.count() == 0


def test_what_is_stored_tells(make_index: Any) -> None:
    make_index().upsert([doc(1, year=1)])
    for method in (
        lambda index: index.count() == 1,
        lambda index: ids(index.page()) == ["d1"],
        lambda index: ids(index.get(["d1"])) == ["d1"],
        lambda index: ids(index.search(QUERY)) == ["d1"],
        lambda index: ids(index.search_diverse(QUERY)) == ["d1"],
        lambda index: index.upsert([doc(2)]) is None,
        lambda index: index.delete(["d2"]) == 1,
        lambda index: index.delete_where({"year": 2}) == 0,
    ):
        index = make_index(dimension=None)
        assert method(index)
        assert index.store.dimension == 4


def test_another_object_may_write_first(make_index: Any) -> None:
    early = make_index(dimension=None)
    assert early.count() == 0
    make_index().upsert([doc(1)])
    assert early.count() == 1
    assert early.store.dimension == 4


def test_a_query_of_another_dimension_than_what_is_stored(make_index: Any) -> None:
    make_index().upsert([doc(1)])
    index = make_index(dimension=None)
    with pytest.raises(DocumentError, match="the query has 3 numbers, the index has dimension 4"):
        index.search([1.0, 2.0, 3.0])
    with pytest.raises(DocumentError, match=r"'a': its embedding has 2 numbers, .* dimension 4"):
        index.upsert([Document("a", "x", {}, [1.0, 2.0])])
    assert index.count() == 1


def test_drop_of_an_index_of_unknown_dimension(
    make_index: Any, vector_connection: ValkeyConnection
) -> None:
    make_index().upsert([doc(1), doc(2)])
    assert make_index(dimension=None).drop(delete_documents=True) is True
    assert send(vector_connection, "EXISTS", f"{INDEX}:d1", f"{INDEX}:d2") == 0


@pytest.mark.same_commands
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[1.0, 2.0], [1.0]], "'1': its embedding has 1 numbers, the index has dimension 2"),
        ([[]], "'0': its embedding has 0 numbers, a vector has one or more in a row"),
        ([4.0], "'0': its embedding has  numbers"),
        ([["x"]], "'0': its embedding is no vector"),
    ],
    ids=["two lengths", "empty", "a number", "words"],
)
def test_bad_vectors_make_no_index(unknown: Any, vectors: list[Any], message: str) -> None:
    documents = [Document(str(n), "x", {}, vector) for n, vector in enumerate(vectors)]
    with pytest.raises(DocumentError, match=message):
        unknown.upsert(documents)
    assert unknown.store.mode is None


def test_the_other_options_are_checked_at_once() -> None:
    with pytest.raises(ConfigurationError, match="metric"):
        VectorIndex("docs", metric="cos", url="valkey://127.0.0.1:1")  # type: ignore[arg-type]
