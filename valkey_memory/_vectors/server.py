"""The plans of a vector index: create, attach, write, read, search, delete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import orjson

from .._errors import (
    BulkWriteError,
    CommandError,
    IndexExistsError,
    IndexNotFoundError,
    SearchUnavailableError,
    UnknownCommandError,
    ValkeyMemoryError,
)
from .._filters.expressions import Exists, Filter
from .._filters.query import compile_filter
from .._keys import sidecar, slot
from .._plans import AskCluster, Command, Pause, Plan, Request, atomic
from .documents import (
    Document,
    Hit,
    Prepared,
    document_id,
    document_key,
    from_read,
    from_search,
    read_command,
    returned,
)
from .schema import EMBEDDING, IndexInfo, IndexSchema, check_fits, check_prefixes, parse_info
from .vector import similarity

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called after each batch with how many documents are written, and of how many."""

_BATCH_BYTES = 1_000_000
_BATCH_DOCUMENTS = 200
_READ_DOCUMENTS = 500
_PAGE = 1_000
_CHANGES_KEPT = 10_000
_RESULTS_LOOKED_AT = 100_000
"""So many valkey-search looks at without a vector, ``search.max-nonvector-search-results-fetched``,
and takes for all there are: no error, a wrong count, and an order of these alone."""
_DIALECT = ("DIALECT", "2")


# Existence


def probe(schema: IndexSchema) -> Plan[IndexInfo | None]:
    """The index, or None when there is none.

    Raises:
        SearchUnavailableError: The server has no search commands, or no JSON for a JSON index.
    """
    found: IndexInfo | None = None
    commands: list[tuple[str, ...]] = [("FT.INFO", schema.name)]
    if schema.storage == "json":
        commands.append(("JSON.GET", f"{schema.prefix}:probe", "$"))
    for command in commands:
        operation = f"look at index {schema.name!r}"
        (reply,) = yield Request(operation, (command,), errors_as_replies=True)
        if isinstance(reply, UnknownCommandError):
            module = "valkey-search" if command[0] == "FT.INFO" else "valkey-json"
            way_out = 'use search="exact"' if module == "valkey-search" else 'use storage="hash"'
            raise SearchUnavailableError(
                f"the server has no {command[0]}: load {module} (the container image "
                f"valkey/valkey-bundle and managed services have it), or {way_out}"
            ) from reply
        if isinstance(reply, IndexNotFoundError):
            found = None
        elif isinstance(reply, ValkeyMemoryError):
            raise reply
        elif command[0] == "FT.INFO":
            found = parse_info(reply)
    return found


def info(schema: IndexSchema) -> Plan[IndexInfo]:
    """FT.INFO."""
    replies = yield atomic(f"describe index {schema.name!r}", ("FT.INFO", schema.name))
    return parse_info(replies[0])


def ensure(schema: IndexSchema) -> Plan[IndexInfo]:
    """Create the index, or attach to the one that is there if it fits.

    Two creators at once are harmless: the second finds what the first made, and checks it.

    Raises:
        IndexMismatchError: One of that name is there in another shape.
        SearchUnavailableError: The server cannot.
    """
    found = yield from probe(schema)
    if found is None:
        (reply,) = yield Request(
            f"create index {schema.name!r}", (schema.create_command(),), errors_as_replies=True
        )
        if isinstance(reply, ValkeyMemoryError) and not isinstance(reply, IndexExistsError):
            raise reply
        found = yield from info(schema)
    check_fits(found, schema)
    return found


def wait_until_ready(schema: IndexSchema, polls: int, pause: float) -> Plan[IndexInfo]:
    """Ask until documents that were there before the index are indexed; the last answer."""
    found = yield from info(schema)
    for _ in range(polls):
        if found.ready:
            break
        yield Pause(pause)
        found = yield from info(schema)
    return found


