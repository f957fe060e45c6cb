"""Python values as JSON, without loss: what messages and the metadata of documents are made of.

Plain JSON is written as it is. A value that JSON would change or refuse is written as an object
with the single tag key ``"~"``, so that it comes back equal: tuples, sets, bytes, dates, UUIDs,
decimals, complex and non-finite numbers, integers beyond 64 bits, text that is not valid Unicode,
and dicts whose keys are not all strings. Nothing stored can name a class: the tags are a closed
list. Subclasses of these types and numpy's scalars are written as the plain value that they equal.

Values of any other class raise MessageEncodeError, unless the caller converts them (``objects``).
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

import orjson

from .._arguments import shown
from .._errors import MessageEncodeError
from .._interrupts import let_through

TAG = "~"
_TAG_IN_JSON = b'"~"'
_TAGGED_KEYS = {TAG, "v"}
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

BY_FOREIGN_CODE = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    StopIteration,
    OSError,
    ReferenceError,
)
"""What code that meets a value of an unexpected form raises. Not Exception: an application throws
its own, for a time limit, through any code that happens to run. Who catches these lets through what
a signal handler threw."""

BY_FOREIGN_DATA = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(AssertionError, ImportError, NotImplementedError, RecursionError, StopIteration),
)
"""What reading raises, which meets whatever was stored. Others, such as those that an application
throws from its signal handlers, pass."""

Convert: TypeAlias = Callable[[Any, str], Any]
"""What makes plain data of an object that is none, given its path; or raises."""


def _text_to_base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _text_from_base64(data: str) -> str:
    return base64.b64decode(data).decode("utf-8", "surrogatepass")


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
LEAVES = frozenset({str, int, float, bool, type(None), *_TAGGED})
"""The types of values that have an exact form and hold no others."""
_CONTAINERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    tuple: ("tuple", tuple),
    set: ("set", set),
    frozenset: ("frozenset", frozenset),
}
_DECODERS: dict[str, Callable[[Any], Any]] = {
    **{name: decode for name, _, decode in _TAGGED.values()},
    "float": float,
    "int": lambda v: int(v, 16),
    "str": _text_from_base64,
}
_CONTAINER_DECODERS = dict(_CONTAINERS.values())


def _plain_date(value: dt.date) -> dt.date:
    return dt.date(value.year, value.month, value.day)


def _plain_time(value: dt.time | dt.datetime) -> dt.time:
    clock = value.hour, value.minute, value.second, value.microsecond
    return dt.time(*clock, value.tzinfo, fold=value.fold)


_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int),
    (float, float),
    (list, list),
    (tuple, tuple),
    (Mapping, dict),
    (bytes, bytes),
    (dt.datetime, lambda v: dt.datetime.combine(_plain_date(v), _plain_time(v))),
    (dt.date, _plain_date),
    (dt.time, _plain_time),
    (dt.timedelta, lambda v: dt.timedelta(v.days, v.seconds, v.microseconds)),
    (uuid.UUID, lambda v: uuid.UUID(int=v.int)),
    (Decimal, Decimal),
    (complex, complex),
    (set, set),
    (frozenset, frozenset),
)
"""How a value of a subclass becomes one of the class; the first that fits counts."""
_COMPARED = dt.datetime, dt.time, dt.timedelta, complex
"""Those whose subclasses may hold more than the class can, nanoseconds for instance."""


def is_numpy_scalar(kind: type) -> bool:
    """Whether it is a class of numpy's scalars, which is not imported for that."""
    return any(base.__name__ == "generic" and base.__module__ == "numpy" for base in kind.__mro__)


def plain_equal(value: Any) -> Any:
    """The equal of a subclass's value or of a scalar of numpy's; ``value`` itself for others."""
    try:
        if is_numpy_scalar(type(value)):
            plain = value.item()
            return plain if plain == value or plain != plain else value
        for cls, make in _PLAIN:
            if isinstance(value, cls):
                plain = make(value)
                return plain if not isinstance(value, _COMPARED) or plain == value else value
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - the value's own code; NaT is a datetime without year
        let_through(error)
    return value


def refuse(value: Any, path: str) -> Any:
    """The default of ``objects``.

    Raises:
        MessageEncodeError: Always.
    """
    kind = type(value)
    raise MessageEncodeError(
        f"{path} is {kind.__module__}.{kind.__qualname__}, which cannot be stored without loss. "
        "Convert it to strings, numbers, lists and dicts first."
    )


