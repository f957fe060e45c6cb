"""Walks over the list of a store's items: what is below a namespace, which namespaces there are.

An entry may stand there without its item: one that expired, or that is just being put. It is passed
over, and dropped once that is sure.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .. import _keys
from .._errors import CommandError
from .._plans import AskCluster, Plan, Request, change_plan
from .._together import together_plan
from . import changes
from .entries import Namespace, Range, below, common_prefix, place_of, within
from .operations import ListNamespaces
from .records import FIELDS, Stored, read
from .scripts import NAMESPACES, READ_ALL

PAGE = 200
"""Entries in a step of a walk, and items in a request that reads them."""

_SCRIPTED = 20
"""From so many items on they are read by a script, where that can be."""

Wanted: TypeAlias = Callable[[Stored], bool]

_log = logging.getLogger("valkey_memory")


def read_plan(store: str, places: Sequence[tuple[Namespace, str]]) -> Plan[list[Stored | None]]:
    """The items at ``places``; their TTLs stay as they are."""
    found: list[Stored | None] = []
    for start in range(0, len(places), PAGE):
        some = places[start : start + PAGE]
        keys = [_keys.item_key(store, *place) for place in some]
        replies = yield from _fields_plan(f"read items of store {store!r}", keys)
        found += [read(*place, fields) for place, fields in zip(some, replies, strict=True)]
    return found


def _fields_plan(operation: str, keys: Sequence[str]) -> Plan[list[list[bytes | None]]]:
    """The fields of items. Outside of a cluster one script reads many, which costs much less."""
    replies: list[Any]
    if len(keys) < _SCRIPTED or (yield AskCluster(operation)):
        commands = tuple(("HMGET", key, *FIELDS) for key in keys)
        replies = yield Request(operation, commands, read_only=True, repeatable=True)
        return replies
    command = ("EVAL_RO", READ_ALL, str(len(keys)), *keys)
    (replies,) = yield Request(operation, (command,), read_only=True, repeatable=True)
    return replies


def page_plan(store: str, where: Range, limit: int) -> Plan[list[bytes]]:
    """The first ``limit`` entries of a range."""
    operation = f"list items of store {store!r}"
    key = _keys.entries_key(store)
    command = ("ZRANGE", key, *where, "BYLEX", "LIMIT", "0", str(limit))
    (entries,) = yield Request(operation, (command,), read_only=True, repeatable=True, key=key)
    return list(entries)


def items_plan(
    store: str, prefix: Namespace, offset: int, limit: int, wanted: Wanted | None
) -> Plan[list[Stored]]:
    """Items in and below ``prefix`` in the order of the list: ``limit`` of them after ``offset``.

    Two round trips per page of the list; it reads no page more than it needs.

    Args:
        store: Its name.
        prefix: Labels.
        offset: So many are passed over.
        limit: At most so many.
        wanted: Whether an item counts; every one does by default.
    """
    found: list[Stored] = []
    dead: list[bytes] = []
    where = below(prefix)
    while len(found) < limit:
        needed = offset + limit - len(found)
        size = PAGE if wanted is not None else min(PAGE, needed)
        entries = yield from page_plan(store, where, size)
        if not entries:
            break
        where = where.after(entries[-1])
        # What is surely passed over need not be read, only counted.
        counted = entries[:offset] if wanted is None else []
        there = yield from there_plan(store, counted)
        dead += [entry for entry, is_there in zip(counted, there, strict=True) if not is_there]
        offset -= sum(there)
        rest = entries[len(counted) :]
        items = yield from read_plan(store, [place_of(entry) for entry in rest])
        for entry, stored in zip(rest, items, strict=True):
            if stored is None:
                dead.append(entry)
            elif wanted is not None and not wanted(stored):
                continue
            elif offset:
                offset -= 1
            else:
                found.append(stored)
        if len(entries) < size:
            break
    yield from drop_plan(store, dead)
    return found[:limit]


def there_plan(store: str, entries: Sequence[bytes]) -> Plan[list[bool]]:
    """Whether the items of ``entries`` are there."""
    if not entries:
        return []
    commands = tuple(("EXISTS", _keys.item_key(store, *place_of(entry))) for entry in entries)
    operation = f"look at items of store {store!r}"
    replies = yield Request(operation, commands, read_only=True, repeatable=True)
    return [bool(reply) for reply in replies]


def drop_plan(store: str, entries: Sequence[bytes]) -> Plan[None]:
    """Drop entries whose items are gone. What only reads does not fail when it cannot."""
    for start in range(0, len(entries), PAGE):
        try:
            yield from change_plan(changes.drop(store, entries[start : start + PAGE]))
        except CommandError as error:
            _log.info("store %r: entries of expired items stay listed: %s", store, error)
            return


def namespaces_plan(store: str, wanted: ListNamespaces) -> Plan[list[Namespace]]:
    """Namespaces that have items, in order.

    Two round trips per page of namespaces, and two more where one begins with an expired item.
    """
    prefix = common_prefix(wanted.matches)
    # Cut on the server, where that loses nothing that a condition looks at.
    depth = wanted.max_depth
    whole = [match for match in wanted.matches if match.at == "suffix" or match.path != prefix]
    cut = None if whole or depth is None or depth < len(prefix) else depth
    found: list[Namespace] = []
    where = below(prefix)
    needed = wanted.offset + wanted.limit if wanted.limit else 0
    while len(found) < needed:
        entries = yield from _jump_plan(store, where, cut)
        some: list[tuple[Namespace, bytes]] = []
        for entry in entries:
            namespace = place_of(entry)[0]
            where = where._replace(start=_behind(namespace[:cut], whole_tree=cut is not None))
            if all(match.fits(namespace) for match in wanted.matches):
                some.append((namespace, entry))
        there = yield from there_plan(store, [entry for _, entry in some])
        others = [
            _any_plan(store, namespace, cut)
            for (namespace, _), is_there in zip(some, there, strict=True)
            if not is_there
        ]
        alive = iter((yield from together_plan(*others)))
        for (namespace, _), is_there in zip(some, there, strict=True):
            shown = namespace[:depth]
            if (is_there or next(alive)) and found[-1:] != [shown]:
                found.append(shown)
        if len(entries) < PAGE:
            break
    return found[wanted.offset : needed]


def _jump_plan(store: str, where: Range, cut: int | None) -> Plan[list[bytes]]:
    """The first entry of each of the next namespaces of a range."""
    key = _keys.entries_key(store)
    depth = "" if cut is None else str(cut)
    command = ("EVAL_RO", NAMESPACES, "1", key, *where, depth, str(PAGE))
    (entries,) = yield Request(
        f"list namespaces of store {store!r}",
        (command,), read_only=True, repeatable=True, key=key,
    )  # fmt: skip
    return list(entries)


def _behind(namespace: Namespace, *, whole_tree: bool) -> bytes:
    """Where the list goes on behind a namespace, or behind all that is below it, too."""
    stop = below(namespace).stop if whole_tree and namespace else within(namespace).stop
    return b"[" + stop[1:]


def _any_plan(store: str, namespace: Namespace, cut: int | None) -> Plan[bool]:
    """Whether any item is there of a namespace whose first one is not."""
    where = within(namespace) if cut is None else below(namespace[:cut])
    dead: list[bytes] = []
    while entries := (yield from page_plan(store, where, PAGE)):
        there = yield from there_plan(store, entries)
        dead += [entry for entry, is_there in zip(entries, there, strict=True) if not is_there]
        if any(there):
            break
        where = where.after(entries[-1])
    yield from drop_plan(store, dead)
    return bool(entries)
