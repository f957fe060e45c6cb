"""Hybrid search: near by vector and good by the words of the documents' text, in one order.

It takes two round trips. The first counts how common the query's words are; the second finds the
nearest vectors, and the documents that have the rarest words. The client ranks these candidates,
by stems. What that finds, and what it leaves out: docs/concepts/search.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypeAlias

from .._arguments import check_count, check_text, shown
from .._errors import FilterError, InvalidArgumentError
from .._filters.expressions import FieldType, Filter, Or, TextHas, undeclared, words
from .._plans import Plan
from .documents import Document, Hit
from .plans import AnyFilter, IndexPlans
from .questions import Counted, Matching, Nearest
from .ranking import (
    MOST_WITH_WORDS,
    NEAREST,
    VECTOR_SHARE,
    WITH_WORDS,
    Frequencies,
    Ranked,
    bm25,
    rank,
)
from .schema import CONTENT
from .words import TERMS_ASKED, check_language, terms

HybridMode: TypeAlias = Literal["hybrid", "text"]

EFFORT = 4
"""HNSW looks at so many times as many as shall be found. A rank hangs on all before it: of the 100
nearest of 603, 40 searches of 213 missed one with once as many, 1 with twice, none with 3 times."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a hybrid search was asked for, checked.

    Attributes:
        query: The text, as its words.
        k: At most so many documents.
        condition: Which ones it may find; None for all.
        language: Of the stems.
        vector_share: What the rank by vector is of the score.
        vector_k: So many of the nearest are candidates.
        text_k: So many of the best by words have a rank by words; None for all candidates.
    """

    query: Query
    k: int
    condition: Filter | None
    language: str
    vector_share: float
    vector_k: int
    text_k: int | None


def wanted(
    plans: IndexPlans,
    query: str,
    k: int,
    value: AnyFilter | None,
    mode: HybridMode,
    *,
    alpha: float | None = None,
    vector_k: int | None = None,
    text_k: int | None = None,
    language: str = "english",
) -> Wanted:
    """``Wanted`` of a call's arguments.

    Raises:
        InvalidArgumentError: One of them cannot be.
        FilterError: The filter, or the index has no words of its documents.
    """
    check_text(query, "query")
    check_count(k, "k")
    check_count(vector_k, "vector_k", optional=True)
    check_count(text_k, "text_k", optional=True)
    if mode not in ("hybrid", "text"):
        raise InvalidArgumentError(f'mode {shown(mode)} is unknown: "hybrid" or "text"')
    for name, given in (("alpha", alpha), ("vector_k", vector_k)):
        if mode == "text" and given is not None:
            raise InvalidArgumentError(f"{name} is about vectors; by words alone there are none")
    share = VECTOR_SHARE if alpha is None else alpha
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
        raise InvalidArgumentError(
            f"alpha must be from 0 (words alone) to 1 (vectors alone), or None, not {shown(alpha)}"
        )
    check_language(language)
    _check_content(plans.schema.fields)
    condition = plans.condition(value)
    nearest = max(NEAREST, k) if vector_k is None else vector_k
    read = Query.of(query, language)
    return Wanted(read, k, condition, language, float(share), nearest, text_k)


def _check_content(fields: Mapping[str, FieldType]) -> None:
    if CONTENT not in fields:
        raise FilterError(
            "a search by words looks them up in the documents' text, and "
            f"{undeclared(CONTENT, 'text', fields)}. Then write again what was stored without it"
        )


@dataclass(frozen=True, slots=True)
class Query:
    """A text as its words: documents are looked up by whole words, and ranked by their stems.

    Attributes:
        words: The terms of each different word, stop words left out: the first 32.
        terms: The terms of all of them, repeated as they are.
    """

    words: Mapping[str, Sequence[str]]
    terms: Sequence[str]

    @classmethod
    def of(cls, text: str, language: str) -> Query:
        """The words of ``text``."""
        known: dict[str, list[str]] = {}
        found: list[str] = []
        for word in words(text):
            if word not in known:
                own = terms(word, language)[:TERMS_ASKED]
                if not own or len(known) == TERMS_ASKED:
                    continue
                known[word] = own
            found += known[word]
        return cls(known, found)


def hybrid_plan(
    plans: IndexPlans, asked: Wanted, vector: Sequence[float] | None
) -> Plan[list[Hit]]:
    """The best documents, best first. Two round trips, one more to restart a TTL.

    Args:
        plans: Of the index.
        asked: What for.
        vector: The query's; None ranks by words alone, and then scores are those of BM25.
    """
    if vector is not None:
        plans.packed(vector)  # a wrong one is refused before anything is sent
    elif not asked.query.words:
        return []
    common = yield from _counts_plan(plans, asked)
    nearest, having = yield from _candidates_plan(plans, asked, common, vector)
    among = Frequencies(common.documents, _by_term(asked.query, common.of))

    def text_scores(candidates: Sequence[Document]) -> list[float]:
        wanted_terms = {*asked.query.terms}
        texts = [terms(document.content, asked.language) for document in candidates]
        counts = [Counter(term for term in text if term in wanted_terms) for text in texts]
        return bm25(asked.query.terms, counts, [len(text) for text in texts], among)

    found = rank(
        nearest,
        having,
        text_scores,
        vector_share=asked.vector_share,
        text_places=asked.text_k,
    )
    hits = _by_words(found) if vector is None else [Hit(one.document, one.score) for one in found]
    best = [hit for hit in hits if hit.score > 0][: asked.k]
    yield from plans.touch_plan(best)
    return best


def _by_words(found: Sequence[Ranked]) -> list[Hit]:
    ranked = [one for one in found if one.text_rank is not None]
    ranked.sort(key=lambda one: one.text_rank or 0)
    return [Hit(one.document, one.text_score) for one in ranked]


def _counts_plan(plans: IndexPlans, asked: Wanted) -> Plan[Frequencies]:
    """How common the query's words are among the documents that may be found. One round trip."""
    own = asked.condition
    conditions = [own, *(_and(own, _has(word)) for word in asked.query.words)]
    documents, *of = yield from plans.ask_plan([Counted(condition) for condition in conditions])
    return Frequencies(documents, dict(zip(asked.query.words, of, strict=True)))


