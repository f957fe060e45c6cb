"""Values beyond JSON's in filters: dates, UUIDs, Decimals, NumPy's scalars."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from valkey_memory._errors import FilterError
from valkey_memory._filters.dicts import to_filter
from valkey_memory._filters.evaluation import indexed, matches
from valkey_memory._filters.expressions import FieldType, Numeric, Tag
from valkey_memory._filters.query import compile_filter
from valkey_memory._filters.values import as_number, as_text, unwrapped

FIELDS: dict[str, FieldType] = {"t": "tag", "n": "numeric", "w": "text"}
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
NAIVE = dt.datetime(2026, 3, 1, 12)  # noqa: DTZ001
TOKYO = dt.timezone(dt.timedelta(hours=9))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (NOON, NOON.timestamp()),
        (NAIVE, NOON.timestamp()),
        (NOON.astimezone(TOKYO), NOON.timestamp()),
        (dt.date(1970, 1, 2), 86_400),
        (dt.timedelta(minutes=1), 60.0),
        (Decimal("1.5"), 1.5),
        (Decimal(7), 7),
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (np.datetime64("2026-03-01T12:00:00.000000001"), NOON.timestamp()),
    ],
    ids=repr,
)
def test_numbers(value: Any, number: float) -> None:
    assert as_number(value) == number
    document = indexed({"n": value}, FIELDS)
    assert matches(document, Numeric("n") == number)
    assert matches(document, Numeric("n") >= value)
    assert not matches(document, Numeric("n") > value)
    assert compile_filter(Numeric("n") > value) == compile_filter(Numeric("n") > number)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NOON, "2026-03-01T12:00:00+00:00"),
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.time(12, 30), "12:30:00"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Decimal("1.50"), "1.50"),
        (np.str_("x"), "x"),
    ],
    ids=repr,
)
def test_tags(value: Any, text: str) -> None:
    assert as_text(value) == text
    document = indexed({"t": [value, "other"], "w": value}, FIELDS)
    assert matches(document, Tag("t") == text)
    assert matches(document, Tag("t") == value)
    assert not matches(document, Tag("t") == f"{text}0")
    assert compile_filter(Tag("t") == value) == compile_filter(Tag("t") == text)
    (condition,) = [to_filter({"t": {"$in": [value]}}, FIELDS)]
    assert condition is not None
    assert matches(document, condition)


def test_numpys_scalars_are_pythons() -> None:
    assert [type(unwrapped(one)) for one in (np.bool_(True), np.int8(1), np.longdouble(1))] == [
        bool,
        int,
        float,
    ]
    array = np.ones(2)
    assert unwrapped(array) is array


@pytest.mark.parametrize("value", [b"x", range(2), 1.5, {}], ids=repr)
def test_what_is_no_tag(value: Any) -> None:
    with pytest.raises(FilterError, match="'t' is a tag"):
        indexed({"t": value}, FIELDS)


@pytest.mark.parametrize("value", ["x", True, Decimal("nan"), Decimal("1e400"), 2**60], ids=repr)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(FilterError):
        indexed({"n": value}, FIELDS)


@pytest.mark.parametrize(
    "condition",
    [
        {"$not": [{"t": "a"}, {"n": {"$gt": 5}}]},
        {"$not": {"$or": [{"t": "a"}, {"n": {"$gt": 5}}]}},
        {"t": {"$not": ["a"]}, "n": {"$not": {"$gt": 5}}},
        {"$and": [{"t": {"$not": "a"}}, {"$not": [{"n": {"$gt": 5}}]}]},
    ],
    ids=str,
)
def test_none_of_several(condition: dict[str, Any]) -> None:
    found = to_filter(condition, FIELDS)
    assert found is not None
    documents = [{"t": "a", "n": 1}, {"t": "b", "n": 9}, {"t": "b", "n": 1}, {}]
    assert [matches(indexed(one, FIELDS), found) for one in documents] == [
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("value", [[], 5, "a", [5], [[]]], ids=repr)
def test_not_of_what_is_no_filter(value: Any) -> None:
    with pytest.raises(FilterError):
        to_filter({"$not": value}, FIELDS)
