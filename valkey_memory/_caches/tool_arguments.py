"""Arguments of a tool as one canonical text, so that equal calls are known as equal.

The text is JSON in the sense of RFC 8785: the order of an object's keys says nothing, and numbers
are what they are worth, so 1, 1.0 and 1e0 are the same, as they are to a model that writes them.
``True`` is not 1, and text is compared character by character: nothing is trimmed, folded or
normalised, because a tool may tell the difference, and a miss costs less than a wrong answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from .._arguments import shown
from .._errors import InvalidArgumentError, MessageEncodeError
from .._messages.values import TAG, to_json, with_tagged_text

_UNORDERED = {"set", "frozenset", "dict"}
"""Tagged values whose items have no order."""


def canonical(arguments: Mapping[str, Any]) -> bytes:
    """The canonical text of ``arguments``.

    Raises:
        InvalidArgumentError: They are no mapping.
        MessageEncodeError: A value that has no exact form in JSON, such as an object.
    """
    if not isinstance(arguments, Mapping):
        raise InvalidArgumentError(f"arguments must be a dict, not {shown(arguments)}")
    plain = to_json(dict(arguments), "arguments")
    try:
        return _dumps(_sorted(with_tagged_text(_settled(plain))))
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise MessageEncodeError(f"arguments cannot be compared: {error}") from error


def digest(arguments: Mapping[str, Any], form: str = "") -> str:
    """What stands for ``arguments`` in a key: SHA-256 of the form's name and their canonical text.

    Results of one form are of no use to another, so each has its own.
    """
    return hashlib.sha256(form.encode() + canonical(arguments)).hexdigest()


def _settled(value: Any) -> Any:
    """What ``to_json`` made, with one form for each number."""
    if type(value) is float and value.is_integer():
        return to_json(int(value))
    if type(value) is list:
        return [_settled(item) for item in value]
    if type(value) is dict:
        return {key: _settled(item) for key, item in value.items()}
    return value


def _sorted(value: Any) -> Any:
    """The same with one order for what has none."""
    if type(value) is list:
        return [_sorted(item) for item in value]
    if type(value) is not dict:
        return value
    found = {key: _sorted(item) for key, item in value.items()}
    if found.get(TAG) in _UNORDERED:
        found["v"] = sorted(found["v"], key=_dumps)
    return found


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