def to_json(value: Any, path: str = "message", *, objects: Convert = refuse) -> Any:
    """``value`` in terms that JSON holds exactly, tagged where needed.

    Args:
        value: Anything a message carries.
        path: Where it stands, for the error.
        objects: Makes plain data of values that have no exact form here, objects for instance.

    Raises:
        MessageEncodeError: A value that has no exact form here, named with its path; or one that is
            nested too deep or contains itself.
    """
    try:
        return _encode(value, path, objects)
    except RecursionError:
        raise MessageEncodeError(
            f"{path} cannot be stored: it is nested too deep, or contains itself"
        ) from None


def _encode(value: Any, path: str, objects: Convert) -> Any:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        return value if _INT_MIN <= value <= _INT_MAX else {TAG: "int", "v": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "v": repr(value)}
    if kind is dict:
        return _dict_to_json(value, path, objects)
    if kind is list:
        return _items_to_json(value, path, objects)
    if kind in _TAGGED:
        name, encode, _ = _TAGGED[kind]
        return {TAG: name, "v": encode(value)}
    if kind in _CONTAINERS:
        items = _items_to_json(value, path, objects)
        if kind is not tuple and not all(map(_is_hashable, items)):
            return _of_unhashable(value, items, path, objects)
        return {TAG: _CONTAINERS[kind][0], "v": items}
    # Subclasses, string and integer enums among them, equal their plain value.
    plain = plain_equal(value)
    if type(plain) is kind:
        plain = objects(value, path)
    return _encode(plain, path, objects)


def _dict_to_json(value: dict[Any, Any], path: str, objects: Convert) -> Any:
    if TAG not in value and all(type(key) is str for key in value):
        return {key: _encode(item, f"{path}[{key!r}]", objects) for key, item in value.items()}
    pairs = []
    for key, item in value.items():
        name = _encode(key, f"{path} key", objects)
        if not _is_hashable(name):
            name = _of_unhashable(key, _key_text(key), f"{path} key", objects)
        pairs.append([name, _encode(item, f"{path}[{shown(key)}]", objects)])
    return {TAG: "dict", "v": pairs}


def _items_to_json(value: Any, path: str, objects: Convert) -> list[Any]:
    return [_encode(item, f"{path}[{index}]", objects) for index, item in enumerate(value)]


def _is_hashable(encoded: Any) -> bool:
    """Whether this comes back as something that a set or the keys of a dict can hold."""
    if type(encoded) is not dict:
        return type(encoded) is not list
    tag = encoded.get(TAG)
    if tag in ("tuple", "frozenset"):
        return all(map(_is_hashable, encoded["v"]))
    return tag not in (None, "set", "dict")


def _key_text(key: Any) -> str:
    try:
        return str(key)
    except Exception as error:  # noqa: BLE001 - the key's own code
        let_through(error)
        return shown(key)


def _of_unhashable(value: Any, instead: Any, path: str, objects: Convert) -> Any:
    """``instead`` of a key or set that would not come back, where the caller converts at all."""
    return refuse(value, path) if objects is refuse else instead


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


def dumps(value: Any, path: str = "message", *, objects: Convert = refuse) -> bytes:
    """``value`` as JSON text.

    Raises:
        MessageEncodeError: Something in it has no exact form, or is nested too deep.
    """
    encoded = to_json(value, path, objects=objects)
    try:
        return orjson.dumps(encoded)
    except orjson.JSONEncodeError:
        pass  # text that is not valid Unicode, or the nesting
    try:
        return orjson.dumps(with_tagged_text(encoded))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise MessageEncodeError(f"{path} cannot be stored: {error}") from error


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: not if it has a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_writable(encoded: Any) -> bool:
    """Whether JSON holds what ``to_json`` made: valid Unicode, not nested too deep."""
    try:
        orjson.dumps(encoded)
    except orjson.JSONEncodeError:
        return False
    return True


def with_tagged_text(encoded: Any) -> Any:
    """What ``to_json`` made, with a tag around each text that is not valid Unicode.

    JSON cannot hold such text. It is rare, so it is looked for only where writing failed.
    """
    if type(encoded) is str:
        return encoded if is_unicode(encoded) else {TAG: "str", "v": _text_to_base64(encoded)}
    if type(encoded) is list:
        return [with_tagged_text(item) for item in encoded]
    if type(encoded) is not dict:
        return encoded
    if encoded.keys() == _TAGGED_KEYS or all(map(is_unicode, encoded)):
        return {key: with_tagged_text(item) for key, item in encoded.items()}
    pairs = [[with_tagged_text(key), with_tagged_text(item)] for key, item in encoded.items()]
    return {TAG: "dict", "v": pairs}


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
    except (TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        let_through(error)
        raise ValueError(f"malformed tagged value: {error}") from error
