"""Vector store for LangChain."""

# The base class lets every method take any keyword argument; here a misspelt one is an error.
# mypy: disable-error-code="override"

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from valkey_memory import InvalidArgumentError, ValkeyConnection
from valkey_memory._arguments import TTL, check_count, ttl_to_milliseconds
from valkey_memory._filters.expressions import FieldType
from valkey_memory._models.embedding import (
    BATCH_SIZE,
    CONCURRENCY,
    aembed_documents,
    embed_documents,
    known_dimension,
)
from valkey_memory._server.connection import choose_connection
from valkey_memory._vectors.documents import Document as StoredDocument
from valkey_memory._vectors.documents import Hit
from valkey_memory._vectors.index import VectorIndex
from valkey_memory._vectors.plans import DEFAULT_EXACT_LIMIT, AnyFilter, Search
from valkey_memory._vectors.schema import Algorithm, Storage
from valkey_memory._vectors.server import Progress
from valkey_memory._vectors.vector import Metric
from valkey_memory.adapters.construct import construct, has_fields

Scored = list[tuple[Document, float]]
_constructible = has_fields(Document, "id", "metadata", "page_content", "type")


class ValkeyVectorStore(VectorStore):
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
        storage: ``"json"`` (readable) or ``"hash"`` (less than half the memory).
        search: ``"server"``, ``"exact"``, or ``"auto"``: the server if it can.
        metadata_fields: Metadata that filters may use, by name: ``"tag"``, ``"numeric"`` or
            ``"text"``. ``{"content": "text"}`` makes the documents' text filterable by words.
        dimension: Numbers per vector. By default known from the model, or seen in its vectors.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"``.
        algorithm: ``"hnsw"`` or ``"flat"``.
        m: HNSW: links per node.
        ef_construction: HNSW: effort of an insert; more finds more and writes slower.
        ef_runtime: HNSW: effort of a search.
        ttl: Seconds (or a timedelta) until a document expires. Default: never.
        refresh_ttl_on_read: A search restarts the TTL of what it finds.
        exact_limit: Documents that exact search accepts, 20,000 by default.
        embedding_batch_size: Texts per call of the embedding model, 64 by default.
        embedding_concurrency: Calls of it at once in async methods, 4 by default.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.VectorIndex``.
    """

    def __init__(
        self,
        embedding: Embeddings,
        index_name: str = "langchain",
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        storage: Storage = "json",
        search: Search = "auto",
        metadata_fields: dict[str, FieldType] | None = None,
        dimension: int | None = None,
        metric: Metric = "cosine",
        algorithm: Algorithm = "hnsw",
        m: int = 16,
        ef_construction: int = 64,
        ef_runtime: int = 100,
        ttl: TTL | None = None,
        refresh_ttl_on_read: bool = False,
        exact_limit: int = DEFAULT_EXACT_LIMIT,
        embedding_batch_size: int = BATCH_SIZE,
        embedding_concurrency: int = CONCURRENCY,
    ) -> None:
        if not isinstance(embedding, Embeddings):
            raise InvalidArgumentError(
                f"embedding must be a LangChain Embeddings, not {type(embedding).__name__}"
            )
        check_count(embedding_batch_size, "embedding_batch_size")
        check_count(embedding_concurrency, "embedding_concurrency")
        self._embedding = embedding
        self._batch_size = embedding_batch_size
        self._concurrency = embedding_concurrency
        self.connection = choose_connection(url, connection)

        def make_index(dimension: int) -> VectorIndex:
            return VectorIndex(
                index_name,
                dimension,
                fields=metadata_fields,
                connection=self.connection,
                storage=storage,
                search=search,
                metric=metric,
                algorithm=algorithm,
                m=m,
                ef_construction=ef_construction,
                ef_runtime=ef_runtime,
                ttl=ttl,
                refresh_ttl_on_read=refresh_ttl_on_read,
                exact_limit=exact_limit,
            )

        self._make_index = make_index
        known = known_dimension(embedding) if dimension is None else dimension
        # With an unknown dimension one is made all the same, so that wrong options fail here.
        index = make_index(1 if known is None else known)
        self._index: VectorIndex | None = None if known is None else index

    @property
    def embeddings(self) -> Embeddings:
        return self._embedding

    @property
    def index(self) -> VectorIndex:
        """The index underneath: counts, paging, ``info``, ``drop``.

        Where the model does not tell its dimension, and nothing was embedded yet, this embeds one
        word to find out.
        """
        if self._index is None:
            self._index = self._make_index(len(self._embedding.embed_query("dimension")))
        return self._index

    async def aindex(self) -> VectorIndex:
        """Async ``index``."""
        if self._index is None:
            vector = await self._embedding.aembed_query("dimension")
            self._index = self._index or self._make_index(len(vector))
        return self._index

    def _index_for(self, vector: Sequence[float]) -> VectorIndex:
        if self._index is None:
            self._index = self._make_index(len(vector))
        return self._index

    def _batch(self, size: int | None) -> int:
        if size is None:
            return self._batch_size
        check_count(size, "batch_size")
        return min(size, self._batch_size)

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
        contents, metadata, known_ids = _checked_texts(texts, metadatas, ids)
        ttl_to_milliseconds(ttl)  # before texts are embedded, which costs
        vectors = embed_documents(self._embedding, contents, self._batch(batch_size))
        if contents:
            documents = _stored(contents, metadata, known_ids, vectors)
            self._index_for(vectors[0]).upsert(documents, ttl=ttl, progress=progress)
        return known_ids

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
        contents, metadata, known_ids = _checked_texts(texts, metadatas, ids)
        ttl_to_milliseconds(ttl)  # before texts are embedded, which costs
        vectors = await aembed_documents(
            self._embedding, contents, self._batch(batch_size), self._concurrency
        )
        if contents:
            documents = _stored(contents, metadata, known_ids, vectors)
            await self._index_for(vectors[0]).aupsert(documents, ttl=ttl, progress=progress)
        return known_ids

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
            *_parts(documents),
            ids=_ids(documents, ids),
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
            *_parts(documents),
            ids=_ids(documents, ids),
            ttl=ttl,
            batch_size=batch_size,
            progress=progress,
        )

    def delete(
        self,
        ids: list[str] | None = None,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> bool:
        """Delete documents by id, or every one that satisfies ``filter``; unknown ids are fine."""
        _check_delete(ids, filter)
        if ids is None:
            self.index.delete_where(filter)
        else:
            self.index.delete(ids)
        return True

    async def adelete(
        self,
        ids: list[str] | None = None,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> bool:
        """Async ``delete``."""
        _check_delete(ids, filter)
        index = await self.aindex()
        if ids is None:
            await index.adelete_where(filter)
        else:
            await index.adelete(ids)
        return True

    # Reading

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in that order; unknown ids are left out."""
        return [_document(found) for found in self.index.get(ids)]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Async ``get_by_ids``."""
        return [_document(found) for found in await (await self.aindex()).aget(ids)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> Scored:
        """The ``k`` nearest documents with their similarity, nearest first.

        Args:
            query: A text.
            k: At most so many.
            filter: ``{"user_id": "alice", "year": {"$gte": 2025}}``, or an expression of
                ``valkey_memory``'s ``Tag``, ``Numeric`` and ``Text``.
        """
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter=filter)

    async def asimilarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> Scored:
        """Async ``similarity_search_with_score``."""
        vector = await self._embedding.aembed_query(query)
        return await self.asimilarity_search_with_score_by_vector(vector, k, filter=filter)

    def similarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> Scored:
        """``similarity_search_with_score`` for a vector."""
        return _scored(self._index_for(embedding).search(embedding, k, filter=filter))

    async def asimilarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> Scored:
        """Async ``similarity_search_with_score_by_vector``."""
        return _scored(await self._index_for(embedding).asearch(embedding, k, filter=filter))

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """The ``k`` nearest documents, nearest first."""
        vector = self._embedding.embed_query(query)
        return self.similarity_search_by_vector(vector, k, filter=filter)

    async def asimilarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """Async ``similarity_search``."""
        vector = await self._embedding.aembed_query(query)
        return await self.asimilarity_search_by_vector(vector, k, filter=filter)

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """``similarity_search`` for a vector."""
        return _documents(self._index_for(embedding).search(embedding, k, filter=filter))

    async def asimilarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """Async ``similarity_search_by_vector``."""
        return _documents(await self._index_for(embedding).asearch(embedding, k, filter=filter))

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """``k`` of the ``fetch_k`` nearest documents, near the query and unlike each other.

        Args:
            query: A text.
            k: At most so many.
            fetch_k: How many to choose from.
            lambda_mult: 1 is nearness alone, 0 is variety alone.
            filter: As in ``similarity_search_with_score``.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, filter=filter
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """Async ``max_marginal_relevance_search``."""
        vector = await self._embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, filter=filter
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """``max_marginal_relevance_search`` for a vector."""
        hits = self._index_for(embedding).search_diverse(
            embedding, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
        )
        return _documents(hits)

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> list[Document]:
        """Async ``max_marginal_relevance_search_by_vector``."""
        hits = await self._index_for(embedding).asearch_diverse(
            embedding, k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
        )
        return _documents(hits)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """Similarity to relevance, 0 to 1: what points away from the query is not relevant."""
        return lambda similarity: min(max(similarity, 0.0), 1.0)

    # Constructors

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with ``texts`` in it; ``kwargs`` are those of the constructor."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Async ``from_texts``."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store


