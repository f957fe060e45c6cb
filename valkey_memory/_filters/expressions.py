"""Filters over metadata: one small expression tree.

Three kinds of fields can be declared: tag, numeric and text. Python expressions build the tree;
LangChain's dict filters (``dicts``) and LlamaIndex's ``MetadataFilters`` become it. ``query``
compiles it to a query string, ``evaluation`` evaluates it in Python, with the same result for every
value.

What the operators mean, everywhere:

- A tag value is a string, a boolean or an integer, or a list of these; dates, UUIDs and Decimals
  are their text. ``Tag("t") == x`` is true when the document's value is x, or a list that has x.
  Values are compared with their type.
- A number is an int (within 2**53), a float or a Decimal; a date is its Unix seconds. A list of
  numbers is no number.
- A document without the field satisfies no comparison, and so satisfies every negated one:
  ``Tag("t") != "x"`` is ``~(Tag("t") == "x")``.
- A field is missing, too, when its value is None, an empty list or (for text) has no words.
- Text is compared by whole words, without regard to case: no stemming, no stop words, no ranking.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .._arguments import shown
from .._errors import FilterError
from .values import as_number, as_text

TagValue: TypeAlias = str | bool | int
FieldType: TypeAlias = Literal["tag", "numeric", "text"]
Metadata: TypeAlias = Mapping[str, Any]

MAX_EXACT_INT = 2**53
"""The server compares numbers as doubles, which hold integers up to here exactly."""

MAX_DEPTH = 100
"""Filters within each other; some recursion is behind every one."""

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text as they are compared: runs of letters, digits and ``_``, casefolded."""
    return _WORD.findall(text.casefold())


class Filter:
    """A condition on a document's metadata. Combine with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Filter) -> Filter:
        return And(_operands(And, self, other))

    def __or__(self, other: Filter) -> Filter:
        return Or(_operands(Or, self, other))

    def __invert__(self) -> Filter:
        return self.operand if isinstance(self, Not) else Not(self)

    def __bool__(self) -> bool:
        raise FilterError(
            "a filter has no truth value: combine filters with & | ~ and parentheses, "
            "not with and, or, not, or a chained comparison"
        )


@dataclass(frozen=True, slots=True)
class TagIn(Filter):
    """The tag is one of ``values``. No values: never."""

    field: str
    values: tuple[TagValue, ...]


@dataclass(frozen=True, slots=True)
class NumberIn(Filter):
    """The number is between the bounds. None is no bound."""

    field: str
    low: float | None = None
    high: float | None = None
    above: bool = False
    """``low`` itself does not match."""
    below: bool = False
    """``high`` itself does not match."""

    def is_empty(self) -> bool:
        if self.low == math.inf or self.high == -math.inf:
            return True  # documents hold finite numbers
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and (self.above or self.below))


@dataclass(frozen=True, slots=True)
class TextHas(Filter):
    """The text has ``words`` one after the other. No words: never."""

    field: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """The document has the field."""

    field: str


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All ``operands``. None of them: always."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """Any of ``operands``. None of them: never."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not(Filter):
    operand: Filter


ALWAYS = And(())
NEVER = Or(())


def _operands(kind: type[And] | type[Or], *filters: object) -> tuple[Filter, ...]:
    found: list[Filter] = []
    for item in filters:
        if not isinstance(item, Filter):
            raise FilterError(
                f"a filter can be combined with another filter only, not {shown(item)}"
            )
        found += item.operands if isinstance(item, kind) else (item,)
    return tuple(found)


# Values


