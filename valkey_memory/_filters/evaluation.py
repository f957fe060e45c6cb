"""Filters evaluated in Python, on what of a document's metadata is declared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._errors import FilterError
from .expressions import (
    And,
    Exists,
    FieldType,
    Filter,
    Metadata,
    Not,
    NumberIn,
    Or,
    TagIn,
    TagValue,
    TextHas,
    check_number,
    check_tag,
    words,
)
from .values import as_text


def tag_values(value: object, field: str) -> tuple[TagValue, ...]:
    """The tags in a metadata value: none, one, or those of a list."""
    if value is None:
        return ()
    if isinstance(value, (list, tuple, set, frozenset)):
        checked = (check_tag(item, field) for item in value)
        # True and 1 are equal and have the same hash, but are not the same tag.
        return tuple({(isinstance(tag, bool), tag): tag for tag in checked}.values())
    return (check_tag(value, field),)


def number_value(value: object, field: str) -> float | None:
    """The number in a metadata value, or None."""
    if value is None:
        return None
    number = check_number(value, field)
    if math.isinf(number):
        raise FilterError(f"{field!r} is numeric and cannot hold {number!r}")
    return number


def text_words(value: object, field: str) -> list[str]:
    """The words in a metadata value."""
    if value is None:
        return []
    value = as_text(value)
    if not isinstance(value, str):
        raise FilterError(
            f"{field!r} is a text: its values are strings, not {type(value).__name__}"
        )
    return words(value)


@dataclass(frozen=True, slots=True)
class Indexed:
    """A document's metadata, as filters see it: only declared fields, and only those it has."""

    tags: Mapping[str, tuple[TagValue, ...]]
    numbers: Mapping[str, float]
    words: Mapping[str, Sequence[str]]

    def has(self, field: str) -> bool:
        return field in self.tags or field in self.numbers or field in self.words


def indexed(metadata: Metadata, fields: Mapping[str, FieldType]) -> Indexed:
    """What of ``metadata`` is declared in ``fields``.

    Raises:
        FilterError: A value of the wrong type.
    """
    tags: dict[str, tuple[TagValue, ...]] = {}
    numbers: dict[str, float] = {}
    texts: dict[str, Sequence[str]] = {}
    for name, kind in fields.items():
        value = metadata.get(name)
        if kind == "tag":
            if found := tag_values(value, name):
                tags[name] = found
        elif kind == "numeric":
            if (number := number_value(value, name)) is not None:
                numbers[name] = number
        elif text := text_words(value, name):
            texts[name] = text
    return Indexed(tags, numbers, texts)


def _same_tag(one: TagValue, other: TagValue) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _has_phrase(text: Sequence[str], phrase: tuple[str, ...]) -> bool:
    size = len(phrase)
    return size > 0 and any(
        tuple(text[start : start + size]) == phrase for start in range(len(text) - size + 1)
    )


def _in_bounds(number: float, bounds: NumberIn) -> bool:
    low, high = bounds.low, bounds.high
    if low is not None and (number < low or (bounds.above and number == low)):
        return False
    return not (high is not None and (number > high or (bounds.below and number == high)))


def matches(document: Indexed, condition: Filter) -> bool:
    """Whether a document satisfies ``condition``; what the server would say."""
    if isinstance(condition, TagIn):
        found = document.tags.get(condition.field, ())
        return any(_same_tag(tag, value) for tag in found for value in condition.values)
    if isinstance(condition, NumberIn):
        number = document.numbers.get(condition.field)
        return number is not None and _in_bounds(number, condition)
    if isinstance(condition, TextHas):
        return _has_phrase(document.words.get(condition.field, ()), condition.words)
    if isinstance(condition, Exists):
        return document.has(condition.field)
    if isinstance(condition, And):
        return all(matches(document, operand) for operand in condition.operands)
    if isinstance(condition, Or):
        return any(matches(document, operand) for operand in condition.operands)
    if isinstance(condition, Not):
        return not matches(document, condition.operand)
    raise FilterError(f"unknown filter {condition!r}")
