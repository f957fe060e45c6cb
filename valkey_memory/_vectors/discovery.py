"""Indexes as they are found on a server: those of valkey-search, and those of exact search.

Exact search needs no index on the server. What it stores tells its shape: hashes at ``{name}:{id}``
with the vector in ``_embedding``, and a stream of changes at ``{name}:changes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from .. import _keys
from .._errors import CommandError, IndexNotFoundError, UnknownCommandError
from .._filters.expressions import FieldType, TagIn
from .._filters.query import SEPARATOR, compile_filter, encode_tag
from .._plans import Command, Plan, Reply, Request, Scan, ScanPage, answered
from .schema import (
    EMBEDDING,
    FIELD_TYPES,
    Algorithm,
    IndexInfo,
    Storage,
    identifier,
    parse_info,
)
from .vector import METRICS, Metric

_FIELD_PREFIXES = {identifier("hash", kind, ""): kind for kind in FIELD_TYPES}
_CHANGES = _keys.changes_key("*")
_SAMPLE = 100


@dataclass(frozen=True, slots=True)
class FoundIndex:
    """An index as it is. What nothing tells is None."""

    name: str
    search: Literal["server", "exact"]
    storage: Storage
    dimension: int
    """Numbers per vector; 0 for an index that is none of this library's."""
    documents: int
    metric: Metric | None = None
    algorithm: Algorithm | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    """The metadata fields that filters may use."""
    failures: int = 0
    ready: bool = True
    bytes_per_document: int | None = None
    """From a sample, the index itself not included."""

    @property
    def bytes(self) -> int | None:
        """Memory of all documents, estimated."""
        each = self.bytes_per_document
        return None if each is None else each * self.documents


@dataclass(frozen=True, slots=True)
class SearchCommands:
    """What a server offers for vectors."""

    search: bool
    """Whether it has valkey-search."""
    json: bool
    """Whether it has valkey-json."""
    indexes: list[str] | None
    """The names of valkey-search's indexes, sorted; None where the user may not list them."""


def commands_plan() -> Plan[SearchCommands]:
    """Look which modules a server has. One round trip."""
    listed, probed = yield Request(
        "look for modules",
        (("FT._LIST",), ("JSON.GET", _keys.probe_key("valkey-memory"), "$")),
        errors_as_replies=True,
        repeatable=True,
    )
    search = not isinstance(listed, UnknownCommandError)
    names: list[str] | None = None if search else []
    if not isinstance(listed, Exception):
        # A cluster says each name once per shard.
        names = sorted({name.decode("utf-8", "replace") for name in listed})
    return SearchCommands(search, not isinstance(probed, UnknownCommandError), names)


def names_plan() -> Plan[list[str]]:
    """The names of all indexes: those of valkey-search, then those of exact search.

    Walks the keyspace.
    """
    names = (yield from commands_plan()).indexes or []
    exact = yield from exact_names_plan()
    return names + sorted(exact - set(names))


def exact_names_plan() -> Plan[set[str]]:
    """What has a stream of changes: exact search's indexes, and valkey-search's over hashes."""
    before, _, after = _CHANGES.encode().partition(b"*")
    keys = yield from _keys_plan(Scan("list indexes", _CHANGES, "stream"))
    return {key[len(before) : -len(after)].decode("utf-8", "replace") for key in keys}


def indexes_plan(names: Iterable[str], *, memory: bool = False) -> Plan[list[FoundIndex]]:
    """The indexes of these names that there are."""
    found: list[FoundIndex] = []
    for name in names:
        one = yield from index_plan(name, memory=memory)
        if one is not None:
            found.append(one)
    return found


def index_plan(name: str, *, memory: bool = False) -> Plan[FoundIndex | None]:
    """The index of that name: valkey-search's, or else what exact search stored under it.

    Args:
        name: Of the index.
        memory: Estimate the memory of its documents from a sample, too.
    """
    info = yield from server_index_plan(name)
    if info is None:
        return (yield from exact_index_plan(name))
    ours = info.dimension and _keys.document_prefix(name) in info.prefixes
    each = (yield from _bytes_per_document_plan(name)) if memory and ours else None
    return FoundIndex(
        name=info.name,
        search="server",
        storage=info.storage,
        dimension=info.dimension,
        documents=info.documents,
        metric=info.metric if info.metric in METRICS else None,
        algorithm=cast("Algorithm", info.algorithm) if info.algorithm else None,
        fields=declared(info.fields),
        failures=info.failures,
        ready=info.ready,
        bytes_per_document=each,
    )


def server_index_plan(name: str) -> Plan[IndexInfo | None]:
    """valkey-search's index of that name; None when there is none, or no valkey-search."""
    (reply,) = yield Request(
        f"look at index {name!r}", (("FT.INFO", name),), errors_as_replies=True, repeatable=True
    )
    if isinstance(reply, (UnknownCommandError, IndexNotFoundError)):
        return None
    return parse_info(answered(reply))