def _candidates_plan(
    plans: IndexPlans, asked: Wanted, common: Frequencies, vector: Sequence[float] | None
) -> Plan[tuple[list[Hit], list[Document]]]:
    """The nearest, and those that have the rarest words. One round trip."""
    rarest = common.rarest(max(WITH_WORDS, asked.k))
    if not rarest and vector is None:
        rarest = common.rarest(math.inf)[:1]
    questions: list[Nearest | Matching] = []
    if vector is not None:
        effort = max(EFFORT * asked.vector_k, plans.schema.ef_runtime)
        packed = plans.packed(vector)
        questions.append(Nearest(packed, asked.vector_k, asked.condition, ef_runtime=effort))
    if rarest:
        condition = _and(asked.condition, Or(tuple(map(_has, rarest))))
        questions.append(Matching(condition, max(MOST_WITH_WORDS, asked.k)))
    answers = (yield from plans.ask_plan(questions)) if questions else []
    nearest: list[Hit] = [] if vector is None else answers[0]
    having: list[Document] = answers[-1] if rarest else []
    return nearest, having


def _by_term(query: Query, of: Mapping[str, int]) -> dict[str, int]:
    """How many documents have each term: as many as have the most common of its words."""
    found: dict[str, int] = {}
    for word, own in query.words.items():
        for term in own:
            found[term] = max(found.get(term, 0), of[word])
    return found


def _has(word: str) -> Filter:
    return TextHas(CONTENT, (word,))


def _and(condition: Filter | None, other: Filter) -> Filter:
    return other if condition is None else condition & other
