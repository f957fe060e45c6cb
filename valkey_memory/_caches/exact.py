"""``ExactCache``: answers found by their exact name, in scopes that can be cleared one by one.

Each entry is a String of its own, so it expires by itself, and in a cluster entries are spread over
all nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from .. import _keys
from .._arguments import TTL, OnError, check_on_error, shown, ttl_to_milliseconds
from .._errors import InvalidArgumentError
from .._plans import Command, Plan, Request, Scan, ScanPage
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .answers import AnswerCodec, forgiving_plan, readable, storable
from .counts import CacheStats, Counts

T = TypeVar("T")

Scopes: TypeAlias = tuple[tuple[str, ...], ...]
"""Where an entry is: the outermost scope first, each by its parts. What has the same first scopes
can be cleared together."""


class Place(NamedTuple):
    """Which entry: its scopes, and its name in them. Any texts."""

    scopes: Scopes
    name: str


class ExactCache(Generic[T]):
    """Answers by their exact place. Every method has an async twin with the prefix ``a``.

    Args:
        codec: How answers become bytes.
        key_prefix: What every key starts with; no braces.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) for which an entry is kept. None, the default: for ever.
        on_error: ``"raise"``, or ``"warn"``: a server that fails is a miss, with a warning.
    """

    def __init__(
        self,
        codec: AnswerCodec[T],
        key_prefix: str,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        ttl: TTL | None = None,
        on_error: OnError = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._codec = codec
        self._prefix = _keys.check_prefix(key_prefix)
        self._ttl = ttl
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._on_error = check_on_error(on_error)
        self._counts = Counts()
        self.connection = choose_connection(url, connection)

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal one, but for the codec."""
        return {
            "connection": self.connection,
            "key_prefix": self._prefix,
            "ttl": self._ttl,
            "on_error": self._on_error,
        }

    def stats(self) -> CacheStats:
        """What became of the calls of this object. Nothing is sent."""
        return self._counts.stats()

    # Sync and async

    def get(self, places: Sequence[Place]) -> dict[Place, T]:
        """The answers that there are, by their places. One round trip."""
        return self.connection.run(self._get_plan(places))

    async def aget(self, places: Sequence[Place]) -> dict[Place, T]:
        """Async ``get``."""
        return await self.connection.arun(self._get_plan(places))

    def set(self, answers: Mapping[Place, tuple[T, TTL | None]]) -> None:
        """Store answers, each with its TTL, or None for the cache's. One round trip."""
        self.connection.run(self._set_plan(answers))

    async def aset(self, answers: Mapping[Place, tuple[T, TTL | None]]) -> None:
        """Async ``set``."""
        await self.connection.arun(self._set_plan(answers))

    def clear(self, scopes: Iterable[Scopes] = ((),)) -> int:
        """Delete every entry in any of ``scopes``, of all by default; how many there were.

        It walks the keyspace once, by pages of about 1,000 keys.
        """
        return self.connection.run(self._clear_plan(scopes))

    async def aclear(self, scopes: Iterable[Scopes] = ((),)) -> int:
        """Async ``clear``."""
        return await self.connection.arun(self._clear_plan(scopes))

    # Plans

    def _get_plan(self, places: Sequence[Place]) -> Plan[dict[Place, T]]:
        keys = {place: self._key(place) for place in places}
        nothing: dict[Place, T] = {}
        found = yield from forgiving_plan(self._read_plan(keys), nothing, self._on_error)
        self._counts.add(hits=len(found), misses=len(keys) - len(found))
        return found

    def _read_plan(self, keys: Mapping[Place, str]) -> Plan[dict[Place, T]]:
        if not keys:
            return {}
        commands: tuple[Command, ...] = tuple(("GET", key) for key in keys.values())
        replies = yield Request(
            f"look for {_amount(keys)} in the cache {self._prefix!r}",
            commands,
            read_only=True,
            repeatable=True,
            key=_only(keys.values()),
        )
        return dict(self._decoded(keys, replies))

    def _decoded(
        self, keys: Mapping[Place, str], raws: Sequence[bytes | None]
    ) -> Iterator[tuple[Place, T]]:
        for (place, key), raw in zip(keys.items(), raws, strict=True):
            for answer in readable(self._codec, raw, key) if raw is not None else ():
                yield place, answer

    def _set_plan(self, answers: Mapping[Place, tuple[T, TTL | None]]) -> Plan[None]:
        commands: list[Command] = []
        for place, (answer, ttl) in answers.items():
            key = self._key(place)
            ttl_ms = self._ttl_ms if ttl is None else ttl_to_milliseconds(ttl)
            raw = storable(self._codec, answer)
            if raw is not None:
                expiry = () if ttl_ms is None else ("PX", str(ttl_ms))
                commands.append(("SET", key, raw, *expiry))
        if commands:
            yield from forgiving_plan(self._write_plan(commands), None, self._on_error)

    def _write_plan(self, commands: Sequence[Command]) -> Plan[None]:
        yield Request(
            f"store {_amount(commands)} in the cache {self._prefix!r}",
            tuple(commands),
            repeatable=True,
            key=_only([str(command[1]) for command in commands]),
        )
        self._counts.add(stores=len(commands))

    def _clear_plan(self, scopes: Iterable[Scopes]) -> Plan[int]:
        prefixes = [_keys.entries_prefix(self._prefix, map(_checked, one)) for one in scopes]
        if not prefixes:
            return 0
        operation, cleared = f"clear the cache {self._prefix!r}", 0
        walked = prefixes[0] if len(prefixes) == 1 else self._prefix
        scan = Scan(operation, _keys.scan_pattern(walked), None)
        begins = tuple(prefix.encode() for prefix in prefixes)
        while True:
            page: ScanPage = yield scan
            unlink: tuple[Command, ...] = tuple(
                ("UNLINK", key)
                for key in page.keys
                if key.startswith(begins) and _keys.is_entry(self._prefix, key)
            )
            if unlink:
                cleared += sum((yield Request(operation, unlink, repeatable=True)))
            if page.cursor is None:
                return cleared
            scan = replace(scan, cursor=page.cursor)

    def _key(self, place: Place) -> str:
        scopes, name = place
        if not isinstance(name, str):
            raise InvalidArgumentError(f"a cache key must be a string, not {shown(name)}")
        return _keys.entry_key(self._prefix, map(_checked, scopes), name)


def _checked(scope: Sequence[str]) -> Sequence[str]:
    if not isinstance(scope, list | tuple) or not all(isinstance(part, str) for part in scope):
        raise InvalidArgumentError(f"a namespace must be a tuple of strings, not {shown(scope)}")
    return scope


def _amount(entries: Sequence[object] | Mapping[Place, str]) -> str:
    return "1 entry" if len(entries) == 1 else f"{len(entries)} entries"


def _only(keys: Iterable[str]) -> str:
    """The key of a request for one entry."""
    first, *others = keys
    return "" if others else first
