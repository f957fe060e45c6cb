"""Whatever is given, errors are this library's: nothing else comes out of a vector index."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import Numeric, Tag, Text, ValkeyMemoryError
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.index import VectorIndex
from valkey_memory._vectors.text_index import TextIndex

from .documents import QUERY, doc

exact_only = pytest.mark.parametrize("backend", ["exact"], indirect=True)


def deep(levels: int, within: Callable[[Any], Any], value: Any) -> Any:
    for _ in range(levels):
        value = within(value)
    return value


class Rude:
    """Its repr calls itself."""

    def __repr__(self) -> str:
        return repr(self)


ODD: dict[str, Any] = {
    "None": None,
    "list": [],
    "dict": {},
    "set": {1},
    "bytes": b"x",
    "surrogate": "\ud800",
    "empty": "",
    "huge": 10**5000,
    "negative": -1,
    "NaN": float("nan"),
    "infinite": float("inf"),
    "deep list": deep(100_000, lambda inner: [inner], 1),
    "rude": Rude(),
}

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda index, odd: index.get([odd]),
    "get of no list": lambda index, odd: index.get(5 if odd in ([], {}, {1}) else odd),
    "delete": lambda index, odd: index.delete([odd]),
    "id": lambda index, odd: index.upsert([Document(odd, "", {}, QUERY)]),
    "content": lambda index, odd: index.upsert([Document("a", odd, {}, QUERY)]),
    "embedding": lambda index, odd: index.upsert([Document("a", "", {}, odd)]),
    "document": lambda index, odd: index.upsert([odd]),
    "vector": lambda index, odd: index.search(odd),
    "k": lambda index, odd: index.search(QUERY, odd),
    "min_score": lambda index, odd: index.search(QUERY, min_score=odd),
    "ef_runtime": lambda index, odd: index.search(QUERY, ef_runtime=odd),
    "wait": lambda index, odd: index.wait_until_ready(odd),
    "filter of ids": lambda index, odd: index.delete(["d1"], odd or 5),
    "fetch_k": lambda index, odd: index.search_diverse(QUERY, fetch_k=odd),
    "lambda_mult": lambda index, odd: index.search_diverse(QUERY, lambda_mult=odd),
    "offset": lambda index, odd: index.page(offset=odd),
    "limit": lambda index, odd: index.page(limit=odd),
    "order_by": lambda index, odd: index.page(order_by=odd or 5),
    "filter": lambda index, odd: index.count(odd or 5),
    "filter's field": lambda index, odd: index.count({(id(odd),): 1, "$or": [{None: odd}]}),
    "filter's number": lambda index, odd: index.count({"year": {"$gt": odd}}),
    "filter's list": lambda index, odd: index.count({"user_id": {"$in": [odd, []]}}),
    "expression's field": lambda index, odd: index.count(Tag(odd) == "a"),
    "expression's number": lambda index, odd: index.count(Numeric("year") > odd),
    "expression's words": lambda index, odd: index.count(Text("user_id").matches(odd)),
    "ttl": lambda index, odd: index.upsert([doc(1)], ttl=odd if odd is not None else 0),
}
# Where something odd is nevertheless what can be asked.
ALLOWED = {
    ("filter's number", "infinite"),
    ("filter's number", "negative"),
    ("expression's number", "infinite"),
    ("expression's number", "negative"),
    ("lambda_mult", "None"),
}


@exact_only
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("call", CALLS)
def test_odd_arguments(index: Any, call: str, odd: str) -> None:
    if (call, odd) in ALLOWED:
        return
    with contextlib.suppress(ValkeyMemoryError):
        CALLS[call](index, ODD[odd])
    # What is no error must leave an index that works.
    assert index.count() >= 0
    index.delete_where(None)


OPTIONS = (
    *("name", "dimension", "fields", "storage", "search", "metric", "algorithm", "m"),
    *("ef_construction", "ef_runtime", "ttl", "exact_limit", "on_corrupt", "connection"),
)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("nested", [False, True], ids=["itself", "within"])
def test_odd_options(option: str, odd: str, nested: bool) -> None:
    value = ODD[odd]
    if nested:
        value = {"year": value} if option == "fields" else [value]
    known: dict[str, Any] = {"name": "docs", "dimension": 4, "url": "valkey://127.0.0.1:1"}
    if option == "connection":
        del known["url"]
    with contextlib.suppress(ValkeyMemoryError):
        index = VectorIndex(**(known | {option: value}))
        # What is no error is a default.
        assert (option, value) in ((option, None), ("fields", []), ("fields", {}), ("fields", ""))
        assert index.mode is None


@pytest.mark.parametrize(
    "condition",
    [
        deep(100_000, lambda inner: {"$not": inner}, {"user_id": "a"}),
        deep(5000, lambda inner: {"$or": [inner]}, {"user_id": "a"}),
        deep(200, lambda inner: ~(inner & (Tag("user_id") == "b")), Tag("user_id") == "a"),
    ],
    ids=["$not", "$or", "~ and &"],
)
@exact_only
def test_filters_that_are_nested_deep(index: Any, condition: Any) -> None:
    with pytest.raises(ValkeyMemoryError, match="levels deep"):
        index.count(condition)


@exact_only
@pytest.mark.parametrize("odd", [name for name in ODD if name != "None"])
def test_odd_ids_of_texts(vector_connection: Any, odd: str) -> None:
    texts = TextIndex(
        lambda some: [QUERY for _ in some],
        "odd-texts",
        search="exact",
        connection=vector_connection,
    )
    with contextlib.suppress(ValkeyMemoryError):
        texts.add(["one"], ids=[ODD[odd]])
    texts.index.drop(delete_documents=True)