def _checked_texts(
    texts: Iterable[str],
    metadatas: Sequence[dict[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> tuple[list[str], list[dict[str, Any]], list[str]]:
    """Texts, metadata and ids of one length; checked before anything is embedded."""
    if isinstance(texts, str):
        raise InvalidArgumentError("texts must be a list of strings, not one string")
    if isinstance(ids, str):
        raise InvalidArgumentError(f"ids must be a list of ids, not the string {ids!r}")
    contents = list(texts)
    for name, given in (("metadatas", metadatas), ("ids", ids)):
        if given is not None and len(given) != len(contents):
            raise InvalidArgumentError(f"{len(contents)} texts and {len(given)} {name}")
    for one in ids or ():
        if one is not None and (not isinstance(one, str) or not one):
            raise InvalidArgumentError(f"an id must be a non-empty string or None, not {one!r}")
    for values in metadatas or ():
        if not isinstance(values, Mapping):
            raise InvalidArgumentError(f"metadata must be a dict, not {values!r:.80}")
    known_ids = [one or str(uuid.uuid4()) for one in ids or [None] * len(contents)]
    if len(set(known_ids)) != len(known_ids):
        twice = next(one for one in known_ids if known_ids.count(one) > 1)
        raise InvalidArgumentError(f"id {twice!r} occurs twice in one call")
    return contents, list(metadatas or [{} for _ in contents]), known_ids


def _stored(
    contents: Sequence[str],
    metadata: Sequence[dict[str, Any]],
    ids: Sequence[str],
    vectors: Sequence[Sequence[float]],
) -> list[StoredDocument]:
    return [StoredDocument(*parts) for parts in zip(ids, contents, metadata, vectors, strict=True)]


def _parts(documents: Sequence[Document]) -> tuple[list[str], list[dict[str, Any]]]:
    return [d.page_content for d in documents], [d.metadata for d in documents]


def _ids(documents: Sequence[Document], ids: Sequence[str | None] | None) -> Sequence[str | None]:
    if ids is None:
        return [document.id for document in documents]
    if len(ids) != len(documents):
        return ids  # the error names both numbers
    return [
        document.id if given is None else given
        for given, document in zip(ids, documents, strict=True)
    ]


def _check_delete(ids: object, condition: object) -> None:
    if (ids is None) == (condition is None):
        raise InvalidArgumentError(
            "delete takes ids or filter=; to delete everything use index.delete_where(None)"
        )


def _document(found: StoredDocument) -> Document:
    return Document(id=found.id, page_content=found.content, metadata=dict(found.metadata))


def _scored(hits: Sequence[Hit]) -> Scored:
    return [(_document(hit.document), hit.score) for hit in hits]


def _documents(hits: Sequence[Hit]) -> list[Document]:
    """What was found, without its score. Making one Document at a time takes longer than all else
    that a search does in Python."""
    if not _constructible:
        return [_document(hit.document) for hit in hits]
    fields = [
        {
            "id": hit.document.id,
            "metadata": dict(hit.document.metadata),
            "page_content": hit.document.content,
            "type": "Document",
        }
        for hit in hits
    ]
    return construct(Document, fields, {"id", "metadata", "page_content"})
