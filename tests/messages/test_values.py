from __future__ import annotations

import datetime as dt
import math
import uuid
import zoneinfo
from decimal import Decimal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from valkey_memory import MessageEncodeError
from valkey_memory._messages.values import dumps, loads

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**64) - 2, 2**64 + 2)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
)
hashable = scalars | st.tuples(st.text(), st.integers())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["~", "v"]), inner)
        | st.dictionaries(hashable, inner)
        | st.lists(inner).map(tuple)
        | st.sets(hashable)
        | st.frozensets(hashable)
    ),
    max_leaves=20,
)


def typed(value: Any) -> Any:
    """``value`` with the type of each part, so that 1, True and 1.0 differ."""
    if isinstance(value, dict):
        return dict, frozenset((typed(k), typed(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value), tuple(typed(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return type(value), frozenset(typed(item) for item in value)
    return type(value), value


@given(values)
@settings(deadline=None, max_examples=500)
def test_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    assert typed(loads(dumps(value))) == typed(value)


@pytest.mark.parametrize("month", [1, 7])
def test_a_named_time_zone_comes_back_as_its_offset(month: int) -> None:
    """As docs/concepts/wire-format.md says."""
    value = dt.datetime(2026, month, 2, 12, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    found = loads(dumps(value))
    assert found == value
    assert found.tzinfo == dt.timezone(dt.timedelta(hours=1 if month == 1 else 2))


def test_nan_comes_back_as_nan() -> None:
    assert math.isnan(loads(dumps({"x": float("nan")}))["x"])


@pytest.mark.parametrize(
    "value",
    [{"~": "tuple", "v": [1]}, {"~": "bytes"}, {"~": 1, "v": 2}, {"~": {"~": "set", "v": []}}],
)
def test_a_dict_that_looks_like_a_tag_is_a_dict(value: dict[str, Any]) -> None:
    assert loads(dumps(value)) == value


def test_plain_json_is_written_as_it_is() -> None:
    assert dumps({"a": [1, 2.5, "x", None, True]}) == b'{"a":[1,2.5,"x",null,true]}'


def test_subclasses_of_plain_values_equal_what_comes_back() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    assert loads(dumps([Colour.RED, Level.HIGH])) == [Colour.RED, Level.HIGH]


@pytest.mark.parametrize("value", [object(), int, lambda: 1, bytearray(b"x"), range(3)])
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    with pytest.raises(MessageEncodeError, match="without loss"):
        dumps(value)


def test_too_deep_is_refused() -> None:
    value: list[Any] = []
    for _ in range(2000):
        value = [value]
    with pytest.raises(MessageEncodeError):
        dumps(value)


def test_the_tagged_types() -> None:
    sample = (dt.timedelta(-1, 2, 3), uuid.UUID(int=7), Decimal("1.10"), 1j, {(1, 2): {3}})
    assert loads(dumps(sample)) == sample
    assert str(loads(dumps(Decimal("1.10")))) == "1.10"


SURROGATE = "caf\udce9"


@pytest.mark.parametrize(
    "value",
    [
        SURROGATE,
        [SURROGATE, ("x", SURROGATE)],
        {"a": {SURROGATE: 1, "b": {2: SURROGATE}}},
        {"~": SURROGATE},
        {SURROGATE},
        "\ud83d\ude00",  # two halves of a pair, as streams of tokens leave them
    ],
    ids=ascii,
)
def test_text_that_is_not_valid_unicode_comes_back(value: Any) -> None:
    assert typed(loads(dumps(value))) == typed(value)


@given(
    st.recursive(
        st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
@settings(deadline=None)
def test_any_text_comes_back(value: Any) -> None:
    assert typed(loads(dumps(value))) == typed(value)


class Moment(dt.datetime):
    """As pandas.Timestamp, or what a test double of the clock gives."""


class Finer(dt.datetime):
    """Holds more than a datetime can, and so equals none."""

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = dt.datetime.__hash__


class Key(uuid.UUID):
    """As drivers of databases give."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Moment(2026, 1, 2, 3, fold=1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)),
        (Key(int=7), uuid.UUID(int=7)),
        (MappingProxyType({"a": (1,)}), {"a": (1,)}),
        (np.int64(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        (np.float64(0.5), 0.5),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.complex64(1j), 1j),
        (np.str_("x"), "x"),
        (np.bytes_(b"x"), b"x"),
        (np.datetime64("2026-01-02"), dt.date(2026, 1, 2)),
        (np.datetime64("2026-01-02T03:04:05"), dt.datetime.fromisoformat("2026-01-02T03:04:05")),
        (np.timedelta64(5, "s"), dt.timedelta(seconds=5)),
        ({np.int64(1): 2}, {1: 2}),
    ],
    ids=repr,
)
def test_an_equal_plain_value_comes_back(value: Any, plain: Any) -> None:
    assert typed(loads(dumps(value))) == typed(plain)
    assert value == plain


def test_a_nan_of_numpy_comes_back_as_one() -> None:
    assert math.isnan(loads(dumps(np.float32("nan"))))


@pytest.mark.parametrize(
    "value",
    [
        Finer(2026, 1, 2, tzinfo=dt.UTC),
        np.datetime64("2026-01-02T03:04:05.123456789"),
        np.datetime64("NaT"),
        np.longdouble(1) / 3,
        np.zeros(3),
    ],
    ids=repr,
)
def test_what_holds_more_than_a_plain_value_is_refused(value: Any) -> None:
    with pytest.raises(MessageEncodeError, match="without loss"):
        dumps(value)


class FrozenDict(dict[str, Any]):
    def __hash__(self) -> int:  # type: ignore[override]
        return 1


@pytest.mark.parametrize("value", [{FrozenDict(): 1}, {FrozenDict()}, {(1, FrozenDict()): 1}])
def test_what_would_come_back_unhashable_is_no_key(value: Any) -> None:
    with pytest.raises(MessageEncodeError):
        dumps(value)


def test_objects_are_what_the_caller_makes_of_them() -> None:
    def convert(value: Any, path: str) -> Any:
        return {"path": path, "raw": (type(value).__name__,)}

    found = loads(dumps({"a": [range(3)]}, "m", objects=convert))
    assert found == {"a": [{"path": "m['a'][0]", "raw": ("range",)}]}
    assert loads(dumps({range(3): 1}, objects=lambda *_: ["x"])) == {"range(0, 3)": 1}
    assert loads(dumps({range(3)}, objects=lambda *_: ["x"])) == [["x"]]


def test_deep_tags_are_a_value_error() -> None:
    depth = 505
    raw = b'{"~":"tuple","v":[' * depth + b"]}" * depth
    with pytest.raises(ValueError, match="malformed"):
        loads(raw)
