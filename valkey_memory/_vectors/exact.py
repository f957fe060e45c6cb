"""Exact search in the client, for servers without valkey-search and for small memories.

Documents are stored as hashes, just as an index of ``storage="hash"`` stores them. A local copy of
them is kept fresh by the log of changes. A search reads what is new in it, one round trip, and
fetches only the documents named there. When the log no longer reaches back far enough, everything
is read again. The copy knows each document's expiry, so expired documents drop out by themselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from .._filters.expressions import Filter
from .._keys import document_id, document_key, scan_pattern
from .._plans import Command, Now, Plan, Request, Scan, ScanPage, atomic
from . import limits
from .changelog import forget_plan, last_change, last_version, since_plan
from .copy import LocalCopy, Read
from .documents import Document, Hit
from .records import from_read, read_command
from .schema import EMBEDDING, IndexSchema
from .storage import delete_plan
from .vector import FLOAT_BYTES, from_bytes


class ExactEngine:
    """Documents in hashes, compared in the client. ``open_plan`` makes it.

    Attributes:
        copy: The documents as this client has them.
    """

    mode: Literal["exact"] = "exact"

    def __init__(self, schema: IndexSchema, limit: int) -> None:
        self.schema = schema
        self.copy = LocalCopy(schema, limit)

    def _fresh_plan(self) -> Plan[int]:
        """Bring the copy up to date; the time then, by this machine's clock."""
        yield from refresh_plan(self.copy)
        now: int = yield Now()
        return now

    def info_plan(self) -> Plan[None]:
        yield from ()

    def wait_plan(self, timeout: float) -> Plan[bool]:
        del timeout
        yield from ()
        return True

    def search_plan(
        self,
        query: bytes,
        k: int,
        condition: Filter | None,
        *,
        embeddings: bool,
        ef_runtime: int | None,
    ) -> Plan[list[Hit]]:
        del ef_runtime  # every vector is compared
        now = yield from self._fresh_plan()
        return self.copy.nearest(from_bytes(query), k, condition, now, embeddings=embeddings)

    def page_plan(
        self,
        condition: Filter | None,
        offset: int,
        limit: int,
        *,
        embeddings: bool,
        order_by: str | None,
        descending: bool,
    ) -> Plan[list[Document]]:
        now = yield from self._fresh_plan()
        return self.copy.page(
            condition,
            offset,
            limit,
            now,
            embeddings=embeddings,
            order_by=order_by,
            descending=descending,
        )

    def count_plan(self, condition: Filter | None) -> Plan[int]:
        now = yield from self._fresh_plan()
        return self.copy.count(condition, now)

    def delete_where_plan(self, condition: Filter | None) -> Plan[int]:
        now = yield from self._fresh_plan()
        found = self.copy.page(condition, 0, None, now)
        return (yield from delete_plan([document.id for document in found], self.schema))


def open_plan(
    schema: IndexSchema, limit: int, length: int | None = None
) -> Plan[ExactEngine | None]:
    """Exact search over the documents of ``schema``, which stores hashes.

    Args:
        schema: Its dimension may be left to the documents that are there.
        limit: As many documents as it will hold.
        length: The dimension where ``schema`` has none and nothing is stored.

    Returns:
        None when nothing is stored, and no dimension is known.
    """
    if schema.dimension is None:
        schema = schema.of_dimension((yield from dimension_plan(schema)) or length)
    return None if schema.dimension is None else ExactEngine(schema, limit)


def dimension_plan(schema: IndexSchema) -> Plan[int | None]:
    """Numbers per vector of the documents that are stored; None when there are none.

    It walks the keyspace until it finds one.
    """
    operation = f"find the dimension of index {schema.name!r}"
    scan = Scan(operation, scan_pattern(schema.prefix), "hash")
    while True:
        page: ScanPage = yield scan
        if page.keys:
            asked = tuple(("HSTRLEN", key, EMBEDDING) for key in page.keys)
            sizes: list[int] = yield Request(operation, asked)
            if any(sizes):
                return max(sizes) // FLOAT_BYTES
        if page.cursor is None:
            return None
        scan = replace(scan, cursor=page.cursor)