def drop(schema: IndexSchema, found: IndexInfo | None, delete_documents: bool) -> Plan[bool]:
    """Drop the index that ``probe`` found, of whatever shape. False when there is none.

    Raises:
        IndexMismatchError: Its documents shall go, and it indexes other keys than ``schema``'s.
    """
    if found is None:
        return False
    if delete_documents:
        stored = replace(schema, storage=found.storage)
        check_prefixes(found, stored)
        yield from delete_matching(None, stored)
        yield from forget_changes(stored)
    (reply,) = yield Request(
        f"drop index {schema.name!r}", (("FT.DROPINDEX", schema.name),), errors_as_replies=True
    )
    if isinstance(reply, IndexNotFoundError):
        return False
    if isinstance(reply, ValkeyMemoryError):
        raise reply
    return True


# Writing


def batches(
    documents: Sequence[Prepared], schema: IndexSchema, cluster: bool
) -> Iterator[list[Prepared]]:
    """Documents that go in one transaction: of one slot in a cluster, and not too many bytes."""
    ordered = list(documents)
    if cluster:
        ordered.sort(key=lambda document: slot(document_key(schema, document.id)))
    batch: list[Prepared] = []
    size, last_slot = 0, -1
    for document in ordered:
        own_slot = slot(document_key(schema, document.id)) if cluster else -1
        if batch and (
            size + document.size > _BATCH_BYTES
            or len(batch) == _BATCH_DOCUMENTS
            or own_slot != last_slot
        ):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size, last_slot = size + document.size, own_slot
    if batch:
        yield batch


def changes_key(schema: IndexSchema) -> str:
    """The stream that tells exact searches which documents changed."""
    return sidecar(schema.name, "changes")


def log_change(schema: IndexSchema, ids: Sequence[str]) -> tuple[Command, ...]:
    """The command that notes a change of ``ids``; none for JSON, which exact search never reads."""
    if schema.storage != "hash":
        return ()
    trim = ("MAXLEN", "~", str(_CHANGES_KEPT))
    return (("XADD", changes_key(schema), *trim, "*", "ids", orjson.dumps(list(ids))),)


def forget_changes(schema: IndexSchema) -> Plan[None]:
    """Delete the stream of changes. A copy that read it finds it shorter, and loads anew."""
    yield atomic(f"drop index {schema.name!r}", ("UNLINK", changes_key(schema)))


def _logged(plan: Plan[T], schema: IndexSchema, ids: Sequence[str], cluster: bool) -> Plan[T]:
    """Run ``plan``, which changes ``ids``; in a cluster, note it behind it in one round trip more.

    A standalone server notes each change in the transaction that makes it. In a cluster the stream
    is in another slot than most documents. Ids that did not change after all do no harm in it.
    """
    notes = tuple(
        command
        for start in range(0, len(ids) if cluster else 0, _READ_DOCUMENTS)
        for command in log_change(schema, ids[start : start + _READ_DOCUMENTS])
    )
    note = atomic(f"note changes of index {schema.name!r}", *notes)
    try:
        result = yield from plan
    except Exception:
        if notes:
            with contextlib.suppress(ValkeyMemoryError):  # the first error is the one to raise
                yield note
        raise
    if notes:
        yield note
    return result


def upsert(
    documents: Sequence[Prepared], schema: IndexSchema, progress: Progress | None
) -> Plan[None]:
    """Write documents in transactions of at most 200 documents and about 1 MB.

    Raises:
        BulkWriteError: One failed; says which documents were written.
    """
    cluster = yield AskCluster(f"write to index {schema.name!r}")
    ids = [document.id for document in documents]
    yield from _logged(_upsert(documents, schema, progress, cluster), schema, ids, cluster)


def _upsert(
    documents: Sequence[Prepared], schema: IndexSchema, progress: Progress | None, cluster: bool
) -> Plan[None]:
    written: list[str] = []
    pending = list(batches(documents, schema, cluster))
    for number, batch in enumerate(pending):
        ids = [document.id for document in batch]
        operation = f"write {_amount(batch)} to index {schema.name!r}"
        try:
            yield from _apply(operation, batch, schema, cluster)
        except ValkeyMemoryError as error:
            remaining = [document.id for later in pending[number + 1 :] for document in later]
            raise BulkWriteError(
                f"{len(written)} of {len(documents)} documents were written, {len(ids)} may have "
                f"been, {len(remaining)} were not sent. {error}",
                written,
                ids,
                remaining,
            ) from error
        written += ids
        if progress is not None:
            progress(len(written), len(documents))


