"""``ValkeyCache``: LangGraph's cache of what nodes and tasks returned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.cache.base import BaseCache, FullKey, Namespace, ValueT
from langgraph.checkpoint.serde.base import SerializerProtocol

from valkey_memory import CacheStats, InvalidArgumentError, ValkeyConnection
from valkey_memory.adapters import (
    TTL,
    AnswerCodec,
    ExactCache,
    OnError,
    Place,
    hide_url,
    pack_typed,
    shown,
    unpack_typed,
)


class ValkeyCache(BaseCache[ValueT]):
    """What nodes with a ``CachePolicy`` returned, in Valkey: for all processes, kept over restarts.

    Namespaces and keys are any texts, and never meet: ``("a:b",)`` is another namespace than
    ``("a", "b")``. Values go through LangGraph's serialiser. One that it refuses is not cached, and
    one that cannot be read is a miss, each with a warning in the log ``valkey_memory``. Safe to
    share between threads and event loops.

    Examples:
        >>> from langgraph.graph import START, StateGraph
        >>> from langgraph.types import CachePolicy
        >>> from typing_extensions import TypedDict
        >>> from langgraph_valkey_glide import ValkeyCache
        >>> class State(TypedDict):
        ...     number: int
        ...     square: int
        >>> def square(state: State) -> dict[str, int]:
        ...     print("working")
        ...     return {"square": state["number"] ** 2}
        >>> builder = StateGraph(State)
        >>> builder = builder.add_node(square, cache_policy=CachePolicy(ttl=60))
        >>> builder = builder.add_edge(START, "square")
        >>> cache = ValkeyCache(url="embedded://")
        >>> graph = builder.compile(cache=cache)
        >>> graph.invoke({"number": 7})["square"]
        working
        49
        >>> graph.invoke({"number": 7})["square"]
        49
        >>> cache.stats().hits
        1

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) for which entries are kept whose ``CachePolicy`` has no
            ``ttl``. None, the default: for ever.
        key_prefix: What every key starts with; no braces. Change it per application.
        on_error: ``"raise"``, or ``"warn"``: while the server fails, nodes run, with a warning in
            the log ``valkey_memory``.
        serde: Another serialiser, such as LangGraph's ``EncryptedSerializer``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        ttl: TTL | None = None,
        key_prefix: str = "node:cache:",
        on_error: OnError = "raise",
        serde: SerializerProtocol | None = None,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        super().__init__(serde=serde)
        self._entries: ExactCache[ValueT] = ExactCache(
            _SerdeCodec(self.serde),
            key_prefix,
            url=url,
            connection=connection,
            ttl=ttl,
            on_error=on_error,
        )
        self.connection = self._entries.connection

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """The values that there are, by namespace and key. One round trip."""
        return _by_key(self._entries.get(_places(keys)))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """Async ``get``."""
        return _by_key(await self._entries.aget(_places(keys)))

    def set(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Store values by namespace and key, each with its TTL in seconds. One round trip.

        Args:
            pairs: With None in place of a TTL, the cache's own.
        """
        self._entries.set(dict(zip(_places(pairs), pairs.values(), strict=True)))

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, int | None]]) -> None:
        """Async ``set``."""
        await self._entries.aset(dict(zip(_places(pairs), pairs.values(), strict=True)))

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Delete the values of namespaces, exactly these; of all by default.

        It walks the keyspace once, by pages of about 1,000 keys.
        """
        self._entries.clear(_scopes(namespaces))

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Async ``clear``."""
        await self._entries.aclear(_scopes(namespaces))

    def stats(self) -> CacheStats:
        """Hits, misses and stores of this object since it was made. Nothing is sent."""
        return self._entries.stats()

    def __getstate__(self) -> dict[str, Any]:
        # The base class's own cannot be pickled, and is there anyway.
        own = None if self.serde is type(self).serde else self.serde
        return {**self._entries.options(), "serde": own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"ValkeyCache({self.connection!r})"


class _SerdeCodec(AnswerCodec[ValueT]):
    """Values as LangGraph's serialiser writes them."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde

    def encode(self, answer: ValueT) -> bytes:
        return pack_typed(*self._serde.dumps_typed(answer))

    def decode(self, raw: bytes) -> ValueT:
        value: ValueT = self._serde.loads_typed(unpack_typed(raw))
        return value


def _places(keys: Iterable[FullKey]) -> list[Place]:
    return [Place((_namespace(namespace),), key) for namespace, key in keys]


def _by_key(found: Mapping[Place, ValueT]) -> dict[FullKey, ValueT]:
    return {(place.scopes[0], place.name): value for place, value in found.items()}


def _scopes(namespaces: Sequence[Namespace] | None) -> list[tuple[tuple[str, ...], ...]]:
    if namespaces is None:
        return [()]
    if isinstance(namespaces, str):
        raise InvalidArgumentError(
            f"namespaces must be a list of tuples of strings, not {shown(namespaces)}"
        )
    return [(_namespace(namespace),) for namespace in namespaces]


def _namespace(given: Namespace) -> Namespace:
    """A tuple; a list is one in JSON. Of a string none is made: the core says that it is none."""
    return tuple(given) if isinstance(given, list) else given
