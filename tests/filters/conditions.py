"""Hostile documents, random conditions on them, and a naive idea of what satisfies them.

A ``Condition`` is built three times over, side by side: as an expression, as a dict filter, and as
a function of a document that shares no code with the library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from valkey_memory import Document, Filter, Numeric, Tag, Text

from ..vectors.documents import vector

FIELDS = {"t": "tag", "l": "tag", "n": "numeric", "m": "numeric", "b": "text", "content": "text"}

TAGS: list[Any] = [
    "", " ", "a", "A", "a ", " a", "a*", "*", "a|b", "|", "a,b", ",", "{a}", "}", "{", "a=>b",
    "=>[KNN 1 @_embedding $vector]", '"', '"a"', "'", "\\", "a\\", "\\}", "@t:{a}", "-a", "(a)",
    ")", "a-b", "a b", "_t", "_f", "_z", "_i1", "_any", "_none", "_5F", "_", "a_", "1", "01", "1.0",
    "-1", "true", "True", "None", "null", "é", "É", "e\u0301", "ß", "SS", "漢字", "🙂", "\n",
    "\x00", "\t", "%41", "$", "~", "[1 2]", "x" * 200, "x" * 201, "x" * 10_000, "x" * 10_001,
    "é" * 100, True, False, 0, 1, -1, 7, 2**53, -(2**53), 2**62, 2**64 - 1, -(2**63),
]  # fmt: skip
NUMBERS: list[Any] = [
    0, -0.0, 1, 1.0, -1, 1.5, -1.5, 0.1, 1 / 3, 1e-300, 1e300, -1e300, 5e-324, 2**53, -(2**53),
    2**53 - 1, 1e16, 123456.789, 1700000000000, 7,
]  # fmt: skip
TEXTS = [
    "", "!?", "Blue-green on ECS", "blue green", "green blue", "the a is of", "zx", "zx61",
    "ZX a zxz", "x_y", "_", "naïve café", "CAFÉ", "漢字 テスト", "a.b.c", "don't", "ß", "SS",
    "straße STRASSE", "123 4.5", "a a b", "a b a", "b a", "w" * 200, "w" * 201,
    "é" * 150, "İstanbul", "ﬁne", "-a",
    "a*", "a|b", '"a b"', "@t:{a}", "%a%", "a\nb", "and or not", "\U0001d401old", "٣",
]  # fmt: skip


def _pool() -> list[Document]:
    """Every tag, number and text in some document, and documents that lack fields."""
    documents = []
    for number in range(max(len(TAGS), len(TEXTS)) + 6):
        metadata: dict[str, Any] = {}
        if number < len(TAGS):
            metadata["t"] = TAGS[number]
            start = number * 5 % len(TAGS)
            metadata["l"] = TAGS[start : start + number % 4]
        if number % 3:
            metadata["n"] = NUMBERS[number * 7 % len(NUMBERS)]
        if number % 5:
            metadata["m"] = number % 7
        if number % 4:
            metadata["b"] = f"{TEXTS[number % len(TEXTS)]} {TEXTS[number * 3 % len(TEXTS)]}"
        if number % 11 == 0:
            metadata |= {"t": None, "n": None, "b": None, "l": []}
        content = TEXTS[number * 5 % len(TEXTS)]
        documents.append(Document(f"p{number}", content, metadata, vector(number)))
    return documents


POOL = _pool()


@dataclass(frozen=True)
class Condition:
    expression: Filter
    as_dict: dict[str, Any]
    holds: Callable[[Document], bool]

    def __repr__(self) -> str:
        return repr(self.as_dict)[:2_000]

    def satisfied(self, documents: list[Document]) -> set[str]:
        return {document.id for document in documents if self.holds(document)}


# What documents have, naively


def tags_of(document: Document, field: str) -> list[Any]:
    value = document.metadata.get(field)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def has_tag(document: Document, field: str, value: Any) -> bool:
    return any(type(one) is type(value) and one == value for one in tags_of(document, field))


def text_of(document: Document, field: str) -> list[str]:
    text = document.content if field == "content" else document.metadata.get(field) or ""
    found, word = [], ""
    for character in text.casefold() + " ":
        if character.isalnum() or character == "_":
            word += character
        elif word:
            found.append(word)
            word = ""
    return found


def words_of(text: str) -> list[str]:
    return text_of(Document("", text), "content")


def has_phrase(document: Document, field: str, text: str) -> bool:
    wanted, words = words_of(text), text_of(document, field)
    starts = range(len(words) - len(wanted) + 1)
    return bool(wanted) and any(words[at : at + len(wanted)] == wanted for at in starts)


def has_field(document: Document, field: str) -> bool:
    if FIELDS[field] == "tag":
        return bool(tags_of(document, field))
    if FIELDS[field] == "text":
        return bool(text_of(document, field))
    return document.metadata.get(field) is not None


# Conditions

tag_values = st.one_of(
    st.sampled_from(TAGS), st.text(max_size=6), st.integers(-3, 3), st.booleans()
)
number_values = st.one_of(
    st.sampled_from(NUMBERS),
    st.integers(-3, 8),
    st.floats(allow_nan=False, allow_infinity=True),
)
finite_numbers = number_values.filter(lambda number: abs(number) < float("inf"))
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.text(max_size=8),
    st.lists(st.sampled_from(["a", "b", "blue", "green", "zx", "é"]), max_size=3).map(" ".join),
)


def _leaf(expression: Filter, field: str, operator: str, operand: Any, holds: Any) -> Condition:
    return Condition(expression, {field: {operator: operand}}, holds)


@st.composite
def _tag_conditions(draw: st.DrawFn) -> Condition:
    f = draw(st.sampled_from(["t", "l"]))
    operator = draw(st.sampled_from(["$eq", "$ne", "$in", "$nin", "$any", "$all"]))
    if operator in ("$eq", "$ne"):
        v = draw(tag_values)
        if operator == "$eq":
            return _leaf(Tag(f) == v, f, operator, v, lambda d: has_tag(d, f, v))
        return _leaf(Tag(f) != v, f, operator, v, lambda d: not has_tag(d, f, v))
    vs = draw(st.lists(tag_values, max_size=4))
    if operator == "$all":
        everything = lambda d: all(has_tag(d, f, v) for v in vs)  # noqa: E731
        return _leaf(Tag(f).contains_all(vs), f, operator, vs, everything)
    some: Callable[[Document], bool] = lambda d: any(has_tag(d, f, v) for v in vs)  # noqa: E731
    if operator == "$nin":
        return _leaf(Tag(f).not_in(vs), f, operator, vs, lambda d: not some(d))
    expression = Tag(f).is_in(vs) if operator == "$in" else Tag(f).contains_any(vs)
    return _leaf(expression, f, operator, vs, some)


@st.composite
def _number_conditions(draw: st.DrawFn) -> Condition:
    f = draw(st.sampled_from(["n", "m"]))
    operators: dict[str, tuple[Any, Any]] = {
        "$eq": (lambda v: Numeric(f) == v, lambda n, v: n == v),
        "$gt": (lambda v: Numeric(f) > v, lambda n, v: n > v),
        "$gte": (lambda v: Numeric(f) >= v, lambda n, v: n >= v),
        "$lt": (lambda v: Numeric(f) < v, lambda n, v: n < v),
        "$lte": (lambda v: Numeric(f) <= v, lambda n, v: n <= v),
        "$between": (lambda v: Numeric(f).between(*v), lambda n, v: v[0] <= n <= v[1]),
        "$in": (lambda v: Numeric(f).is_in(v), lambda n, v: n in v),
        "$ne": (lambda v: Numeric(f) != v, lambda n, v: n == v),
        "$nin": (lambda v: Numeric(f).not_in(v), lambda n, v: n in v),
    }
    operator = draw(st.sampled_from(sorted(operators)))
    operand: Any
    if operator in ("$in", "$nin"):
        operand = draw(st.lists(number_values, max_size=4))
    elif operator == "$between":
        operand = [draw(number_values), draw(number_values)]
    else:
        operand = draw(number_values)
    build, compare = operators[operator]
    negated = operator in ("$ne", "$nin")

    def holds(document: Document) -> bool:
        number = document.metadata.get(f)
        return (number is not None and bool(compare(number, operand))) is not negated

    return _leaf(build(operand), f, operator, operand, holds)


@st.composite
def _text_conditions(draw: st.DrawFn) -> Condition:
    f, text = draw(st.sampled_from(["b", "content"])), draw(texts)
    operator = draw(st.sampled_from(["$match", "$match_any", "$phrase"]))
    wanted = words_of(text)
    if operator == "$phrase":
        return _leaf(Text(f).phrase(text), f, operator, text, lambda d: has_phrase(d, f, text))
    if operator == "$match":
        every = lambda d: bool(wanted) and set(wanted) <= set(text_of(d, f))  # noqa: E731
        return _leaf(Text(f).matches(text), f, operator, text, every)
    some = lambda d: bool(set(wanted) & set(text_of(d, f)))  # noqa: E731
    return _leaf(Text(f).matches_any(text), f, operator, text, some)


@st.composite
def _existence(draw: st.DrawFn) -> Condition:
    f, there = draw(st.sampled_from(sorted(FIELDS))), draw(st.booleans())
    named: Any = {"tag": Tag, "numeric": Numeric, "text": Text}[FIELDS[f]](f)
    expression = named.exists() if there else named.is_empty()
    return _leaf(expression, f, "$exists", there, lambda d: has_field(d, f) is there)


def _both(one: Condition, other: Condition) -> Condition:
    return Condition(
        one.expression & other.expression,
        {"$and": [one.as_dict, other.as_dict]},
        lambda d: one.holds(d) and other.holds(d),
    )


def _either(one: Condition, other: Condition) -> Condition:
    return Condition(
        one.expression | other.expression,
        {"$or": [one.as_dict, other.as_dict]},
        lambda d: one.holds(d) or other.holds(d),
    )


def _not(one: Condition) -> Condition:
    return Condition(~one.expression, {"$not": one.as_dict}, lambda d: not one.holds(d))


conditions = st.recursive(
    st.one_of(_tag_conditions(), _number_conditions(), _text_conditions(), _existence()),
    lambda inner: st.one_of(
        st.builds(_both, inner, inner), st.builds(_either, inner, inner), st.builds(_not, inner)
    ),
    max_leaves=6,
)


@st.composite
def document_lists(draw: st.DrawFn) -> list[Document]:
    """A few documents with random values."""
    metadata = st.fixed_dictionaries(
        {},
        optional={
            "t": st.none() | tag_values,
            "l": st.lists(tag_values, max_size=4),
            "n": st.none() | finite_numbers,
            "m": finite_numbers,
            "b": st.none() | texts,
        },
    )
    found = draw(st.lists(st.tuples(metadata, texts), min_size=1, max_size=6))
    return [Document(f"r{n}", text, data, vector(n)) for n, (data, text) in enumerate(found)]
