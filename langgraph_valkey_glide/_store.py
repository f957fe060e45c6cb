"""``ValkeyStore``: LangGraph's store, across threads, over the items of the core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    NamespacePath,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    get_text_at_path,
    validate_op_namespace,
)
from langgraph.store.base import Item as StoredItem

from valkey_memory import ConfigurationError, InvalidArgumentError, ValkeyConnection
from valkey_memory.adapters import (
    EXACT_LIMIT,
    Algorithm,
    GetItem,
    Item,
    ItemStore,
    ListNamespaces,
    Metric,
    NamespaceMatch,
    Operation,
    PutItem,
    Search,
    SearchItems,
    hide_url,
    shown,
)

_INDEX_OPTIONS = frozenset(IndexConfig.__annotations__)
_TTL_OPTIONS = frozenset(TTLConfig.__annotations__)


class ValkeyStore(BaseStore):
    """Long-term memory of LangGraph's graphs and agents in Valkey: items by namespace and key.

    All of ``BaseStore``, native in sync and async: filters on any field, search by meaning with
    several vectors per item, TTLs, namespaces by prefix, suffix and wildcard. It needs a plain
    Valkey; on a server with valkey-search, searches by meaning run there, elsewhere exactly in the
    client. Without ``query`` items come by namespace and key. Safe to share between threads and
    event loops; pickles open their own connection.

    Examples:
        >>> from langgraph_valkey_glide import ValkeyStore
        >>> store = ValkeyStore(url="embedded://")
        >>> store.put(("users", "alice"), "diet", {"likes": "apples", "since": 2024})
        >>> store.get(("users", "alice"), "diet").value
        {'likes': 'apples', 'since': 2024}
        >>> [item.key for item in store.search(("users",), filter={"since": {"$gte": 2020}})]
        ['diet']
        >>> store.list_namespaces()
        [('users', 'alice')]

        Found by meaning:

        >>> from valkey_memory import LocalEmbedding
        >>> index = {"embed": LocalEmbedding(), "fields": ["text"]}
        >>> store = ValkeyStore(name="notes", url="embedded://", index=index)
        >>> store.put(("alice",), "1", {"text": "My sister lives in Lisbon."})
        >>> store.put(("alice",), "2", {"text": "We deploy with containers."})
        >>> store.search(("alice",), query="Where does my sister live?", limit=1)[0].key
        '1'

    Args:
        name: Of the store: letters, digits, ``_-``. Items are at ``{name}:{namespace}/{key}``.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        index: LangGraph's ``IndexConfig``. ``embed`` is a model of LangChain or LlamaIndex, a
            function from texts to vectors, sync or async, or a provider's string; ``dims`` may be
            left out; ``fields`` are paths in values, by default ``["$"]``, the whole value.
        ttl: LangGraph's ``TTLConfig``, in minutes or as timedeltas: ``default_ttl``, and
            ``refresh_on_read``, which is true by default. Valkey itself expires items, so they are
            never seen behind their time, and ``omit_expired`` and ``sweep_interval_minutes`` change
            nothing.
        filter_fields: With ``index``: top-level fields of values that the index filters by, by
            name: ``"tag"`` for equality, ``"numeric"`` for ranges. Filters on other fields are
            complete, too; they read more items.
        search: How items are found by meaning: ``"server"``, ``"exact"``, or ``"auto"``, which is
            the server's search if it has valkey-search.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"``; see ``VectorIndex.search`` for their scores.
        algorithm: Of the server's index: ``"flat"`` finds all; ``"hnsw"`` is faster among very many
            vectors, and may miss some.
        exact_limit: Vectors, of all items, that an exact search holds in the client at most.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        InvalidNamespaceError, InvalidArgumentError, FilterError: From a method, before anything was
            sent: a namespace that LangGraph forbids, a value that is no JSON, an unknown operator.
        ExactSearchLimitError: From a search by meaning in the client, among too many vectors.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.

    Round trips: get and put one; so is a batch of them. Put in a cluster: one more. Put with
    ``index``: one that writes the vectors before, and one that deletes those of an item that was
    there. Search without ``query``: two per page of 200 items, with ``query`` two; one more where
    TTLs are restarted.
    """

    supports_ttl = True

    def __init__(
        self,
        *,
        name: str = "store",
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        filter_fields: Mapping[str, Literal["tag", "numeric"]] | None = None,
        search: Search = "auto",
        metric: Metric = "cosine",
        algorithm: Algorithm = "flat",
        exact_limit: int = EXACT_LIMIT,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self.index_config = cast("IndexConfig | None", _config("index", index, _INDEX_OPTIONS))
        self.ttl_config = cast("TTLConfig | None", _config("ttl", ttl, _TTL_OPTIONS))
        if self.ttl_config is not None:
            _seconds(self.ttl_config.get("default_ttl"), "default_ttl")
        if self.index_config is None and filter_fields:
            raise ConfigurationError("filter_fields= are those of an index: give index=, too")
        self._options: dict[str, Any] = {
            "filter_fields": dict(filter_fields or {}),
            "search": search,
            "metric": metric,
            "algorithm": algorithm,
            "exact_limit": exact_limit,
        }
        self._fields = _paths((self.index_config or {}).get("fields") or ["$"])
        self.items = ItemStore(
            name,
            url=url,
            connection=connection,
            embedding=_model(self.index_config),
            dimension=(self.index_config or {}).get("dims"),
            **self._options,
        )

    @property
    def connection(self) -> ValkeyConnection:
        """Where the store is."""
        return self.items.connection

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations; their results, in order.

        All of them see the store as it was before; of several puts of one item the last counts.

        Args:
            ops: ``GetOp``, ``PutOp``, ``SearchOp`` and ``ListNamespacesOp``.

        Raises:
            InvalidNamespaceError, InvalidArgumentError, FilterError: Nothing was done.

        Round trips: one for all gets and puts, in one transaction; in a cluster two.
        """
        given = list(ops)
        results = self.items.batch(map(self._operation, given))
        return [_result(op, result) for op, result in zip(given, results, strict=True)]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Async ``batch``."""
        given = list(ops)
        results = await self.items.abatch(map(self._operation, given))
        return [_result(op, result) for op, result in zip(given, results, strict=True)]

    def delete_namespace(self, prefix: tuple[str, ...]) -> int:
        """Delete all items in and below ``prefix``, with their vectors; how many there were.

        What is put meanwhile may stay. Three round trips per 200 items.

        Args:
            prefix: At least one label: ``("users", "alice")``.

        Raises:
            InvalidNamespaceError, InvalidArgumentError: Nothing was deleted.
        """
        validate_op_namespace(SearchOp(prefix))
        return self.items.delete_namespace(prefix)

    async def adelete_namespace(self, prefix: tuple[str, ...]) -> int:
        """Async ``delete_namespace``."""
        validate_op_namespace(SearchOp(prefix))
        return await self.items.adelete_namespace(prefix)

    def _operation(self, op: Op) -> Operation:
        if not isinstance(op, (GetOp, PutOp, SearchOp, ListNamespacesOp)):
            raise InvalidArgumentError(
                f"an operation is a GetOp, PutOp, SearchOp or ListNamespacesOp, not {shown(op)}"
            )
        validate_op_namespace(op)
        if isinstance(op, GetOp):
            return GetItem(op.namespace, op.key, refresh_ttl=op.refresh_ttl)
        if isinstance(op, PutOp):
            texts = self._texts(op.index)
            ttl = _seconds(op.ttl, "ttl")
            return PutItem(op.namespace, op.key, op.value, texts=texts, ttl=ttl)
        if isinstance(op, SearchOp):
            return SearchItems(
                op.namespace_prefix,
                condition=op.filter,
                query=op.query,
                limit=op.limit,
                offset=op.offset,
                refresh_ttl=op.refresh_ttl,
            )
        matches = tuple(
            NamespaceMatch(one.match_type, _path(one.path)) for one in op.match_conditions or ()
        )
        return ListNamespaces(matches, op.max_depth, op.limit, op.offset)

    def _texts(
        self, index: Literal[False] | list[str] | None
    ) -> Callable[[dict[str, Any]], list[str]] | None:
        """What makes the texts of a value by which its item is found; None for none."""
        if self.index_config is None or index is False:
            return None
        paths = self._fields if index is None else _paths(index)
        return lambda value: [text for path in paths for text in get_text_at_path(value, path)]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.items.name,
            "connection": self.connection,
            "index": self.index_config,
            "ttl": self.ttl_config,
            **self._options,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"ValkeyStore(name={self.items.name!r}, connection={self.connection!r})"


def _config(name: str, given: object, known: frozenset[str]) -> dict[str, Any] | None:
    """A dict of LangGraph's options as one of its own."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name} must be a dict or None, not {shown(given)}")
    if unknown := [one for one in given if one not in known]:
        raise ConfigurationError(
            f"{name} has the unknown option {shown(unknown[0])}: it takes "
            f"{', '.join(sorted(known))}"
        )
    return dict(given)


