"""Filters on values: every operator, JSON's equality, and what the index may leave out of them."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from valkey_memory import FilterError
from valkey_memory._filters.evaluation import indexed, matches
from valkey_memory._filters.expressions import check
from valkey_memory._filters.query import compile_filter
from valkey_memory._items.conditions import check_condition, equal, satisfies
from valkey_memory._items.declared import Declared, index_fields, metadata_of, restriction
from valkey_memory._items.records import encode

ALICE = {"name": "Alice", "age": 30, "tags": ["a", "b"], "home": {"city": "Rome", "floor": 3}}


@pytest.mark.parametrize(
    ("condition", "fits"),
    [
        ({}, True),
        ({"name": "Alice"}, True),
        ({"name": "alice"}, False),
        ({"name": "Alice", "age": 31}, False),
        ({"missing": None}, True),
        ({"name": None}, False),
        ({"age": 30.0}, True),
        ({"age": {"$eq": 30}}, True),
        ({"age": {"$ne": 30}}, False),
        ({"missing": {"$ne": 30}}, True),
        ({"age": {"$gt": 29, "$lt": 31}}, True),
        ({"age": {"$gt": 30}}, False),
        ({"age": {"$gte": 30, "$lte": 30}}, True),
        ({"age": {"$gt": "29.5"}}, True),
        ({"missing": {"$gt": 0}}, False),
        ({"name": {"$gt": 0}}, False),
        ({"name": {"$gte": "Al"}}, True),
        ({"tags": {"$gt": 0}}, False),
        ({"tags": ["a", "b"]}, True),
        ({"tags": ("a", "b")}, True),
        ({"tags": ["a"]}, False),
        ({"tags": ["a", {"$ne": "a"}]}, True),
        ({"tags": {"$eq": ["a", "b"]}}, True),
        ({"tags": "a"}, False),
        ({"home": {"city": "Rome"}}, True),
        ({"home": {"city": "Rome", "floor": {"$gt": 2}}}, True),
        ({"home": {"city": {"$ne": "Rome"}}}, False),
        ({"home": {"$eq": {"city": "Rome"}}}, False),
        ({"home": {}}, True),
        ({"name": {}}, False),
        ({"name": {"city": "Rome"}}, False),
        ({"age": {"$lt": 10**400}}, True),
    ],
)
def test_filters(condition: dict[str, Any], fits: bool) -> None:
    assert satisfies(ALICE, check_condition(condition)) is fits


def test_dates_as_texts_are_ordered() -> None:
    assert satisfies({"on": "2026-03-01"}, {"on": {"$gt": "2026-02-28"}})
    assert not satisfies({"on": "2026-02-01"}, {"on": {"$gt": "2026-02-28"}})


def test_true_is_not_one() -> None:
    assert not equal(True, 1)
    assert not equal([0], [False])
    assert not equal({"a": True}, {"a": 1.0})
    assert equal({"a": [1, None]}, {"a": [1.0, None]})


@pytest.mark.parametrize(
    "condition",
    [
        [],
        "name",
        {5: 1},
        {"$and": []},
        {"age": {"$in": [1]}},
        {"age": {"$gt": 1, "other": 2}},
        {"age": {"$gt": None}},
        {"age": {"$lt": True}},
        {"age": {"$lt": float("nan")}},
        {"age": {"$gte": [1]}},
        {"age": {1, 2}},
        {"age": b"30"},
        {"home": {"city": {"$like": "R"}}},
    ],
)
def test_a_filter_that_cannot_be(condition: Any) -> None:
    with pytest.raises(FilterError):
        check_condition(condition)


def test_a_filter_nested_too_deep() -> None:
    condition: dict[str, Any] = {"a": 1}
    for _ in range(2_000):
        condition = {"a": condition}
    with pytest.raises(FilterError, match="levels deep"):
        check_condition(condition)


VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 2**53, 2**53 + 1, -(10**400), 10**400, 1e300),
    *("", "1", "1.5", "a", "é", "true", "x" * 300, "nan", "2026-01-01", "\ud800"),
    *([], [1], ["a"], [1.0], {}, {"a": 1}, {"a": 1.0}, {"b": [True]}),
]
OPERANDS = [*VALUES, 1.0]


def conditions() -> list[dict[str, Any]]:
    found = [{"f": one} for one in OPERANDS]
    for name, operand in itertools.product(("$eq", "$ne"), OPERANDS):
        found.append({"f": {name: operand}})
    ordered = [one for one in OPERANDS if isinstance(one, (str, int, float))]
    ordered = [one for one in ordered if not isinstance(one, bool)]
    for name, operand in itertools.product(("$gt", "$gte", "$lt", "$lte"), ordered):
        found.append({"f": {name: operand}})
        found.append({"f": {name: operand, "$ne": "a"}})
    return found


@pytest.mark.parametrize("kind", ["tag", "numeric"])
def test_the_index_leaves_out_nothing_that_satisfies(kind: Any) -> None:
    declared: Declared = {"f": kind}
    fields = index_fields(declared)
    left_out = 0
    for value, condition in itertools.product(VALUES, conditions()):
        plain, _ = encode({"f": value}, ("a", "b"), "k")
        document = indexed(metadata_of(("a", "b"), plain, declared), fields)
        condition = check_condition(condition)
        wanted = restriction(("a",), condition, declared)
        assert wanted is not None
        check(wanted, fields)
        compile_filter(wanted)
        if satisfies(plain, condition):
            assert matches(document, wanted), (value, condition)
        else:
            left_out += not matches(document, wanted)
    assert left_out > 1_000


def test_documents_from_before_a_declaration_pass() -> None:
    declared: Declared = {"f": "tag"}
    document = indexed(metadata_of(("a",), {"f": "x"}, {}), index_fields(declared))
    wanted = restriction(("a",), {"f": "x"}, declared)
    assert wanted is not None
    assert matches(document, wanted)


def test_documents_of_other_namespaces_do_not() -> None:
    rng = random.Random(5)
    labels = ["a", "ab", "a b", "A", "a|b", "é", "\x01"]
    places = [tuple(rng.choices(labels, k=rng.randint(0, 4))) for _ in range(200)]
    for one, prefix in itertools.product(places, places):
        wanted = restriction(prefix, {}, {})
        document = indexed(metadata_of(one, {}, {}), index_fields({}))
        inside = one[: len(prefix)] == prefix
        assert inside if wanted is None else matches(document, wanted) == inside
