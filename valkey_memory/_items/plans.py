"""Every operation of an ``ItemStore`` as a plan: batches, and the erasure of a namespace."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from .._arguments import shown
from .._errors import InvalidArgumentError
from .._plans import AskCluster, Change, Plan, changes_plan
from .._together import together_plan
from . import changes, vectors
from .conditions import satisfies
from .entries import EVERYTHING, Namespace, below, check_namespace, place_of
from .filtered import filtered_plan
from .operations import GetItem, ListNamespaces, Operation, PutItem, SearchItems
from .records import Item, Stored, Vectors
from .vectors import Index
from .walk import PAGE, items_plan, namespaces_plan, page_plan, sweep_plan, there_plan


class ItemPlans:
    """The plans of one store.

    Args:
        store: Its name.
        index: Where its vectors are; None where nothing is found by meaning.
    """

    def __init__(self, store: str, index: Index | None) -> None:
        self.store = store
        self.index = index

    def batch_plan(self, operations: Sequence[Operation]) -> Plan[list[Any]]:
        """Carry out ``operations``; their results, in order.

        All of them see the store as it was before; of several puts of one item the last counts.
        """
        results: list[Any] = [None] * len(operations)
        asked = [
            (number, self._asked_plan(one))
            for number, one in enumerate(operations)
            if isinstance(one, (SearchItems, ListNamespaces))
        ]
        found = yield from together_plan(*(plan for _, plan in asked))
        for (number, _), result in zip(asked, found, strict=True):
            results[number] = result
        gets = {n: one for n, one in enumerate(operations) if isinstance(one, GetItem)}
        puts = {one.entry: one for one in operations if isinstance(one, PutItem)}
        items = yield from self._change_plan(list(gets.values()), list(puts.values()))
        for number, stored in zip(gets, items, strict=True):
            results[number] = None if stored is None else stored.item
        return results

    def _asked_plan(self, operation: SearchItems | ListNamespaces) -> Plan[Any]:
        if isinstance(operation, ListNamespaces):
            return (yield from namespaces_plan(self.store, operation))
        return (yield from self._search_plan(operation))

    # Reading

    def _search_plan(self, search: SearchItems) -> Plan[list[Item]]:
        if not search.needed:
            return []
        scores: list[float | None]
        if search.query and self.index is not None:
            stored, scores = yield from self._by_meaning_plan(search, self.index)
        else:
            condition = search.condition
            wanted = (lambda one: satisfies(one.item.value, condition)) if condition else None
            found = None
            if self.index is not None and condition:
                found = yield from filtered_plan(self.store, self.index, search)
            stored = found or []
            if found is None:
                stored = yield from items_plan(
                    self.store, search.prefix, search.offset, search.limit, wanted
                )
            scores = [None] * len(stored)
        if search.refresh_ttl:
            yield from self._refresh_plan([one for one in stored if one.ttl_ms is not None])
        return [_with_score(one.item, score) for one, score in zip(stored, scores, strict=True)]

    def _by_meaning_plan(
        self, search: SearchItems, index: Index
    ) -> Plan[tuple[list[Stored], list[float | None]]]:
        """A page of the nearest items; behind the last of them those that have no vector."""
        scored, complete = yield from vectors.nearest_plan(self.store, index, search)
        page = scored[search.offset : search.needed]
        stored = [one for one, _ in page]
        scores: list[float | None] = [score for _, score in page]
        if complete and len(scored) < search.needed:
            places = {(one.item.namespace, one.item.key) for one, _ in scored}

            def without_vector(one: Stored) -> bool:
                place = (one.item.namespace, one.item.key)
                return place not in places and satisfies(one.item.value, search.condition)

            passed = max(search.offset - len(scored), 0)
            more = search.limit - len(page)
            rest = yield from items_plan(self.store, search.prefix, passed, more, without_vector)
            stored += rest
            scores += [None] * len(rest)
        return stored, scores

    def _refresh_plan(self, items: Sequence[Stored]) -> Plan[None]:
        """Restart the TTLs of items."""
        if items:
            wanted = [changes.refresh(self.store, one.item) for one in items]
            touch = yield from changes_plan(*wanted)
            due = [one for one, is_due in zip(items, touch, strict=True) if is_due]
            yield from vectors.touch_plan(self.store, due)

    # Reading and writing by key

    def _change_plan(
        self, gets: Sequence[GetItem], puts: Sequence[PutItem]
    ) -> Plan[list[Stored | None]]:
        """Get and put items in one round trip; what was got is as it was before.

        Vectors are written before and deleted behind it, in round trips of their own. So is the
        list in a cluster: one of its nodes may fail, and an item that is not listed is found by no
        search, and by nobody who wants to delete all.
        """
        if not gets and not puts:
            return []
        versions: dict[bytes, Vectors] = {}
        if self.index is not None:
            versions = yield from vectors.write_plan(self.index, puts)
        cluster = yield AskCluster(f"change items of store {self.store!r}")
        got = [changes.get(self.store, one) for one in gets]
        changed = [changes.put(self.store, one, versions.get(one.entry)) for one in puts]
        before, behind = self._listed(puts, versions, cluster=cluster)
        if cluster and before:
            yield from changes_plan(*before)
            before = []
        replies = iter((yield from changes_plan(*got, *before, *changed, *behind)))
        found: list[tuple[Stored | None, bool]] = list(islice(replies, len(got)))
        deque(islice(replies, len(before)), maxlen=0)
        replaced = [one for one in islice(replies, len(changed)) if one is not None]
        expired = [entry for entries in replies if entries for entry in entries]
        yield from vectors.delete_plan(self.store, replaced)
        due = [one for one, touch in found if touch and one is not None]
        yield from vectors.touch_plan(self.store, due)
        yield from sweep_plan(self.store, expired)
        return [stored for stored, _ in found]

    def _listed(
        self, puts: Sequence[PutItem], versions: Mapping[bytes, Vectors], *, cluster: bool
    ) -> tuple[list[Change[Any]], list[Change[Any]]]:
        """What ``puts`` change of the list, before and behind them; the latter reply with entries
        of which the TTL is over.

        The list has an item before it is written. In a cluster no script sees an item and the list,
        and another client may be putting what is deleted here; there a walk drops the entry later.
        """
        written = [put for put in puts if put.value is not None]
        deleted = [put.entry for put in puts if put.value is None]
        entries = [put.entry for put in written]
        unindexed = [EVERYTHING] if written else []
        if self.index is not None and self.index.declared:
            unindexed = [entry for entry in entries if entry not in versions]
        before = changes.enter(self.store, entries, unindexed)
        behind: list[Change[Any]] = changes.indexed(self.store, versions)
        behind += changes.stay(self.store, [put.entry for put in written if put.ttl_ms is None])
        if deleted and cluster:
            behind.append(changes.drop(self.store, deleted))
        elif deleted:
            behind += changes.leave(self.store, deleted)
        behind += changes.expire(
            self.store,
            {put.entry: put.ttl_ms / 1000 for put in written if put.ttl_ms is not None},
        )
        return before, behind

    # Erasing

    def delete_namespace_plan(self, prefix: Sequence[str]) -> Plan[int]:
        """Delete all items in and below ``prefix``; how many there were."""
        namespace = _not_all(check_namespace(prefix))
        deleted = 0
        where = below(namespace)
        while entries := (yield from page_plan(self.store, where, PAGE)):
            where = where.after(entries[-1])
            places = [place_of(entry) for entry in entries]
            deleted += sum((yield from there_plan(self.store, entries)))
            yield from self._change_plan([], [PutItem(*place, None) for place in places])
        if self.index is not None:
            yield from vectors.erase_plan(self.index, namespace)
        return deleted


def _not_all(namespace: Namespace) -> Namespace:
    if not namespace:
        raise InvalidArgumentError(
            f"the namespace {shown(namespace)} is the whole store: name at least one label"
        )
    return namespace


def _with_score(item: Item, score: float | None) -> Item:
    return Item(item.namespace, item.key, item.value, item.created_at, item.updated_at, score)
