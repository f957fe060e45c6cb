"""Two rankings of documents, by words and by vectors, and one of both. It asks no server.

The formula of words is BM25 as Lucene has it; the two ranks are fused by their reciprocals. The
figures are those that measured best on long conversations (docs/concepts/recall.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .documents import Document, Hit

K1 = 0.9
"""How soon more of the same word adds nothing. Source: Anserini's defaults for BM25."""
B = 0.3
"""How far a long text counts less. Turns of a conversation are all short."""
RANK_OFFSET = 5
"""In 1 / (offset + rank): low, so that the first ranks decide."""
VECTOR_SHARE = 0.5
"""What the rank by vector is of the score; the rest is the one by words."""

NEAREST = 100
"""Candidates by vector, or as many as shall be found if that is more."""
WITH_WORDS = 200
"""Candidates by words: the rarest are asked for, as long as so many documents have them."""
MOST_WITH_WORDS = 1_000
"""Where all words of a question are common and no vector helps, so many are ranked."""

Counts = Mapping[str, float]
"""Terms of a text and how often each is there; a fraction where a neighbour's count in part."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document, and why it stands where it stands.

    Attributes:
        document: What was found.
        score: From 0 to 1; higher is better. Of one search, not to be compared with another's.
        similarity: Of the vectors, times the factor; None when it is not among the nearest.
        vector_rank: Its place among the nearest, from 1.
        text_score: BM25, times the factor; 0 when it has none of the words.
        text_rank: Its place by words, from 1; None when it has none of them.
        factor: What both were multiplied by.
    """

    document: Document
    score: float
    similarity: float | None = None
    vector_rank: int | None = None
    text_score: float = 0.0
    text_rank: int | None = None
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How common words are among the documents that are searched.

    Attributes:
        documents: How many there are.
        of: How many of them have each term of the question.
    """

    documents: int
    of: Mapping[str, int]

    def rarest(self, together: float) -> list[str]:
        """The rarest terms that are there, as many as at most ``together`` documents have."""
        chosen: list[str] = []
        room = together
        for term in sorted((t for t, n in self.of.items() if n), key=self.of.__getitem__):
            room -= self.of[term]
            if room < 0:
                break
            chosen.append(term)
        return chosen

    def weight(self, term: str) -> float:
        """The inverse document frequency."""
        have = min(self.of[term], self.documents)
        return math.log(1 + (self.documents - have + 0.5) / (have + 0.5))


def bm25(
    question: Sequence[str], texts: Sequence[Counts], lengths: Sequence[float], among: Frequencies
) -> list[float]:
    """The score of each of ``texts`` for the terms of ``question``.

    Args:
        question: Terms. One that is there twice counts twice.
        texts: How often each has them; other terms do not matter.
        lengths: How many terms each has altogether.
        among: How common the terms are.
    """
    usual = sum(lengths) / len(lengths) if lengths else 0.0
    asked = {term: times * among.weight(term) for term, times in Counter(question).items()}
    scores: list[float] = []
    for counts, length in zip(texts, lengths, strict=True):
        norm = K1 * (1 - B + B * (length / usual if usual else 1.0))
        scores.append(
            sum(
                weight * count / (count + norm)
                for term, weight in asked.items()
                if (count := counts.get(term, 0.0))
            )
        )
    return scores


def rank(
    nearest: Sequence[Hit],
    having: Sequence[Document],
    text_scores: Callable[[Sequence[Document]], Sequence[float]],
    factor: Callable[[Document], float] = lambda _: 1.0,
    *,
    vector_share: float = VECTOR_SHARE,
    text_places: int | None = None,
) -> list[Ranked]:
    """All candidates, best first; equal ones by their id, so that the order is always the same.

    Args:
        nearest: By vector, nearest first.
        having: By words, in any order; some may be among the nearest.
        text_scores: The score by words of each of the candidates.
        factor: What a candidate's scores are multiplied by, before ranks are given.
        vector_share: What the rank by vector is of the score, 0 to 1.
        text_places: Only so many of the best by words have a rank by words; all by default.
    """
    similarities = {hit.document.id: hit.score for hit in nearest}
    candidates = list({d.id: d for d in (*having, *(hit.document for hit in nearest))}.values())
    factors = [factor(document) for document in candidates]
    close: dict[str, float] = {}
    words: dict[str, float] = {}
    for document, times, score in zip(candidates, factors, text_scores(candidates), strict=True):
        if document.id in similarities:
            close[document.id] = similarities[document.id] * times
        if score > 0:
            words[document.id] = score * times
    by_vector, by_text = _places(close), _places(words, text_places)
    ranked = [
        Ranked(
            document,
            _fused(by_text.get(document.id), by_vector.get(document.id), vector_share),
            close.get(document.id),
            by_vector.get(document.id),
            words.get(document.id, 0.0),
            by_text.get(document.id),
            times,
        )
        for document, times in zip(candidates, factors, strict=True)
    ]
    return sorted(ranked, key=lambda one: (-one.score, one.document.id))


def _places(scores: Mapping[str, float], at_most: int | None = None) -> dict[str, int]:
    """The place of each id by its score, from 1; of the best only, where there is a limit."""
    ordered = sorted(scores, key=lambda one: (-scores[one], one))[:at_most]
    return {one: place for place, one in enumerate(ordered, 1)}


def _fused(text_rank: int | None, vector_rank: int | None, vector_share: float) -> float:
    by_text = 0.0 if text_rank is None else 1 / (RANK_OFFSET + text_rank)
    by_vector = 0.0 if vector_rank is None else 1 / (RANK_OFFSET + vector_rank)
    shares = (1 - vector_share) * by_text + vector_share * by_vector
    return shares * (RANK_OFFSET + 1)
