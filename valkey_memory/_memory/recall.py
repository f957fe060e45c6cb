"""Recall: the user's memories that answer a question, by meaning and by words.

Hybrid recall takes two round trips. The first counts how common the question's words are, and which
of them are speakers; the second finds the nearest vectors and what has the rarest words. The client
ranks these candidates. The recipe and its figures: docs/concepts/recall.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, TypeAlias

from .._arguments import TTL, check_count, check_text, shown, ttl_to_milliseconds
from .._errors import InvalidArgumentError
from .._filters.expressions import Filter, NumberIn, TagIn
from .._models.embedding import EmbedQuery
from .._plans import Now, Plan
from .._vectors.documents import Document, Hit
from .._vectors.plans import IndexPlans
from .._vectors.questions import Counted, Matching, Nearest
from .._vectors.questions import Question as IndexQuestion
from .._vectors.ranking import (
    MOST_WITH_WORDS,
    NEAREST,
    WITH_WORDS,
    Frequencies,
    Ranked,
    bm25,
    rank,
)
from .episodes import with_messages_plan
from .memories import MESSAGE, ORDER, TERMS, WORDS, Memory, Parts, memory_of, term_tags
from .question import Question, one_speaker
from .scope import Scope, scope

Mode: TypeAlias = Literal["hybrid", "dense", "text"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "text")

MOST_RECALLED = 10_000
"""So many of the nearest valkey-search gives at most. Exact search gives the same."""

BEFORE = (0.5, 0.3, 0.2)
AFTER = (0.3, 0.2)
"""What the words of the turns around it count for a turn, the nearest first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``recall`` was asked for, checked.

    Attributes:
        text: The question.
        scope: Whose memories, and which.
        k: At most so many.
        mode: By vectors and words, or by one of them.
        min_score: Leave out what scores less.
        neighbours: So many turns before and after each.
        half_life_ms: The age at which a memory counts less by a quarter; None for no such thing.
    """

    text: str
    scope: Scope
    k: int
    mode: Mode
    min_score: float | None
    neighbours: int
    half_life_ms: int | None


def wanted(
    query: str,
    seen: Scope,
    k: int,
    mode: Mode,
    min_score: float | None,
    neighbours: int,
    half_life: TTL | None,
) -> Wanted:
    """``Wanted`` of a call's arguments.

    Raises:
        InvalidArgumentError: One of them cannot be.
    """
    check_text(query, "query")
    if not query.strip():
        raise InvalidArgumentError("query has nothing but white space; list() needs none")
    check_count(k, "k")
    if mode not in MODES:
        raise InvalidArgumentError(f"mode {shown(mode)} is unknown: one of {', '.join(MODES)}")
    if min_score is not None and (
        isinstance(min_score, bool) or not isinstance(min_score, Real) or math.isnan(min_score)
    ):
        raise InvalidArgumentError(f"min_score must be a number or None, not {shown(min_score)}")
    check_count(neighbours, "neighbours", minimum=0)
    half_life_ms = ttl_to_milliseconds(half_life, "half_life")
    return Wanted(query, seen, min(k, MOST_RECALLED), mode, min_score, neighbours, half_life_ms)


def recall_plan(
    plans: IndexPlans, embedder: Any, wanted: Wanted, language: str
) -> Plan[list[Memory]]:
    """The memories, best first. Round trips: as ``LongTermMemory.recall`` says."""
    found, _ = yield from recall_beside_plan(plans, embedder, wanted, language)
    return (yield from with_messages_plan(plans, found))


def recall_beside_plan(
    plans: IndexPlans,
    embedder: Any,
    wanted: Wanted,
    language: str,
    beside: Sequence[IndexQuestion] = (),
) -> Plan[tuple[list[Memory], list[Any]]]:
    """``recall_plan`` without the messages of episodes; and the answers to other questions, which
    go with its first round trip."""
    question = Question(wanted.text, language)
    ranked, answers = yield from _ranked_plan(plans, embedder, wanted, question, beside)
    if wanted.min_score is not None:
        ranked = [pair for pair in ranked if pair[0].score >= wanted.min_score]
    ranked = ranked[: wanted.k]
    found = [_memory(one, age) for one, age in ranked]
    places = {
        one.document.id: place for one, _ in ranked if (place := _place(one.document)) is not None
    }
    if wanted.neighbours and places:
        found = yield from _with_neighbours_plan(plans, found, wanted, places)
    return found, answers


def _ranked_plan(
    plans: IndexPlans,
    embedder: Any,
    wanted: Wanted,
    question: Question,
    beside: Sequence[IndexQuestion],
) -> Plan[tuple[list[tuple[Ranked, float | None]], list[Any]]]:
    by_words, by_vector = wanted.mode != "dense", wanted.mode != "text"
    among = Frequencies(0, {})
    names: list[str] = []
    others: list[Any] = []
    if by_words:
        among, names, others = yield from _counts_plan(plans, wanted.scope, question, beside)
    elif beside:
        others = yield from plans.ask_plan(beside)
    nearest: list[Hit] = []
    having: list[Document] = []
    asked: list[Nearest | Matching] = []
    if by_vector:
        vector = yield EmbedQuery(embedder, question.without(names))
        k = max(NEAREST, wanted.k) if by_words else wanted.k
        asked.append(Nearest(plans.packed(vector), k, wanted.scope.condition()))
    rarest = among.rarest(WITH_WORDS)
    if rarest:
        asked.append(Matching(_having(wanted.scope, *rarest), WITH_WORDS))
    elif not by_vector and (rarest := among.rarest(among.documents)[:1]):
        # Of what has a common word only the newest are ranked.
        condition = _having(wanted.scope, *rarest)
        asked.append(Matching(condition, MOST_WITH_WORDS, ORDER, descending=True))
    if asked:
        answers = yield from plans.ask_plan(asked, fresh=not (by_words or beside))
        nearest = answers[0] if by_vector else []
        having = answers[-1] if rarest else []
    now: int = yield Now()

    speaker = one_speaker(names, (*having, *(hit.document for hit in nearest)))

    def factor(document: Document) -> float:
        times = question.factor(document, speaker) if by_words else 1.0
        return times * _gentle(recency(document, now, wanted.half_life_ms))

    def text_scores(candidates: Sequence[Document]) -> list[float]:
        if not by_words:
            return [0.0] * len(candidates)
        counts, lengths = in_window(candidates, set(question.terms))
        return bm25(question.terms, counts, lengths, among)

    found = rank(nearest, having, text_scores, factor)
    if wanted.mode == "dense":
        found = [replace(one, score=one.similarity or 0.0) for one in found]
    elif wanted.mode == "text":
        found = [replace(one, score=one.text_score) for one in found if one.text_rank]
    found.sort(key=lambda one: (-one.score, one.document.id))
    return [(one, recency(one.document, now, wanted.half_life_ms)) for one in found], others


def _counts_plan(
    plans: IndexPlans, seen: Scope, question: Question, beside: Sequence[IndexQuestion]
) -> Plan[tuple[Frequencies, list[str], list[Any]]]:
    """How common the question's terms are, and which of its words are speakers; and the answers to
    the questions ``beside``. One round trip."""
    distinct, possible = list(dict.fromkeys(question.terms)), question.possible_names
    conditions = [
        # Of all of the user's, which the server knows without a look at each.
        TagIn("user_id", (seen.user_id,)),
        *(_having(seen, term) for term in distinct),
        *(seen.condition(TagIn("speaker", (name,))) for name in possible),
    ]
    answers = yield from plans.ask_plan([*beside, *map(Counted, conditions)])
    others, counts = answers[: len(beside)], answers[len(beside) :]
    of = dict(zip(distinct, counts[1 : 1 + len(distinct)], strict=True))
    known = zip(possible, counts[1 + len(distinct) :], strict=True)
    return Frequencies(counts[0], of), [name for name, number in known if number], others


def _having(seen: Scope, *terms: str) -> Filter:
    """Memories that have one of ``terms`` at least."""
    return seen.condition(TagIn(TERMS, tuple(term_tags(seen.user_id, terms))))


# Ranking


def in_window(
    candidates: Sequence[Document], asked: Set[str]
) -> tuple[list[dict[str, float]], list[float]]:
    """How often each candidate has the terms ``asked``, and how many terms it has at all.

    Parts of what the turns around it have are counted in. Only turns that are candidates, too, are
    looked at: no further read, and nothing lost by it.
    """
    own: list[tuple[dict[str, float], float]] = []
    at: dict[_Place, int] = {}
    for index, document in enumerate(candidates):
        found = str(document.metadata.get(WORDS, "")).split()
        counts: dict[str, float] = {}
        for term in found:
            if term in asked:
                counts[term] = counts.get(term, 0.0) + 1.0
        own.append((counts, float(len(found))))
        if (place := _place(document)) is not None:
            at[place] = index
    texts: list[dict[str, float]] = []
    lengths: list[float] = []
    for document, (counts, length) in zip(candidates, own, strict=True):
        weighted = dict(counts)
        if (place := _place(document)) is not None:
            session, seq = place
            for distance, weight in _WINDOW:
                if (near := at.get((session, seq + distance))) is None:
                    continue
                around, more = own[near]
                length += weight * more
                for term, number in around.items():
                    weighted[term] = weighted.get(term, 0.0) + weight * number
        texts.append(weighted)
        lengths.append(length)
    return texts, lengths


_WINDOW = [
    *((-distance, weight) for distance, weight in enumerate(BEFORE, 1)),
    *((distance, weight) for distance, weight in enumerate(AFTER, 1)),
]


_Place: TypeAlias = tuple[str, int]
"""A session, and a message's number in it."""


