"""Vector indexes as they are found on a server: those of valkey-search, and those of exact search.

Exact search needs no index on the server. What it stores tells its shape: hashes at ``{name}:{id}``
with the vector in ``_embedding``, and a stream of changes at ``{name}:changes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .. import _keys
from .._errors import IndexNotFoundError, UnknownCommandError, ValkeyMemoryError
from .._filters.expressions import FieldType
from .._plans import Command
from .._server.connection import ValkeyConnection
from .._vectors import server as _index
from .._vectors.schema import IndexInfo, IndexSchema, parse_info
from ._keyspace import answered, ask, scan_pages

_FIELD_PREFIXES: dict[str, FieldType] = {"tags.": "tag", "numbers.": "numeric", "words.": "text"}
_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class Found:
    """An index as it is. What nothing tells is None."""

    name: str
    search: str
    """``"server"`` or ``"exact"``."""
    storage: str
    dimension: int
    documents: int
    metric: str | None = None
    algorithm: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    ready: bool = True
    bytes_per_document: int | None = None
    """From a sample, the index itself not included."""

    @property
    def bytes(self) -> int | None:
        """Memory of all documents, estimated."""
        each = self.bytes_per_document
        return None if each is None else each * self.documents


def schema_of(info: IndexInfo) -> IndexSchema:
    """The schema that would make this index again."""
    return IndexSchema(
        name=info.name,
        dimension=info.dimension,
        fields=declared(info.fields),
        storage=info.storage,
        metric=info.metric,  # type: ignore[arg-type]
        algorithm=info.algorithm,  # type: ignore[arg-type]
    )


def declared(fields: Mapping[str, str]) -> dict[str, FieldType]:
    """The metadata fields that filters may use, without the index's own."""
    known: dict[str, FieldType] = {"tag": "tag", "numeric": "numeric", "text": "text"}
    return {
        name: known[kind]
        for name, kind in fields.items()
        if kind in known and not name.startswith("_")
    }


def names(connection: ValkeyConnection) -> list[str] | ValkeyMemoryError:
    """The indexes of valkey-search, sorted, or why that cannot be told."""
    (reply,) = connection.run(ask("list indexes", ("FT._LIST",)))
    if isinstance(reply, ValkeyMemoryError):
        return reply
    # A cluster says each name once per shard.
    return sorted({name.decode("utf-8", "replace") for name in reply})


def has_search(reply: object) -> bool:
    """Whether FT._LIST's reply comes from a server with search commands."""
    return not isinstance(reply, UnknownCommandError)


def on_server(connection: ValkeyConnection, name: str) -> IndexInfo | None:
    """valkey-search's index of that name; None when there is none, or no valkey-search."""
    (reply,) = connection.run(ask(f"look at index {name!r}", ("FT.INFO", name)))
    if isinstance(reply, (UnknownCommandError, IndexNotFoundError)):
        return None
    return parse_info(answered(reply))


def exact_names(connection: ValkeyConnection, known: Sequence[str]) -> list[str]:
    """Indexes of exact search, by their streams of changes, without those in ``known``."""
    end = b"}:changes"
    found = {
        key[1 : -len(end)].decode("utf-8", "replace")
        for page in scan_pages(connection, "list indexes", "{*}:changes", "stream")
        for key in page
    }
    return sorted(found - set(known))


def exact(connection: ValkeyConnection, name: str) -> Found | None:
    """What exact search stored under that name, or None for nothing. Walks the keyspace."""
    keys: set[bytes] = set()
    for page in scan_pages(connection, f"look at {name!r}", _keys.scan_pattern(f"{name}:"), "hash"):
        keys.update(page)
    sample = sorted(keys)[:_SAMPLE]
    if not sample:
        return None
    commands: list[Command] = []
    for key in sample:
        commands += [("HSTRLEN", key, "_embedding"), ("HKEYS", key), ("MEMORY", "USAGE", key)]
    replies = connection.run(ask(f"look at documents of {name!r}", *commands))
    lengths = {length for reply in replies[0::3] if (length := answered(reply))}
    if not lengths:
        return None  # hashes of somebody else
    fields: dict[str, str] = {}
    for hash_fields in replies[1::3]:
        for one in answered(hash_fields):
            stored = one.decode("utf-8", "replace")
            for prefix, kind in _FIELD_PREFIXES.items():
                if stored.startswith(prefix) and not stored.startswith(f"{prefix}_"):
                    fields[stored.removeprefix(prefix)] = kind
    return Found(
        name=name,
        search="exact",
        storage="hash",
        dimension=max(lengths) // 4,
        documents=len(keys),
        fields=dict(sorted(fields.items())),
        bytes_per_document=_mean(replies[2::3]),
    )


def found_on_server(connection: ValkeyConnection, info: IndexInfo, *, memory: bool) -> Found:
    """valkey-search's index, with the memory of its documents from a sample when asked."""
    ours = info.dimension and f"{info.name}:" in info.prefixes
    each = _bytes_per_document(connection, info) if memory and ours else None
    return Found(
        name=info.name,
        search="server",
        storage=info.storage,
        dimension=info.dimension,
        documents=info.documents,
        metric=info.metric or None,
        algorithm=info.algorithm or None,
        fields=dict(declared(info.fields)),
        failures=info.failures,
        ready=info.ready,
        bytes_per_document=each,
    )


def _bytes_per_document(connection: ValkeyConnection, info: IndexInfo) -> int | None:
    try:
        ids = connection.run(_index.matching_ids_plan(None, 0, _SAMPLE, schema_of(info)))
    except ValkeyMemoryError:
        return None  # not made by this library: it lacks the field that finds every document
    keys = [f"{info.name}:{one}" for one in ids]
    if not keys:
        return None
    commands = [("MEMORY", "USAGE", key) for key in keys]
    return _mean(connection.run(ask(f"look at documents of {info.name!r}", *commands)))


def _mean(replies: Sequence[object]) -> int | None:
    numbers = [reply for reply in replies if isinstance(reply, int)]
    return round(sum(numbers) / len(numbers)) if numbers else None