def drop_plan(schema: IndexSchema) -> Plan[bool]:
    """Delete all documents and the log of changes; whether there were any."""
    if schema.dimension is None:
        schema = schema.of_dimension((yield from dimension_plan(schema)))
    if schema.dimension is None:
        return False
    ids = yield from _document_ids_plan(schema)
    yield from delete_plan(ids, schema)
    yield from forget_plan(schema)
    return bool(ids)


# Reading


def refresh_plan(copy: LocalCopy) -> Plan[None]:
    """Bring the copy up to date: one round trip when nothing changed."""
    while True:
        version = copy.version
        if version is not None and (yield from _catch_up_plan(copy, version)):
            return
        if (yield from _load_plan(copy, version)):
            return


def _catch_up_plan(copy: LocalCopy, version: str) -> Plan[bool]:
    """Take over what changed since ``version``; False when the log does not reach back to it."""
    while True:
        changes = yield from since_plan(copy.schema, version)
        if changes is None:
            return False
        if changes.version == version:
            return True
        copy.update((yield from _fetch_plan(copy.schema, changes.ids)), changes.version)
        if changes.complete:
            return copy.version is not None  # another search may have failed and emptied it
        version = changes.version


def _load_plan(copy: LocalCopy, replaces: str | None) -> Plan[bool]:
    """Read every document. What changes meanwhile is in the log behind the version taken.

    False when another search changed the copy meanwhile, which was ``replaces`` before.
    """
    schema, operation = copy.schema, f"load index {copy.schema.name!r}"
    last, server_time = yield atomic(operation, last_change(schema), ("TIME",))
    now_ms = yield Now()
    seconds, microseconds = (int(part) for part in server_time)
    ids = yield from _hashes_plan(operation, schema)
    if len(ids) > copy.limit:
        ids = set(sorted(ids)[: copy.limit + 1])  # enough to meet the limit, and no more traffic
    documents = yield from _fetch_plan(schema, sorted(ids))
    offset = seconds * 1000 + microseconds // 1000 - now_ms
    return copy.load(documents, last_version(last), offset, replaces)


def _document_ids_plan(schema: IndexSchema) -> Plan[list[str]]:
    """The ids of all documents, however many; hashes that are none are left out."""
    found: list[str] = []
    ids = sorted((yield from _hashes_plan(f"list ids of index {schema.name!r}", schema)))
    for start in range(0, len(ids), limits.READ_DOCUMENTS):
        some = yield from _fetch_plan(schema, ids[start : start + limits.READ_DOCUMENTS])
        found += [one.id for one in some if one.document is not None]
    return found


def _hashes_plan(operation: str, schema: IndexSchema) -> Plan[set[str]]:
    """What may be a document's id: every hash under the prefix."""
    ids: set[str] = set()
    scan = Scan(operation, scan_pattern(schema.prefix), "hash")
    while True:
        page: ScanPage = yield scan
        ids.update(document_id(schema.name, key) for key in page.keys)
        if page.cursor is None:
            return ids
        scan = replace(scan, cursor=page.cursor)


def _fetch_plan(schema: IndexSchema, ids: list[str]) -> Plan[list[Read]]:
    found: list[Read] = []
    for start in range(0, len(ids), limits.READ_DOCUMENTS):
        some = ids[start : start + limits.READ_DOCUMENTS]
        commands: list[Command] = []
        for one in some:
            key = document_key(schema.name, one)
            commands += [read_command(schema, key, embeddings=True), ("PEXPIRETIME", key)]
        replies = yield Request(f"read documents of index {schema.name!r}", tuple(commands))
        for one, fields, expires in zip(some, replies[::2], replies[1::2], strict=True):
            document = from_read(one, fields, schema, embeddings=True)
            if document is not None and len(document.embedding) != schema.dimension:
                document = None  # somebody else's; the server would not index it either
            found.append(Read(one, document, expires))
    return found
