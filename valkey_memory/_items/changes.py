"""Operations on items as changes: commands on the keys of one slot, and what they reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import _keys
from .._arguments import shown
from .._plans import Change, Command, Reply, nothing
from . import scripts
from .entries import Namespace
from .operations import GetItem, PutItem
from .records import FIELDS, Item, Stored, Vectors, read


def get(store: str, wanted: GetItem) -> Change[tuple[Stored | None, bool]]:
    """The item, and whether its vectors are to be touched."""
    key = _keys.item_key(store, wanted.namespace, wanted.key)
    operation = f"get {shown(wanted.key)} of {shown(wanted.namespace)}"

    def found(replies: Sequence[Reply]) -> tuple[Stored | None, bool]:
        touch, fields = replies[0] if wanted.refresh_ttl else (0, replies[0])
        return read(wanted.namespace, wanted.key, fields), touch == 1

    if not wanted.refresh_ttl:
        return Change(operation, key, (("HMGET", key, *FIELDS),), found, read_only=True)
    return Change(operation, key, (("EVAL", scripts.READ, "1", key),), found, repeatable=True)


def refresh(store: str, item: Item) -> Change[bool]:
    """Restart the TTL of an item; whether its vectors are to be touched."""
    key = _keys.item_key(store, item.namespace, item.key)
    operation = f"restart the TTL of {shown(item.key)} in {shown(item.namespace)}"
    command = ("EVAL", scripts.REFRESH, "1", key)
    return Change(operation, key, (command,), lambda replies: replies[0] == 1, repeatable=True)


def touched(store: str, namespace: Namespace, key: str, vectors: Vectors) -> Change[None]:
    """Note that the vectors of an item were touched."""
    hash_key = _keys.item_key(store, namespace, key)
    command = ("EVAL", scripts.TOUCHED, "1", hash_key, str(vectors))
    operation = f"note the TTL of {shown(key)} in {shown(namespace)}"
    return Change(operation, hash_key, (command,), nothing, repeatable=True)


def put(store: str, given: PutItem, vectors: Vectors | None) -> Change[Vectors | None]:
    """Write or delete an item; the vectors of the one that was there."""
    key = _keys.item_key(store, given.namespace, given.key)
    if given.value is None:
        operation = f"delete {shown(given.key)} of {shown(given.namespace)}"
        command: tuple[str, ...] = ("EVAL", scripts.DELETE, "1", key)
    else:
        operation = f"put {shown(given.key)} into {shown(given.namespace)}"
        ttl = "" if given.ttl_ms is None else str(given.ttl_ms)
        command = (
            "EVAL", scripts.PUT, "1", key,
            given.json, ttl, "" if vectors is None else str(vectors),
        )  # fmt: skip
    return Change(operation, key, (command,), _replaced, repeatable=True)


def _replaced(replies: Sequence[Reply]) -> Vectors | None:
    return Vectors.parse(replies[0]) if replies[0] else None


# The list


def enter(store: str, entries: Iterable[bytes], unindexed: Iterable[bytes]) -> list[Change[None]]:
    """List items that are to be written.

    That one was missing is forgotten first: see ``scripts.DROP``.

    Args:
        store: Its name.
        entries: Of these items.
        unindexed: Those of them that the index does not tell of, or ``EVERYTHING``.
    """
    changes = []
    if found := tuple(entries):
        changes.append(_remove(store, _keys.missing_key(store), found))
        changes.append(_add(store, _keys.entries_key(store), found))
    if others := tuple(unindexed):
        changes.append(_add(store, _keys.unindexed_key(store), others))
    return changes


def indexed(store: str, entries: Iterable[bytes]) -> list[Change[None]]:
    """Note of items that were written that the index tells of them."""
    found = tuple(entries)
    return [_remove(store, _keys.unindexed_key(store), found)] if found else []


def leave(store: str, entries: Sequence[bytes]) -> list[Change[None]]:
    """List items no more that were deleted."""
    keys = _keys.entries_key(store), _keys.missing_key(store), _keys.unindexed_key(store)
    return [_remove(store, key, entries) for key in keys]


def drop(store: str, entries: Sequence[bytes]) -> Change[None]:
    """List items no more that are not there, once it is sure that none is just being put."""
    keys = _keys.entries_key(store), _keys.missing_key(store), _keys.unindexed_key(store)
    command: Command = ("EVAL", scripts.DROP, str(len(keys)), *keys, *entries)
    return Change(f"list items of store {store!r}", keys[0], (command,), nothing, repeatable=True)


def _add(store: str, key: str, entries: Sequence[bytes]) -> Change[None]:
    listed = tuple(part for entry in entries for part in (b"0", entry))
    command: Command = ("ZADD", key, *listed)
    return Change(f"list items of store {store!r}", key, (command,), nothing, repeatable=True)


def _remove(store: str, key: str, entries: Sequence[bytes]) -> Change[None]:
    command: Command = ("ZREM", key, *entries)
    return Change(f"list items of store {store!r}", key, (command,), nothing, repeatable=True)
