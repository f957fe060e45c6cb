"""Declared fields of values: what a filter on them becomes in the index.

It lets through all that satisfies the filter, and perhaps more: what it let through is compared
with the whole filter. So it only saves reading.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from .._arguments import shown
from .._errors import ConfigurationError
from .._filters.expressions import And, Exists, FieldType, Filter, NumberIn, Or, TagIn
from .conditions import Condition, has_operators, number
from .entries import Namespace, prefix_of

Declared: TypeAlias = Mapping[str, Literal["tag", "numeric"]]

_NAMESPACE = "namespace"
_DECLARED = "declared"


def check_declared(fields: object) -> dict[str, Literal["tag", "numeric"]]:
    """``fields`` as a dict of its own; raise ConfigurationError for what cannot be declared."""
    if not isinstance(fields, Mapping):
        raise ConfigurationError(
            f'filter_fields must be a dict such as {{"year": "numeric"}}, not {shown(fields)}'
        )
    for name, kind in fields.items():
        if kind not in ("tag", "numeric"):
            raise ConfigurationError(
                f'filter field {shown(name)} is declared as {shown(kind)}: use "tag" or "numeric"'
            )
    return dict(fields)


def index_fields(declared: Declared) -> dict[str, FieldType]:
    """What the index is told of its documents."""
    own: dict[str, FieldType] = {_NAMESPACE: "tag", _DECLARED: "tag"}
    return own | {_field(name): kind for name, kind in declared.items()}


def _field(name: str) -> str:
    return f"value_{name}"


def metadata_of(
    namespace: Namespace, value: Mapping[str, Any], declared: Declared
) -> dict[str, Any]:
    """What the index filters an item's documents by."""
    found: dict[str, Any] = {
        _NAMESPACE: [_tag(namespace[: depth + 1]) for depth in range(len(namespace))],
        _DECLARED: [f"{kind}:{name}" for name, kind in declared.items()],
    }
    for name, kind in declared.items():
        held = value.get(name)
        if held is not None:
            found[_field(name)] = _as_tag(held) if kind == "tag" else _as_number(held)
    return found


def _tag(namespace: Namespace) -> str:
    return prefix_of(namespace).decode()


def _as_tag(value: Any) -> str:
    """A text that is the same for values that are equal in JSON."""
    return json.dumps(_same(value), sort_keys=True)


def _same(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (list, tuple)):
        return [_same(one) for one in value]
    if isinstance(value, Mapping):
        return {name: _same(one) for name, one in value.items()}
    return value


def _as_number(value: Any) -> float | None:
    found = number(value)
    if found is None:
        return None
    try:
        return float(found)
    except OverflowError:  # an integer beyond all floats
        return math.copysign(sys.float_info.max, 1 if found > 0 else -1)


def restriction(prefix: Namespace, condition: Condition, declared: Declared) -> Filter | None:
    """What documents of items below ``prefix`` satisfy whose values satisfy ``condition``."""
    parts: list[Filter] = [TagIn(_NAMESPACE, (_tag(prefix),))] if prefix else []
    for name, kind in declared.items():
        if name in condition:
            wanted = _of_field(_field(name), kind, condition[name])
            if wanted:
                # Documents that were written when the field was not declared pass, too.
                known = TagIn(_DECLARED, (f"{kind}:{name}",))
                parts.append(Or((And(tuple(wanted)), ~known)))
    return And(tuple(parts)) if parts else None


def _of_field(field: str, kind: str, wanted: Any) -> list[Filter]:
    if isinstance(wanted, Mapping):
        if not has_operators(wanted):
            return [Exists(field)] if kind == "tag" else []
        found = [_compared(field, kind, name, operand) for name, operand in wanted.items()]
        return [one for one in found if one is not None]
    if isinstance(wanted, (list, tuple)):  # its elements may have operators
        return [Exists(field)] if kind == "tag" else []
    only = _compared(field, kind, "$eq", wanted)
    return [] if only is None else [only]


def _compared(field: str, kind: str, name: str, operand: object) -> Filter | None:
    """A comparison; None for what the index cannot tell."""
    if kind == "tag":
        if name not in ("$eq", "$ne"):
            return None
        same = ~Exists(field) if operand is None else TagIn(field, (_as_tag(operand),))
        return same if name == "$eq" else ~same
    value = None if isinstance(operand, str) else _as_number(operand)  # texts compare otherwise
    if value is None:
        return None
    # The bounds belong to it: integers beyond 2**53 share the float of another.
    bounds = {
        "$eq": (value, value),
        "$gt": (value, None),
        "$gte": (value, None),
        "$lt": (None, value),
        "$lte": (None, value),
    }
    return NumberIn(field, *bounds[name]) if name in bounds else None
