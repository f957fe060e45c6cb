"""Filters on the values of items: ``$eq $ne $gt $gte $lt $lte``, and dicts within dicts.

Every field can be asked for, declared or not; what is asked for is evaluated here, in full. Values
are compared as JSON has them: true is not 1, and 1 is 1.0. A field that is not there is null.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .._arguments import shown
from .._errors import FilterError
from .._filters.expressions import MAX_DEPTH, too_deep

Condition: TypeAlias = Mapping[str, Any]

_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_OPERATORS = ("$eq", "$ne", *_ORDERINGS)


def check_condition(condition: object) -> Condition:
    """Return ``condition``, None as an empty one.

    Raises:
        FilterError: It is no dict of fields, or has an operator or an operand that there is not.
    """
    if condition is None:
        return {}
    if not isinstance(condition, Mapping):
        raise FilterError(f"a filter must be a dict of fields, not {shown(condition)}")
    for name, wanted in condition.items():
        if not isinstance(name, str) or name.startswith("$"):
            raise FilterError(
                f"{shown(name)} is no field: operators stand in the dict of one, "
                'such as {"year": {"$gte": 2026}}'
            )
        _check(name, wanted, 0)
    return condition


def _check(field: str, wanted: object, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise too_deep()
    if isinstance(wanted, (list, tuple)):
        for one in wanted:
            _check(field, one, depth + 1)
    elif isinstance(wanted, Mapping):
        operators = has_operators(wanted)
        for name, operand in wanted.items():
            if not operators:
                _check(f"{field}.{name}", operand, depth + 1)
            elif name not in _OPERATORS:
                raise FilterError(
                    f"unknown operator {shown(name)} of {field!r}: use one of "
                    f"{', '.join(_OPERATORS)}"
                )
            elif name in _ORDERINGS and not isinstance(operand, str) and number(operand) is None:
                raise FilterError(
                    f"{name} of {field!r} takes a number or a string, not {shown(operand)}"
                )
            else:
                _check_json(field, operand)
    else:
        _check_json(field, wanted)


def _check_json(field: str, value: object) -> None:
    if not isinstance(value, (str, int, float, list, tuple, Mapping)) and value is not None:
        raise FilterError(f"{field!r} is compared with {shown(value)}, which no JSON value equals")


def has_operators(wanted: Mapping[Any, Any]) -> bool:
    return any(isinstance(name, str) and name.startswith("$") for name in wanted)


def satisfies(value: Mapping[str, Any], condition: Condition) -> bool:
    """Whether the value of an item satisfies a checked condition."""
    return all(_fits(value.get(name), wanted) for name, wanted in condition.items())


def _fits(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        if has_operators(wanted):
            return all(_applies(found, name, operand) for name, operand in wanted.items())
        return isinstance(found, dict) and satisfies(found, wanted)
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(found, list) and len(found) == len(wanted) and all(map(_fits, found, wanted))
        )
    return equal(found, wanted)


def _applies(found: Any, name: str, operand: Any) -> bool:
    if name == "$eq":
        return equal(found, operand)
    if name == "$ne":
        return not equal(found, operand)
    one, other = number(found), number(operand)
    if one is None or other is None:
        if not isinstance(found, str) or not isinstance(operand, str):
            return False
        return _ORDERINGS[name](found, operand)
    return _ORDERINGS[name](one, other)


def equal(one: Any, other: Any) -> bool:
    """Whether two values are the same in JSON."""
    if isinstance(one, Mapping):
        return (
            isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(equal(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, (list, tuple)):
        return (
            isinstance(other, (list, tuple))
            and len(one) == len(other)
            and all(map(equal, one, other))
        )
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def number(value: object) -> int | float | None:
    """The number that ``value`` is, or that its text is; None where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None
