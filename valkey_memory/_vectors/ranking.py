"""Two rankings of documents, by words and by vectors, and one of both. It asks no server.

The formula of words is BM25 as Lucene has it; the two ranks are fused by their reciprocals. The
figures are those that measured best on long conversations (docs/concepts/recall.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .documents import Document, Hit

K1 = 0.9
"""How soon more of the same word adds nothing. Source: Anserini's defaults for BM25."""
B = 0.3
"""How far a long text counts less. Turns of a conversation are all short."""
RANK_OFFSET = 5
"""In 1 / (offset + rank): low, so that the first ranks decide."""
VECTOR_WEIGHT = 0.8
"""What a rank by vector is worth, of one by words."""
_HIGHEST = (1 + VECTOR_WEIGHT) / (RANK_OFFSET + 1)

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

    def rarest(self, together: int) -> list[str]:
        """The rarest terms that are there, as many as at most ``together`` documents have; one
        at least."""
        chosen: list[str] = []
        room = together
        for term in sorted((t for t, n in self.of.items() if n), key=self.of.__getitem__):
            room -= self.of[term]
            if chosen and room < 0:
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
        texts: How often each has them.
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
) -> list[Ranked]:
    """All candidates, best first; equal ones by their id, so that the order is always the same.

    Args:
        nearest: By vector, nearest first.
        having: By words, in any order; some may be among the nearest.
        text_scores: The score by words of each of the candidates.
        factor: What a candidate's scores are multiplied by, before ranks are given.
    """
    similarities = {hit.document.id: hit.score for hit in nearest}
    candidates = list({d.id: d for d in (*having, *(hit.document for hit in nearest))}.values())
    found = {
        document.id: Ranked(
            document,
            0.0,
            similarity=None if (close := similarities.get(document.id)) is None else close * times,
            text_score=score * times,
            factor=times,
        )
        for document, score in zip(candidates, text_scores(candidates), strict=True)
        for times in [factor(document)]
    }
    by_vector = sorted(
        (one for one in found.values() if one.similarity is not None),
        key=lambda one: (-(one.similarity or 0.0), one.document.id),
    )
    for place, one in enumerate(by_vector, 1):
        found[one.document.id] = replace(one, vector_rank=place)
    by_text = sorted(
        (one for one in found.values() if one.text_score > 0),
        key=lambda one: (-one.text_score, one.document.id),
    )
    for place, one in enumerate(by_text, 1):
        found[one.document.id] = replace(one, text_rank=place)
    fused = [replace(one, score=_fused(one)) for one in found.values()]
    return sorted(fused, key=lambda one: (-one.score, one.document.id))


def _fused(one: Ranked) -> float:
    by_text = 0.0 if one.text_rank is None else 1 / (RANK_OFFSET + one.text_rank)
    by_vector = 0.0 if one.vector_rank is None else 1 / (RANK_OFFSET + one.vector_rank)
    return (by_text + VECTOR_WEIGHT * by_vector) / _HIGHEST
