"""The stored element: one message as one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from .._errors import MessageEncodeError
from .objects import writable
from .values import TAG, is_unicode, loads

Element = dict[str, Any]
"""A decoded element: ``role``, ``content`` and what design calls the neutral part, plus ``lc`` or
``li`` for what only one framework knows."""

FRAMEWORK_KEYS = ("lc", "li")
"""What only LangChain's and LlamaIndex's codecs write. Nothing in it may change what the neutral
part says."""


def _not_unicode(value: Any, path: str) -> str | None:
    """The path of the first text with a lone surrogate, in the terms of ``to_json``'s paths."""
    parts: list[tuple[Any, str]] = []
    if isinstance(value, str):
        return None if is_unicode(value) else path
    if isinstance(value, dict) and value.keys() == {TAG, "v"}:
        parts = [(value["v"], path)]
    elif isinstance(value, dict):
        for key, item in value.items():
            parts += [(key, f"{path} key"), (item, f"{path}[{key!r}]" if path else key)]
    elif isinstance(value, list):
        parts = [(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return next((found for part in parts if (found := _not_unicode(*part))), None)


def _place_of_bad_text(element: Element) -> str | None:
    try:
        return _not_unicode(element, "")
    except RecursionError:
        return None  # then it is the nesting that cannot be stored


def dump_element(element: Element, ts: int | None) -> bytes:
    """An element that a codec made, as it is stored.

    Args:
        element: What the frameworks' open fields hold under ``lc`` and ``li`` is made to fit.
        ts: Unix milliseconds, its last key unless it has a ``ts``. None: no ``ts``.

    Raises:
        MessageEncodeError: Something else in it is not valid Unicode, or nested too deep.
    """
    if ts is not None:
        element.setdefault("ts", ts)
    try:
        return orjson.dumps(element)
    except orjson.JSONEncodeError:
        pass
    frameworks = {name: writable(element[name]) for name in FRAMEWORK_KEYS if name in element}
    try:
        return orjson.dumps({**element, **frameworks})
    except orjson.JSONEncodeError as error:
        rest = {key: value for key, value in element.items() if key not in frameworks}
        raise MessageEncodeError(
            f"{_place_of_bad_text(rest) or 'message'} cannot be stored: {error}"
        ) from error


def dump_elements(elements: Sequence[Element], ts: int | None) -> list[bytes]:
    """``dump_element`` of each, in two thirds of the time."""
    dumps = orjson.dumps
    if ts is not None:
        for element in elements:
            element.setdefault("ts", ts)
    try:
        return [dumps(element) for element in elements]
    except orjson.JSONEncodeError:
        return [dump_element(element, None) for element in elements]


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
