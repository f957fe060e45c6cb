"""Items compared with a query here, one by one: where an index does not tell as many as are needed.

It reads all items below the namespace, and the vectors of those that satisfy the filter.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._plans import Plan
from .._vectors.plans import IndexPlans
from .._vectors.vector import distances, from_bytes, lengths, numpy, similarity
from .conditions import satisfies
from .operations import SearchItems
from .records import Stored
from .walk import items_plan


def ranked_plan(
    store: str, plans: IndexPlans, search: SearchItems, vector: Sequence[float]
) -> Plan[list[tuple[Stored, float]]]:
    """All items with vectors that satisfy the filter of ``search``, nearest first."""

    def wanted(one: Stored) -> bool:
        return one.vectors is not None and satisfies(one.item.value, search.condition)

    items = yield from items_plan(store, search.prefix, 0, sys.maxsize, wanted)
    owners = {one: item for item in items if item.vectors for one in item.vectors.ids()}
    documents = yield from plans.get_plan(owners, True)
    if not documents:
        return []
    np = numpy()
    matrix = np.asarray([document.embedding for document in documents], dtype=np.float32)
    found = distances(
        matrix, from_bytes(plans.packed(vector)), plans.schema.metric, lengths(matrix)
    )
    order = np.argsort(found, kind="stable").tolist()
    best: dict[int, tuple[Stored, float]] = {}
    for position in order:
        stored = owners[documents[position].id]
        score = similarity(float(found[position]), plans.schema.metric)
        best.setdefault(id(stored), (stored, score))
    return list(best.values())
