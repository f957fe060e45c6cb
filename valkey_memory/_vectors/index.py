"""``VectorIndex``: documents found by vector and by metadata; ``TextIndex`` embeds for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .._arguments import TTL
from .._filters.expressions import FieldType
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .documents import Document, Hit, OnCorrupt
from .engine import Mode, Search
from .hybrid_search import HybridSearch
from .limits import EXACT_LIMIT
from .plans import AnyFilter, IndexPlans
from .schema import Algorithm, IndexInfo, IndexSchema, Storage
from .storage import Progress
from .vector import Metric

T = TypeVar("T")


class VectorIndex(HybridSearch):
    """Documents with vectors in Valkey: upsert, search by nearness and filter, delete.

    Searches run on the server (valkey-search), or exactly in the client on any plain Valkey, for
    small memories: up to ``exact_limit`` documents, in a local copy that one round trip per search
    keeps fresh, also when other processes write.

    On a standalone server a search sees every write that returned before it. In a cluster the
    index follows its shard's writes after a moment. Primaries are asked, whatever the connection's
    ``read_from`` says. Every method has an async twin with the prefix ``a``. Safe to share between
    threads and event loops; pickles and copies begin anew.

    Examples:
        >>> from valkey_memory import Document, Tag, VectorIndex
        >>> index = VectorIndex("notes", 3, fields={"user_id": "tag"}, url="embedded://")
        >>> index.upsert([Document("1", "Blue-green on ECS", {"user_id": "alice"}, [1, 0, 0])])
        >>> [(hit.document.content, hit.score)
        ...  for hit in index.search([1, 0, 0], k=5, filter=Tag("user_id") == "alice")]
        [('Blue-green on ECS', 1.0)]

    Args:
        name: The index; documents are at ``{name}:{id}``. Letters, digits, ``_.-``
            and no colon.
        dimension: Numbers per vector. By default that of the index or documents that are there, or
            else of the first vector that is written or searched for. Before, the index is empty.
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
        on_corrupt: What to do with a document that cannot be read, because another program wrote
            it: ``"raise"``, or ``"skip"`` it with a warning in the log ``valkey_memory``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        SearchUnavailableError, IndexMismatchError: From the first method that needs the index.
        DocumentError, FilterError: From a method, before anything was sent.
        BulkWriteError: From ``upsert``; it names what was written.
        ServerUnavailableError: From what has to see every document (``count``, ``page``,
            ``delete_where``), when a new index is still being filled after a minute.
    """

    def __init__(
        self,
        name: str,
        dimension: int | None = None,
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
        exact_limit: int = EXACT_LIMIT,
        on_corrupt: OnCorrupt = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        schema = IndexSchema(
            name=name,
            dimension=dimension,
            fields=fields or {},
            storage=storage,
            metric=metric,
            algorithm=algorithm,
            m=m,
            ef_construction=ef_construction,
            ef_runtime=ef_runtime,
        )
        self.plans = IndexPlans(
            schema,
            search,
            ttl=ttl,
            refresh_ttl_on_read=refresh_ttl_on_read,
            exact_limit=exact_limit,
            on_corrupt=on_corrupt,
        )
        self.connection = choose_connection(url, connection)
        self._primaries = self.connection.for_primaries()

    @property
    def name(self) -> str:
        return self.plans.schema.name

    @property
    def dimension(self) -> int | None:
        """Numbers per vector; None while that is not known."""
        return self.plans.schema.dimension

    @property
    def metric(self) -> Metric:
        return self.plans.schema.metric

    @property
    def fields(self) -> dict[str, FieldType]:
        """The declared fields."""
        return dict(self.plans.schema.fields)

    @property
    def mode(self) -> Mode | None:
        """Which search is used; None before the first method found out."""
        return self.plans.mode

    def run(self, plan: Plan[T]) -> T:
        """Run a plan over ``plans``, on primaries."""
        return self._primaries.run(plan)

    async def arun(self, plan: Plan[T]) -> T:
        """Async ``run``."""
        return await self._primaries.arun(plan)

    def __getstate__(self) -> dict[str, Any]:
        return {"connection": self.connection, **self.plans.options()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # The index

    def create(self) -> str:
        """Make the index or attach to it, and say which search is used. Other methods do it too."""
        return self.run(self.plans.create_plan())

    async def acreate(self) -> str:
        """Async ``create``."""
        return await self.arun(self.plans.create_plan())

    def info(self) -> IndexInfo | None:
        """What the server says of the index; None for exact search."""
        return self.run(self.plans.info_plan())

    async def ainfo(self) -> IndexInfo | None:
        """Async ``info``."""
        return await self.arun(self.plans.info_plan())

    def wait_until_ready(self, timeout: float = 60.0) -> bool:
        """Wait until documents that were there before the index are searchable; whether they are.

        Args:
            timeout: Seconds to wait.
        """
        return self.run(self.plans.wait_plan(timeout))

    async def await_until_ready(self, timeout: float = 60.0) -> bool:  # noqa: ASYNC109
        """Async ``wait_until_ready``."""
        return await self.arun(self.plans.wait_plan(timeout))

    def drop(self, *, delete_documents: bool = False) -> bool:
        """Drop the index, whatever its shape; whether there was anything to drop.

        Args:
            delete_documents: All its documents, also those that the index lacks; else they stay.
        """
        return self.run(self.plans.drop_plan(delete_documents))

    async def adrop(self, *, delete_documents: bool = False) -> bool:
        """Async ``drop``."""
        return await self.arun(self.plans.drop_plan(delete_documents))

    # Writing

    def upsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Write documents, replacing those with the same ids: twice does the same as once.

        All are checked before the first is sent. They go in transactions of up to 200 documents or
        about 4 MB, one round trip each; in a cluster to all nodes at once.

        Args:
            documents: With embeddings. An id that occurs twice is an error.
            ttl: Seconds (or a timedelta) until these expire, instead of the index's. A search with
                ``refresh_ttl_on_read`` gives them the index's.
            progress: Called after each transaction with (written, all).
        """
        self.run(self.plans.upsert_plan(documents, ttl, progress))

    async def aupsert(
        self,
        documents: Iterable[Document],
        *,
        ttl: TTL | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Async ``upsert``."""
        await self.arun(self.plans.upsert_plan(documents, ttl, progress))

    def delete(self, ids: Iterable[str], filter: AnyFilter | None = None) -> int:  # noqa: A002
        """Delete documents by id; how many there were, or fewer if a first reply was lost.

        Args:
            ids: Unknown ones are fine.
            filter: Delete only those that satisfy it, too; they are read before, not atomically.
        """
        return self.run(self.plans.delete_plan(ids, filter))

    async def adelete(
        self,
        ids: Iterable[str],
        filter: AnyFilter | None = None,  # noqa: A002
    ) -> int:
        """Async ``delete``."""
        return await self.arun(self.plans.delete_plan(ids, filter))

    def delete_where(self, filter: AnyFilter | None) -> int:  # noqa: A002
        """Delete every document that satisfies ``filter``, all when None; how many there were."""
        return self.run(self.plans.delete_where_plan(filter))

    async def adelete_where(self, filter: AnyFilter | None) -> int:  # noqa: A002
        """Async ``delete_where``."""
        return await self.arun(self.plans.delete_where_plan(filter))

    # Reading

    def get(self, ids: Iterable[str], *, embeddings: bool = False) -> list[Document]:
        """Documents by id, in that order; unknown ids are left out. One round trip per 500."""
        return self.run(self.plans.get_plan(ids, embeddings))

    async def aget(self, ids: Iterable[str], *, embeddings: bool = False) -> list[Document]:
        """Async ``get``."""
        return await self.arun(self.plans.get_plan(ids, embeddings))

    def count(self, filter: AnyFilter | None = None) -> int:  # noqa: A002
        """How many documents satisfy ``filter``; all when None. One round trip, two in a cluster.

        Raises:
            CommandError: 100,000 satisfy ``filter`` or more; valkey-search counts no further.
        """
        return self.run(self.plans.count_plan(filter))

    async def acount(self, filter: AnyFilter | None = None) -> int:  # noqa: A002
        """Async ``count``."""
        return await self.arun(self.plans.count_plan(filter))

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
            Documents and their similarity: the cosine, the product, or ``1 / (1 + distance ** 2)``.
        """
        return self.run(
            self.plans.search_plan(vector, k, filter, min_score, embeddings, ef_runtime)
        )

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
        return await self.arun(
            self.plans.search_plan(vector, k, filter, min_score, embeddings, ef_runtime)
        )

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
            vector, k, filter, embeddings: As in ``search``.
            fetch_k: How many to choose from. With fewer than ``k``, fewer are returned.
            lambda_mult: 1 is nearness alone, 0 is variety alone.
        """
        return self.run(
            self.plans.search_diverse_plan(vector, k, fetch_k, lambda_mult, filter, embeddings)
        )

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
        return await self.arun(
            self.plans.search_diverse_plan(vector, k, fetch_k, lambda_mult, filter, embeddings)
        )

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
        """Documents that satisfy ``filter``, without a vector. Round trips as in ``count``; with
        ``order_by`` one more on a server with valkey-search, where the page is not all there is.

        Args:
            filter: A dict or an expression; None is every document.
            offset, limit: Skip so many, and return at most so many.
            order_by: A numeric field; documents without it are left out, and those with equal
                numbers are in the order of their ids. Without it the order is the server's own,
                which stays the same while nothing is written.
            descending: Largest first.
            embeddings: Return the documents' vectors too.

        Raises:
            CommandError: The page is beyond the 100,000 documents that valkey-search looks at.
        """
        return self.run(
            self.plans.page_plan(filter, offset, limit, order_by, descending, embeddings)
        )

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
        return await self.arun(
            self.plans.page_plan(filter, offset, limit, order_by, descending, embeddings)
        )