def _apply(
    operation: str, batch: Sequence[Prepared], schema: IndexSchema, cluster: bool
) -> Plan[None]:
    """Send what was prepared: in one transaction, or command by command in a cluster.

    There, valkey-search 1.2.1 leaves what came in a transaction out of searches that another shard
    coordinates, for as long as nothing else is written in one. And a batch that is no transaction
    hangs a server of 9.0.0 to 9.1.1.
    """
    commands = [command for document in batch for command in document.commands]
    if cluster:
        for command in commands:
            yield Request(operation, (command,))
        return
    changed = log_change(schema, [document.id for document in batch])
    yield Request(operation, (*commands, *changed), atomic=True)


def _amount(documents: Sequence[object]) -> str:
    return "1 document" if len(documents) == 1 else f"{len(documents)} documents"


def delete_ids(ids: Sequence[str], schema: IndexSchema) -> Plan[int]:
    """Delete documents by id; how many there were."""
    cluster = yield AskCluster(f"delete from index {schema.name!r}")
    return (yield from _logged(_delete_ids(ids, schema, cluster), schema, ids, cluster))


def _delete_ids(ids: Sequence[str], schema: IndexSchema, cluster: bool) -> Plan[int]:
    prepared = [Prepared(one, (("UNLINK", document_key(schema, one)),), len(one)) for one in ids]
    deleted = 0
    for batch in batches(prepared, schema, cluster):
        keys = [document_key(schema, document.id) for document in batch]
        changed = () if cluster else log_change(schema, [document.id for document in batch])
        replies = yield atomic(
            f"delete {_amount(keys)} of index {schema.name!r}", ("UNLINK", *keys), *changed
        )
        deleted += replies[0]
    return deleted


def touch(ids: Sequence[str], schema: IndexSchema, ttl_ms: int) -> Plan[None]:
    """Restart the TTL of documents."""
    cluster = yield AskCluster(f"refresh documents of index {schema.name!r}")
    yield from _logged(_touch(ids, schema, ttl_ms, cluster), schema, ids, cluster)


def _touch(ids: Sequence[str], schema: IndexSchema, ttl_ms: int, cluster: bool) -> Plan[None]:
    expiry = str(ttl_ms)
    prepared = [
        Prepared(one, (("PEXPIRE", document_key(schema, one), expiry),), len(one)) for one in ids
    ]
    for batch in batches(prepared, schema, cluster):
        yield from _apply(f"refresh documents of index {schema.name!r}", batch, schema, cluster)


# Reading


def get(ids: Sequence[str], schema: IndexSchema, *, embeddings: bool) -> Plan[list[Document]]:
    """The documents of ``ids`` that there are, in the order of ``ids``."""
    found: list[Document] = []
    for start in range(0, len(ids), _READ_DOCUMENTS):
        some = ids[start : start + _READ_DOCUMENTS]
        replies = yield Request(
            f"read documents of index {schema.name!r}",
            tuple(
                read_command(schema, document_key(schema, one), embeddings=embeddings)
                for one in some
            ),
        )
        for one, reply in zip(some, replies, strict=True):
            document = from_read(one, reply, schema, embeddings=embeddings)
            if document is not None:
                found.append(document)
    return found


def _hits(reply: Sequence[Any]) -> Mapping[bytes, Mapping[bytes, bytes]]:
    return reply[1] if len(reply) > 1 else {}


