"""What an index refuses, and that nothing of a refused call is written."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from valkey_memory import ConfigurationError, FilterError, InvalidArgumentError, ValkeyConnection
from valkey_memory._errors import DocumentError, KeyTypeError
from valkey_memory._filters.expressions import Numeric, Tag, Text
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.index import VectorIndex
from valkey_memory._vectors.limits import DOCUMENT_BYTES

from ..search_server import send
from .conftest import INDEX
from .documents import QUERY, doc, ids

OK = [1.0, 2.0, 3.0, 4.0]

BAD_VECTORS: dict[str, tuple[Any, str]] = {
    "short": ([1.0, 2.0], "2 numbers, the index has dimension 4"),
    "long": ([1.0] * 5, "5 numbers, the index has dimension 4"),
    "empty": ([], "0 numbers, the index has dimension 4"),
    "NaN": ([1.0, math.nan, 3.0, 4.0], "nan at 1"),
    "infinity": ([1.0, 2.0, 3.0, -math.inf], "-inf at 3"),
    "beyond float32": ([1e39, 2.0, 3.0, 4.0], r"1e\+39 at 0"),
    "words": (["a", "b", "c", "d"], "no vector"),
    "None": (None, "numbers"),
    "None inside": ([1.0, None, 3.0, 4.0], "vector|finite"),
    "a number": (4.0, "numbers"),
    "a string": ("1234", "no vector|numbers"),
    "nested": ([[1.0, 2.0], [3.0, 4.0]], "2x2 numbers"),
    "ragged": ([[1.0], [3.0, 4.0]], "no vector"),
    "complex": ([1j, 2.0, 3.0, 4.0], "no vector"),
    "object array": (np.array([1, "x", 3, 4], dtype=object), "no vector"),
}

WITHIN_ITSELF: list[Any] = []
WITHIN_ITSELF.append(WITHIN_ITSELF)


def nested(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels - 1):
        found = [found]
    return found


BAD_METADATA: dict[str, tuple[Any, str]] = {
    "object": ({"a": object()}, r"metadata\['a'\] is builtins.object, which cannot be stored"),
    "object within": ({"a": [{"b": (object(),)}]}, r"\['a'\]\[0\]\['b'\]\[0\] is builtins.object"),
    "array": ({"a": np.ones(2)}, "numpy.ndarray, which cannot be stored"),
    "key not a string": ({1: "a"}, "key 1, which is no string"),
    "deep": ({"a": nested(101)}, "nested more than 100 levels"),
    "very deep": ({"a": nested(100_000)}, "nested too deep"),
    "within itself": ({"a": WITHIN_ITSELF}, "contains itself"),
    "surrogate": ({"a": "\ud800"}, "utf-8|surrogate|str"),
    "surrogate key": ({"\ud800": 1}, "utf-8|surrogate|str"),
    "no dict": ([("a", 1)], "metadata must be a dict"),
    "None": (None, "metadata must be a dict"),
    "tag a float": ({"user_id": 1.5}, "'user_id' is a tag"),
    "tag a dict": ({"user_id": {"a": 1}}, "'user_id' is a tag"),
    "tag with None inside": ({"labels": ["a", None]}, "'labels' is a tag"),
    "tag a surrogate": ({"user_id": "\udfff"}, "Unicode|surrogate|utf-8|str"),
    "number a string": ({"year": "2026"}, "'year' is numeric"),
    "number a bool": ({"year": True}, "'year' is numeric"),
    "number a list": ({"year": [1]}, "'year' is numeric"),
    "number beyond 2**53": ({"year": 2**53 + 1}, "beyond 2\\*\\*53"),
}

BAD_DOCUMENTS: dict[str, tuple[Any, str]] = {
    "content None": (Document("a", None, {}, OK), "content must be a string"),  # type: ignore[arg-type]
    "content bytes": (Document("a", b"x", {}, OK), "content must be a string"),  # type: ignore[arg-type]
    "content a surrogate": (Document("a", "\ud800", {}, OK), "surrogate|utf-8|str"),
    "too large": (Document("a", "x" * DOCUMENT_BYTES, {}, OK), "bytes; at most"),
    "too large metadata": (Document("a", "", {"a": "x" * DOCUMENT_BYTES}, OK), "at most"),
    "no embedding": (Document("a", "x"), "0 numbers"),
    "id empty": (Document("", "x", {}, OK), "non-empty string"),
    "id a number": (Document(1, "x", {}, OK), "non-empty string"),  # type: ignore[arg-type]
    "id a surrogate": (Document("\ud800", "x", {}, OK), "surrogates"),
    **{f"vector {n}": (Document("a", "x", {}, v), m) for n, (v, m) in BAD_VECTORS.items()},
    **{f"metadata {n}": (Document("a", "x", d, OK), m) for n, (d, m) in BAD_METADATA.items()},
}


@pytest.mark.parametrize(
    ("document", "message"),
    BAD_DOCUMENTS.values(),
    ids=[n.replace("-", "minus ") for n in BAD_DOCUMENTS],
)
@pytest.mark.parametrize("face", ["sync"], indirect=True)
@pytest.mark.same_commands
def test_a_bad_document_stops_the_call_before_anything_is_written(
    index: Any, document: Document, message: str
) -> None:
    index.create()
    with pytest.raises(DocumentError, match=message) as caught:
        index.upsert([doc(1), document, doc(2)])
    if document.id == "a":
        assert "document 'a'" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert index.get(["d1", "d2", "a"]) == []
    assert index.count() == 0


def test_a_bad_document_is_refused_by_both_faces(index: Any) -> None:
    with pytest.raises(DocumentError, match="dimension 4"):
        index.upsert([doc(1), Document("a", "x", {}, [1.0])])
    assert index.count() == 0


@pytest.mark.real_search
@pytest.mark.parametrize("face", ["sync"], indirect=True)
def test_metadata_as_deep_as_it_may_be(index: Any) -> None:
    index.upsert([Document("a", "x", {"a": nested(100)}, OK)])
    assert index.search(OK)[0].document.metadata == {"a": nested(100)}


@pytest.mark.real_search
@pytest.mark.parametrize("face", ["sync"], indirect=True)
def test_a_document_of_the_largest_size_is_returned(make_index: Any) -> None:
    index = make_index(fields={})
    content = "x" * (DOCUMENT_BYTES - 200)
    index.upsert([Document("a", content, {}, OK)])
    assert index.search(OK)[0].document.content == content
    assert index.page()[0].content == content


# What other programs left under a key of the index


ONES = struct.pack("<4f", 1, 1, 1, 1)
FOREIGN_HASHES: dict[str, list[str | bytes]] = {
    "text": ["_metadata", "{}", "_content", b"\xff"],
    "metadata": ["_metadata", "{", "_content", "x"],
    "metadata no dict": ["_metadata", "[1]", "_content", "x"],
}
FOREIGN_DOCUMENTS = {
    "text": '{"content": "x", "metadata": 5, "embedding": "[1,1,1,1]"}',
    "metadata": '{"content": "x", "metadata": "{", "embedding": "[1,1,1,1]"}',
    "metadata no dict": '{"content": "x", "metadata": [1], "embedding": "[1,1,1,1]"}',
}


@pytest.mark.real_search
@pytest.mark.parametrize("what", list(FOREIGN_HASHES))
def test_what_cannot_be_read_is_named(
    make_index: Any, vector_connection: ValkeyConnection, backend: str, what: str
) -> None:
    make_index().upsert([doc(1)])
    key = f"{INDEX}:foreign"
    if backend == "json":
        send(vector_connection, "JSON.SET", key, "$", FOREIGN_DOCUMENTS[what])
    else:
        send(vector_connection, "HSET", key, "_embedding", ONES, *FOREIGN_HASHES[what])
    index = make_index()
    reads: list[Callable[[], Any]] = [
        lambda: index.search(OK),
        lambda: index.search(OK, embeddings=True),
        lambda: index.get(["d1", "foreign"]),
    ]
    for read in reads:
        with pytest.raises(DocumentError, match=r"document 'foreign' of index '.*' cannot be read"):
            read()
    assert index.delete(["foreign"]) == 1
    assert [hit.document.id for hit in index.search(OK)] == ["d1"]


@pytest.mark.real_search
def test_a_key_of_another_type_is_named_or_skipped(
    make_index: Any, vector_connection: ValkeyConnection, caplog: pytest.LogCaptureFixture
) -> None:
    make_index().upsert([doc(1), doc(2)])
    send(vector_connection, "SET", f"{INDEX}:foreign", "no document")
    given = ["d1", "foreign", "missing", "d2"]
    with pytest.raises(KeyTypeError, match=r"document 'foreign': .* another type"):
        make_index().get(given)
    index = make_index(on_corrupt="skip")
    assert ids(index.get(given)) == ["d1", "d2"]
    (skipped,) = (one for one in caplog.messages if one.startswith("skipped"))
    assert "document 'foreign'" in skipped
    assert index.get(["foreign"]) == []
    assert sorted(ids(index.search(OK))) == ["d1", "d2"]
    assert send(vector_connection, "GET", f"{INDEX}:foreign") == b"no document"


@pytest.mark.parametrize("backend", ["exact"], indirect=True)
def test_a_document_that_does_not_fit_the_declaration_is_named(make_index: Any) -> None:
    """It was written when the field was not declared."""
    make_index(fields={}).upsert([doc(1), Document("a", "x", {"year": "2026"}, OK)])
    index = make_index()
    with pytest.raises(
        DocumentError, match=r"document 'a' of .* cannot be read: 'year' is numeric"
    ):
        index.search(OK)
    index.upsert([Document("a", "x", {"year": 2026}, OK)])
    assert [hit.document.id for hit in index.search(OK, filter={"year": 2026})] == ["a"]


# Filters


BAD_FILTERS: dict[str, tuple[Any, str]] = {
    "undeclared": ({"tenant": "a"}, r"'tenant' is not declared.*fields=\{\"tenant\": \"tag\""),
    "undeclared range": ({"score": {"$gt": 1}}, r"metadata_fields=\{\"score\": \"numeric\""),
    "undeclared phrase": ({"body": {"$phrase": "a b"}}, r"metadata_fields=\{\"body\": \"text\""),
    "undeclared expression": (Tag("tenant") == "a", "'tenant' is not declared"),
    "undeclared deep inside": (~(Tag("user_id") == "a") | Tag("tenant").exists(), "'tenant'"),
    "own field": (Tag("_has") == "_any", "'_has' is not declared"),
    "tag as number": (Numeric("user_id") > 1, "declared as tag, not as numeric"),
    "number as tag": (Tag("year") == 1, "declared as numeric, not as tag"),
    "text as tag": (Tag("content") == "x", "declared as text, not as tag"),
    "tag as text": (Text("user_id").matches("x"), "declared as tag, not as text"),
    "number a string": ({"year": "2026"}, "'year' is numeric"),
    "number a bool": ({"year": {"$gt": True}}, "'year' is numeric"),
    "number NaN": ({"year": {"$gt": math.nan}}, "NaN"),
    "tag a float": ({"user_id": 1.5}, "'user_id' is a tag"),
    "tag a range": ({"user_id": {"$gt": "a"}}, "no operator 'gt'"),
    "text a number": ({"content": 5}, "'content' is a text"),
    "unknown operator": ({"year": {"$near": 1}}, r"unknown operator '\$near'"),
    "unknown top": ({"$nor": []}, r"unknown operator '\$nor'"),
    "no dict": ("user_id:alice", "must be a dict or an expression"),
    "surrogate": ({"user_id": "\ud800"}, "Unicode"),
}  # fmt: skip


@pytest.mark.parametrize(("condition", "message"), BAD_FILTERS.values(), ids=list(BAD_FILTERS))
@pytest.mark.parametrize("face", ["sync"], indirect=True)
@pytest.mark.same_commands
def test_a_bad_filter_is_an_error_in_every_method(index: Any, condition: Any, message: str) -> None:
    index.upsert([doc(1, user_id="alice", year=1)])
    calls: list[Any] = [
        lambda: index.search(QUERY, filter=condition),
        lambda: index.search_diverse(QUERY, filter=condition),
        lambda: index.page(condition),
        lambda: index.count(condition),
        lambda: index.delete_where(condition),
    ]
    for call in calls:
        with pytest.raises(FilterError, match=message):
            call()
    assert index.count() == 1


def test_a_filter_longer_than_a_query_may_be(index: Any, backend: str) -> None:
    index.upsert([doc(1, user_id="u1", year=1), doc(2, user_id="u2000")])
    many = Tag("user_id").is_in([f"u{number}" for number in range(1_500)])
    long = Tag("user_id").is_in([f"{number:0100}" for number in range(150)])
    if backend == "exact":
        assert (index.count(many), index.count(long)) == (1, 0)
        return
    for condition in (many, long):
        with pytest.raises(
            FilterError, match=r"too large for valkey-search.*10240 and 1000 allowed"
        ):
            index.count(condition)
        with pytest.raises(FilterError, match="Split long lists"):
            index.delete_where(condition)
    assert index.count() == 2


# The index itself


def make(**options: Any) -> VectorIndex:
    known: dict[str, Any] = {"name": "docs", "dimension": 4, "url": "valkey://127.0.0.1:1"}
    return VectorIndex(**(known | options))


BAD_OPTIONS: dict[str, tuple[Mapping[str, Any], str]] = {
    "name empty": ({"name": ""}, "index name"),
    "name with a brace": ({"name": "a{b}"}, "index name"),
    "name with a space": ({"name": "a b"}, "index name"),
    "name with a colon": ({"name": "a:b"}, "would take in the documents of 'a:b'"),
    "name of 129": ({"name": "a" * 129}, "index name"),
    "name with a newline": ({"name": "a\n"}, "index name"),
    "name a number": ({"name": 1}, "index name"),
    "name not ASCII": ({"name": "é"}, "index name"),
    "dimension 0": ({"dimension": 0}, "dimension must be 1 to 32768"),
    "dimension beyond": ({"dimension": 32_769}, "dimension must be 1 to 32768"),
    "dimension True": ({"dimension": True}, "dimension must be"),
    "dimension a float": ({"dimension": 4.0}, "dimension must be"),
    "m": ({"m": 0}, "m must be 1 to"),
    "ef_construction": ({"ef_construction": 5_000}, "ef_construction must be 1 to 4096"),
    "ef_runtime": ({"ef_runtime": "10"}, "ef_runtime must be 1 to 4096"),
    "storage": ({"storage": "list"}, "storage 'list' is unknown"),
    "search": ({"search": "fast"}, "search 'fast' is unknown"),
    "metric": ({"metric": "COSINE"}, "metric 'COSINE' is unknown"),
    "algorithm": ({"algorithm": "ivf"}, "algorithm 'ivf' is unknown"),
    "field type": ({"fields": {"a": "vector"}}, "'a' has the type 'vector'"),
    "field type a class": ({"fields": {"a": str}}, "'a' has the type"),
    "field with a dash": ({"fields": {"a-b": "tag"}}, "metadata field 'a-b'"),
    "field with an underscore": ({"fields": {"_has": "tag"}}, "metadata field '_has'"),
    "field empty": ({"fields": {"": "tag"}}, "metadata field ''"),
    "field not ASCII": ({"fields": {"é": "tag"}}, "metadata field 'é'"),
    "field of 65": ({"fields": {"a" * 65: "tag"}}, "metadata field"),
    "field with a newline": ({"fields": {"a\n": "tag"}}, "metadata field"),
    "field a query": ({"fields": {"a:{x}|@b": "tag"}}, "metadata field"),
    "field a number": ({"fields": {1: "tag"}}, "metadata field 1"),
    "content a tag": ({"fields": {"content": "tag"}}, "declare it as text"),
    "ttl zero": ({"ttl": 0}, "ttl must be more than 0"),
    "refresh without ttl": ({"refresh_ttl_on_read": True}, "needs a ttl"),
    "exact_limit": ({"exact_limit": 0}, "exact_limit"),
}


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS.values(), ids=list(BAD_OPTIONS))
def test_a_bad_option_is_an_error_at_once(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=message):
        make(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a" * 128},
        {"name": "Docs.v2_x-1"},
        {"dimension": 1},
        {"dimension": 32_768},
        {"fields": {"a" * 64: "tag", "A_9": "text", "content": "text"}},
    ],
    ids=["long name", "all of a name", "least", "most", "fields"],
)
def test_options_at_their_bounds_are_fine(options: Mapping[str, Any]) -> None:
    assert make(**options).mode is None


def test_a_misspelled_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="metrik"):
        make(metrik="l2")
