"""Writing to the vector store, reading from it and deleting, on each backend, sync and async."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.load import dumps

from langchain_valkey_glide import ValkeyVectorStore, _documents
from valkey_memory import DocumentError, FilterError, InvalidArgumentError, ValkeyMemoryError

from ..models.words import Words, bag_of_words
from ..search_server import send
from .backends import Backend

AWKWARD_IDS = ["a b", "a:b", "{tag}", "*", "ключ", "line\nbreak", '"quoted"', "\\", "x" * 500]

METADATA = {
    "text": "ünïcode",
    "integer": 7,
    "large": 2**62,
    "fraction": 0.1,
    "whole": 2.0,
    "true": True,
    "false": False,
    "nothing": None,
    "list": [1, "two", 3.5, None, [False]],
    "nested": {"a": {"b": [1, {"c": "d"}]}},
    "empty": "",
    "no items": [],
}

RICH = {
    "at": datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    "naive": datetime(2026, 3, 1, 12, 30, 0, 5),  # noqa: DTZ001
    "day": date(2026, 3, 1),
    "time": time(12, 30),
    "long": timedelta(days=1, microseconds=1),
    "uuid": UUID(int=7),
    "price": Decimal("1.50"),
    "pair": (1, ("a", None)),
    "set": {1, 2},
    "bytes": b"\x00x",
    "infinite": float("inf"),
    "70 bits": 2**70,
    "keys": {1: "a", ("b", 2): [date(2026, 1, 1)]},
    "like a tag": {"~": "date", "v": "no date"},
}

# Names that are the store's own in one storage or the other.
RESERVED = {
    "content": "mine",
    "id": 5,
    "embedding": [1, 2],
    "metadata": {"a": 1},
    "tags": "t",
    "_content": "mine",
    "_metadata": "mine",
    "_embedding": "mine",
    "score": 3,
}


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


# Ids


def test_given_ids_are_returned_and_stored(store: Any) -> None:
    assert store.add_texts(["one", "two"], ids=["1", "2"]) == ["1", "2"]
    found = store.similarity_search("two", k=1)
    assert found == [Document(id="2", page_content="two")]


@pytest.mark.parametrize("constructible", [True, False])
def test_what_is_found_is_like_any_document(
    store: Any, monkeypatch: pytest.MonkeyPatch, constructible: bool
) -> None:
    """Documents are put together without pydantic's help, unless LangChain's have new fields."""
    assert _documents._constructible
    monkeypatch.setattr(_documents, "_constructible", constructible)
    store.add_texts(["one"], [METADATA], ids=["1"])
    expected = Document(id="1", page_content="one", metadata=METADATA)
    (found,) = store.similarity_search("one", k=1)
    assert found == expected
    assert found.model_fields_set == expected.model_fields_set
    assert (found.model_dump_json(), repr(found)) == (expected.model_dump_json(), repr(expected))
    assert dumps(found) == dumps(expected)
    for again in (pickle.loads(pickle.dumps(found)), found.model_copy(deep=True)):  # noqa: S301
        assert again == expected
    found.metadata["new"] = 1
    found.page_content = "other"
    assert store.similarity_search("one", k=1) == [expected]


def test_a_known_id_is_replaced_with_all_its_metadata(store: Any) -> None:
    store.add_texts(["one"], [{"user_id": "alice", "extra": 1}], ids=["1"])
    store.add_texts(["uno"], [{"year": 2026}], ids=["1"])
    assert store.get_by_ids(["1"]) == [
        Document(id="1", page_content="uno", metadata={"year": 2026})
    ]
    assert store.similarity_search("one", filter={"user_id": "alice"}) == []
    assert contents(store.similarity_search("one", k=5)) == ["uno"]


def test_without_ids_there_are_uuids(store: Any) -> None:
    ids = store.add_texts(["one", "two"])
    assert len({UUID(one) for one in ids}) == 2
    assert contents(store.get_by_ids(ids)) == ["one", "two"]


def test_none_among_ids_becomes_a_uuid(store: Any) -> None:
    first, second, third = store.add_texts(["one", "two", "three"], ids=["1", None, "3"])
    assert (first, third) == ("1", "3")
    assert UUID(second)
    assert contents(store.get_by_ids([first, second, third])) == ["one", "two", "three"]


def test_an_empty_id_is_refused(store: Any) -> None:
    with pytest.raises(ValkeyMemoryError, match="non-empty"):
        store.add_texts(["one"], ids=[""])
    assert store.store.index.count() == 0


def test_some_documents_expire_earlier(make: Any, backend: Backend) -> None:
    store = make(ttl=1000)
    store.add_texts(["one"], ids=["1"], ttl=5)
    store.add_documents([Document(id="2", page_content="two")], ttl=timedelta(seconds=50))
    store.add_texts(["three"], ids=["3"])
    left = [milliseconds_left(backend, store, one) for one in "123"]
    assert 0 < left[0] <= 5_000 < left[1] <= 50_000 < left[2] <= 1_000_000


def test_a_bad_ttl_costs_no_embedding(make: Any) -> None:
    model = Words()
    with pytest.raises(InvalidArgumentError, match="ttl must be"):
        make(embedding=model).add_texts(["one"], ttl=-1)
    assert model.calls == []


def milliseconds_left(backend: Backend, store: Any, document_id: str) -> int:
    key = f"{store.store.index.name}:{document_id}"
    return int(send(backend.connection, "PTTL", key))


def test_documents_keep_their_own_ids(store: Any) -> None:
    ids = store.add_documents([Document(id="1", page_content="one"), Document(page_content="two")])
    assert ids[0] == "1"
    assert UUID(ids[1])
    assert contents(store.get_by_ids(ids)) == ["one", "two"]


def test_ids_beside_documents_go_first(store: Any) -> None:
    documents = [Document(id="1", page_content="one"), Document(id="2", page_content="two")]
    assert store.add_documents(documents, ids=["first", None]) == ["first", "2"]
    assert [document.id for document in documents] == ["1", "2"]


def test_awkward_ids_are_kept(store: Any) -> None:
    store.add_texts([f"text {one}" for one in AWKWARD_IDS], ids=AWKWARD_IDS)
    assert [found.id for found in store.get_by_ids(AWKWARD_IDS)] == AWKWARD_IDS
    found = store.similarity_search("text", k=50)
    assert {document.id for document in found} == set(AWKWARD_IDS)
    store.delete(AWKWARD_IDS)
    assert store.store.index.count() == 0


# Constructors


def test_from_texts(backend: Backend, face: Callable[[Any], Any]) -> None:
    make = face(ValkeyVectorStore).from_texts
    made = make(["one", "two"], Words(), [{"n": 1}, {"n": 2}], ids=["1", "2"], **backend.options())
    store = face(backend.keep(made))
    assert store.similarity_search("two", k=1) == [
        Document(id="2", page_content="two", metadata={"n": 2})
    ]


def test_from_documents_with_and_without_ids(backend: Backend, face: Callable[[Any], Any]) -> None:
    documents = [
        Document(id="1", page_content="one", metadata={"n": 1}),
        Document(page_content="two", metadata={"n": 2}),
    ]
    make = face(ValkeyVectorStore).from_documents
    store = face(backend.keep(make(documents, Words(), **backend.options())))
    first, second = store.similarity_search("one", k=2)
    assert first == documents[0]
    assert (second.page_content, second.metadata) == ("two", {"n": 2})
    assert UUID(second.id)


def test_from_nothing_makes_an_empty_store(backend: Backend, face: Callable[[Any], Any]) -> None:
    make = face(ValkeyVectorStore).from_texts
    store = face(backend.keep(make([], Words(), **backend.options())))
    assert store.similarity_search("one") == []


def test_a_second_store_of_the_index_finds_the_same(
    backend: Backend, face: Callable[[Any], Any]
) -> None:
    options = backend.options()
    face(backend.keep(ValkeyVectorStore(Words(), **options))).add_texts(["one"], ids=["1"])
    other = face(ValkeyVectorStore(Words(), **options))
    assert other.similarity_search("one") == [Document(id="1", page_content="one")]


# Reading


def test_get_by_ids_keeps_the_order_and_leaves_unknown_ones_out(store: Any) -> None:
    store.add_texts(["one", "two", "three"], ids=["1", "2", "3"])
    found = store.get_by_ids(["3", "none", "1", "2"])
    assert [document.id for document in found] == ["3", "1", "2"]


def test_get_by_no_ids_is_nothing(store: Any) -> None:
    assert store.get_by_ids([]) == []


def test_more_than_ten_are_found(store: Any) -> None:
    store.add_texts([f"text {number}" for number in range(30)])
    assert len(store.similarity_search("text", k=25)) == 25
    assert len(store.similarity_search("text", k=100)) == 30


def test_an_empty_store_finds_nothing(store: Any) -> None:
    assert store.similarity_search_with_score("anything") == []
    assert store.max_marginal_relevance_search("anything") == []


def test_search_by_vector(store: Any) -> None:
    store.add_texts(["one", "two"], ids=["1", "2"])
    vector = bag_of_words("two", 64)
    assert contents(store.similarity_search_by_vector(vector, k=1)) == ["two"]
    ((found, score),) = store.similarity_search_with_score_by_vector(vector, k=1)
    assert found.id == "2"
    assert score == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "4"])
def test_a_wrong_k_is_refused(store: Any, k: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="k must"):
        store.similarity_search("one", k=k)
    with pytest.raises(InvalidArgumentError, match="k must"):
        store.max_marginal_relevance_search("one", k=k)


# Metadata


def test_metadata_comes_back_with_its_own_types(store: Any) -> None:
    (one,) = store.add_texts(["one"], [METADATA])
    (found,) = store.similarity_search("one")
    (read,) = store.get_by_ids([one])
    for document in (found, read):
        assert document.metadata == METADATA
        types = {name: type(value) for name, value in document.metadata.items()}
        assert types == {name: type(value) for name, value in METADATA.items()}


def test_metadata_may_have_the_stores_own_names(make: Callable[..., Any]) -> None:
    store = make(metadata_fields={"user_id": "tag"})
    store.add_texts(["the text"], [{"user_id": "alice", **RESERVED}], ids=["the id"])
    expected = Document(
        id="the id", page_content="the text", metadata={"user_id": "alice", **RESERVED}
    )
    assert store.similarity_search("the text", filter={"user_id": "alice"}) == [expected]
    assert store.get_by_ids(["the id"]) == [expected]


def test_the_callers_metadata_is_left_alone(store: Any) -> None:
    metadata = {"user_id": "alice"}
    store.add_texts(["one"], [metadata])
    (found,) = store.similarity_search("one")
    found.metadata["user_id"] = "bob"
    assert metadata == {"user_id": "alice"}
    assert contents(store.similarity_search("one", filter={"user_id": "alice"})) == ["one"]


@pytest.mark.parametrize("value", [object(), iter(()), np.ones(2)])
def test_metadata_that_cannot_be_stored_writes_nothing(store: Any, value: Any) -> None:
    with pytest.raises(DocumentError, match="metadata"):
        store.add_texts(["one", "two"], [{}, {"value": value}])
    assert store.store.index.count() == 0


def test_rich_metadata_comes_back_equal(store: Any) -> None:
    store.add_texts(["one"], [RICH], ids=["1"])
    for found in (store.similarity_search("one"), store.get_by_ids(["1"])):
        assert found[0].metadata == RICH
        assert {name: type(value) for name, value in found[0].metadata.items()} == {
            name: type(value) for name, value in RICH.items()
        }


def test_rich_metadata_is_filtered_as_declared(make: Any) -> None:
    fields = {"at": "numeric", "price": "numeric", "day": "tag", "session_id": "tag"}
    store = make(metadata_fields=fields)
    noon, one = datetime(2026, 3, 1, 12, tzinfo=UTC), UUID(int=1)
    store.add_texts(
        ["one", "two"],
        [
            {
                "at": noon,
                "price": Decimal("1.5"),
                "day": date(2026, 3, 1),
                "session_id": UUID(int=1),
            },
            {"at": noon + timedelta(days=1), "price": 3, "day": "2026-03-02", "session_id": "x"},
        ],
        ids=["1", "2"],
    )

    def found(condition: Any) -> list[str | None]:
        return [one.id for one in store.get_by_filter(condition)]

    assert found({"at": {"$lte": noon}}) == found({"price": {"$lt": Decimal(2)}}) == ["1"]
    assert found({"at": {"$gt": noon}}) == found({"day": date(2026, 3, 2)}) == ["2"]
    assert found({"day": "2026-03-01"}) == found({"session_id": one}) == ["1"]
    assert found({"session_id": {"$in": [str(one)]}}) == ["1"]


def test_what_a_time_weighted_retriever_stores(store: Any) -> None:
    """LangChain's stores the time of the last access, without a zone, and reads it from what it
    finds by relevance."""
    then = datetime.now() - timedelta(days=1)  # noqa: DTZ005
    metadata = {"last_accessed_at": then, "created_at": then, "buffer_idx": 0}
    store.add_documents([Document(page_content="old bees", metadata=metadata)])
    ((found, relevance),) = store.similarity_search_with_relevance_scores("bees", k=1)
    assert found.metadata == metadata
    assert 0 < relevance <= 1
    assert datetime.now() - found.metadata["last_accessed_at"] > timedelta(hours=23)  # noqa: DTZ005


def test_a_declared_field_of_another_type_writes_nothing(store: Any) -> None:
    with pytest.raises(DocumentError, match="'year' is numeric"):
        store.add_texts(["one", "two"], [{"year": 2026}, {"year": "2026"}])
    assert store.store.index.count() == 0


def test_texts_that_are_not_unicode_write_nothing(store: Any) -> None:
    with pytest.raises(DocumentError):
        store.add_texts(["one", "\ud800"])
    assert store.store.index.count() == 0


# Deleting


def test_delete_by_ids(store: Any) -> None:
    store.add_texts(["one", "two", "three"], ids=["1", "2", "3"])
    assert store.delete(["1", "3", "unknown"]) is True
    assert contents(store.similarity_search("one", k=5)) == ["two"]


def test_delete_by_filter(store: Any) -> None:
    users = ["alice", "alice", "bob"]
    store.add_texts(["one", "two", "three"], [{"user_id": user} for user in users])
    assert store.delete(filter={"user_id": "alice"}) is True
    assert contents(store.similarity_search("one", k=5)) == ["three"]


def test_delete_of_an_empty_list_deletes_nothing(store: Any) -> None:
    store.add_texts(["one"])
    assert store.delete([]) is True
    assert store.store.index.count() == 1


def test_delete_wants_ids_or_a_filter(store: Any) -> None:
    store.add_texts(["one"])
    with pytest.raises(InvalidArgumentError, match="ids, filter= or both"):
        store.delete()
    assert store.store.index.count() == 1


def test_delete_by_ids_and_a_filter_takes_what_both_name(store: Any) -> None:
    names = ["alice", "bob", "alice"]
    store.add_texts(["a", "b", "c"], [{"user_id": name} for name in names], ids=["1", "2", "3"])
    assert store.delete(["1", "2", "unknown"], filter={"user_id": "alice"}) is True
    assert sorted(one.id for one in store.get_by_filter()) == ["2", "3"]
    with pytest.raises(FilterError, match="not declared"):
        store.delete(["2"], filter={"colour": "red"})
    assert store.store.index.count() == 2


def test_get_by_filter_needs_no_query(store: Any) -> None:
    store.add_texts(["a", "b", "c"], [{"year": n} for n in (3, 1, 2)], ids=["3", "1", "2"])
    assert [d.id for d in store.get_by_filter(order_by="year", limit=2)] == ["1", "2"]
    assert [d.id for d in store.get_by_filter(order_by="year", offset=2)] == ["3"]
    (found,) = store.get_by_filter({"$not": [{"year": 1}, {"year": 3}]})
    assert found == Document(id="2", page_content="c", metadata={"year": 2})


# Pickles and copies

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),  # noqa: S301 - our own
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_finds_the_same(
    backend: Backend, copied: Callable[[Any], Any], request: pytest.FixtureRequest
) -> None:
    options = {"metadata_fields": {"user_id": "tag"}, "ttl": timedelta(hours=1), "metric": "l2"}
    options |= {"connection": None, "url": backend.connection.url}
    store = backend.store(DeterministicFakeEmbedding(size=8), **options)
    store.add_texts(["one"], [{"user_id": "alice"}], ids=["1"])
    again = copied(store)
    assert [d.id for d in again.similarity_search("one", filter={"user_id": "alice"})] == ["1"]
    assert again.index.__getstate__() == store.index.__getstate__()
    assert again.embeddings == store.embeddings
    again.add_texts(["two"], ids=["2"])
    assert len(store.similarity_search("two")) == 2


def test_delete_by_an_undeclared_field_deletes_nothing(store: Any) -> None:
    store.add_texts(["one"], [{"colour": "red"}])
    with pytest.raises(FilterError, match="'colour' is not declared"):
        store.delete(filter={"colour": "red"})
    assert store.store.index.count() == 1


# Arguments that do not fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metadatas": [{}]}, "2 texts and 1 metadatas"),
        ({"metadatas": [{}, {}, {}]}, "2 texts and 3 metadatas"),
        ({"metadatas": []}, "2 texts and 0 metadatas"),
        ({"ids": ["1"]}, "2 texts and 1 ids"),
        ({"ids": ["1", "2", "3"]}, "2 texts and 3 ids"),
        ({"ids": []}, "2 texts and 0 ids"),
        ({"ids": ["same", "same"]}, "id 'same' occurs twice"),
        ({"ids": "12"}, "ids must be a list"),
        ({"metadatas": [{}, None]}, "metadata must be a dict"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_embedded(
    make: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    model = Words()
    store = make(model)
    with pytest.raises(ValkeyMemoryError, match=re.escape(message)):
        store.add_texts(["one", "two"], **arguments)
    assert model.calls == []
    assert store.store.index.count() == 0


def test_documents_and_ids_of_different_lengths_are_refused(store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="1 texts and 2 ids"):
        store.add_documents([Document(page_content="one")], ids=["1", "2"])


def test_one_string_is_no_list_of_texts(store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="not one string"):
        store.add_texts("one")


@pytest.mark.parametrize("change", [lambda all_: all_[:-1], lambda all_: [*all_, all_[0]]])
def test_a_wrong_number_of_vectors_writes_nothing(
    make: Callable[..., Any], change: Callable[[list[Any]], list[Any]]
) -> None:
    class Miscounting(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return change(super().vectors(texts)) if len(texts) > 1 else super().vectors(texts)

    store = make(Miscounting())
    with pytest.raises(DocumentError, match=r"returned \d vectors for 2 texts"):
        store.add_texts(["one", "two"])
    assert store.store.index.count() == 0


def test_a_vector_of_another_length_writes_nothing(make: Callable[..., Any]) -> None:
    class Uneven(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return [bag_of_words(text, 32 if text == "short" else 64) for text in texts]

    store = make(Uneven())
    with pytest.raises(DocumentError, match="32 numbers, the index has dimension 64"):
        store.add_texts(["one", "short"])
    assert store.store.index.count() == 0


def test_a_vector_that_is_not_finite_writes_nothing(make: Callable[..., Any]) -> None:
    class Broken(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return [[float("nan")] * 64 if text == "bad" else [1.0] * 64 for text in texts]

    store = make(Broken())
    with pytest.raises(DocumentError, match="must be finite"):
        store.add_texts(["one", "bad"])
    assert store.store.index.count() == 0


def test_an_undeclared_field_names_its_declaration(store: Any) -> None:
    store.add_texts(["one"])
    with pytest.raises(FilterError, match=re.escape('metadata_fields={"colour": "tag", ...}')):
        store.similarity_search("one", filter={"colour": "red"})
    with pytest.raises(FilterError, match=re.escape('metadata_fields={"size": "numeric", ...}')):
        store.similarity_search("one", filter={"size": {"$gt": 3}})


@pytest.mark.parametrize("embedding", [None, "model", object()])
def test_what_is_no_model_is_refused(embedding: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a LangChain Embeddings"):
        ValkeyVectorStore(embedding)


@pytest.mark.parametrize(
    "options",
    [
        {"dimension": 0},
        {"dimension": -1},
        {"embedding_batch_size": 0},
        {"embedding_concurrency": 0},
        {"storage": "xml"},
        {"search": "maybe"},
        {"metric": "manhattan"},
        {"algorithm": "magic"},
        {"m": 0},
        {"exact_limit": 0},
        {"ttl": 0},
        {"refresh_ttl_on_read": True},
        {"metadata_fields": {"a": "colour"}},
        {"metadata_fields": ["a"]},
    ],
)
def test_wrong_options_fail_in_the_constructor(options: dict[str, Any]) -> None:
    with pytest.raises(ValkeyMemoryError):
        ValkeyVectorStore(Words(), url="valkey://127.0.0.1:1", **options)
