"""Which rows have a tag or a word: so that a filter looks at those alone, and not at every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Protocol, TypeAlias

from .._filters.evaluation import Indexed, matches
from .._filters.expressions import And, Filter, Not, NumberIn, Or, TagIn, TextHas

_Key: TypeAlias = tuple[str, bool | None, object]
"""Field, whether the value is a bool, and the value. True is no 1 in a filter. None: a word."""

_NOBODY: frozenset[int] = frozenset()


class Row(Protocol):
    """What has a document's metadata, as filters see it."""

    @property
    def seen(self) -> Indexed: ...


class Postings:
    """The rows of each tag and each word. Rows are numbers; who calls keeps what they mean."""

    def __init__(self) -> None:
        self._rows: dict[_Key, set[int]] = {}

    def add(self, row: int, seen: Indexed) -> None:
        for key in _keys(seen):
            self._rows.setdefault(key, set()).add(row)

    def remove(self, row: int, seen: Indexed) -> None:
        for key in _keys(seen):
            left = self._rows[key]
            left.discard(row)
            if not left:
                del self._rows[key]

    def satisfying(self, condition: Filter, rows: Sequence[Row]) -> Set[int]:
        """The numbers of ``rows``, which are all that were added, that satisfy ``condition``."""
        return self._find(condition, None, rows)

    def _find(self, condition: Filter, among: Set[int] | None, rows: Sequence[Row]) -> Set[int]:
        """Those of ``among`` that satisfy ``condition``; None is all of them."""
        if isinstance(condition, And):
            for operand in sorted(condition.operands, key=self._at_most):
                among = self._find(operand, among, rows)
            return _all(rows) if among is None else among
        if isinstance(condition, Or):
            found: set[int] = set()
            for operand in condition.operands:
                found |= self._find(operand, among, rows)
            return found
        all_of_them = _all(rows) if among is None else among
        if isinstance(condition, Not):
            return all_of_them - self._find(condition.operand, all_of_them, rows)
        if (having := self._having(condition)) is not None:
            found_there = having if among is None else having & among
            if isinstance(condition, TextHas) and len(condition.words) > 1:
                return {row for row in found_there if matches(rows[row].seen, condition)}
            return found_there
        return {row for row in all_of_them if matches(rows[row].seen, condition)}

    def _having(self, condition: Filter) -> Set[int] | None:
        """The rows that ``condition`` can be true of, where they are known without a look."""
        if isinstance(condition, TagIn):
            keys = [(condition.field, isinstance(v, bool), v) for v in condition.values]
            sets = [self._rows.get(key, _NOBODY) for key in keys]
            return sets[0] if len(sets) == 1 else _NOBODY.union(*sets)
        if isinstance(condition, TextHas) and condition.words:
            words = [
                self._rows.get((condition.field, None, word), _NOBODY) for word in condition.words
            ]
            least = min(words, key=len)
            return least.intersection(*words) if len(words) > 1 else least
        return None

    def _at_most(self, condition: Filter) -> float:
        """How many rows there can be, for the best order; what has to be looked at comes last."""
        having = self._having(condition)
        if having is not None:
            return len(having)
        return _LAST if isinstance(condition, (Not, NumberIn)) else _LAST - 1


_LAST = 2.0**60


def _all(rows: Sequence[Row]) -> Set[int]:
    return set(range(len(rows)))


def _keys(seen: Indexed) -> set[_Key]:
    tags: Mapping[str, tuple[object, ...]] = seen.tags
    found: set[_Key] = {(name, isinstance(v, bool), v) for name, vs in tags.items() for v in vs}
    found.update((name, None, word) for name, words in seen.words.items() for word in words)
    return found
