"""Vector store for LangChain."""

# The base class lets every method take any keyword argument; here a misspelt one is an error.
# mypy: disable-error-code="override"
# LangChain calls it filter.
# ruff: noqa: A002

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from valkey_memory import InvalidArgumentError, ValkeyConnection, VectorIndex
from valkey_memory.adapters import (
    BATCH_SIZE,
    CONCURRENCY,
    TTL,
    AnyFilter,
    FieldType,
    IndexOptions,
    Progress,
    TextIndex,
    check_count,
    with_options,
)

from ._constructors import Constructors
from ._diverse import DiverseSearch
from ._documents import Scored, ids_of, parts_of, to_document, to_documents, to_scored
from ._hybrid import HybridSearch


class ValkeyVectorStore(DiverseSearch, HybridSearch, Constructors):
    """Documents found by meaning, kept in Valkey. Native in sync and async.

    Searches run on the server where it has valkey-search, and exactly in the client where it has
    not (for small memories). Documents come back with their ids and their metadata's own types.
    ``similarity_search_with_score`` returns similarities: higher is closer.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_valkey_glide import ValkeyVectorStore
        >>> store = ValkeyVectorStore(
        ...     DeterministicFakeEmbedding(size=8), "notes", url="embedded://",
        ...     metadata_fields={"user_id": "tag", "year": "numeric"},
        ... )
        >>> store.add_texts(["Blue-green on ECS"], [{"user_id": "alice", "year": 2026}], ids=["1"])
        ['1']
        >>> (found,) = store.similarity_search("Blue-green on ECS", filter={"user_id": "alice"})
        >>> found.id, found.page_content, found.metadata
        ('1', 'Blue-green on ECS', {'user_id': 'alice', 'year': 2026})

    Args:
        embedding: Any LangChain ``Embeddings``; Bedrock's are ``langchain_aws.BedrockEmbeddings``.
        index_name: The index; documents are at ``{index_name}:{id}``. Letters, digits, ``_.-``
            and no colon.
        url: See ``valkey_memory.ValkeyConnection.from_url``; by default ``VALKEY_URL`` or
            localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        metadata_fields: Metadata that filters may use, by name: ``"tag"``, ``"numeric"`` or
            ``"text"``. ``{"content": "text"}`` makes the documents' text filterable by words, and
            is what ``hybrid_search`` needs.
        dimension: Numbers per vector. By default the model's, or that of what is stored.
        embedding_batch_size: Texts per call of the embedding model, 64 by default.
        embedding_concurrency: Calls of it at once in async methods, 4 by default.
        options: ``storage``, ``search``, ``metric``, ``algorithm``, ``m``, ``ef_construction``,
            ``ef_runtime``, ``ttl``, ``refresh_ttl_on_read``, ``exact_limit``, ``on_corrupt``: those
            of ``valkey_memory.VectorIndex``, which describes them.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.VectorIndex``.
    """

    @with_options(IndexOptions, VectorIndex)
    def __init__(
        self,
        embedding: Embeddings,
        index_name: str = "langchain",
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        metadata_fields: dict[str, FieldType] | None = None,
        dimension: int | None = None,
        embedding_batch_size: int = BATCH_SIZE,
        embedding_concurrency: int = CONCURRENCY,
        **options: Unpack[IndexOptions],
    ) -> None:
        if not isinstance(embedding, Embeddings):
            raise InvalidArgumentError(
                f"embedding must be a LangChain Embeddings, not {type(embedding).__name__}"
            )
        check_count(embedding_batch_size, "embedding_batch_size")
        check_count(embedding_concurrency, "embedding_concurrency")
        self._embedding = embedding
        self._texts = TextIndex(
            embedding,
            index_name,
            dimension,
            fields=metadata_fields,
            url=url,
            connection=connection,
            batch_size=embedding_batch_size,
            concurrency=embedding_concurrency,
            **options,
        )
        self.connection = self._texts.index.connection

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @property
    def index(self) -> VectorIndex:
        """The index underneath: counts, paging, ``info``, ``drop``."""
        return self._texts.index

    async def aindex(self) -> VectorIndex:
        """``index``. Nothing is waited for."""
        return self._texts.index

    # Writing

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
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
            ttl: Seconds (or a timedelta) until these documents expire, instead of the store's.
            batch_size: Texts per call of the embedding model, where the store's own limit is not
                less. LangChain's ``index`` gives it.
            progress: Called after each batch that was written, with (written, all).

        Returns:
            The ids, in order.
        """
        return self._texts.add(
            texts, metadatas, ids=ids, ttl=ttl, batch_size=batch_size, progress=progress
        )

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """Async ``add_texts``."""
        return await self._texts.aadd(
            texts, metadatas, ids=ids, ttl=ttl, batch_size=batch_size, progress=progress
        )

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """``add_texts`` of documents; their own ids are used where ``ids`` has none."""
        return self.add_texts(
            *parts_of(documents),
            ids=ids_of(documents, ids),
            ttl=ttl,
            batch_size=batch_size,
            progress=progress,
        )

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        ttl: TTL | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> list[str]:
        """Async ``add_documents``."""
        return await self.aadd_texts(
            *parts_of(documents),
            ids=ids_of(documents, ids),
            ttl=ttl,
            batch_size=batch_size,
            progress=progress,
        )

    def delete(self, ids: list[str] | None = None, *, filter: AnyFilter | None = None) -> bool:
        """Delete documents by id, every one that satisfies ``filter``, or those of ``ids`` that do.

        Unknown ids are fine.
        """
        _check_delete(ids, filter)
        if ids is None:
            self.index.delete_where(filter)
        else:
            self.index.delete(ids, filter)
        return True

    async def adelete(
        self, ids: list[str] | None = None, *, filter: AnyFilter | None = None
    ) -> bool:
        """Async ``delete``."""
        _check_delete(ids, filter)
        if ids is None:
            await self.index.adelete_where(filter)
        else:
            await self.index.adelete(ids, filter)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in that order; unknown ids are left out."""
        return [to_document(found) for found in self.index.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Async ``get_by_ids``."""
        return [to_document(found) for found in await self.index.aget(ids)]

    def get_by_filter(
        self,
        filter: AnyFilter | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
        order_by: str | None = None,
        descending: bool = False,
    ) -> list[Document]:
        """Documents that satisfy ``filter``, without a query: nothing is embedded or compared.

        Args:
            filter: As in ``similarity_search_with_score``; None is every document.
            limit: At most so many.
            offset: Skip so many.
            order_by: A numeric field; documents without it are left out.
            descending: Largest first.
        """
        found = self.index.page(
            filter, offset=offset, limit=limit, order_by=order_by, descending=descending
        )
        return [to_document(one) for one in found]

    async def aget_by_filter(
        self,
        filter: AnyFilter | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
        order_by: str | None = None,
        descending: bool = False,
    ) -> list[Document]:
        """Async ``get_by_filter``."""
        found = await self.index.apage(
            filter, offset=offset, limit=limit, order_by=order_by, descending=descending
        )
        return [to_document(one) for one in found]

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: AnyFilter | None = None
    ) -> Scored:
        """The ``k`` nearest documents with their similarity, nearest first.

        Args:
            query: A text.
            k: At most so many.
            filter: ``{"user_id": "alice", "year": {"$gte": 2025}}``, or an expression of
                ``valkey_memory``'s ``Tag``, ``Numeric`` and ``Text``.
        """
        return to_scored(self._texts.search(query, k, filter=filter))

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: AnyFilter | None = None
    ) -> Scored:
        """Async ``similarity_search_with_score``."""
        return to_scored(await self._texts.asearch(query, k, filter=filter))

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: AnyFilter | None = None
    ) -> Scored:
        """``similarity_search_with_score`` for a vector."""
        return to_scored(self.index.search(embedding, k, filter=filter))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: AnyFilter | None = None
    ) -> Scored:
        """Async ``similarity_search_with_score_by_vector``."""
        return to_scored(await self.index.asearch(embedding, k, filter=filter))

    def similarity_search(
        self, query: str, k: int = 4, *, filter: AnyFilter | None = None
    ) -> list[Document]:
        """The ``k`` nearest documents, nearest first."""
        return to_documents(self._texts.search(query, k, filter=filter))

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: AnyFilter | None = None
    ) -> list[Document]:
        """Async ``similarity_search``."""
        return to_documents(await self._texts.asearch(query, k, filter=filter))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: AnyFilter | None = None
    ) -> list[Document]:
        """``similarity_search`` for a vector."""
        return to_documents(self.index.search(embedding, k, filter=filter))

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, *, filter: AnyFilter | None = None
    ) -> list[Document]:
        """Async ``similarity_search_by_vector``."""
        return to_documents(await self.index.asearch(embedding, k, filter=filter))

    # Pickles and copies

    def __getstate__(self) -> dict[str, Any]:
        return {"embedding": self._embedding, **self._texts.options()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        texts = TextIndex(**state)
        self._embedding, self._texts = state["embedding"], texts
        self.connection = texts.index.connection

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Similarity to relevance, 0 to 1: what points away from the query is not relevant."""
        return lambda similarity: min(max(similarity, 0.0), 1.0)


def _check_delete(ids: object, condition: object) -> None:
    if ids is None and condition is None:
        raise InvalidArgumentError(
            "delete takes ids, filter= or both; to delete everything use index.delete_where(None)"
        )
