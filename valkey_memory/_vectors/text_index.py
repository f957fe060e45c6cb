"""``TextIndex``: a ``VectorIndex`` and the model that embeds texts for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from .._arguments import TTL, check_count, shown, ttl_to_milliseconds, with_options
from .._errors import InvalidArgumentError
from .._filters.expressions import FieldType
from .._keys import document_key
from .._models.embedding import (
    BATCH_SIZE,
    CONCURRENCY,
    Embed,
    EmbedQuery,
    embedder,
    known_dimension,
)
from .._plans import Plan
from .._server.connection import ValkeyConnection
from .documents import Document, Hit
from .hybrid import HybridMode, hybrid_plan, wanted
from .index import VectorIndex
from .options import IndexOptions
from .plans import AnyFilter, check_distinct, check_diverse
from .storage import Progress


class TextIndex:
    """Texts found by meaning and by metadata: a ``VectorIndex`` that embeds them itself.

    What cannot be stored is refused before texts are embedded, since that costs. Every method has
    an async twin with the prefix ``a``, which asks the model in its async form where it has one.

    Args:
        embedding: An embedding model of LangChain or LlamaIndex, or a callable that takes a list of
            texts and returns their vectors, sync or async.
        name: The index; documents are at ``{name}:{id}``.
        dimension: Numbers per vector. By default known from the model, or as in ``VectorIndex``.
        fields: As in ``VectorIndex``.
        url: As in ``VectorIndex``.
        connection: As in ``VectorIndex``.
        batch_size: Texts per call of the model, 64 by default.
        concurrency: Calls of it at once in async methods, 4 by default.
        options: The other options of ``VectorIndex``.

    Attributes:
        embedding: The model.
        embedder: How it is called.
        index: The index underneath: counts, paging, ``info``, ``drop``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
    """

    @with_options(IndexOptions, VectorIndex)
    def __init__(
        self,
        embedding: Any,
        name: str,
        dimension: int | None = None,
        *,
        fields: Mapping[str, FieldType] | None = None,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        batch_size: int = BATCH_SIZE,
        concurrency: int = CONCURRENCY,
        **options: Unpack[IndexOptions],
    ) -> None:
        self.embedder = embedder(embedding)
        for option, value in (("batch_size", batch_size), ("concurrency", concurrency)):
            check_count(value, option)
        self.embedding = embedding
        self._batch_size = batch_size
        self._concurrency = concurrency
        self.index = VectorIndex(
            name,
            known_dimension(embedding) if dimension is None else dimension,
            fields=fields,
            url=url,
            connection=connection,
            **options,
        )

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal one, but for the model."""
        own = {"batch_size": self._batch_size, "concurrency": self._concurrency}
        return own | self.index.__getstate__()

    # Plans

    def add_plan(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None,
        ids: Sequence[str | None] | None,
        ttl: TTL | None,
        batch_size: int | None,
        progress: Progress | None,
    ) -> Plan[list[str]]:
        documents = _documents(texts, metadatas, ids)
        yield from self.upsert_plan(documents, ttl, batch_size, progress)
        return [document.id for document in documents]

    def upsert_plan(
        self,
        documents: Iterable[Document],
        ttl: TTL | None,
        batch_size: int | None,
        progress: Progress | None,
    ) -> Plan[None]:
        given = list(documents)
        for document in given:
            document_key(self.index.name, document.id)
        check_distinct([document.id for document in given])
        ttl_to_milliseconds(ttl)
        check_count(batch_size, "batch_size", optional=True)
        size = min(batch_size or self._batch_size, self._batch_size)
        if not given:
            return
        texts = [document.content for document in given]
        vectors = yield Embed(self.embedder, texts, size, self._concurrency)
        embedded = [replace(d, embedding=v) for d, v in zip(given, vectors, strict=True)]
        yield from self.index.plans.upsert_plan(embedded, ttl, progress)

    def embed_plan(self, texts: Sequence[str]) -> Plan[list[Sequence[float]]]:
        """The vectors of ``texts``, nothing stored."""
        vectors: list[Sequence[float]] = []
        if texts:
            vectors = yield Embed(self.embedder, texts, self._batch_size, self._concurrency)
        return vectors

    def search_plan(
        self,
        query: str,
        k: int,
        value: AnyFilter | None,
        min_score: float | None,
        ef_runtime: int | None,
    ) -> Plan[list[Hit]]:
        check_count(k, "k")
        vector = yield EmbedQuery(self.embedder, query)
        plans = self.index.plans
        return (yield from plans.search_plan(vector, k, value, min_score, False, ef_runtime))

    def search_diverse_plan(
        self, query: str, k: int, fetch_k: int, lambda_mult: float, value: AnyFilter | None
    ) -> Plan[list[Hit]]:
        check_diverse(k, fetch_k, lambda_mult)
        vector = yield EmbedQuery(self.embedder, query)
        plans = self.index.plans
        return (yield from plans.search_diverse_plan(vector, k, fetch_k, lambda_mult, value, False))

    def search_hybrid_plan(
        self,
        query: str,
        k: int,
        value: AnyFilter | None,
        mode: HybridMode,
        alpha: float | None,
        language: str,
    ) -> Plan[list[Hit]]:
        plans = self.index.plans
        asked = wanted(plans, query, k, value, mode, alpha=alpha, language=language)
        vector = None if mode == "text" else (yield EmbedQuery(self.embedder, query))
        return (yield from hybrid_plan(plans, asked, vector))

    # Sync and async

    def add(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """Embed texts and store them; one with a known id is replaced.

        Args:
            texts: What to embed.
            metadatas: One dict per text.
            ids: One per text; None makes a UUID.
            ttl: Seconds (or a timedelta) until these documents expire, instead of the index's.
            batch_size: Texts per call of the model, where the index's own is not less.
            progress: Called after each batch that was written, with (written, all).

        Returns:
            The ids, in order.
        """
        plan = self.add_plan(texts, metadatas, ids, ttl, batch_size, progress)
        return self.index.run(plan)

    async def aadd(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """Async ``add``."""
        plan = self.add_plan(texts, metadatas, ids, ttl, batch_size, progress)
        return await self.index.arun(plan)

    def upsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """``add`` of documents. Their contents are embedded, whatever embeddings they have."""
        self.index.run(self.upsert_plan(documents, ttl, batch_size, progress))

    async def aupsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Async ``upsert``."""
        await self.index.arun(self.upsert_plan(documents, ttl, batch_size, progress))

    def search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        min_score: float | None = None,
        ef_runtime: int | None = None,
    ) -> list[Hit]:
        """The ``k`` documents nearest to a text, nearest first. One round trip and one embedding.

        Arguments and result are those of ``VectorIndex.search``.
        """
        return self.index.run(self.search_plan(query, k, filter, min_score, ef_runtime))

    async def asearch(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        min_score: float | None = None,
        ef_runtime: int | None = None,
    ) -> list[Hit]:
        """Async ``search``."""
        return await self.index.arun(self.search_plan(query, k, filter, min_score, ef_runtime))

    def search_diverse(
        self,
        query: str,
        k: int = 4,
        *,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Hit]:
        """``k`` of the ``fetch_k`` documents nearest to a text, unlike each other (MMR).

        Arguments and result are those of ``VectorIndex.search_diverse``.
        """
        return self.index.run(self.search_diverse_plan(query, k, fetch_k, lambda_mult, filter))

    async def asearch_diverse(
        self,
        query: str,
        k: int = 4,
        *,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Hit]:
        """Async ``search_diverse``."""
        return await self.index.arun(
            self.search_diverse_plan(query, k, fetch_k, lambda_mult, filter)
        )

    def search_hybrid(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> list[Hit]:
        """The ``k`` documents nearest to a text and best by its words, best first.

        Two round trips and one embedding. Arguments and result are those of
        ``VectorIndex.search_hybrid``, but for:

        Args:
            mode: ``"text"`` ranks by words alone, and embeds nothing.
        """
        plan = self.search_hybrid_plan(query, k, filter, mode, alpha, language)
        return self.index.run(plan)

    async def asearch_hybrid(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        mode: HybridMode = "hybrid",
        alpha: float | None = None,
        language: str = "english",
    ) -> list[Hit]:
        """Async ``search_hybrid``."""
        plan = self.search_hybrid_plan(query, k, filter, mode, alpha, language)
        return await self.index.arun(plan)


def _documents(
    texts: Iterable[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> list[Document]:
    """Documents without vectors.

    Raises:
        InvalidArgumentError: Texts, metadata and ids are not of one length, or not what they must
            be.
    """
    if isinstance(texts, str):
        raise InvalidArgumentError("texts must be a list of strings, not one string")
    if isinstance(ids, str):
        raise InvalidArgumentError(f"ids must be a list of ids, not the string {shown(ids)}")
    contents = list(texts)
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(contents):
            raise InvalidArgumentError(f"{len(contents)} texts and {len(given)} {name}")
    for one in ids or ():
        if one is not None and (not isinstance(one, str) or not one):
            raise InvalidArgumentError(
                f"an id must be a non-empty string or None, not {shown(one)}"
            )
    for values in metadatas or ():
        if not isinstance(values, Mapping):
            raise InvalidArgumentError(f"metadata must be a dict, not {shown(values)}")
    known_ids = [one or str(uuid.uuid4()) for one in ids or [None] * len(contents)]
    if len(set(known_ids)) != len(known_ids):
        twice = next(one for one in known_ids if known_ids.count(one) > 1)
        raise InvalidArgumentError(f"id {shown(twice)} occurs twice in one call")
    values_of = metadatas or [{} for _ in contents]
    return [Document(*parts) for parts in zip(known_ids, contents, values_of, strict=True)]
