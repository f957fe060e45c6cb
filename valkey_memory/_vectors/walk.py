"""Documents found by their keys, where no index can tell of all of them.

An index cannot while it is filled, and of what it could not index; in a cluster it follows the
writes of other shards after a moment; and a dropped one is not there at all.
"""

from __future__ import annotations

from dataclasses import replace

from .._keys import document_id, scan_pattern
from .._plans import Command, Plan, Reply, Request, Scan, ScanPage
from .changelog import forget_plan
from .schema import EMBEDDING, IndexSchema, Storage
from .storage import delete_plan

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
    """Delete all documents, of whatever shape, and the log of changes; how many there were."""
    operation, deleted = f"drop index {schema.name!r}", 0
    for storage, ids in (yield from stored_ids_plan(operation, schema, storages)).items():
        deleted += yield from delete_plan(ids, replace(schema, storage=storage))
    yield from forget_plan(schema)
    return deleted
