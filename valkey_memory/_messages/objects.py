"""Objects as plain data, for the open fields of messages: what applications and tools put there.

An open field never costs a turn. What has an exact form (``values``) is stored in it; an object in
the form of its dict, list or text; whatever has none of these as the text that Python prints, with
a warning in the log ``valkey_memory``. Paths, URLs and enums become their text or value.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import reprlib
from collections import UserString
from collections.abc import Mapping, Sequence, Set
from enum import Enum
from typing import Any

import orjson

from .._interrupts import let_through
from .values import (
    BY_FOREIGN_CODE,
    LEAVES,
    TAG,
    is_numpy_scalar,
    plain_equal,
    refuse,
    to_json,
    with_tagged_text,
)

_log = logging.getLogger("valkey_memory")

_DEEPEST = 100
"""Levels of an open field that are kept where it has too many."""
_MOST = 10_000
"""So many containers and objects of it."""
_DEEPEST_JSON = 200
"""The same in JSON, where some values need two levels; orjson writes 254."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = 120


def as_dict(value: Any) -> Any:
    """The dict of an object that makes one, as those of Pydantic and of OpenAI's client do.

    ``to_dict`` first: where a client has both, it gives what the API sent, and no defaults.

    Returns:
        The dict, or None where there is none.
    """
    for name in ("to_dict", "model_dump"):
        method = getattr(type(value), name, None)
        if callable(method) and not isinstance(value, type):
            try:
                found = method(value)
            except RecursionError:
                raise
            except Exception as error:  # noqa: BLE001 - the object's own code throws anything
                let_through(error)
                continue
            if isinstance(found, Mapping):
                return found
    return None


def dict_or_refuse(value: Any, path: str) -> Any:
    """``as_dict`` for ``to_json``.

    Raises:
        MessageEncodeError: There is none.
    """
    found = as_dict(value)
    return refuse(value, path) if found is None else found


def plain_data(value: Any, path: str) -> Any:
    """Plain data in place of any object, for ``to_json``. Refuses nothing."""
    try:
        found = _plain_form(value)
    except RecursionError:
        raise  # who called knows what to cut
    except Exception as error:  # noqa: BLE001 - the object's own code throws anything
        let_through(error)
        found = None
    if found is None or found is value:
        found = _text(value)
        kind = type(value)
        _log.warning("%s: %s.%s is stored as text", path, kind.__module__, kind.__qualname__)
    return found


def _plain_form(value: Any) -> Any:
    """A dict, list, text or number that says what ``value`` does, or None."""
    kind = type(value)
    if isinstance(value, type):
        return None
    if isinstance(value, Enum):
        return value.value if value.value is not None else value.name
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if (found := as_dict(value)) is not None:
        return found
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind.__name__.lower().endswith(("url", "dsn")):  # of Pydantic, httpx, yarl and others
        return str(value)
    if isinstance(value, UserString):  # whose items are such texts again
        return str(value)
    if callable(to_list := getattr(kind, "tolist", None)) and not is_numpy_scalar(kind):
        return to_list(value)
    if isinstance(value, (Sequence, Set)) or kind in _LISTS:
        return list(value)
    return None


_LISTS: tuple[type, ...] = (type({}.values()), type({}.items()))


def _text(value: Any) -> str:
    """What Python prints of an object. An exception's ``str`` does not say what it is."""
    try:
        return repr(value) if isinstance(value, BaseException) else str(value)
    except Exception as error:  # noqa: BLE001
        let_through(error)
        return _name(value)


def shortened(value: Any) -> str:
    """A short text for errors and for what is nested too deep; never fails."""
    try:
        return _SHORT.repr(value)
    except Exception as error:  # noqa: BLE001
        let_through(error)
        return _name(value)


