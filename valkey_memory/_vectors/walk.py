"""Documents found by their keys, where no index can tell of all of them.

An index cannot while it is filled, and of what it could not index; in a cluster it follows the
writes of other shards after a moment; and a dropped one is not there at all.
"""

from __future__ import annotations

from dataclasses import replace

import orjson

from .._errors import KeyTypeError
from .._filters.expressions import Filter
from .._keys import document_id, scan_pattern
from .._plans import Command, Plan, Reply, Request, Scan, ScanPage, answered
from .documents import Document
from .records import METADATA, parts_of_hash, readable, satisfies
from .schema import EMBEDDING, IndexSchema, Storage
from .storage import delete_plan, read_plan
from .vector import FLOAT_BYTES

_STORAGE_OF: dict[bytes, Storage] = {b"hash": "hash", b"ReJSON-RL": "json"}


def stored_ids_plan(
    operation: str, schema: IndexSchema, storages: tuple[Storage, ...]
) -> Plan[dict[Storage, list[str]]]:
    """Ids of all documents of ``schema``, of whatever shape, in these storages; sorted.

    What somebody else keeps under the prefix is left out. It walks the keyspace.
    """
    found: dict[Storage, set[str]] = {storage: set() for storage in storages}
    scan = Scan(operation, scan_pattern(schema.prefix), "hash" if storages == ("hash",) else None)
    while True:
        page: ScanPage = yield scan
        for storage, keys in (yield from _by_storage_plan(operation, page.keys)).items():
            if storage in found:
                found[storage].update((yield from _ids_plan(operation, storage, keys, schema)))
        if page.cursor is None:
            return {storage: sorted(ids) for storage, ids in found.items()}
        scan = replace(scan, cursor=page.cursor)


def matching_plan(schema: IndexSchema, condition: Filter) -> Plan[dict[Storage, list[str]]]:
    """Ids of all documents of the index that satisfy ``condition``, in either storage; sorted.

    ``condition`` is on metadata. What cannot be read is passed over, with a line in the log. It
    walks the keyspace, with one command per key, since that is what takes the time.
    """
    operation = f"look for documents of index {schema.name!r}"
    found: dict[Storage, set[str]] = {"hash": set(), "json": set()}
    scan = Scan(operation, scan_pattern(schema.prefix), None)
    while True:
        page: ScanPage = yield scan
        keys = [key for key in page.keys if _is_text(key)]
        asked = tuple(("HGET", key, METADATA) for key in keys)
        replies = yield from _asked_plan(operation, asked)
        others = []
        for key, reply in zip(keys, replies, strict=True):
            if isinstance(reply, KeyTypeError):
                others.append(key)
            elif answered(reply) is not None and _satisfies(key, reply, schema, condition):
                found["hash"].add(document_id(schema.name, key))
        found["json"].update((yield from _matching_json_plan(operation, others, schema, condition)))
        if page.cursor is None:
            return {storage: sorted(ids) for storage, ids in found.items()}
        scan = replace(scan, cursor=page.cursor)


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False  # no document of this library has such an id
    return True


def _satisfies(key: bytes, raw: bytes, schema: IndexSchema, condition: Filter) -> bool:
    """Whether the document with this metadata does."""
    one = document_id(schema.name, key)
    parts = readable("skip", parts_of_hash, one, None, raw, schema)
    return parts is not None and satisfies(Document(one, *parts), condition, schema)


def _matching_json_plan(
    operation: str, keys: list[bytes], schema: IndexSchema, condition: Filter
) -> Plan[list[str]]:
    by_storage = yield from _by_storage_plan(operation, keys)
    stored = replace(schema, storage="json")
    ids = [document_id(schema.name, key) for key in by_storage.get("json", ())]
    documents = yield from read_plan(ids, stored, "skip", embeddings=False)
    return [one.id for one in documents if satisfies(one, condition, stored)]


def _by_storage_plan(operation: str, keys: list[bytes]) -> Plan[dict[Storage, list[bytes]]]:
    by_storage: dict[Storage, list[bytes]] = {}
    replies = yield from _asked_plan(operation, tuple(("TYPE", key) for key in keys))
    for key, kind in zip(keys, replies, strict=True):
        name = kind.encode() if isinstance(kind, str) else kind
        if isinstance(name, bytes) and name in _STORAGE_OF:
            by_storage.setdefault(_STORAGE_OF[name], []).append(key)
    return by_storage


def _ids_plan(
    operation: str, storage: Storage, keys: list[bytes], schema: IndexSchema
) -> Plan[list[str]]:
    """The ids of those keys that hold a document."""
    looks: dict[Storage, tuple[str, str]] = {
        "hash": ("HSTRLEN", EMBEDDING),
        "json": ("JSON.TYPE", "$.embedding"),
    }
    command, part = looks[storage]
    replies = yield from _asked_plan(operation, tuple((command, key, part) for key in keys))
    ids = []
    for key, reply in zip(keys, replies, strict=True):
        if isinstance(reply, Exception) or not reply:
            continue  # of another type by now, gone, or somebody else's
        try:
            ids.append(document_id(schema.name, key))
        except UnicodeDecodeError:
            continue  # no document of this library has such an id
    return ids


def _asked_plan(operation: str, commands: tuple[Command, ...]) -> Plan[list[Reply]]:
    if not commands:
        return []
    replies: list[Reply] = yield Request(
        operation, commands, errors_as_replies=True, repeatable=True
    )
    return replies


def delete_all_plan(schema: IndexSchema, storages: tuple[Storage, ...]) -> Plan[int]:
    """Delete all documents, of whatever shape; how many there were."""
    operation, deleted = f"delete the documents of index {schema.name!r}", 0
    for storage, ids in (yield from stored_ids_plan(operation, schema, storages)).items():
        deleted += yield from delete_plan(ids, replace(schema, storage=storage))
    return deleted


_LOOKED_AT: dict[Storage, int] = {"hash": 1_000, "json": 20}
"""Documents that are asked for their dimension at once. JSON's come with their vectors."""


def dimensions_plan(schema: IndexSchema) -> Plan[set[int]]:
    """Numbers per vector of some of the documents that are stored; none when there are none.

    It walks the keyspace until it finds one.
    """
    operation = f"find the dimension of index {schema.name!r}"
    at_once = _LOOKED_AT[schema.storage]
    scan = Scan(
        operation, scan_pattern(schema.prefix), "hash" if schema.storage == "hash" else None
    )
    while True:
        page: ScanPage = yield scan
        for start in range(0, len(page.keys), at_once):
            keys = page.keys[start : start + at_once]
            if found := (yield from _dimensions_plan(operation, keys, schema.storage)):
                return found
        if page.cursor is None:
            return set()
        scan = replace(scan, cursor=page.cursor)


def _dimensions_plan(operation: str, keys: list[bytes], storage: Storage) -> Plan[set[int]]:
    if storage == "hash":
        asked: tuple[Command, ...] = tuple(("HSTRLEN", key, EMBEDDING) for key in keys)
        sizes = yield Request(operation, asked, repeatable=True)
        return {size // FLOAT_BYTES for size in sizes if size}
    asked = tuple(("JSON.GET", key, "$.embedding") for key in keys)
    replies = yield from _asked_plan(operation, asked)
    return {length for reply in replies if (length := _numbers_in(reply))}


def _numbers_in(reply: Reply) -> int:
    """How many numbers the vector of a JSON document has; 0 where there is none."""
    if isinstance(reply, Exception) or reply is None:
        return 0  # a key of somebody else's
    try:
        return len(orjson.loads(orjson.loads(reply)[0]))
    except (ValueError, TypeError, LookupError):
        return 0
