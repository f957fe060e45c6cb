"""``VectorIndex``: documents found by meaning and by metadata, in sync and async.

Both framework faces stand on it. It takes vectors; embedding texts is the faces' business.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from . import _exact, _index
from ._connection import ValkeyConnection, choose_connection
from ._documents import Document, Hit, document_key, prepare
from ._errors import (
    ConfigurationError,
    DocumentError,
    FilterError,
    InvalidArgumentError,
    SearchUnavailableError,
)
from ._filter_dicts import to_filter
from ._filters import FieldType, Filter
from ._plans import Plan
from ._schema import Algorithm, IndexInfo, IndexSchema, Storage
from ._store import TTL, check_count, ttl_to_milliseconds
from ._vectors import Metric, from_bytes, max_marginal_relevance, numpy, pack_vector

T = TypeVar("T")
Search: TypeAlias = Literal["auto", "server", "exact"]
AnyFilter: TypeAlias = Filter | Mapping[str, Any]

DEFAULT_EXACT_LIMIT = 20_000
_READY_POLL_SECONDS = 0.05

_log = logging.getLogger("valkey_memory")


class VectorIndex:
    """Documents with vectors in Valkey: upsert, search by nearness and filter, delete.

    Searches run on the server (valkey-search), or exactly in the client on any plain Valkey, which
    is meant for small memories: up to ``exact_limit`` documents, held in a local copy that one
    round trip per search keeps fresh, also when other processes write.

    On a standalone server a search sees every write that returned before it. In a cluster the
    index follows its shard's writes after a moment. Every method has an async twin with the prefix
    ``a``. Safe to share between threads and event loops.

    Examples:
        >>> from valkey_memory import Document, Tag, VectorIndex
        >>> index = VectorIndex("notes", 3, fields={"user_id": "tag"}, url="embedded://")
        >>> index.upsert([Document("1", "Blue-green on ECS", {"user_id": "alice"}, [1, 0, 0])])
        >>> [(hit.document.content, hit.score)
        ...  for hit in index.search([1, 0, 0], k=5, filter=Tag("user_id") == "alice")]
        [('Blue-green on ECS', 1.0)]

    Args:
        name: The index; documents are at ``{name}:{id}``. Letters, digits, _.-
            and no colon.
        dimension: Numbers per vector.
        fields: Metadata fields that filters may use, by name: ``"tag"``, ``"numeric"``, ``"text"``.
            ``{"content": "text"}`` makes the documents' text filterable by words.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        storage: ``"json"`` (readable, needs valkey-json) or ``"hash"`` (less than half the memory).
            Exact search always stores hashes.
        search: ``"server"``, ``"exact"``, or ``"auto"``: the server if it can, and one line in the
            log ``valkey_memory`` that says which it is.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"``.
        algorithm: ``"hnsw"`` or ``"flat"``.
        m: HNSW: links per node.
        ef_construction: HNSW: effort of an insert; more finds more and writes slower.
        ef_runtime: HNSW: effort of a search; raise it for filters that few documents pass.
        ttl: Seconds (or a timedelta) until a document expires after it was written. Default: never,
            and a TTL that a document has is kept (in a hash; JSON.SET ends a JSON document's).
        refresh_ttl_on_read: A search restarts the ``ttl`` of what it finds, in a second round trip.
        exact_limit: Documents that exact search accepts, 20,000 by default.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        SearchUnavailableError, IndexMismatchError: From the first method that needs the index.
        DocumentError, FilterError: From a method, before anything was sent.
        BulkWriteError: From ``upsert``; it names what was written.
    """

    def __init__(
        self,
        name: str,
        dimension: int,
        *,
        fields: Mapping[str, FieldType] | None = None,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        storage: Storage = "json",
        search: Search = "auto",
        metric: Metric = "cosine",
        algorithm: Algorithm = "hnsw",
        m: int = 16,
        ef_construction: int = 64,
        ef_runtime: int = 100,
        ttl: TTL | None = None,
        refresh_ttl_on_read: bool = False,
        exact_limit: int = DEFAULT_EXACT_LIMIT,
    ) -> None:
        if search not in ("auto", "server", "exact"):
            raise ConfigurationError(f'search {search!r} is unknown: "auto", "server" or "exact"')
        check_count(exact_limit, "exact_limit")
        if refresh_ttl_on_read and ttl is None:
            raise InvalidArgumentError("refresh_ttl_on_read needs a ttl to refresh to")
        numpy()

        def schema(stored: Storage) -> IndexSchema:
            return IndexSchema(
                name=name,
                dimension=dimension,
                fields=dict(fields or {}),
                storage=stored,
                metric=metric,
                algorithm=algorithm,
                m=m,
                ef_construction=ef_construction,
                ef_runtime=ef_runtime,
            )

        self._server_schema = schema(storage)
        self._exact_schema = schema("hash")
        self._search = search
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None
        self._copy = _exact.LocalCopy(self._exact_schema, exact_limit)
        self._mode: Literal["server", "exact"] | None = None
        self.connection = choose_connection(url, connection)

    @property
    def name(self) -> str:
        return self._server_schema.name

    @property
    def dimension(self) -> int:
        return self._server_schema.dimension

    @property
    def metric(self) -> Metric:
        return self._server_schema.metric

    @property
    def fields(self) -> dict[str, FieldType]:
        """The declared fields."""
        return dict(self._server_schema.fields)

    @property
    def mode(self) -> Literal["server", "exact"] | None:
        """Which search is used; None before the first method found out."""
        return self._mode

    # The index

    def create(self) -> str:
        """Make the index or attach to it, and say which search is used. Other methods do it too."""
        return self._run(self._ready())

    async def acreate(self) -> str:
        """Async ``create``."""
        return await self._arun(self._ready())

    def info(self) -> IndexInfo | None:
        """What the server says of the index; None for exact search."""
        return self._run(self._info())

    async def ainfo(self) -> IndexInfo | None:
        """Async ``info``."""
        return await self._arun(self._info())

    def wait_until_ready(self, timeout: float = 60.0) -> bool:
        """Wait until documents that were there before the index are searchable; whether they are.

        Args:
            timeout: Seconds to wait.
        """
        return self._run(self._wait(timeout))

    async def await_until_ready(self, timeout: float = 60.0) -> bool:  # noqa: ASYNC109
        """Async ``wait_until_ready``."""
        return await self._arun(self._wait(timeout))

    def drop(self, *, delete_documents: bool = False) -> bool:
        """Drop the index; whether there was one. Its documents stay unless asked otherwise."""
        return self._run(self._drop(delete_documents))

    async def adrop(self, *, delete_documents: bool = False) -> bool:
        """Async ``drop``."""
        return await self._arun(self._drop(delete_documents))

    # Writing

    def upsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        progress: _index.Progress | None = None,
    ) -> None:
        """Write documents, replacing those with the same ids.

        All are checked before the first is sent. They go in transactions of up to 200 documents or
        about 1 MB, one round trip each. In a cluster they go command by command, because
        valkey-search does not search there what came in a transaction.

        Args:
            documents: With embeddings. An id that occurs twice is an error.
            ttl: Seconds (or a timedelta) until these documents expire, instead of the index's.
            progress: Called after each transaction with (written, all).
        """
        self._run(self._upsert(documents, ttl, progress))

    async def aupsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        progress: _index.Progress | None = None,
    ) -> None:
        """Async ``upsert``."""
        await self._arun(self._upsert(documents, ttl, progress))

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents by id; how many there were."""
        return self._run(self._delete(ids))

    async def adelete(self, ids: Iterable[str]) -> int:
        """Async ``delete``."""
        return await self._arun(self._delete(ids))

    def delete_where(self, filter: AnyFilter | None) -> int:  # noqa: A002
        """Delete every document that satisfies ``filter``, all when None; how many there were."""
        return self._run(self._delete_where(filter))

    async def adelete_where(self, filter: AnyFilter | None) -> int:  # noqa: A002
        """Async ``delete_where``."""
        return await self._arun(self._delete_where(filter))

    # Reading

    def get(self, ids: Iterable[str], *, embeddings: bool = False) -> list[Document]:
        """Documents by id, in that order; unknown ids are left out. One round trip per 500."""
        return self._run(self._get(ids, embeddings))

    async def aget(self, ids: Iterable[str], *, embeddings: bool = False) -> list[Document]:
        """Async ``get``."""
        return await self._arun(self._get(ids, embeddings))

    def count(self, filter: AnyFilter | None = None) -> int:  # noqa: A002
        """How many documents satisfy ``filter``; all when None."""
        return self._run(self._count(filter))

    async def acount(self, filter: AnyFilter | None = None) -> int:  # noqa: A002
        """Async ``count``."""
        return await self._arun(self._count(filter))

    def search(
        self,
        vector: Sequence[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        min_score: float | None = None,
        embeddings: bool = False,
        ef_runtime: int | None = None,
    ) -> list[Hit]:
        """The ``k`` nearest documents, nearest first. One round trip.

        Args:
            vector: As many numbers as the index has dimensions.
            k: At most so many; fewer when there are fewer.
            filter: A dict or an expression; see ``Tag``, ``Numeric``, ``Text``.
            min_score: Leave out what is less similar.
            embeddings: Return the documents' vectors too.
            ef_runtime: HNSW effort for this search only.

        Returns:
            Documents with their similarity. It is -1 to 1 for cosine, the product for ip, and
            ``1 / (1 + squared distance)`` for l2.
        """
        return self._run(self._find(vector, k, filter, min_score, embeddings, ef_runtime))

    async def asearch(
        self,
        vector: Sequence[float],
        k: int = 4,
        *,
        filter: AnyFilter | None = None,  # noqa: A002
        min_score: float | None = None,
        embeddings: bool = False,
        ef_runtime: int | None = None,
    ) -> list[Hit]:
        """Async ``search``."""
        return await self._arun(self._find(vector, k, filter, min_score, embeddings, ef_runtime))

    def search_diverse(
        self,
        vector: Sequence[float],
        k: int = 4,
        *,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: AnyFilter | None = None,  # noqa: A002
        embeddings: bool = False,
    ) -> list[Hit]:
        """``k`` of the ``fetch_k`` nearest, near the query and unlike each other (MMR).

        Args:
            vector: As many numbers as the index has dimensions.
            k: At most so many.
            fetch_k: How many to choose from.
            lambda_mult: 1 is nearness alone, 0 is variety alone.
            filter: A dict or an expression.
            embeddings: Return the documents' vectors too.
        """
        return self._run(self._diverse(vector, k, fetch_k, lambda_mult, filter, embeddings))

    async def asearch_diverse(
        self,
        vector: Sequence[float],
        k: int = 4,
        *,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: AnyFilter | None = None,  # noqa: A002
        embeddings: bool = False,
    ) -> list[Hit]:
        """Async ``search_diverse``."""
        return await self._arun(self._diverse(vector, k, fetch_k, lambda_mult, filter, embeddings))

    def page(
        self,
        filter: AnyFilter | None = None,  # noqa: A002
        *,
        offset: int = 0,
        limit: int = 100,
        order_by: str | None = None,
        descending: bool = False,
        embeddings: bool = False,
    ) -> list[Document]:
        """Documents that satisfy ``filter``, without a vector. One round trip.

        Args:
            filter: A dict or an expression; None is every document.
            offset: Skip so many.
            limit: At most so many.
            order_by: A numeric field; documents without it are left out. Without it the order is
                the server's own, which stays the same while nothing is written.
            descending: Largest first.
            embeddings: Return the documents' vectors too.
        """
        return self._run(self._page(filter, offset, limit, order_by, descending, embeddings))

    async def apage(
        self,
        filter: AnyFilter | None = None,  # noqa: A002
        *,
        offset: int = 0,
        limit: int = 100,
        order_by: str | None = None,
        descending: bool = False,
        embeddings: bool = False,
    ) -> list[Document]:
        """Async ``page``."""
        return await self._arun(self._page(filter, offset, limit, order_by, descending, embeddings))

    # Plans

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    @property
    def _schema(self) -> IndexSchema:
        return self._exact_schema if self._mode == "exact" else self._server_schema

    def _ready(self) -> Plan[str]:
        """Find out once which search there is, and make the index."""
        if self._mode is None:
            self._mode = yield from self._choose()
        return self._mode

    def _choose(self) -> Plan[Literal["server", "exact"]]:
        if self._search == "exact":
            return "exact"
        try:
            yield from _index.ensure(self._server_schema)
        except SearchUnavailableError as unavailable:
            if self._search == "server":
                raise
            _log.info("index %r: exact search in the client, because %s", self.name, unavailable)
            return "exact"
        if self._search == "auto":
            _log.info("index %r: search on the server (valkey-search)", self.name)
        return "server"

    def _condition(self, value: AnyFilter | None) -> Filter | None:
        return to_filter(value, self._server_schema.fields)

    def _query(self, vector: Sequence[float]) -> bytes:
        return pack_vector(vector, self.dimension, "the query")

    def _info(self) -> Plan[IndexInfo | None]:
        if (yield from self._ready()) == "exact":
            return None
        return (yield from _index.info(self._schema))

    def _wait(self, timeout: float) -> Plan[bool]:
        if (yield from self._ready()) == "exact":
            return True
        polls = max(1, round(timeout / _READY_POLL_SECONDS))
        found = yield from _index.wait_until_ready(self._schema, polls, _READY_POLL_SECONDS)
        return found.ready

    def _drop(self, delete_documents: bool) -> Plan[bool]:
        """Without ``_ready``, which would make the index, or refuse one that is to be made anew."""
        mode, found = self._mode or self._search, None
        if mode != "exact":
            try:
                found = yield from _index.probe(self._server_schema)
            except SearchUnavailableError:
                if mode != "auto":
                    raise
                mode = "exact"
        self._mode = None
        if mode != "exact":
            return (yield from _index.drop(self._server_schema, found, delete_documents))
        if not delete_documents:
            return False
        yield from self._fresh()
        ids = [document.id for document in self._copy.page(None, 0, None, _now_ms())]
        yield from _index.delete_ids(ids, self._exact_schema)
        yield from _index.forget_changes(self._exact_schema)
        return bool(ids)

    def _upsert(
        self, documents: Iterable[Document], ttl: TTL | None, progress: _index.Progress | None
    ) -> Plan[None]:
        ttl_ms = ttl_to_milliseconds(ttl) or self._ttl_ms
        yield from self._ready()
        prepared = [prepare(document, self._schema, ttl_ms) for document in documents]
        seen: set[str] = set()
        for document in prepared:
            if document.id in seen:
                raise DocumentError(f"document id {document.id!r} occurs twice in one call")
            seen.add(document.id)
        yield from _index.upsert(prepared, self._schema, progress)

    def _checked_ids(self, ids: Iterable[str]) -> list[str]:
        if isinstance(ids, str):
            raise InvalidArgumentError(f"ids must be a list of ids, not the string {ids!r}")
        found = list(dict.fromkeys(ids))
        for one in found:
            document_key(self._schema, one)
        return found

    def _delete(self, ids: Iterable[str]) -> Plan[int]:
        found = self._checked_ids(ids)
        yield from self._ready()
        return (yield from _index.delete_ids(found, self._schema))

    def _delete_where(self, value: AnyFilter | None) -> Plan[int]:
        condition = self._condition(value)
        if (yield from self._ready()) == "server":
            return (yield from _index.delete_matching(condition, self._schema))
        yield from self._fresh()
        found = self._copy.page(condition, 0, None, _now_ms())
        ids = [document.id for document in found]
        return (yield from _index.delete_ids(ids, self._schema))

    def _get(self, ids: Iterable[str], embeddings: bool) -> Plan[list[Document]]:
        found = self._checked_ids(ids)
        yield from self._ready()
        return (yield from _index.get(found, self._schema, embeddings=embeddings))

    def _count(self, value: AnyFilter | None) -> Plan[int]:
        condition = self._condition(value)
        if (yield from self._ready()) == "server":
            return (yield from _index.count(condition, self._schema))
        yield from self._fresh()
        return self._copy.count(condition, _now_ms())

    def _find(
        self,
        vector: Sequence[float],
        k: int,
        value: AnyFilter | None,
        min_score: float | None,
        embeddings: bool,
        ef_runtime: int | None,
    ) -> Plan[list[Hit]]:
        if k is None:
            raise InvalidArgumentError("k must be an integer, not None")
        check_count(k, "k")
        check_count(ef_runtime, "ef_runtime")
        query, condition = self._query(vector), self._condition(value)
        hits: list[Hit]
        if (yield from self._ready()) == "server":
            hits = yield from _index.knn(
                query,
                k,
                condition,
                self._schema,
                embeddings=embeddings,
                # HNSW looks at this many candidates at least; k of them must be found.
                ef_runtime=ef_runtime or (k if k > self._schema.ef_runtime else None),
            )
        else:
            yield from self._fresh()
            hits = self._copy.nearest(
                from_bytes(query), k, condition, _now_ms(), embeddings=embeddings
            )
        if min_score is not None:
            hits = [hit for hit in hits if hit.score >= min_score]
        if self._read_ttl_ms is not None and hits:
            ids = [hit.document.id for hit in hits]
            yield from _index.touch(ids, self._schema, self._read_ttl_ms)
        return hits

    def _diverse(
        self,
        vector: Sequence[float],
        k: int,
        fetch_k: int,
        lambda_mult: float,
        value: AnyFilter | None,
        embeddings: bool,
    ) -> Plan[list[Hit]]:
        check_count(k, "k")
        check_count(fetch_k, "fetch_k")
        if not 0 <= lambda_mult <= 1:
            raise InvalidArgumentError(f"lambda_mult must be from 0 to 1, not {lambda_mult!r}")
        found = yield from self._find(vector, max(k, fetch_k), value, None, True, None)
        np = numpy()
        vectors = [np.asarray(hit.document.embedding, dtype=np.float32) for hit in found]
        chosen = max_marginal_relevance(from_bytes(self._query(vector)), vectors, k, lambda_mult)
        hits = [found[position] for position in chosen]
        if embeddings:
            return hits
        return [hit._replace(document=_without_embedding(hit.document)) for hit in hits]

    def _page(
        self,
        value: AnyFilter | None,
        offset: int,
        limit: int,
        order_by: str | None,
        descending: bool,
        embeddings: bool,
    ) -> Plan[list[Document]]:
        check_count(offset, "offset", minimum=0)
        check_count(limit, "limit")
        condition = self._condition(value)
        if order_by is not None and self.fields.get(order_by) != "numeric":
            raise FilterError(f"order_by {order_by!r} must be a field declared as numeric")
        if (yield from self._ready()) == "server":
            return (
                yield from _index.page(
                    condition,
                    offset,
                    limit,
                    self._schema,
                    embeddings=embeddings,
                    order_by=order_by,
                    descending=descending,
                )
            )
        yield from self._fresh()
        return self._copy.page(
            condition,
            offset,
            limit,
            _now_ms(),
            embeddings=embeddings,
            order_by=order_by,
            descending=descending,
        )

    def _fresh(self) -> Plan[None]:
        return _exact.refresh(self._copy, _now_ms())


def _without_embedding(document: Document) -> Document:
    return Document(document.id, document.content, document.metadata)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
