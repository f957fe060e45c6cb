"""``ItemStore``: items by namespace and key, in sync and async, for a framework's store to wrap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from .. import _keys
from .._arguments import check_count, shown
from .._errors import ConfigurationError
from .._models.embedding import BATCH_SIZE, CONCURRENCY, embedder, known_dimension
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .._vectors.engine import Mode
from .._vectors.engine import Search as SearchMode
from .._vectors.limits import EXACT_LIMIT
from .._vectors.plans import IndexPlans
from .._vectors.schema import Algorithm, IndexSchema
from .._vectors.vector import Metric
from .declared import check_declared, index_fields
from .operations import Operation
from .plans import ItemPlans
from .vectors import Index

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\Z")


class ItemIndexOptions(TypedDict, total=False):
    """How items are found by meaning.

    Attributes:
        dimension: Numbers per vector; by default known from the model, or learned.
        filter_fields: Top-level fields of values that the index filters by: ``"tag"`` for equality,
            ``"numeric"`` for ranges. Filters on others are complete, too; they read more items.
        search: ``"server"``, ``"exact"``, or ``"auto"``: the server's if it has valkey-search.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"``.
        algorithm: Of the server's index: ``"flat"`` finds all; ``"hnsw"`` is faster for a search
            among very many, and may miss some.
        exact_limit: Vectors, of all items, that an exact search holds at most.
        batch_size: Texts per call of the model.
        concurrency: Calls of it at once in async code.
    """

    dimension: int | None
    filter_fields: Mapping[str, Literal["tag", "numeric"]]
    search: SearchMode
    metric: Metric
    algorithm: Algorithm
    exact_limit: int
    batch_size: int
    concurrency: int


class ItemStore:
    """Items by namespace and key. Safe to share between threads and event loops.

    Args:
        name: Of the store; its items are at ``{name}:{namespace}/{key}``.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        embedding: A model of LangChain or LlamaIndex, or a callable from texts to vectors, sync or
            async; None where nothing is found by meaning.
        options: See ``ItemIndexOptions``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
    """

    def __init__(
        self,
        name: str = "store",
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        embedding: Any = None,
        **options: Unpack[ItemIndexOptions],
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        if not isinstance(name, str) or not _NAME.match(name):
            raise ConfigurationError(
                f"the name of a store {shown(name)} must be 1 to 100 letters, digits and _- and "
                "begin with a letter or digit"
            )
        self.plans = ItemPlans(name, _index(name, embedding, **options))
        self.connection = choose_connection(url, connection)
        # A copy of vectors that was filled from a replica behind its primary would stay wrong.
        self._reads = self.connection if embedding is None else self.connection.for_primaries()

    @property
    def name(self) -> str:
        return self.plans.store

    @property
    def mode(self) -> Mode | None:
        """Which search by meaning is used; None where there is none, or before it was found out."""
        return None if self.plans.index is None else self.plans.index.plans.mode

    def batch(self, operations: Iterable[Operation]) -> list[Any]:
        """Carry out operations; their results, in order.

        All see the store as it was before; of several puts of one item the last counts. Gets and
        puts of a batch are one round trip together, and one transaction outside of clusters. There
        puts take two: one lists the items.
        """
        return self._reads.run(self.plans.batch_plan(list(operations)))

    async def abatch(self, operations: Iterable[Operation]) -> list[Any]:
        """Async ``batch``."""
        return await self._reads.arun(self.plans.batch_plan(list(operations)))

    def delete_namespace(self, prefix: Sequence[str]) -> int:
        """Delete all items in and below ``prefix``; how many there were."""
        return self._reads.run(self.plans.delete_namespace_plan(prefix))

    async def adelete_namespace(self, prefix: Sequence[str]) -> int:
        """Async ``delete_namespace``."""
        return await self._reads.arun(self.plans.delete_namespace_plan(prefix))


def _index(
    name: str,
    embedding: Any,
    *,
    dimension: int | None = None,
    filter_fields: Mapping[str, Literal["tag", "numeric"]] | None = None,
    search: SearchMode = "auto",
    metric: Metric = "cosine",
    algorithm: Algorithm = "flat",
    exact_limit: int = EXACT_LIMIT,
    batch_size: int = BATCH_SIZE,
    concurrency: int = CONCURRENCY,
) -> Index | None:
    if embedding is None:
        return None
    declared = check_declared(filter_fields or {})
    for option, value in (("batch_size", batch_size), ("concurrency", concurrency)):
        check_count(value, option)
    schema = IndexSchema(
        _keys.item_index(name),
        known_dimension(embedding) if dimension is None else dimension,
        index_fields(declared),
        storage="hash",
        metric=metric,
        algorithm=algorithm,
    )
    plans = IndexPlans(
        schema,
        search,
        ttl=None,
        refresh_ttl_on_read=False,
        exact_limit=exact_limit,
        on_corrupt="skip",
    )
    return Index(plans, embedder(embedding), declared, batch_size, concurrency)
