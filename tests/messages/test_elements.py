from __future__ import annotations

import datetime as dt
import math
import uuid
import zoneinfo
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from valkey_memory import MessageEncodeError
from valkey_memory._messages.elements import dumps, load_element, load_elements, loads

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


@pytest.mark.parametrize(
    "raw",
    [
        b'{"role":"user","x":{"~":"object","v":"os.system"}}',
        b'{"role":"user","x":{"~":"uuid","v":"not one"}}',
        b'{"role":"user","x":{"~":"uuid","v":5}}',
        b'{"role":"user","x":{"~":"tuple","v":5}}',
        b'{"role":"user","x":{"~":"decimal","v":"x"}}',
        b'{"role":"user","x":{"~":"set","v":[[]]}}',
    ],
)
def test_unknown_and_malformed_tags_are_errors(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the decoder's own
        load_element(raw)
    with pytest.raises(ValueError):  # noqa: PT011
        load_elements([raw])


def test_the_tagged_types() -> None:
    sample = (dt.timedelta(-1, 2, 3), uuid.UUID(int=7), Decimal("1.10"), 1j, {(1, 2): {3}})
    assert loads(dumps(sample)) == sample
    assert str(loads(dumps(Decimal("1.10")))) == "1.10"


@pytest.mark.parametrize(
    ("bad", "message"),
    [(b"[]", "it is a JSON list"), (b'{"role":5}', 'has no "role"'), (b"{", "unexpected end")],
)
def test_many_elements_fail_as_one_does(bad: bytes, message: str) -> None:
    good = [b'{"role":"user","content":"~"}', b'{"role":"user","x":{"~":"bytes","v":"YQ=="}}']
    assert load_elements(good) == [load_element(raw) for raw in good]
    with pytest.raises(ValueError, match=message):
        load_elements([*good, bad])
