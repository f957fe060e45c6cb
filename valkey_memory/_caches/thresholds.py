"""``choose_threshold``: how alike two questions must be to share an answer, found from examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .._arguments import shown
from .._errors import InvalidArgumentError
from .._models.embedding import Embed, embedder
from .._plans import Plan, Reply, Step, Work, arun, run
from .._vectors.vector import numpy
from .semantic import check_threshold

THRESHOLDS = tuple(round(number / 100, 2) for number in range(50, 101))

Pair = tuple[str, str, bool]


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What a threshold would do to the labelled pairs.

    Attributes:
        threshold: The least similarity that counts as a hit.
        hit_rate: The share of pairs with the same answer that would be hits, 0 to 1.
        false_hit_rate: The share of pairs with different answers that would be hits, 0 to 1.
        hits: How many pairs with the same answer would be.
        false_hits: How many with different answers would be.
    """

    threshold: float
    hit_rate: float
    false_hit_rate: float
    hits: int
    false_hits: int


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What each threshold would do, and which one to take. Printed, it is a table.

    Attributes:
        recommended: The lowest threshold with at most ``max_false_hit_rate`` false hits; None where
            such a one has no hits either, because the model does not tell the questions apart.
        rows: One for each threshold, the lowest first.
        similarities: Of each pair, in the order of the pairs.
        max_false_hit_rate: As it was asked for.
    """

    recommended: float | None
    rows: tuple[ThresholdRow, ...]
    similarities: tuple[float, ...]
    max_false_hit_rate: float

    def __str__(self) -> str:
        lines = ["threshold  hits     false hits"]
        for row in self.rows:
            mark = "  <- recommended" if row.threshold == self.recommended else ""
            lines.append(
                f"{row.threshold:<9.4g}  {row.hit_rate:>6.1%}   {row.false_hit_rate:>6.1%}{mark}"
            )
        return "\n".join(lines)


def choose_threshold(
    pairs: Iterable[Pair],
    embedding: Any,
    *,
    max_false_hit_rate: float = 0.0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Thresholds:
    """What a semantic cache's ``threshold`` does to pairs of questions that you labelled.

    Take pairs from your own traffic, some that differ in one word that matters ("in 2023", "in
    2024"; "turn on", "turn off"): these are what a cache gets wrong. Each embedding model needs a
    threshold of its own.

    Examples:
        >>> from valkey_memory import LocalEmbedding, choose_threshold
        >>> found = choose_threshold(
        ...     [
        ...         ("How do I reset my password?", "How can I reset my password?", True),
        ...         ("Where is my order?", "Where is my order now?", True),
        ...         ("How do I reset my password?", "How do I delete my account?", False),
        ...     ],
        ...     LocalEmbedding(),
        ...     thresholds=[0.5, 0.6, 0.7, 0.8, 0.9],
        ... )
        >>> found.rows[0].hits, found.rows[-1].false_hits
        (2, 0)

    Args:
        pairs: (question, question, whether one answer does for both), with both kinds among them.
        embedding: The model that the cache will have: of LangChain or LlamaIndex, or a function
            from a list of texts to their vectors.
        max_false_hit_rate: How many of the pairs with different answers may be taken for the same,
            0 to 1. By default none of them.
        thresholds: Those to try; by default 0.50 to 1.00 in steps of 0.01.

    Returns:
        A row for each threshold, and the one to take.

    Raises:
        InvalidArgumentError, ConfigurationError: An argument cannot be, or a kind is missing.

    Round trips: none. Each text is embedded once, 64 in a call.
    """
    return run(_choose_plan(pairs, embedding, max_false_hit_rate, thresholds), _serve)


async def achoose_threshold(
    pairs: Iterable[Pair],
    embedding: Any,
    *,
    max_false_hit_rate: float = 0.0,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Thresholds:
    """Async ``choose_threshold``."""
    return await arun(_choose_plan(pairs, embedding, max_false_hit_rate, thresholds), _aserve)


def _serve(step: Step) -> Reply:
    assert isinstance(step, Work)  # noqa: S101 - the plan asks no server
    return step.serve()


async def _aserve(step: Step) -> Reply:
    assert isinstance(step, Work)  # noqa: S101
    return await step.aserve()


def _choose_plan(
    pairs: Iterable[Pair], embedding: Any, max_false_hit_rate: float, thresholds: Sequence[float]
) -> Plan[Thresholds]:
    given = _checked_pairs(pairs)
    levels = sorted({check_threshold(one) for one in thresholds})
    if not levels:
        raise InvalidArgumentError("thresholds must be a list of at least one similarity")
    if (
        isinstance(max_false_hit_rate, bool)
        or not isinstance(max_false_hit_rate, int | float)
        or not 0 <= max_false_hit_rate <= 1
    ):
        raise InvalidArgumentError(
            f"max_false_hit_rate must be from 0 to 1, not {shown(max_false_hit_rate)}"
        )
    texts = list(dict.fromkeys(text for first, second, _ in given for text in (first, second)))
    vectors = yield Embed(embedder(embedding), texts)
    of_text = dict(zip(texts, vectors, strict=True))
    similarities = [_similarity(of_text[first], of_text[second]) for first, second, _ in given]
    rows = tuple(_row(level, given, similarities) for level in levels)
    fitting = [
        row.threshold for row in rows if row.false_hit_rate <= max_false_hit_rate and row.hits
    ]
    return Thresholds(
        min(fitting, default=None), rows, tuple(similarities), float(max_false_hit_rate)
    )


def _checked_pairs(pairs: Iterable[Pair]) -> list[Pair]:
    given = list(pairs)
    for pair in given:
        first, second, same = pair if isinstance(pair, (tuple, list)) and len(pair) == 3 else "   "
        if not (isinstance(first, str) and isinstance(second, str) and isinstance(same, bool)):
            raise InvalidArgumentError(
                f"a pair must be (question, question, True or False), not {shown(pair)}"
            )
    if {same for _, _, same in given} != {True, False}:
        raise InvalidArgumentError(
            "pairs must have some with the same answer (True) and some with different ones (False)"
        )
    return given


def _row(level: float, pairs: Sequence[Pair], similarities: Sequence[float]) -> ThresholdRow:
    hits, all_ = {True: 0, False: 0}, {True: 0, False: 0}
    for (_, _, same), similarity in zip(pairs, similarities, strict=True):
        all_[same] += 1
        hits[same] += similarity >= level
    rates = {same: hits[same] / all_[same] for same in hits}
    return ThresholdRow(level, rates[True], rates[False], hits[True], hits[False])


def _similarity(first: Sequence[float], second: Sequence[float]) -> float:
    """The cosine; 0 where a vector is zero, as in a search."""
    np = numpy()
    a, b = (np.asarray(vector, dtype=np.float64) for vector in (first, second))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return min(float(a @ b) / length, 1.0) if length else 0.0
