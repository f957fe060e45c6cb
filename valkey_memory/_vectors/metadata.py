"""A document's metadata as JSON text and back.

What JSON holds is written as it is, for other programs to read. Dates, UUIDs, Decimals, tuples and
the like are written with the tags that messages have, so that they come back equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .._arguments import shown
from .._errors import DocumentError, MessageEncodeError
from .._filters.values import unwrapped
from .._messages.elements import TAG, from_json, to_json
from . import limits

_SIMPLE = {str, bool, type(None)}
_IN_JSON = b'"~"'
# Levels of JSON that a container takes: a tag is an object with a list in it.
_LEVELS: dict[type, int] = {list: 1, dict: 1, tuple: 2, set: 2, frozenset: 2}


def encoded(metadata: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """``metadata`` in terms that JSON holds, tagged where needed.

    Raises:
        DocumentError: A key is no string, a value has no form here, or it is nested too deep.
    """
    if all([type(key) is str and type(value) in _SIMPLE for key, value in metadata.items()]):  # noqa: C419
        return _tagged(dict(metadata), where) if TAG in metadata else dict(metadata)
    for key in metadata:
        if not isinstance(key, str):
            raise DocumentError(f"{where} has the key {shown(key)}, which is no string")
    plain = {
        str.__str__(key): _plain(value, f"{where}[{key!r:.80}]", 1)
        for key, value in metadata.items()
    }
    return _tagged(plain, where)


def _tagged(plain: dict[str, Any], where: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = to_json(plain, where)
    except MessageEncodeError as error:
        raise DocumentError(f"{error}") from error
    return found


def _plain(value: Any, where: str, depth: int) -> Any:
    """``value`` with NumPy's scalars as Python's; raises when it is nested too deep."""
    kind = type(value)
    if kind in _SIMPLE or kind is int or kind is float:
        return value
    if depth > limits.METADATA_DEPTH:
        raise DocumentError(
            f"{where:.200}... is nested more than {limits.METADATA_DEPTH} levels deep"
        )
    below = depth + _LEVELS.get(kind, 2)
    if isinstance(value, Mapping):
        named = all([type(key) is str for key in value])  # noqa: C419
        below = depth + 1 if named and TAG not in value else depth + 3
        return {
            key if named else _plain(key, f"{where} key", below): _plain(
                item, f"{where}[{shown(key)}]", below
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = [_plain(item, f"{where}[{n}]", below) for n, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (set, frozenset)):
        whole = frozenset if isinstance(value, frozenset) else set
        return whole(_plain(item, f"{where} item", below) for item in value)
    return unwrapped(value)


def dumped(metadata: Mapping[str, Any]) -> bytes:
    """JSON text of what ``encoded`` gave."""
    return orjson.dumps(metadata)


def loaded(raw: bytes) -> Any:
    """What ``encoded`` was given, from its JSON text.

    Raises:
        ValueError: ``raw`` is no JSON.
    """
    value = orjson.loads(raw)
    return decoded(value) if _IN_JSON in raw else value


def decoded(value: Any) -> Any:
    """What ``encoded`` was given. What only looks like a tag stays as it is: somebody's dict."""
    try:
        return from_json(value)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return value