def check_tag(value: object, field: str) -> TagValue:
    """``value`` as a tag has it."""
    value = as_text(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FilterError(
                f"{field!r}: {shown(value)} is not valid Unicode: {error.reason}"
            ) from error
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value
    raise FilterError(
        f"{field!r} is a tag: its values are strings, booleans, integers, dates, UUIDs and "
        "Decimals, "
        f"not {type(value).__name__} ({shown(value)})"
    )


def check_number(value: object, field: str) -> float:
    """``value`` as a number that the server compares exactly; infinities are bounds."""
    value = as_number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FilterError(
            f"{field!r} is numeric: its values are int, float, Decimal and dates, "
            f"not {type(value).__name__} ({shown(value)})"
        )
    if isinstance(value, float) and math.isnan(value):
        raise FilterError(f"{field!r} cannot be compared with NaN")
    if isinstance(value, int) and abs(value) > MAX_EXACT_INT:
        raise FilterError(
            f"{field!r}: {shown(value)} is beyond 2**53, where the server's numbers are not exact; "
            "declare the field as tag to compare such values for equality"
        )
    return value


def _tags(values: object, field: str) -> tuple[TagValue, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise FilterError(f"{field!r}: give a list of values, not {shown(values)}")
    return tuple(check_tag(value, field) for value in values)


# Python expressions


@dataclass(frozen=True, slots=True, eq=False)
class Tag:
    """A tag field in an expression: ``Tag("user_id") == "alice"``."""

    field: str

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        """The value, or one of the field's values, is ``value``."""
        return TagIn(self.field, (check_tag(value, self.field),))

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        """Not ``==``; true for documents without the field."""
        return ~(self == value)

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, values: Iterable[TagValue]) -> Filter:
        """One of ``values``; never true for no values."""
        return TagIn(self.field, _tags(values, self.field))

    def not_in(self, values: Iterable[TagValue]) -> Filter:
        """None of ``values``; true for documents without the field."""
        return ~self.is_in(values)

    contains_any = is_in

    def contains_all(self, values: Iterable[TagValue]) -> Filter:
        """The field is a list with all of ``values``; always true for no values."""
        return And(tuple(TagIn(self.field, (value,)) for value in _tags(values, self.field)))

    def exists(self) -> Filter:
        """The document has the field."""
        return Exists(self.field)

    def is_empty(self) -> Filter:
        """No such field, or None, or an empty list."""
        return ~Exists(self.field)


@dataclass(frozen=True, slots=True, eq=False)
class Numeric:
    """A numeric field in an expression: ``Numeric("timestamp") >= 5``."""

    field: str

    def __eq__(self, value: object) -> Filter:  # type: ignore[override]
        """The number is ``value``."""
        number = check_number(value, self.field)
        return NumberIn(self.field, number, number)

    def __ne__(self, value: object) -> Filter:  # type: ignore[override]
        """Not ``==``; true for documents without the field."""
        return ~(self == value)

    __hash__ = None  # type: ignore[assignment]

    def __gt__(self, value: float) -> Filter:
        return NumberIn(self.field, low=check_number(value, self.field), above=True)

    def __ge__(self, value: float) -> Filter:
        return NumberIn(self.field, low=check_number(value, self.field))

    def __lt__(self, value: float) -> Filter:
        return NumberIn(self.field, high=check_number(value, self.field), below=True)

    def __le__(self, value: float) -> Filter:
        return NumberIn(self.field, high=check_number(value, self.field))

    def between(self, low: float, high: float) -> Filter:
        """From ``low`` to ``high``, both included; never true when ``low`` is above ``high``."""
        return NumberIn(self.field, check_number(low, self.field), check_number(high, self.field))

    def is_in(self, values: Iterable[float]) -> Filter:
        """One of ``values``; never true for no values."""
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise FilterError(f"{self.field!r}: give a list of numbers, not {shown(values)}")
        return Or(tuple(self == value for value in values))

    def not_in(self, values: Iterable[float]) -> Filter:
        """None of ``values``; true for documents without the field."""
        return ~self.is_in(values)

    def exists(self) -> Filter:
        """The document has the field."""
        return Exists(self.field)

    def is_empty(self) -> Filter:
        """No such field, or None."""
        return ~Exists(self.field)


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A text field in an expression: ``Text("content").matches("blue green")``."""

    field: str

    def matches(self, text: str) -> Filter:
        """Has every word of ``text``, anywhere; never true for a text without words."""
        found = self._words(text)
        return And(tuple(TextHas(self.field, (word,)) for word in found)) if found else NEVER

    def matches_any(self, text: str) -> Filter:
        """Has at least one word of ``text``."""
        return Or(tuple(TextHas(self.field, (word,)) for word in self._words(text)))

    def phrase(self, text: str) -> Filter:
        """Has the words of ``text`` one after the other."""
        found = self._words(text)
        return TextHas(self.field, tuple(found)) if found else NEVER

    def exists(self) -> Filter:
        """The document has the field."""
        return Exists(self.field)

    def is_empty(self) -> Filter:
        """No such field, or a text without words."""
        return ~Exists(self.field)

    def _words(self, text: object) -> list[str]:
        text = as_text(text)
        if not isinstance(text, str):
            raise FilterError(
                f"{self.field!r} is a text: compare it with a string, not {shown(text)}"
            )
        return words(text)


# Declarations

_TYPE_OF: dict[type[Filter], FieldType] = {TagIn: "tag", NumberIn: "numeric", TextHas: "text"}


def check(condition: Filter, fields: Mapping[str, FieldType], depth: int = 0) -> None:
    """Raise FilterError when ``condition`` has an undeclared field, or one of another type, or is
    nested too deep."""
    if depth > MAX_DEPTH:
        raise too_deep()
    if isinstance(condition, (And, Or)):
        for operand in condition.operands:
            check(operand, fields, depth + 1)
    elif isinstance(condition, Not):
        check(condition.operand, fields, depth + 1)
    elif isinstance(condition, (TagIn, NumberIn, TextHas, Exists)):
        if not isinstance(condition.field, str):
            raise FilterError(f"a field is named by a string, not {shown(condition.field)}")
        declared, needed = fields.get(condition.field), _TYPE_OF.get(type(condition))
        if declared is None:
            raise undeclared(condition.field, needed or "tag", fields)
        if needed is not None and declared != needed:
            raise FilterError(f"{condition.field!r} is declared as {declared}, not as {needed}")
    else:
        raise FilterError(f"{shown(condition)} is not a filter")


def too_deep() -> FilterError:
    """The error for a filter within filters within filters."""
    return FilterError(f"the filter is nested more than {MAX_DEPTH} levels deep")


def undeclared(field: str, kind: str, fields: Mapping[str, FieldType]) -> FilterError:
    """The error for a field that cannot be filtered, with the declaration that it needs."""
    known = ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none"
    return FilterError(
        f"{field!r} is not declared, so it cannot be filtered. Declared are: {known}. "
        f'Declare it when the index is created: metadata_fields={{"{field}": "{kind}", ...}}'
    )