def _model(index: IndexConfig | None) -> Any:
    if index is None:
        return None
    embed = index.get("embed")
    if embed is None:
        raise ConfigurationError('index needs an embedding model: {"embed": ..., "dims": ...}')
    return ensure_embeddings(embed) if isinstance(embed, str) else embed


def _paths(fields: object) -> list[str]:
    if not isinstance(fields, Sequence) or isinstance(fields, str):
        raise InvalidArgumentError(
            f'fields to index must be a list of paths such as ["text"], not {shown(fields)}'
        )
    for path in fields:
        if not isinstance(path, str):
            raise InvalidArgumentError(f"a path to index must be a string, not {shown(path)}")
    return list(fields)


def _path(path: NamespacePath | str) -> tuple[str, ...]:
    return (path,) if isinstance(path, str) else tuple(path)


def _seconds(minutes: object, name: str) -> float | None:
    """A TTL of LangGraph's, or a timedelta, in the core's unit."""
    if minutes is None:
        return None
    if isinstance(minutes, timedelta):
        minutes = minutes.total_seconds() / 60
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or not minutes > 0:
        raise InvalidArgumentError(
            f"{name} must be minutes, a number of more than 0, not {shown(minutes)}; for no expiry "
            "pass None"
        )
    return minutes * 60


def _result(op: Op, result: Any) -> Result:
    if isinstance(op, SearchOp):
        return [_found(one) for one in result]
    if isinstance(op, GetOp) and result is not None:
        return StoredItem(**_parts(result))
    return cast("Result", result)


def _found(item: Item) -> SearchItem:
    return SearchItem(**_parts(item), score=item.score)


def _parts(item: Item) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