def exact_index_plan(name: str) -> Plan[FoundIndex | None]:
    """What exact search stored under that name, or None for nothing. Walks the keyspace."""
    pattern = _keys.scan_pattern(_keys.document_prefix(name))
    keys = yield from _keys_plan(Scan(f"look at {name!r}", pattern, "hash"))
    sample = sorted(keys)[:_SAMPLE]
    if not sample:
        return None
    commands: list[Command] = []
    for key in sample:
        commands += [("HSTRLEN", key, EMBEDDING), ("HKEYS", key), ("MEMORY", "USAGE", key)]
    replies = yield Request(
        f"look at documents of {name!r}", tuple(commands), errors_as_replies=True, repeatable=True
    )
    lengths = {length for reply in replies[0::3] if (length := answered(reply))}
    if not lengths:
        return None  # hashes of somebody else
    return FoundIndex(
        name=name,
        search="exact",
        storage="hash",
        dimension=max(lengths) // 4,
        documents=len(keys),
        fields=stored_fields(one for reply in replies[1::3] for one in answered(reply)),
        bytes_per_document=_mean(replies[2::3]),
    )


def has_tag_plan(index: FoundIndex, name: str, values: Iterable[str]) -> Plan[bool]:
    """Whether any document has one of ``values`` in the tag field ``name``.

    One round trip; of exact search, it walks the keyspace up to the first that has.
    """
    wanted = tuple(values)
    if index.fields.get(name) != "tag":
        return False
    operation = f"look at documents of {index.name!r}"
    if index.search == "server":
        query = compile_filter(TagIn(name, wanted))
        command = ("FT.SEARCH", index.name, query, "NOCONTENT", "LIMIT", "0", "1", "DIALECT", "2")
        (reply,) = yield Request(operation, (command,), repeatable=True)
        return bool(reply[0])
    encoded = {encode_tag(value) for value in wanted}
    stored = identifier("hash", "tag", name)
    scan = Scan(operation, _keys.scan_pattern(_keys.document_prefix(index.name)), "hash")
    while True:
        page: ScanPage = yield scan
        commands: tuple[Command, ...] = tuple(("HGET", key, stored) for key in page.keys)
        replies = (yield Request(operation, commands, repeatable=True)) if commands else ()
        tags = (reply.decode(errors="replace").split(SEPARATOR) for reply in replies if reply)
        if any(encoded.intersection(some) for some in tags):
            return True
        if page.cursor is None:
            return False
        scan = replace(scan, cursor=page.cursor)


def declared(fields: Mapping[str, str]) -> dict[str, FieldType]:
    """The metadata fields of an index that filters may use, without the index's own."""
    return {
        name: kind
        for name, kind in fields.items()
        if kind in FIELD_TYPES and not name.startswith("_")
    }


def stored_fields(names: Iterable[bytes]) -> dict[str, FieldType]:
    """The metadata fields that filters may use, sorted, from the names of hashes' fields."""
    found: dict[str, FieldType] = {}
    for each in names:
        stored = each.decode("utf-8", "replace")
        for prefix, kind in _FIELD_PREFIXES.items():
            if stored.startswith(prefix) and not stored.startswith(f"{prefix}_"):
                found[stored.removeprefix(prefix)] = kind
    return dict(sorted(found.items()))


def _keys_plan(scan: Scan) -> Plan[set[bytes]]:
    """Every key that ``scan`` finds, on every primary of a cluster."""
    found: set[bytes] = set()
    cursor = None
    while True:
        page: ScanPage = yield Scan(scan.operation, scan.pattern, scan.type, cursor)
        found.update(page.keys)
        cursor = page.cursor
        if cursor is None:
            return found


def _bytes_per_document_plan(name: str) -> Plan[int | None]:
    """The mean of a sample of valkey-search's documents; None where it cannot be told."""
    operation = f"look at documents of {name!r}"
    query = ("FT.SEARCH", name, compile_filter(None), "NOCONTENT", "LIMIT", "0", str(_SAMPLE))
    (reply,) = yield Request(
        operation, ((*query, "DIALECT", "2"),), errors_as_replies=True, repeatable=True
    )
    if isinstance(reply, CommandError):
        return None  # not made by this library: it lacks the field that finds every document
    keys: Sequence[bytes] = list(answered(reply)[1]) if len(answered(reply)) > 1 else []
    if not keys:
        return None
    commands = tuple(("MEMORY", "USAGE", key) for key in keys)
    return _mean((yield Request(operation, commands, errors_as_replies=True, repeatable=True)))


def _mean(replies: Sequence[Reply]) -> int | None:
    numbers = [reply for reply in replies if isinstance(reply, int)]
    return round(sum(numbers) / len(numbers)) if numbers else None
