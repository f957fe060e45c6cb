"""Documents and vectors for the tests, the same on every machine, and NumPy's idea of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from valkey_memory._vectors.documents import Document

QUERY = [1.0, 0.5, -0.25, 0.0]


def vector(number: int, dimension: int = 4) -> list[float]:
    """Different for each number, exact in float32, and in no order."""
    state = number * 7_919 + 12_345
    values = []
    for _ in range(dimension):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        values.append((state % 4_097 - 2_048) / 1_024)
    return values


def doc(number: int, content: str | None = None, **metadata: Any) -> Document:
    """Document ``number`` with ``vector(number)``."""
    text = f"text {number}" if content is None else content
    return Document(f"d{number}", text, metadata, vector(number))


def ids(found: Sequence[Any]) -> list[str]:
    """The ids of documents, or of hits."""
    return [item.id if isinstance(item, Document) else item.document.id for item in found]


def score(metric: str, one: Sequence[float], other: Sequence[float]) -> float:
    """The similarity that a search shall give, in double precision."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if metric == "ip":
        return float(a @ b)
    if metric == "l2":
        return float(1 / (1 + np.sum((a - b) ** 2)))
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def diverse(
    query: Sequence[float], candidates: Sequence[Document], k: int, lambda_mult: float
) -> list[str]:
    """Ids by maximal marginal relevance, one after the other, straight from the definition."""
    left = list(candidates)
    chosen: list[Document] = []
    while left and len(chosen) < k:

        def gain(document: Document) -> float:
            near = score("cosine", query, document.embedding)
            like = [score("cosine", document.embedding, c.embedding) for c in chosen]
            return lambda_mult * near - (1 - lambda_mult) * max(like, default=0.0)

        best = max(left, key=gain)
        left.remove(best)
        chosen.append(best)
    return [document.id for document in chosen]
