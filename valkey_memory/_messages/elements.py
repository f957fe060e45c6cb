"""The stored element: JSON, and Python values that JSON lacks, without loss.

Plain JSON is written as it is. A value that JSON would change or refuse is written as an object
with the single tag key ``"~"``, so that it comes back equal: tuples, sets, bytes, dates, UUIDs,
decimals, complex and non-finite numbers, integers beyond 64 bits, and dicts whose keys are not all
strings. Nothing stored can name a class: the tags are a closed list.

Values of any other class raise MessageEncodeError; nothing is turned into ``repr`` text.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from .._errors import MessageEncodeError

Element = dict[str, Any]
"""A decoded element: ``role``, ``content`` and what design calls the neutral part, plus ``lc`` or
``li`` for what only one framework knows."""

TAG = "~"
_TAG_IN_JSON = b'"~"'
_TAGGED_KEYS = {TAG, "v"}
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def _dict_to_json(value: Mapping[Any, Any], path: str) -> Any:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: _encode(item, f"{path}[{key!r}]") for key, item in value.items()}
    return {
        TAG: "dict",
        "v": [
            [_encode(key, f"{path} key"), _encode(item, f"{path}[{key!r}]")]
            for key, item in value.items()
        ],
    }


def _items_to_json(value: Any, path: str) -> list[Any]:
    return [_encode(item, f"{path}[{index}]") for index, item in enumerate(value)]


_TAGGED: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: ("bytes", lambda v: base64.b64encode(v).decode(), base64.b64decode),
    dt.datetime: ("datetime", dt.datetime.isoformat, dt.datetime.fromisoformat),
    dt.date: ("date", dt.date.isoformat, dt.date.fromisoformat),
    dt.time: ("time", dt.time.isoformat, dt.time.fromisoformat),
    dt.timedelta: (
        "timedelta",
        lambda v: [v.days, v.seconds, v.microseconds],
        lambda v: dt.timedelta(*v),
    ),
    uuid.UUID: ("uuid", str, uuid.UUID),
    Decimal: ("decimal", str, Decimal),
    complex: ("complex", repr, complex),
}
_CONTAINERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("tuple", tuple),
    set: ("set", set),
    frozenset: ("frozenset", frozenset),
}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    **{name: decode for name, _, decode in _TAGGED.values()},
    "float": float,
    "int": lambda v: int(v, 16),
}
_CONTAINER_DECODERS = dict(_CONTAINERS.values())


def to_json(value: Any, path: str = "message") -> Any:
    """``value`` in terms that JSON holds exactly, tagged where needed.

    Args:
        value: Anything a message carries.
        path: Where it stands, for the error.

    Raises:
        MessageEncodeError: A value that has no exact form here, named with its path.
    """
    try:
        return _encode(value, path)
    except RecursionError:
        raise MessageEncodeError(
            f"{path} cannot be stored: it is nested too deep, or contains itself"
        ) from None


def _encode(value: Any, path: str) -> Any:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else {TAG: "int", "v": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}
    if kind is dict:
        return _dict_to_json(value, path)
    if kind is list:
        return _items_to_json(value, path)
    if kind in _TAGGED:
        name, encode, _ = _TAGGED[kind]
        return {TAG: name, "v": encode(value)}
    if kind in _CONTAINERS:
        return {TAG: _CONTAINERS[kind][0], "v": _items_to_json(value, path)}
    # Subclasses, string and integer enums among them, equal their plain value.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _encode(int(value), path)
    if isinstance(value, float):
        return _encode(float(value), path)
    if isinstance(value, (list, tuple)):
        return _encode(list(value) if isinstance(value, list) else tuple(value), path)
    if isinstance(value, Mapping):
        return _dict_to_json(value, path)
    raise MessageEncodeError(
        f"{path} is {kind.__module__}.{kind.__qualname__}, which cannot be stored without loss. "
        "Convert it to strings, numbers, lists and dicts first."
    )


def from_json(value: Any) -> Any:
    """The inverse of ``to_json``.

    Raises:
        ValueError: An unknown tag, or a tagged value of the wrong form.
    """
    if type(value) is list:
        return [from_json(item) for item in value]
    if type(value) is not dict:
        return value
    if value.keys() != _TAGGED_KEYS:
        return {key: from_json(item) for key, item in value.items()}
    tag, content = value[TAG], value["v"]
    if tag == "dict":
        return {from_json(key): from_json(item) for key, item in content}
    if tag in _CONTAINER_DECODERS:
        return _CONTAINER_DECODERS[tag](from_json(item) for item in content)
    if tag in _DECODERS:
        return _DECODERS[tag](content)
    raise ValueError(f"unknown tag {tag!r}")


def dumps(value: Any, path: str = "message") -> bytes:
    """``value`` as JSON text.

    Raises:
        MessageEncodeError: Something in it has no exact form, or is not valid Unicode.
    """
    encoded = to_json(value, path)
    try:
        return orjson.dumps(encoded)
    except orjson.JSONEncodeError as error:
        where = _not_unicode(encoded, path) or path
        raise MessageEncodeError(f"{where} cannot be stored: {error}") from error


def _not_unicode(value: Any, path: str) -> str | None:
    """The path of the first text with a lone surrogate, in the terms of ``to_json``'s paths."""
    parts: list[tuple[Any, str]] = []
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path
    elif isinstance(value, dict) and value.keys() == _TAGGED_KEYS:
        parts = [(value["v"], path)]
    elif isinstance(value, dict):
        for key, item in value.items():
            parts += [(key, f"{path} key"), (item, f"{path}[{key!r}]" if path else key)]
    elif isinstance(value, list):
        parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return next((found for part in parts if (found := _not_unicode(*part))), None)


