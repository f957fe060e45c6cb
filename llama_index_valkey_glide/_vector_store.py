"""Vector store for LlamaIndex."""

# The base class lets every method take any keyword argument; here a misspelt one is an error.
# mypy: disable-error-code="override"

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Unpack

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from pydantic import Field, PrivateAttr, computed_field

from valkey_memory import (
    ConfigurationError,
    Document,
    DocumentError,
    Filter,
    InvalidArgumentError,
    Tag,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory.adapters import (
    EXACT_LIMIT,
    TTL,
    Algorithm,
    And,
    FieldType,
    IndexOptions,
    Metric,
    OnCorrupt,
    Search,
    Storage,
    mask,
    with_options,
)

from ._nodes import OWN_FIELDS, REF_DOC_ID, by_ids, to_condition, to_document, to_node
from ._queries import ranked, understood, unranked
from ._rebuilding import Rebuilt
from ._restriction import restricted_ids

SESSION_ID = "session_id"
_PAGE = 1_000
_MMR_CANDIDATES = 4
"""MMR chooses from so many times similarity_top_k, as LlamaIndex's own stores do."""


class ValkeyVectorStore(Rebuilt, BasePydanticVectorStore):
    """Nodes found by meaning, kept in Valkey. Native in sync and async.

    Searches run on the server where it has valkey-search, and exactly in the client where it has
    not (for small memories). Nodes come back equal, with their relationships.

    Examples:
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.core.vector_stores import VectorStoreQuery
        >>> from llama_index_valkey_glide import ValkeyVectorStore
        >>> store = ValkeyVectorStore("nodes", dimension=3, url="embedded://")
        >>> store.add([TextNode(id_="1", text="Blue-green on ECS", embedding=[1, 0, 0])])
        ['1']
        >>> store.query(VectorStoreQuery(query_embedding=[1, 0, 0], similarity_top_k=1)).ids
        ['1']

    Args:
        index_name: The index; nodes are at ``{index_name}:{node_id}``. Letters, digits, ``_.-``
            and no colon.
        dimension: Numbers per vector; by default that of the nodes that are stored, or else of the
            first nodes or query.
        url: See ``valkey_memory.ValkeyConnection.from_url``; by default ``VALKEY_URL`` or
            localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        metadata_fields: Metadata that filters may use, by name: ``"tag"``, ``"numeric"`` or
            ``"text"``. ``{"content": "text"}`` is the nodes' text, which HYBRID and TEXT_SEARCH
            need. ``session_id``, by which ``VectorMemoryBlock`` filters, is a tag unless
            declared otherwise.
        options: ``storage``, ``search``, ``metric``, ``algorithm``, ``m``, ``ef_construction``,
            ``ef_runtime``, ``ttl``, ``refresh_ttl_on_read``, ``exact_limit``, ``on_corrupt``: those
            of ``valkey_memory.VectorIndex``, which describes them.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.VectorIndex``.
    """

    stores_text: bool = True
    is_embedding_query: bool = True

    index_name: str = Field(description="Name of the index.")
    url: str | None = Field(default=None, description="Server URL; None reads VALKEY_URL.")
    storage: Storage = Field(default="json", description='"json" or "hash".')
    search: Search = Field(default="auto", description='"auto", "server" or "exact".')
    metadata_fields: dict[str, FieldType] = Field(default_factory=dict, description="Filterable.")
    metric: Metric = Field(default="cosine", description='"cosine", "l2" or "ip".')
    algorithm: Algorithm = Field(default="hnsw", description='"hnsw" or "flat".')
    m: int = Field(default=16, description="HNSW: links per node.")
    ef_construction: int = Field(default=64, description="HNSW: effort of an insert.")
    ef_runtime: int = Field(default=100, description="HNSW: effort of a search.")
    ttl: float | None = Field(default=None, description="Seconds until a node expires.")
    refresh_ttl_on_read: bool = Field(default=False, description="A query restarts the TTL.")
    exact_limit: int = Field(default=EXACT_LIMIT, description="Nodes for exact search.")
    on_corrupt: OnCorrupt = Field(default="raise", description='"raise" or "skip".')

    _index: VectorIndex = PrivateAttr()

    @with_options(IndexOptions, VectorIndex)
    def __init__(
        self,
        index_name: str = "llama_index",
        *,
        dimension: int | None = None,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        metadata_fields: dict[str, FieldType] | None = None,
        stores_text: bool = True,
        is_embedding_query: bool = True,
        **options: Unpack[IndexOptions],
    ) -> None:
        if not (stores_text and is_embedding_query):
            raise ConfigurationError("this store keeps text and compares embeddings; both are so")
        fields = _fields(metadata_fields or {})
        if taken := OWN_FIELDS.keys() & (metadata_fields or {}).keys():
            raise ConfigurationError(f"metadata fields {sorted(taken)} are the store's own")
        index = VectorIndex(
            index_name,
            dimension,
            fields=fields,
            url=url,
            connection=connection,
            **options,
        )
        ttl = options.get("ttl")
        if isinstance(ttl, timedelta):
            options["ttl"] = ttl.total_seconds()
        super().__init__(
            stores_text=True,
            index_name=index_name,
            url=url if connection is None else connection.url,
            metadata_fields=metadata_fields or {},
            **options,
        )
        self._index = index

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyVectorStore"

    @computed_field(description="Numbers per vector; None while that is not known.")  # type: ignore[prop-decorator]
    @property
    def dimension(self) -> int | None:
        """Numbers per vector; None while that is not known."""
        return self._index.dimension

    @property
    def client(self) -> ValkeyConnection:
        """The connection."""
        return self._index.connection

    @property
    def index(self) -> VectorIndex:
        """The index underneath: counts, paging, ``info``, ``drop``."""
        return self._index

    # Writing

    def add(self, nodes: Sequence[BaseNode], *, ttl: TTL | None = None) -> list[str]:
        """Store nodes with their embeddings, replacing those with the same ids.

        Args:
            nodes: With embeddings, as an index gives them.
            ttl: Seconds (or a timedelta) until these nodes expire, instead of the store's. An index
                passes it on: ``index.insert_nodes(nodes, ttl=3600)``.

        Returns:
            The ids, in order.
        """
        if not nodes:
            return []
        self._index.upsert(_prepared(nodes), ttl=ttl)
        return [node.node_id for node in nodes]

    async def async_add(self, nodes: Sequence[BaseNode], *, ttl: TTL | None = None) -> list[str]:
        """Async ``add``."""
        if not nodes:
            return []
        await self._index.aupsert(_prepared(nodes), ttl=ttl)
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str) -> None:
        """Delete every node of a document."""
        self._index.delete_where(Tag(REF_DOC_ID) == ref_doc_id)

    async def adelete(self, ref_doc_id: str) -> None:
        """Async ``delete``."""
        await self._index.adelete_where(Tag(REF_DOC_ID) == ref_doc_id)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> None:
        """Delete nodes by id, by filter, or those that both name; at least one must be given."""
        condition = self._selection(node_ids, filters, required="clear")
        if node_ids is None:
            self._index.delete_where(condition)
        else:
            self._index.delete(node_ids, condition)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> None:
        """Async ``delete_nodes``."""
        condition = self._selection(node_ids, filters, required="aclear")
        if node_ids is None:
            await self._index.adelete_where(condition)
        else:
            await self._index.adelete(node_ids, condition)

    def clear(self) -> None:
        """Delete every node; the index stays."""
        self._index.delete_where(None)

    async def aclear(self) -> None:
        """Async ``clear``."""
        await self._index.adelete_where(None)

    # Reading

    def get_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        *,
        embeddings: bool = True,
    ) -> list[BaseNode]:
        """Nodes by id, by filter, or those that both name; all of them when neither is given.

        Args:
            node_ids: Nodes come in the order of these.
            filters: As in a query.
            embeddings: With their embeddings, as they were added. Without them it is faster.
        """
        condition = self._selection(node_ids, filters)
        if node_ids is not None and filters is None:
            return [to_node(found) for found in self._index.get(node_ids, embeddings=embeddings)]
        nodes: list[BaseNode] = []
        while page := self._index.page(
            condition, offset=len(nodes), limit=_PAGE, embeddings=embeddings
        ):
            nodes += map(to_node, page)
        return nodes

    async def aget_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        *,
        embeddings: bool = True,
    ) -> list[BaseNode]:
        """Async ``get_nodes``."""
        condition = self._selection(node_ids, filters)
        if node_ids is not None and filters is None:
            documents = await self._index.aget(node_ids, embeddings=embeddings)
            return [to_node(found) for found in documents]
        nodes: list[BaseNode] = []
        while page := await self._index.apage(
            condition, offset=len(nodes), limit=_PAGE, embeddings=embeddings
        ):
            nodes += map(to_node, page)
        return nodes

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The nodes nearest to the query's embedding, with their similarity; or by its words.

        - DEFAULT: nearest first. Without an embedding the filters alone select, in no order and
          without similarities.
        - MMR: ``mmr_threshold`` 1 is nearness alone, 0 variety alone.
        - HYBRID: the ranks by ``query_embedding`` and by the words of ``query_str`` (BM25 over the
          nodes' text), fused; ``alpha`` 1 is vectors alone, 0 words alone, 0.5 by default.
          ``hybrid_top_k`` nodes are returned, of which ``similarity_top_k`` nearest take part;
          without it ``similarity_top_k`` of the 100 nearest. Of the best by words ``sparse_top_k``
          take part, if given. The similarity is the fused score, 0 to 1.
        - TEXT_SEARCH: by the words of ``query_str`` alone, ``sparse_top_k`` or else
          ``similarity_top_k`` nodes. The similarity is that of BM25.

        The last two need ``metadata_fields={"content": "text"}``, and take two round trips.

        Args:
            query: Filters, ``doc_ids`` and ``node_ids`` all have to hold. No ``doc_ids`` match
                nothing; no ``node_ids`` are no condition, and those that ``VectorStoreIndex`` sends
                by itself are none either.
            kwargs: None but what a retriever's ``vector_store_kwargs`` pass beside the query:
                ``mmr_threshold``, and ``language`` of the words' stems, English by default.
        """
        vector, condition, diverse, by_words = understood(
            query, restricted_ids(query), kwargs, _fields(self.metadata_fields)
        )
        if by_words is not None:
            return ranked(self._index.search_hybrid(**by_words))
        if vector is None:
            return unranked(self._index.page(condition, limit=query.similarity_top_k))
        if diverse is None:
            return ranked(self._index.search(vector, query.similarity_top_k, filter=condition))
        return ranked(
            self._index.search_diverse(
                vector,
                query.similarity_top_k,
                fetch_k=_MMR_CANDIDATES * query.similarity_top_k,
                lambda_mult=diverse,
                filter=condition,
            )
        )

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Async ``query``."""
        vector, condition, diverse, by_words = understood(
            query, restricted_ids(query), kwargs, _fields(self.metadata_fields)
        )
        if by_words is not None:
            return ranked(await self._index.asearch_hybrid(**by_words))
        if vector is None:
            return unranked(await self._index.apage(condition, limit=query.similarity_top_k))
        if diverse is None:
            return ranked(
                await self._index.asearch(vector, query.similarity_top_k, filter=condition)
            )
        return ranked(
            await self._index.asearch_diverse(
                vector,
                query.similarity_top_k,
                fetch_k=_MMR_CANDIDATES * query.similarity_top_k,
                lambda_mult=diverse,
                filter=condition,
            )
        )

    # What both forms share

    def _selection(
        self,
        node_ids: list[str] | None,
        filters: MetadataFilters | None,
        required: str | None = None,
    ) -> Filter | None:
        if required and node_ids is None and (filters is None or not filters.filters):
            raise InvalidArgumentError(
                f"delete_nodes needs node_ids or filters; to delete everything use {required}()"
            )
        parts = by_ids(None, node_ids)
        if (condition := to_condition(filters, _fields(self.metadata_fields))) is not None:
            parts.append(condition)
        return And(tuple(parts)) if parts else None

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The public fields and ``class_name``, the URL with its password among them."""
        if self.client.url is None:
            raise ConfigurationError(
                "this store was made with a connection that no URL describes, so it cannot be "
                "written down: make it with url="
            )
        return super().to_dict(**kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr_args__(self) -> Any:
        if not hasattr(self, "_index"):
            return  # it could not be made, and a tool that prints variables asks
        for name, value in super().__repr_args__():
            yield name, mask(value) if name == "url" and value else value


def _fields(declared: Mapping[str, FieldType]) -> dict[str, FieldType]:
    if not isinstance(declared, Mapping):
        raise ConfigurationError(f"metadata_fields must be a dict, not a {type(declared).__name__}")
    return {SESSION_ID: "tag", **declared, **OWN_FIELDS}


def _prepared(nodes: Sequence[BaseNode]) -> list[Document]:
    for node in nodes:
        if not node.embedding:
            raise DocumentError(f"node {node.node_id!r} has no embedding: embed it first")
    return [to_document(node, node.get_embedding()) for node in nodes]
