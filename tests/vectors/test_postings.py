"""Postings find what looking at every row finds, after any changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from valkey_memory._filters.evaluation import Indexed, matches
from valkey_memory._filters.expressions import (
    And,
    Exists,
    Filter,
    Not,
    NumberIn,
    Or,
    TagIn,
    TextHas,
)
from valkey_memory._vectors.postings import Postings


class Row(NamedTuple):
    seen: Indexed


_values: st.SearchStrategy[Any] = st.sampled_from(["a", "b", "1", 1, True, 0, False, 1.0])
_words = st.sampled_from(["x", "y", "z"])
_rows = st.builds(
    lambda tags, number, words: Row(
        Indexed(
            {"tag": tuple(tags)} if tags else {},
            {} if number is None else {"year": float(number)},
            {"text": words} if words else {},
        )
    ),
    st.lists(_values, max_size=3),
    st.none() | st.integers(0, 3),
    st.lists(_words, max_size=4),
)
_simple: st.SearchStrategy[Filter] = st.one_of(
    st.builds(TagIn, st.just("tag"), st.lists(_values, min_size=1, max_size=3).map(tuple)),
    st.builds(
        NumberIn, st.just("year"), st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)
    ),
    st.builds(TextHas, st.just("text"), st.lists(_words, max_size=3).map(tuple)),
    st.builds(Exists, st.sampled_from(["tag", "year", "text", "none"])),
)
_conditions = st.recursive(
    _simple,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(
    st.lists(_rows, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), _rows), max_size=4),
    st.lists(_conditions, min_size=1, max_size=4),
)
def test_as_looking_at_every_row(
    rows: list[Row], changes: list[tuple[int, Row]], conditions: list[Filter]
) -> None:
    postings = Postings()
    for number, row in enumerate(rows):
        postings.add(number, row.seen)
    for number, row in changes:
        if number < len(rows):
            postings.remove(number, rows[number].seen)
            rows[number] = row
            postings.add(number, row.seen)
    for condition in conditions:
        expected = {n for n, row in enumerate(rows) if matches(row.seen, condition)}
        assert set(postings.satisfying(condition, rows)) == expected


def test_nothing_is_left_of_what_was_removed() -> None:
    postings = Postings()
    seen = Indexed({"tag": ("a", "a")}, {}, {"text": ["x", "x"]})
    postings.add(0, seen)
    postings.remove(0, seen)
    assert postings.satisfying(TagIn("tag", ("a",)), []) == set()
    assert postings._rows == {}