def _place(document: Document) -> _Place | None:
    session, seq = document.metadata.get("session_id"), document.metadata.get("seq")
    return None if session is None or seq is None else (session, seq)


def recency(document: Document, now_ms: int, half_life_ms: int | None) -> float | None:
    """1 for what is new, half of it for each half-life; None without a half-life."""
    if half_life_ms is None:
        return None
    age: float = max(0, now_ms - document.metadata["created_at"])
    return float(0.5 ** (age / half_life_ms))


def _gentle(share: float | None) -> float:
    """What is old counts half, at least: a fact does not fade as news does."""
    return 1.0 if share is None else 0.5 + 0.5 * share


def _memory(one: Ranked, age: float | None) -> Memory:
    parts = Parts(one.similarity, one.vector_rank, one.text_score, one.text_rank, age, one.factor)
    return replace(memory_of(one.document), score=one.score, parts=parts)


# Neighbours


def _with_neighbours_plan(
    plans: IndexPlans, found: Sequence[Memory], wanted: Wanted, places: Mapping[str, _Place]
) -> Plan[list[Memory]]:
    """``found`` with what was said right before and after. One round trip for all."""
    reach = wanted.neighbours
    said = [one for one in found if one.id in places]
    around = scope(wanted.scope.user_id, (MESSAGE,), ended=True)
    questions = [
        Matching(
            around.condition(
                TagIn("session_id", (session,)), NumberIn("seq", seq - reach, seq + reach)
            ),
            limit=4 * reach + 1,  # processes that write at the same time may use a number twice
            order_by="seq",
        )
        for session, seq in (places[one.id] for one in said)
    ]
    answers = yield from plans.ask_plan(questions, fresh=False)
    near = {
        one.id: tuple(memory_of(document) for document in answer if document.id != one.id)
        for one, answer in zip(said, answers, strict=True)
    }
    return [replace(one, neighbours=near.get(one.id, ())) for one in found]
