"""Documents at their keys: written in batches, read by id, deleted by id, given a new TTL.

Every way to search stores them alike, so these plans are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from .._errors import (
    BulkWriteError,
    CommandError,
    IndexMismatchError,
    KeyTypeError,
    PermissionDeniedError,
    ValkeyMemoryError,
)
from .._keys import document_key
from .._plans import AskCluster, Command, Plan, Reply, Request, answered, atomic
from . import limits, shape
from .changelog import begin, end, ended_plan, note, restart
from .documents import Document, OnCorrupt
from .records import Prepared, from_read, read_command, readable
from .schema import IndexSchema
from .sending import scattered_plan

Progress: TypeAlias = Callable[[int, int], None]
"""Called after each batch with how many documents are written, and of how many."""


def batches(documents: Sequence[Prepared], times: int = 1) -> Iterator[list[Prepared]]:
    """Documents that are sent together: not too many, and not too many bytes.

    Args:
        documents: All of them.
        times: So many times as many as usual.
    """
    batch: list[Prepared] = []
    size = 0
    for document in documents:
        full = len(batch) == limits.BATCH_DOCUMENTS * times
        if batch and (full or size + document.size > limits.BATCH_BYTES * times):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += document.size
    if batch:
        yield batch


def write_plan(
    documents: Sequence[Prepared],
    schema: IndexSchema,
    progress: Progress | None,
    *,
    keeps_shape: bool = False,
) -> Plan[None]:
    """Write documents in batches of at most 200 documents and about 4 MB, or in a cluster of three
    times that.

    Args:
        documents: What to write.
        schema: The index.
        progress: Called after each batch.
        keeps_shape: Keep the shape beside them, as exact search does.

    Raises:
        BulkWriteError: One failed; says which documents were written.
        IndexMismatchError: The index has another shape. Nothing was written, unless another
            process made it anew since the first write.
    """
    cluster = yield AskCluster(f"write to index {schema.name!r}")
    written: list[str] = []
    pending = list(batches(documents, limits.CLUSTER_BATCH if cluster else 1))
    for number, batch in enumerate(pending):
        ids = [document.id for document in batch]
        operation = f"write {_amount(batch)} to index {schema.name!r}"
        try:
            if cluster:
                guard = (shape.keep(schema),) if keeps_shape else ()
                failed = yield from _scatter_plan(operation, batch, schema, guard)
            else:
                failed = []
                own = (command for document in batch for command in document.commands)
                commands = (*own, *note(schema, ids))
                if keeps_shape:
                    yield from _guarded_plan(operation, commands, schema)
                else:
                    yield Request(operation, commands, atomic=True, repeatable=True)
            error = failed[0][1] if failed else None
        except IndexMismatchError:
            raise
        except ValkeyMemoryError as raised:
            failed, error = [(one, raised) for one in ids], raised
        unknown = [one for one, _ in failed]
        written += [one for one in ids if one not in set(unknown)] if failed else ids
        if error is not None:
            remaining = [document.id for later in pending[number + 1 :] for document in later]
            raise BulkWriteError(
                f"{len(written)} of {len(documents)} documents were written, {len(unknown)} may "
                f"have been, {len(remaining)} were not sent. {error}",
                written,
                unknown,
                remaining,
            ) from error
        if progress is not None:
            progress(len(written), len(documents))


def _guarded_plan(operation: str, commands: tuple[Command, ...], schema: IndexSchema) -> Plan[None]:
    """Send ``commands``, or none of them where another shape is kept than ``schema``'s.

    A transaction cannot look before it writes, so the first write looks in a round trip of its own.
    An index that another process made anew since then is noticed behind the write.

    Raises:
        IndexMismatchError: Another shape is kept.
    """
    met = yield from shape.met_plan(operation, schema)
    request = Request(operation, (*commands, shape.keep(schema)), atomic=True, repeatable=True)
    *_, kept = yield request
    try:
        shape.check(kept, schema)
    except IndexMismatchError:
        met.pop(schema.name, None)
        raise


def _scatter_plan(
    operation: str,
    batch: Sequence[Prepared],
    schema: IndexSchema,
    guard: tuple[Any, ...] = (),
    replies_of: dict[str, list[Reply]] | None = None,
) -> Plan[list[tuple[str, ValkeyMemoryError]]]:
    """Send documents' commands over a cluster, noted before and behind.

    Returns:
        The ids whose commands failed, with the error.
    """
    ids = [document.id for document in batch]
    notes = begin(schema, ids)
    begun: list[Any] = []
    if notes or guard:
        replies = yield atomic(
            f"note changes of index {schema.name!r}", *notes, *guard, repeatable=True
        )
        begun = replies[: len(notes)]
        if guard:
            shape.check(replies[-1], schema)
    found = yield from scattered_plan(operation, batch, schema.name)
    failed = [(one, error) for one, error in found.items() if isinstance(error, ValkeyMemoryError)]
    if replies_of is not None:
        replies_of.update({one: replies for one, replies in found.items() if type(replies) is list})
    if not failed:  # else it may still come in
        yield from ended_plan(schema, end(schema, ids, begun) if begun else ())
    return failed


def _amount(documents: Sequence[object]) -> str:
    return "1 document" if len(documents) == 1 else f"{len(documents)} documents"


def delete_plan(ids: Sequence[str], schema: IndexSchema) -> Plan[int]:
    """Delete documents by id; how many there were."""
    cluster = yield AskCluster(f"delete from index {schema.name!r}")
    prepared = [
        Prepared(one, (("UNLINK", document_key(schema.name, one)),), len(one)) for one in ids
    ]
    deleted = 0
    for batch in batches(prepared, limits.CLUSTER_BATCH if cluster else 1):
        operation = f"delete {_amount(batch)} of index {schema.name!r}"
        delete = _delete_scattered_plan if cluster else _delete_together_plan
        deleted += yield from delete(operation, batch, schema)
    return deleted


def _delete_together_plan(
    operation: str, batch: Sequence[Prepared], schema: IndexSchema
) -> Plan[int]:
    unlink = ("UNLINK", *(document_key(schema.name, document.id) for document in batch))
    replies = yield from _on_full_server_plan(operation, (unlink,), batch, schema)
    deleted: int = replies[0]
    return deleted


def _delete_scattered_plan(
    operation: str, batch: Sequence[Prepared], schema: IndexSchema
) -> Plan[int]:
    replies = yield from _over_full_cluster_plan(operation, batch, schema)
    return sum(own[0] for own in replies.values())


# What needs no memory is done on a server that has none, too. It takes no note there; instead every
# copy loads anew.


def _on_full_server_plan(
    operation: str, commands: tuple[Command, ...], batch: Sequence[Prepared], schema: IndexSchema
) -> Plan[list[Reply]]:
    """Send ``commands`` with a note of the change, in one transaction; the replies to both."""
    notes = note(schema, [document.id for document in batch])
    replies: list[Reply]
    try:
        replies = yield atomic(operation, *commands, *notes, repeatable=True)
    except PermissionDeniedError:
        raise
    except CommandError:
        if not notes:
            raise
        replies = yield atomic(operation, *commands, restart(schema), repeatable=True)
    return replies


def _over_full_cluster_plan(
    operation: str, batch: Sequence[Prepared], schema: IndexSchema
) -> Plan[dict[str, list[Reply]]]:
    """Send the commands of ``batch`` over a cluster, noted; the replies by id."""
    found: dict[str, list[Reply]] = {}
    try:
        failed = yield from _scatter_plan(operation, batch, schema, replies_of=found)
    except PermissionDeniedError:
        raise
    except CommandError:
        if not note(schema, [""]):
            raise
        yield atomic(operation, restart(schema), repeatable=True)
        replies = yield from scattered_plan(operation, batch, schema.name)
        found = {one: reply for one, reply in replies.items() if type(reply) is list}
        failed = [
            (one, error) for one, error in replies.items() if isinstance(error, ValkeyMemoryError)
        ]
        # Who loaded in between has a part of it.
        yield atomic(operation, restart(schema), repeatable=True)
    if failed:
        raise failed[0][1]
    return found


def touch_plan(ids: Sequence[str], schema: IndexSchema, ttl_ms: int) -> Plan[None]:
    """Restart the TTL of documents."""
    operation = f"refresh documents of index {schema.name!r}"
    cluster = yield AskCluster(operation)
    prepared = [
        Prepared(one, (("PEXPIRE", document_key(schema.name, one), str(ttl_ms)),), len(one))
        for one in ids
    ]
    for batch in batches(prepared, limits.CLUSTER_BATCH if cluster else 1):
        if cluster:
            yield from _over_full_cluster_plan(operation, batch, schema)
        else:
            commands = tuple(command for document in batch for command in document.commands)
            yield from _on_full_server_plan(operation, commands, batch, schema)


def read_plan(
    ids: Sequence[str], schema: IndexSchema, on_corrupt: OnCorrupt, *, embeddings: bool
) -> Plan[list[Document]]:
    """The documents of ``ids`` that there are, in the order of ``ids``."""
    found: list[Document] = []
    for start in range(0, len(ids), limits.READ_DOCUMENTS):
        some = ids[start : start + limits.READ_DOCUMENTS]
        request = Request(
            f"read documents of index {schema.name!r}",
            tuple(
                read_command(schema, document_key(schema.name, one), embeddings=embeddings)
                for one in some
            ),
            repeatable=True,
        )
        try:
            replies = yield request
        except KeyTypeError:  # once more, to see which
            replies = yield replace(request, errors_as_replies=True)
        for one, reply in zip(some, replies, strict=True):
            document = readable(on_corrupt, _from_read, one, reply, schema, embeddings=embeddings)
            if document is not None:
                found.append(document)
    return found


def _from_read(
    document_id: str, reply: Reply, schema: IndexSchema, *, embeddings: bool
) -> Document | None:
    """``from_read`` of a reply that may be an error."""
    if isinstance(reply, KeyTypeError):
        raise KeyTypeError(f"document {document_id!r}: {reply}")
    return from_read(document_id, answered(reply), schema, embeddings=embeddings)
