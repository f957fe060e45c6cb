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
from .._messages.values import TAG, from_json, refuse, to_json
from . import limits

_SIMPLE = {str, bool, type(None)}
_TAG_IN_JSON = b'"~"'


def encoded(metadata: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """``metadata`` in terms that JSON holds, tagged where needed.

    Raises:
        DocumentError: A key is no string, a value has no form here, or it is nested too deep.
    """
    for key in metadata:
        if not isinstance(key, str):
            raise DocumentError(f"{where} has the key {shown(key)}, which is no string")
    given = {str.__str__(key): value for key, value in metadata.items()}
    if TAG not in given and all([type(value) in _SIMPLE for value in given.values()]):  # noqa: C419
        return given
    try:
        found: dict[str, Any] = to_json(given, where, objects=_of_numpy)
    except MessageEncodeError as error:
        raise DocumentError(f"{error}") from error
    if _is_deeper(found, limits.METADATA_DEPTH + 1):
        raise DocumentError(f"{where} is nested more than {limits.METADATA_DEPTH} levels deep")
    return found


def _of_numpy(value: Any, path: str) -> Any:
    """A scalar of NumPy's that only nearly equals one of Python's: its dates have nanoseconds."""
    plain = unwrapped(value)
    return refuse(value, path) if plain is value else plain


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dicts are within each other on more than so many levels."""
    inside = [value]
    for _ in range(levels):
        inside = [
            item
            for container in inside
            for item in (container.values() if type(container) is dict else container)
            if type(item) is dict or type(item) is list
        ]
        if not inside:
            return False
    return True


def loaded(raw: bytes) -> Any:
    """What ``encoded`` was given, from its JSON text.

    Raises:
        ValueError: ``raw`` is no JSON.
    """
    value = orjson.loads(raw)
    return decoded(value) if _TAG_IN_JSON in raw else value


def decoded(value: Any) -> Any:
    """What ``encoded`` was given. What only looks like a tag stays as it is: somebody's dict."""
    try:
        return from_json(value)
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return value