def loads(raw: bytes | str) -> Any:
    """The inverse of ``dumps``; reads any JSON.

    Raises:
        ValueError: ``raw`` is not JSON, or has a tag that is not known.
    """
    value = orjson.loads(raw)
    marked = (_TAG_IN_JSON in raw) if isinstance(raw, bytes) else ('"~"' in raw)
    if not marked:
        return value
    try:
        return from_json(value)
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"malformed tagged value: {error}") from error


def dump_element(element: Element, ts: int) -> bytes:
    """An element that a codec made, stamped with ``ts``, Unix milliseconds, unless it has one.

    Raises:
        MessageEncodeError: Something in it is not valid Unicode, or nested too deep.
    """
    element.setdefault("ts", ts)
    try:
        return orjson.dumps(element)
    except orjson.JSONEncodeError as error:
        # Named as the message names it: the frameworks' parts are no level of their own.
        flat = {**element, **element.pop("lc", {}), **element.pop("li", {})}
        raise MessageEncodeError(
            f"{_not_unicode(flat, '') or 'message'} cannot be stored: {error}"
        ) from error


def load_element(raw: bytes) -> Element:
    """One stored element, with its neutral part checked.

    Raises:
        ValueError: Not JSON, no object, or without a ``role``.
    """
    # Looking for one byte is many times faster than for three.
    element = loads(raw) if b"~" in raw else orjson.loads(raw)
    if type(element) is not dict:
        raise ValueError(f"it is a JSON {type(element).__name__}, not an object")
    if type(element.get("role")) is not str:
        raise ValueError('it has no "role"')
    return element


def load_elements(raws: Sequence[bytes]) -> list[Element]:
    """``load_element`` of each, in half the time."""
    elements = [loads(raw) if b"~" in raw else orjson.loads(raw) for raw in raws]
    if all([type(one) is dict and type(one.get("role")) is str for one in elements]):  # noqa: C419
        return elements
    return [load_element(raw) for raw in raws]  # says what is wrong


def readable(raws: Sequence[bytes]) -> list[Element]:
    """``load_elements``, with an empty dict in place of each that is no message."""
    try:
        return load_elements(raws)
    except (ValueError, RecursionError):
        return [_or_empty(raw) for raw in raws]


def _or_empty(raw: bytes) -> Element:
    try:
        return load_element(raw)
    except (ValueError, RecursionError):
        return {}
