"""Items by filter alone, asked of the server's index: where declared fields leave few of them.

The index tells of the items that have vectors. Those that were put without any, by a store with the
same fields, stand in a list of their own and are read, too. Where a store without such fields put
any, or the filter leaves many, nothing is gained, and the list of all items is walked.
"""

from __future__ import annotations

from .. import _keys
from .._plans import Plan, Request
from .conditions import satisfies
from .declared import restriction
from .entries import EVERYTHING, below, entry_of, place_of
from .operations import SearchItems
from .records import Stored
from .vectors import Index
from .walk import PAGE, read_plan

_FEW = 500
"""Documents, and items without any, that are less to read than what a walk passes over."""


def filtered_plan(store: str, index: Index, search: SearchItems) -> Plan[list[Stored] | None]:
    """A page of the items that satisfy the filter of ``search``; None where a walk is to find it.

    Two round trips, and one per 200 items that are read.
    """
    if not any(name in search.condition for name in index.declared):
        return None
    if (yield from index.plans.create_plan()) != "server":
        return None  # the client would look at all vectors
    entries = yield from _unindexed_plan(store, search)
    if entries is None:
        return None
    condition = restriction(search.prefix, search.condition, index.declared)
    documents = yield from index.plans.page_plan(condition, 0, _FEW + 1, None, False, False)
    if len(documents) > _FEW:
        return None
    told = {entry_of(tuple(one.metadata["labels"]), one.metadata["key"]) for one in documents}
    candidates = sorted({*entries, *told})
    found: list[Stored] = []
    for start in range(0, len(candidates), PAGE):
        places = [place_of(entry) for entry in candidates[start : start + PAGE]]
        items = yield from read_plan(store, places)
        found += [one for one in items if one and satisfies(one.item.value, search.condition)]
        if len(found) >= search.needed:
            break
    return found[search.offset : search.needed]


def _unindexed_plan(store: str, search: SearchItems) -> Plan[list[bytes] | None]:
    """Items below the prefix that the index does not tell of; None where they are not known, or
    many."""
    key = _keys.unindexed_key(store)
    command = ("ZRANGE", key, *below(search.prefix), "BYLEX", "LIMIT", "0", str(_FEW + 1))
    everything, entries = yield Request(
        f"list items of store {store!r}",
        (("ZSCORE", key, EVERYTHING), command),
        read_only=True, repeatable=True, key=key,
    )  # fmt: skip
    return None if everything is not None or len(entries) > _FEW else list(entries)
