"""What a ``VectorIndex`` offers of hybrid search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from .._plans import Plan
from .documents import Hit
from .hybrid import hybrid_plan, wanted
from .plans import AnyFilter, IndexPlans

T = TypeVar("T")


class _Index(Protocol):
    @property
    def plans(self) -> IndexPlans: ...

    def run(self, plan: Plan[T]) -> T: ...

    async def arun(self, plan: Plan[T]) -> T: ...


class HybridSearch:
    """Search by vector and by words, of an index that has ``plans`` and runs them."""

    def search_hybrid(
        self: _Index,
        query: str,
        vector: Sequence[float] | None,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        alpha: float | None = None,
        vector_k: int | None = None,
        text_k: int | None = None,
        language: str = "english",
    ) -> list[Hit]:
        """The ``k`` documents that are near a vector and have a text's words, best first.

        The ranks by vector and by words (BM25 over the documents' text) are fused. Two round trips.
        The index needs ``fields={"content": "text"}``.

        Args:
            query: A text. Its words count, without stop words: the first 32 different ones.
            vector: The text's. None searches by words alone.
            k: At most so many.
            filter: As in ``search``.
            alpha: What the rank by vector counts: 0.5 by default, 1 for vectors alone, 0 for words.
            vector_k: So many of the nearest take part, 100 by default, or ``k`` if that is more.
            text_k: So many of the best by words take part. By default all that were looked at.
            language: Of Snowball's stemmers. Stop words are left out in English.

        Returns:
            Documents, and how well their ranks are, 0 to 1: not to be compared with another
            search's. By words alone the score is that of BM25.

        Raises:
            FilterError: The text of the documents is not declared.
            InvalidArgumentError: A weight or number that cannot be, or one of vectors where there
                is none.
        """
        asked = (query, k, filter, alpha, vector_k, text_k, language)
        return self.run(_search_plan(self.plans, vector, *asked))

    async def asearch_hybrid(
        self: _Index,
        query: str,
        vector: Sequence[float] | None,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        alpha: float | None = None,
        vector_k: int | None = None,
        text_k: int | None = None,
        language: str = "english",
    ) -> list[Hit]:
        """Async ``search_hybrid``."""
        asked = (query, k, filter, alpha, vector_k, text_k, language)
        return await self.arun(_search_plan(self.plans, vector, *asked))


def _search_plan(
    plans: IndexPlans,
    vector: Sequence[float] | None,
    query: str,
    k: int,
    value: AnyFilter | None,
    alpha: float | None,
    vector_k: int | None,
    text_k: int | None,
    language: str,
) -> Plan[list[Hit]]:
    asked = wanted(
        plans,
        query,
        k,
        value,
        "text" if vector is None else "hybrid",
        alpha=alpha,
        vector_k=vector_k,
        text_k=text_k,
        language=language,
    )
    return (yield from hybrid_plan(plans, asked, vector))
