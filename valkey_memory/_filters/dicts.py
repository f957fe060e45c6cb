"""LangChain's dict filters, and comparisons by operator name, as filter expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .._arguments import shown
from .._errors import FilterError
from .expressions import (
    And,
    Exists,
    FieldType,
    Filter,
    Numeric,
    Or,
    Tag,
    Text,
    check,
    too_deep,
    undeclared,
)
from .values import as_number

_Build: TypeAlias = Callable[[str, Any], Filter]


def comparison(field: str, operator: str, value: Any, fields: Mapping[str, FieldType]) -> Filter:
    """One comparison by operator name (``eq``, ``ne``, ``in``, ``nin``, ``gt``, ``gte``, ``lt``,
    ``lte``, ``between``, ``exists``, ``any``, ``all``, ``match``, ``match_any``, ``phrase``).

    The field's declaration says how the value is compared.

    Raises:
        FilterError: An undeclared field, or an operator or value that its type does not have.
    """
    if not isinstance(field, str):
        raise FilterError(f"a filter's field name must be a string, not {shown(field)}")
    kind = fields.get(field)
    if kind is None:
        raise undeclared(field, _guess(operator, value), fields)
    if operator == "exists":
        if not isinstance(value, bool):
            raise FilterError(f"exists of {field!r} takes true or false, not {shown(value)}")
        return Exists(field) if value else ~Exists(field)
    if value is None and operator in ("eq", "ne"):
        return ~Exists(field) if operator == "eq" else Exists(field)
    build = _OPERATORS[kind].get(operator)
    if build is None:
        raise FilterError(
            f"{field!r} is declared as {kind}, which has no operator {operator!r}; "
            f"it has {', '.join(sorted({*_OPERATORS[kind], 'exists'}))}"
        )
    return build(field, value)


def _between(field: str, value: Any) -> Filter:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise FilterError(f"between of {field!r} takes two numbers, not {shown(value)}")
    return Numeric(field).between(*value)


_OPERATORS: dict[FieldType, dict[str, _Build]] = {
    "tag": {
        "eq": lambda f, v: Tag(f) == v,
        "ne": lambda f, v: Tag(f) != v,
        "in": lambda f, v: Tag(f).is_in(v),
        "nin": lambda f, v: Tag(f).not_in(v),
        "any": lambda f, v: Tag(f).contains_any(v),
        "all": lambda f, v: Tag(f).contains_all(v),
    },
    "numeric": {
        "eq": lambda f, v: Numeric(f) == v,
        "ne": lambda f, v: Numeric(f) != v,
        "gt": lambda f, v: Numeric(f) > v,
        "gte": lambda f, v: Numeric(f) >= v,
        "lt": lambda f, v: Numeric(f) < v,
        "lte": lambda f, v: Numeric(f) <= v,
        "between": _between,
        "in": lambda f, v: Numeric(f).is_in(v),
        "nin": lambda f, v: Numeric(f).not_in(v),
    },
    "text": {
        "match": lambda f, v: Text(f).matches(v),
        "match_any": lambda f, v: Text(f).matches_any(v),
        "phrase": lambda f, v: Text(f).phrase(v),
    },
}


def _guess(operator: str, value: Any) -> FieldType:
    """The declaration that an undeclared field would need."""
    if operator in ("match", "match_any", "phrase"):
        return "text"
    sample = value[0] if isinstance(value, (list, tuple)) and value else value
    ranged = operator in ("gt", "gte", "lt", "lte", "between")
    return "numeric" if ranged or isinstance(as_number(sample), float) else "tag"


def from_dict(filters: Mapping[str, Any], fields: Mapping[str, FieldType]) -> Filter:
    """LangChain's dict filters as an expression.

    ``{"user_id": "alice", "ts": {"$gte": 5, "$lt": 9}, "$or": [{...}, {...}]}``: fields side by
    side are and-ed, so are operators of a field. A bare list means ``$in``, None means missing.
    Operators: ``$eq $ne $in $nin $gt $gte $lt $lte $between $exists $any $all $match $match_any
    $phrase``, and ``$and $or $not`` over lists of dicts; ``$not`` of a list means none of them, and
    it takes a single dict, too.

    Raises:
        FilterError: Anything else. Nothing is ever left out.
    """
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter must be a dict or an expression, not {shown(filters)}")
    return And(
        tuple(part for name, value in filters.items() for part in _dict_parts(name, value, fields))
    )


def _dict_parts(name: Any, value: Any, fields: Mapping[str, FieldType]) -> list[Filter]:
    if not isinstance(name, str):
        raise FilterError(f"a filter's field name must be a string, not {shown(name)}")
    if name == "$not" and not isinstance(value, (list, tuple)):
        return [~_any_filter(value, fields)]
    if name in ("$and", "$or", "$not"):
        if not isinstance(value, (list, tuple)) or not value:
            raise FilterError(f"{name} takes a list of at least one filter, not {shown(value)}")
        parts = tuple(_any_filter(item, fields) for item in value)
        return [And(parts) if name == "$and" else Or(parts) if name == "$or" else ~Or(parts)]
    if name.startswith("$"):
        raise FilterError(f"unknown operator {name!r} beside fields: use $and, $or or $not")
    if isinstance(value, Mapping):
        if not value:
            raise FilterError(f"the filter of {name!r} is empty")
        return [_operator(name, operator, operand, fields) for operator, operand in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [comparison(name, "in", list(value), fields)]
    default = "match" if fields.get(name) == "text" and value is not None else "eq"
    return [comparison(name, default, value, fields)]


def _operator(name: str, operator: Any, operand: Any, fields: Mapping[str, FieldType]) -> Filter:
    if not isinstance(operator, str) or not operator.startswith("$"):
        raise FilterError(f"{shown(operator)} of {name!r} is no operator: operators begin with $")
    if operator == "$not":
        if isinstance(operand, (list, tuple, set, frozenset)):
            return ~comparison(name, "in", list(operand), fields)
        if not isinstance(operand, Mapping):
            return ~comparison(name, "eq", operand, fields)
        return ~from_dict({name: operand}, fields)
    known = operator.removeprefix("$")
    if all(known not in table for table in _OPERATORS.values()) and known != "exists":
        raise FilterError(f"unknown operator {operator!r} of {name!r}")
    return comparison(name, known, operand, fields)


def _any_filter(value: object, fields: Mapping[str, FieldType]) -> Filter:
    if isinstance(value, Filter):
        return value
    return from_dict(value, fields)  # type: ignore[arg-type]


def to_filter(
    value: Filter | Mapping[str, Any] | None, fields: Mapping[str, FieldType]
) -> Filter | None:
    """A dict or an expression as a checked expression; None stays None.

    Raises:
        FilterError: An undeclared field, an unknown operator, a value of the wrong type.
    """
    if value is None:
        return None
    try:
        condition = _any_filter(value, fields)
    except RecursionError:
        raise too_deep() from None
    check(condition, fields)
    return condition