def knn(
    query: bytes,
    k: int,
    condition: Filter | None,
    schema: IndexSchema,
    *,
    embeddings: bool,
    ef_runtime: int | None,
) -> Plan[list[Hit]]:
    """The ``k`` nearest documents that satisfy ``condition``, nearest first. One round trip.

    Args:
        query: From ``pack_vector``.
        k: At most so many.
        condition: A checked filter, or None.
        schema: The index.
        embeddings: Return the documents' vectors too.
        ef_runtime: HNSW effort for this search only.
    """
    selection = "*" if condition is None else f"({compile_filter(condition)})"
    effort = f" EF_RUNTIME {ef_runtime}" if ef_runtime and schema.algorithm == "hnsw" else ""
    parts = returned(schema, embeddings=embeddings)
    replies = yield atomic(
        f"search index {schema.name!r}",
        (
            "FT.SEARCH", schema.name,
            f"{selection}=>[KNN {k} @{EMBEDDING} $vector{effort} AS _score]",
            "RETURN", str(len(parts) + 1), *parts, "_score",
            "LIMIT", "0", str(k),
            "PARAMS", "2", "vector", query, *_DIALECT,
        ),
    )  # fmt: skip
    found = _hits(replies[0])
    return [
        Hit(document, similarity(float(fields[b"_score"]), schema.metric))
        for document, fields in zip(from_search(found, schema), found.values(), strict=True)
    ]


def page(
    condition: Filter | None,
    offset: int,
    limit: int,
    schema: IndexSchema,
    *,
    embeddings: bool,
    order_by: str | None = None,
    descending: bool = False,
) -> Plan[list[Document]]:
    """Documents that satisfy ``condition``, without regard to vectors."""
    parts = returned(schema, embeddings=embeddings)
    if order_by is not None:
        # SORTBY puts documents without the field last; they have no place in such an order.
        present = Exists(order_by)
        condition = present if condition is None else present & condition
    order = ("SORTBY", order_by, "DESC" if descending else "ASC") if order_by else ()
    replies = yield atomic(
        f"list documents of index {schema.name!r}",
        (
            "FT.SEARCH", schema.name, compile_filter(condition),
            "RETURN", str(len(parts)), *parts, *order,
            "LIMIT", str(offset), str(limit), *_DIALECT,
        ),
    )  # fmt: skip
    if replies[0][0] == _RESULTS_LOOKED_AT and (order_by or offset + limit > _RESULTS_LOOKED_AT):
        raise _too_many(schema)
    return from_search(_hits(replies[0]), schema)


def matching_ids(
    condition: Filter | None, offset: int, limit: int, schema: IndexSchema
) -> Plan[list[str]]:
    """Ids of documents that satisfy ``condition``."""
    replies = yield atomic(
        f"list ids of index {schema.name!r}",
        (
            "FT.SEARCH", schema.name, compile_filter(condition), "NOCONTENT",
            "LIMIT", str(offset), str(limit), *_DIALECT,
        ),
    )  # fmt: skip
    return [document_id(schema, key) for key in _hits(replies[0])]


def count(condition: Filter | None, schema: IndexSchema) -> Plan[int]:
    """How many documents satisfy ``condition``."""
    replies = yield atomic(
        f"count documents of index {schema.name!r}",
        ("FT.SEARCH", schema.name, compile_filter(condition), "NOCONTENT", "LIMIT", "0", "0",
         *_DIALECT),
    )  # fmt: skip
    number: int = replies[0][0]
    if number != _RESULTS_LOOKED_AT:
        return number
    cluster = yield AskCluster(f"count documents of index {schema.name!r}")
    if condition is not None or cluster:  # there FT.INFO tells of one shard
        raise _too_many(schema)
    return (yield from info(schema)).documents


def _too_many(schema: IndexSchema) -> CommandError:
    return CommandError(
        f"{_RESULTS_LOOKED_AT} documents of index {schema.name!r} or more satisfy the filter, and "
        "valkey-search looks at no more of them: narrow the filter, or raise the server's "
        "search.max-nonvector-search-results-fetched"
    )


def delete_matching(condition: Filter | None, schema: IndexSchema) -> Plan[int]:
    """Delete every document that satisfies ``condition``, however many; how many there were.

    In a cluster the index may still show what was just deleted. The walk passes over that, and
    begins again as long as it found something on the way, because pages move up meanwhile.
    """
    gone: set[str] = set()
    deleted, offset, found = 0, 0, False
    while True:
        ids = yield from matching_ids(condition, offset, _PAGE, schema)
        if fresh := [one for one in ids if one not in gone]:
            deleted += yield from delete_ids(fresh, schema)
            gone.update(fresh)
            found = True
        elif ids:
            offset += len(ids)
        elif offset and found:
            offset, found = 0, False
        else:
            return deleted