def open_to_json(value: Any, path: str) -> Any:
    """``to_json`` of an open field, which refuses nothing.

    What is nested deeper than some 100 levels, or contains itself, ends in a shortened text. A dict
    stays a dict, and a list a list.
    """
    try:
        return to_json(value, path, objects=plain_data)
    except BY_FOREIGN_CODE as error:
        let_through(error)
        _log.warning(
            "%s contains itself, or is nested too deep: its inside is stored as text", path
        )
    try:
        return to_json(_Cut(path).cut(value, _DEEPEST, ()), path, objects=plain_data)
    except BY_FOREIGN_CODE as error:  # keys that contain themselves
        let_through(error)
        return to_json(_outline(value), path)


class _Cut:
    """Makes copies of values, with texts in place of what is too deep or within itself.

    Args:
        path: Where the value stands, for the log.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: dict[int, Any] = {}  # objects stay alive, or another may get their identity
        self._left = _MOST

    def cut(self, value: Any, levels: int, around: tuple[Any, ...]) -> Any:
        """
        Args:
            value: Anything.
            levels: How many levels of containers are left.
            around: The containers that ``value`` is in.
        """
        kind = type(value)
        if kind in LEAVES:
            return value
        self._left -= 1
        if self._left < 0:
            return "..."
        if kind not in (dict, list, tuple, set, frozenset):
            return self._object(value, levels, around)
        if not levels or any(value is one for one in around):
            return shortened(value)
        levels, around = levels - 1, (*around, value)
        if kind is dict:
            return {key: self.cut(item, levels, around) for key, item in value.items()}
        items = [self.cut(item, levels, around) for item in value]
        try:
            return kind(items)
        except TypeError:  # of a set, and some are dicts or lists now
            return items

    def _object(self, value: Any, levels: int, around: tuple[Any, ...]) -> Any:
        try:
            plain = plain_equal(value)
            if type(plain) is type(value):
                plain = plain_data(value, self._path)
        except RecursionError:  # its own code never ends
            return _name(value)
        if type(plain) in LEAVES or isinstance(value, Enum):
            return plain
        # Each is shown once: objects that refer to each other could be told without end.
        if not levels or id(value) in self._seen:
            return _name(value)
        self._seen[id(value)] = value
        return self.cut(plain, levels, around)


def _name(value: Any) -> str:
    return f"<{type(value).__module__}.{type(value).__qualname__} object>"


def _outline(value: Any) -> Any:
    """A dict or list with a text in place of each item; a text in place of all else."""
    if type(value) is dict:
        return {
            key if type(key) is str else shortened(key): shortened(item)
            for key, item in value.items()
        }
    return [*map(shortened, value)] if type(value) is list else shortened(value)


def writable(encoded: Any, levels: int = _DEEPEST_JSON) -> Any:
    """What ``open_to_json`` made, in a form that can be written for sure.

    Texts that are not valid Unicode get a tag, and what is nested too deep is cut. Both are rare,
    so this is asked only where writing failed.
    """
    return with_tagged_text(_cut_json(encoded, levels))


def _cut_json(encoded: Any, levels: int) -> Any:
    if type(encoded) not in (dict, list):
        return encoded
    if levels <= 0:
        return shortened(encoded)
    if type(encoded) is list:
        return [_cut_json(item, levels - 1) for item in encoded]
    if encoded.keys() != {TAG, "v"} or type(encoded["v"]) is not list:
        return {key: _cut_json(item, levels - 1) for key, item in encoded.items()}
    # The list of a tag is no level of its own: in its place a text would be read as items.
    if encoded[TAG] == "dict":
        pairs = [[key, _cut_json(item, levels - 3)] for key, item in encoded["v"]]
        return {TAG: "dict", "v": pairs}
    return {TAG: encoded[TAG], "v": [_cut_json(item, levels - 2) for item in encoded["v"]]}


def open_dumps(value: Any, path: str) -> bytes:
    """``open_to_json`` as JSON text."""
    return dump_json(open_to_json(value, path))


def dump_json(encoded: Any) -> bytes:
    """What ``open_to_json`` made, or a container of it, as JSON text. ``loads`` reads it."""
    try:
        return orjson.dumps(encoded)
    except orjson.JSONEncodeError:
        return orjson.dumps(writable(encoded))
