"""Documents at their keys: written in batches, read by id, deleted by id, given a new TTL.

Every way to search stores them alike, so these plans are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .._errors import BulkWriteError, ValkeyMemoryError
from .._keys import document_key, slot
from .._plans import AskCluster, Plan, Request, atomic
from . import limits
from .changelog import note, noted_plan
from .documents import Document
from .records import Prepared, from_read, read_command
from .schema import IndexSchema

Progress: TypeAlias = Callable[[int, int], None]
"""Called after each batch with how many documents are written, and of how many."""


def batches(
    documents: Sequence[Prepared], schema: IndexSchema, cluster: bool
) -> Iterator[list[Prepared]]:
    """Documents that go in one transaction: of one slot in a cluster, and not too many bytes."""
    ordered = list(documents)
    if cluster:
        ordered.sort(key=lambda document: slot(document_key(schema.name, document.id)))
    batch: list[Prepared] = []
    size, last_slot = 0, -1
    for document in ordered:
        own_slot = slot(document_key(schema.name, document.id)) if cluster else -1
        if batch and (
            size + document.size > limits.BATCH_BYTES
            or len(batch) == limits.BATCH_DOCUMENTS
            or own_slot != last_slot
        ):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size, last_slot = size + document.size, own_slot
    if batch:
        yield batch


def write_plan(
    documents: Sequence[Prepared], schema: IndexSchema, progress: Progress | None
) -> Plan[None]:
    """Write documents in transactions of at most 200 documents and about 1 MB.

    Raises:
        BulkWriteError: One failed; says which documents were written.
    """
    cluster = yield AskCluster(f"write to index {schema.name!r}")
    ids = [document.id for document in documents]
    writing = _write_plan(documents, schema, progress, cluster)
    yield from noted_plan(writing, schema, ids, cluster)


def _write_plan(
    documents: Sequence[Prepared], schema: IndexSchema, progress: Progress | None, cluster: bool
) -> Plan[None]:
    written: list[str] = []
    pending = list(batches(documents, schema, cluster))
    for number, batch in enumerate(pending):
        ids = [document.id for document in batch]
        operation = f"write {_amount(batch)} to index {schema.name!r}"
        try:
            yield from _apply_plan(operation, batch, schema, cluster)
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


def _apply_plan(
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
    changed = note(schema, [document.id for document in batch])
    yield Request(operation, (*commands, *changed), atomic=True)


def _amount(documents: Sequence[object]) -> str:
    return "1 document" if len(documents) == 1 else f"{len(documents)} documents"


def delete_plan(ids: Sequence[str], schema: IndexSchema) -> Plan[int]:
    """Delete documents by id; how many there were."""
    cluster = yield AskCluster(f"delete from index {schema.name!r}")
    return (yield from noted_plan(_delete_plan(ids, schema, cluster), schema, ids, cluster))


def _delete_plan(ids: Sequence[str], schema: IndexSchema, cluster: bool) -> Plan[int]:
    prepared = [
        Prepared(one, (("UNLINK", document_key(schema.name, one)),), len(one)) for one in ids
    ]
    deleted = 0
    for batch in batches(prepared, schema, cluster):
        keys = [document_key(schema.name, document.id) for document in batch]
        changed = () if cluster else note(schema, [document.id for document in batch])
        replies = yield atomic(
            f"delete {_amount(keys)} of index {schema.name!r}", ("UNLINK", *keys), *changed
        )
        deleted += replies[0]
    return deleted


def touch_plan(ids: Sequence[str], schema: IndexSchema, ttl_ms: int) -> Plan[None]:
    """Restart the TTL of documents."""
    cluster = yield AskCluster(f"refresh documents of index {schema.name!r}")
    yield from noted_plan(_touch_plan(ids, schema, ttl_ms, cluster), schema, ids, cluster)


def _touch_plan(ids: Sequence[str], schema: IndexSchema, ttl_ms: int, cluster: bool) -> Plan[None]:
    expiry = str(ttl_ms)
    prepared = [
        Prepared(one, (("PEXPIRE", document_key(schema.name, one), expiry),), len(one))
        for one in ids
    ]
    for batch in batches(prepared, schema, cluster):
        operation = f"refresh documents of index {schema.name!r}"
        yield from _apply_plan(operation, batch, schema, cluster)


def read_plan(ids: Sequence[str], schema: IndexSchema, *, embeddings: bool) -> Plan[list[Document]]:
    """The documents of ``ids`` that there are, in the order of ``ids``."""
    found: list[Document] = []
    for start in range(0, len(ids), limits.READ_DOCUMENTS):
        some = ids[start : start + limits.READ_DOCUMENTS]
        replies = yield Request(
            f"read documents of index {schema.name!r}",
            tuple(
                read_command(schema, document_key(schema.name, one), embeddings=embeddings)
                for one in some
            ),
        )
        for one, reply in zip(some, replies, strict=True):
            document = from_read(one, reply, schema, embeddings=embeddings)
            if document is not None:
                found.append(document)
    return found
