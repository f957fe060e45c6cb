"""Operations on items as changes: commands on the keys of one slot, and what they reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from .. import _keys
from .._arguments import shown
from .._plans import Change, Command, Reply, nothing
from . import scripts
from .entries import Namespace
from .operations import GetItem, PutItem
from .records import FIELDS, Stored, Vectors, read


def get(store: str, wanted: GetItem) -> Change[tuple[Stored | None, bool]]:
    """The item, and whether its vectors are to be touched."""
    key = _keys.item_key(store, wanted.namespace, wanted.key)
    then = partial(_read, wanted.namespace, wanted.key)
    operation = f"get {shown(wanted.key)} of {shown(wanted.namespace)}"
    if not wanted.refresh_ttl:
        return Change(operation, key, (("HMGET", key, *FIELDS),), then, read_only=True)
    return Change(operation, key, (("EVAL", scripts.READ, "1", key, "1"),), then, repeatable=True)


def _read(namespace: Namespace, key: str, replies: Sequence[Reply]) -> tuple[Stored | None, bool]:
    fields = replies[0]
    touch = len(fields) > len(FIELDS) and fields[-1] == 1
    return read(namespace, key, fields[: len(FIELDS)]), touch


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


def enter(store: str, entries: Iterable[bytes]) -> list[Change[None]]:
    """List items that are to be written.

    That one was missing is forgotten first: see ``scripts.DROP``.
    """
    found = tuple(entries)
    if not found:
        return []
    listed = tuple(part for entry in found for part in (b"0", entry))
    missing, key = _keys.missing_key(store), _keys.entries_key(store)
    forget: Command = ("ZREM", missing, *found)
    add: Command = ("ZADD", key, *listed)
    operation = f"list items of store {store!r}"
    return [
        Change(operation, missing, (forget,), nothing, repeatable=True),
        Change(operation, key, (add,), nothing, repeatable=True),
    ]


def leave(store: str, entries: Iterable[bytes]) -> list[Change[None]]:
    """List items no more that were deleted."""
    found = tuple(entries)
    operation = f"list items of store {store!r}"
    changes: list[Change[None]] = []
    for key in (_keys.entries_key(store), _keys.missing_key(store)):
        command: Command = ("ZREM", key, *found)
        changes.append(Change(operation, key, (command,), nothing, repeatable=True))
    return changes


def drop(store: str, entries: Sequence[bytes]) -> Change[None]:
    """List items no more that are not there, once it is sure that none is just being put."""
    missing, key = _keys.missing_key(store), _keys.entries_key(store)
    command: Command = ("EVAL", scripts.DROP, "2", key, missing, *entries)
    operation = f"list items of store {store!r}"
    return Change(operation, key, (command,), nothing, repeatable=True)
