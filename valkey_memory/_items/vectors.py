"""The vectors of items: one document in the index for each text of an item.

Documents are written before their item and deleted behind it, and name the version of it that they
were made of. So an item is found by its own vectors only, whatever ends in between; a document
without its item is passed over, and deleted when it is met an hour later.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .. import _keys
from .._arguments import TTL
from .._models.embedding import Embed, Embedder, EmbedQuery
from .._plans import Now, Plan, changes_plan
from .._vectors import storage
from .._vectors.documents import Document, Hit
from .._vectors.plans import IndexPlans
from .._vectors.schema import IndexSchema
from . import changes
from .conditions import satisfies
from .declared import Declared, metadata_of, restriction
from .entries import Namespace
from .operations import PutItem, SearchItems
from .ranked import ranked_plan
from .records import Stored, Vectors
from .scripts import vectors_ttl_ms
from .walk import read_plan

_PER_ITEM = 2
"""Documents asked for, per item that is needed; then many more, until there are enough."""
_AT_LEAST = 20
_MORE = 16
_AT_MOST = 10_000
"""valkey-search finds no more at once (``search.max-vector-knn``)."""
_ORPHANED_MS = 3_600_000
"""A document without its item that is younger may be of a put that is under way."""


class Index(NamedTuple):
    """Where the vectors of a store are, and what makes them."""

    plans: IndexPlans
    embedder: Embedder
    declared: Declared
    batch_size: int
    concurrency: int


class Found(NamedTuple):
    """Items found by their vectors, nearest first."""

    scored: list[tuple[Stored, float]]
    complete: bool
    """Whether no other item has vectors."""


class _Source(NamedTuple):
    """The item that a document was made of."""

    namespace: Namespace
    key: str
    version: str

    @classmethod
    def of(cls, document: Document) -> _Source:
        metadata = document.metadata
        return cls(tuple(metadata["labels"]), metadata["key"], metadata["version"])


def write_plan(index: Index, puts: Sequence[PutItem]) -> Plan[dict[bytes, Vectors]]:
    """Write the documents of items that are to be put; their versions, by entry."""
    texts = list(dict.fromkeys(text for put in puts for text in put.texts))
    if not texts:
        return {}
    embedded = yield Embed(index.embedder, texts, index.batch_size, index.concurrency)
    vector_of = dict(zip(texts, embedded, strict=True))
    now: int = yield Now()
    written: dict[bytes, Vectors] = {}
    by_ttl: dict[int | None, list[Document]] = {}
    for put in puts:
        if put.texts and put.value is not None:
            vectors = Vectors(uuid.uuid4().hex, len(put.texts))
            written[put.entry] = vectors
            by_ttl.setdefault(put.ttl_ms, []).extend(
                _documents(put, put.value, vectors, vector_of, now, index.declared)
            )
    for ttl_ms, documents in by_ttl.items():
        ttl: TTL | None = None if ttl_ms is None else vectors_ttl_ms(ttl_ms) / 1000
        yield from index.plans.upsert_plan(documents, ttl, None)
    return written


def _documents(
    put: PutItem,
    value: Mapping[str, Any],
    vectors: Vectors,
    vector_of: Mapping[str, Sequence[float]],
    now: int,
    declared: Declared,
) -> list[Document]:
    metadata = {
        "labels": list(put.namespace),
        "key": put.key,
        "version": vectors.version,
        "written": now,
        **metadata_of(put.namespace, value, declared),
    }
    return [
        Document(one, "", metadata, vector_of[text])
        for one, text in zip(vectors.ids(), put.texts, strict=True)
    ]


def delete_plan(store: str, vectors: Sequence[Vectors]) -> Plan[None]:
    """Delete the documents of items that are no more, or have others by now."""
    ids = [one for each in vectors for one in each.ids()]
    if ids:
        yield from storage.delete_plan(ids, _bare_schema(store))


def touch_plan(store: str, items: Sequence[Stored]) -> Plan[None]:
    """Restart the TTLs of the documents of items that are read."""
    by_ttl: dict[int, list[tuple[Stored, Vectors]]] = {}
    for stored in items:
        if stored.ttl_ms is not None and stored.vectors is not None:
            by_ttl.setdefault(stored.ttl_ms, []).append((stored, stored.vectors))
    for ttl_ms, some in by_ttl.items():
        ids = [one for _, vectors in some for one in vectors.ids()]
        yield from storage.touch_plan(ids, _bare_schema(store), vectors_ttl_ms(ttl_ms))
        notes = [
            changes.touched(store, stored.item.namespace, stored.item.key, vectors)
            for stored, vectors in some
        ]
        yield from changes_plan(*notes)


def _bare_schema(store: str) -> IndexSchema:
    """What tells where documents are: a store without an embedder deletes and touches them, too."""
    return IndexSchema(_keys.item_index(store), storage="hash")


def nearest_plan(store: str, index: Index, search: SearchItems) -> Plan[Found]:
    """The items nearest to the query of ``search`` that satisfy its filter.

    One round trip asks the index and one reads the items, unless too few are left of those. Where
    the index cannot tell all that are needed, the items that satisfy the filter are compared here.
    """
    vector = yield EmbedQuery(index.embedder, search.query or "")
    condition = restriction(search.prefix, search.condition, index.declared)
    read: dict[_Source, Stored | None] = {}
    orphaned: list[Hit] = []
    at_most = sys.maxsize
    k = min(max(search.needed * _PER_ITEM, _AT_LEAST), _AT_MOST)
    while True:
        hits = yield from index.plans.search_plan(vector, k, condition, None, False, None)
        if index.plans.mode == "server":
            at_most = _AT_MOST
        scores: dict[_Source, float] = {}
        for hit in hits:  # nearest first, so the first is the best of its item
            scores.setdefault(_Source.of(hit.document), hit.score)
        new = [source for source in scores if source not in read]
        items = yield from read_plan(store, [(one.namespace, one.key) for one in new])
        read |= dict(zip(new, items, strict=True))
        scored = [
            (stored, score)
            for source, score in scores.items()
            if (stored := read[source]) is not None
            and _is_of(stored, source)
            and satisfies(stored.item.value, search.condition)
        ]
        complete = len(hits) < k
        if complete or len(scored) >= search.needed:
            break
        if k == at_most:
            return Found((yield from ranked_plan(store, index.plans, search, vector)), True)
        k = min(k * _MORE, at_most)
    for hit in hits:
        source = _Source.of(hit.document)
        item = read[source]
        if item is None or not _is_of(item, source):
            orphaned.append(hit)
    yield from _forget_plan(index, orphaned)
    return Found(scored, complete)


def _is_of(stored: Stored, source: _Source) -> bool:
    return stored.vectors is not None and stored.vectors.version == source.version


def _forget_plan(index: Index, orphaned: Sequence[Hit]) -> Plan[None]:
    """Delete documents whose items are gone for long."""
    if orphaned:
        now: int = yield Now()
        over = now - _ORPHANED_MS
        ids = [hit.document.id for hit in orphaned if hit.document.metadata["written"] < over]
        if ids:
            yield from storage.delete_plan(ids, index.plans.schema)


def erase_plan(index: Index, prefix: Namespace) -> Plan[None]:
    """Delete all documents of items below ``prefix``, those without an item among them."""
    yield from index.plans.delete_where_plan(restriction(prefix, {}, {}))
