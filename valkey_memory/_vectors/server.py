"""Search on the server, with valkey-search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from .._errors import (
    CommandError,
    FilterError,
    IndexExistsError,
    IndexNotFoundError,
    SearchUnavailableError,
    ServerUnavailableError,
    UnknownCommandError,
    ValkeyMemoryError,
)
from .._filters.evaluation import number_value
from .._filters.expressions import Filter, NumberIn
from .._filters.query import compile_filter
from .._keys import document_ids, probe_key
from .._plans import (
    AskCluster,
    Command,
    Pause,
    Plan,
    Reply,
    Request,
    atomic,
)
from . import limits, searching
from .changelog import forget_plan
from .documents import Document, OnCorrupt
from .questions import Counted, Matching, Question
from .schema import (
    STORAGES,
    IndexInfo,
    IndexSchema,
    check_fits,
    check_prefixes,
    is_ready,
    parse_info,
)
from .storage import delete_plan
from .walk import delete_all_plan


class ServerEngine:
    """An index of valkey-search. ``open_plan`` makes it."""

    mode: Literal["server"] = "server"

    def __init__(self, schema: IndexSchema, on_corrupt: OnCorrupt = "raise") -> None:
        self.schema = schema
        self._on_corrupt = on_corrupt

    def create_plan(self) -> Plan[None]:
        """Nothing: ``open_plan`` made it."""
        yield from ()

    def info_plan(self) -> Plan[IndexInfo]:
        """FT.INFO."""
        return (yield from _info_plan(self.schema))

    def wait_plan(self, timeout: float) -> Plan[bool]:
        """Ask until documents that were there before the index are indexed; whether they are."""
        return (yield from _filled_plan(self.schema, timeout))

    def ask_plan(self, questions: Sequence[Question], *, fresh: bool = True) -> Plan[list[Any]]:
        del fresh  # the index is on the server, and so is every answer
        operation = f"search index {self.schema.name!r}"
        commands = tuple(searching.command(question, self.schema) for question in questions)
        replies = yield Request(operation, commands, repeatable=True)
        return [
            searching.answer(question, reply, self.schema, self._on_corrupt)
            for question, reply in zip(questions, replies, strict=True)
        ]

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
        schema = self.schema
        question = Matching(
            condition, limit, order_by=order_by, descending=descending, embeddings=embeddings
        )
        reply = yield from _complete_plan(
            f"list documents of index {schema.name!r}",
            searching.command(question, schema, offset),
            schema,
        )
        at_most = limits.RESULTS_LOOKED_AT
        if reply[0] == at_most and (order_by or offset + limit > at_most):
            raise _too_many(schema)
        documents: list[Document] = searching.answer(question, reply, schema, self._on_corrupt)
        if order_by is None or not documents:
            return documents
        if offset or reply[0] > limit:
            return (yield from self._part_plan(question, order_by, offset, documents))
        return self._ordered(documents, order_by, descending)

    def _part_plan(
        self, question: Matching, order_by: str, offset: int, documents: Sequence[Document]
    ) -> Plan[list[Document]]:
        """A page of several, of which ``documents`` have the numbers.

        Of documents with equal numbers the server takes others for each page. So all that have the
        numbers of this page are read, and the client puts them in order. One round trip.
        """
        numbers = [_number(one, order_by) for one in documents]
        low, high = min(numbers), max(numbers)
        beyond = (
            NumberIn(order_by, high, above=True)
            if question.descending
            else NumberIn(order_by, high=low, below=True)
        )
        passed, among = yield from self.ask_plan(
            [
                Counted(_both(question.condition, beyond)),
                replace(
                    question,
                    condition=_both(question.condition, NumberIn(order_by, low, high)),
                    limit=limits.RESULTS_LOOKED_AT,
                ),
            ]
        )
        ordered = self._ordered(among, order_by, question.descending)
        return ordered[max(offset - passed, 0) :][: question.limit]

    def _ordered(
        self, documents: Sequence[Document], order_by: str, descending: bool
    ) -> list[Document]:
        """By their number, and by their id where it is the same."""
        by_id = sorted(documents, key=lambda one: one.id)
        return sorted(by_id, key=lambda one: _number(one, order_by), reverse=descending)

    def count_plan(self, condition: Filter | None) -> Plan[int]:
        schema = self.schema
        operation = f"count documents of index {schema.name!r}"
        command = searching.command(Counted(condition), schema)
        reply = yield from _complete_plan(operation, command, schema)
        number: int = reply[0]
        if number != limits.RESULTS_LOOKED_AT:
            return number
        cluster = yield AskCluster(operation)
        if condition is not None or cluster:  # there FT.INFO tells of one shard
            raise _too_many(schema)
        return (yield from _info_plan(schema)).documents

    def delete_where_plan(self, condition: Filter | None) -> Plan[int]:
        if condition is None:
            found = yield from _info_plan(self.schema)
            return (yield from _delete_documents_plan(self.schema, found))
        return (yield from delete_matching_plan(condition, self.schema))


def _number(document: Document, field: str) -> float:
    try:
        return number_value(document.metadata.get(field), field) or 0.0
    except FilterError:  # another program wrote it, and its number beside it
        return 0.0


def _both(condition: Filter | None, other: Filter) -> Filter:
    return other if condition is None else condition & other


# The index


def probe_plan(schema: IndexSchema) -> Plan[IndexInfo | None]:
    """The index, or None when there is none.

    Raises:
        SearchUnavailableError: The server has no search commands, or no JSON for a JSON index.
    """
    found: IndexInfo | None = None
    commands: list[tuple[str, ...]] = [("FT.INFO", schema.name)]
    if schema.storage == "json":
        commands.append(("JSON.GET", probe_key(schema.name), "$"))
    for command in commands:
        operation = f"look at index {schema.name!r}"
        (reply,) = yield Request(operation, (command,), errors_as_replies=True, repeatable=True)
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


def _info_plan(schema: IndexSchema) -> Plan[IndexInfo]:
    replies = yield atomic(
        f"describe index {schema.name!r}", ("FT.INFO", schema.name), repeatable=True
    )
    return parse_info(replies[0])


def open_plan(
    schema: IndexSchema, on_corrupt: OnCorrupt, length: int | None = None
) -> Plan[ServerEngine | None]:
    """Attach to the index that is there if it fits, or create it.

    Two creators at once are harmless: the second finds what the first made, and checks it.

    Args:
        schema: The index as it shall be; its dimension may be left to the index that is there.
        on_corrupt: What to do with a document that cannot be read.
        length: The dimension of a new index where ``schema`` has none.

    Returns:
        None when there is no index, and no dimension to create it with.

    Raises:
        IndexMismatchError: One of that name is there in another shape.
        SearchUnavailableError: The server cannot.
    """
    found = yield from probe_plan(schema)
    if found is None:
        schema = schema.of_dimension(length)
        if schema.dimension is None:
            return None
        (reply,) = yield Request(
            f"create index {schema.name!r}",
            (schema.create_command(),),
            errors_as_replies=True,
            repeatable=True,
        )
        if isinstance(reply, ValkeyMemoryError) and not isinstance(reply, IndexExistsError):
            raise reply
        found = yield from _info_plan(schema)
    schema = schema.of_dimension(found.dimension or None)
    check_fits(found, schema)
    return ServerEngine(schema, on_corrupt)


def drop_plan(schema: IndexSchema, found: IndexInfo | None, delete_documents: bool) -> Plan[bool]:
    """Drop the index that ``probe_plan`` found, of whatever shape; whether there was anything.

    Raises:
        IndexMismatchError: Its documents shall go, and it indexes other keys than ``schema``'s.
    """
    if delete_documents:
        deleted = yield from _delete_documents_plan(schema, found)
        yield from forget_plan(schema)
        if found is None:
            return deleted > 0
    if found is None:
        return False
    (reply,) = yield Request(
        f"drop index {schema.name!r}", (("FT.DROPINDEX", schema.name),), errors_as_replies=True
    )
    if isinstance(reply, IndexNotFoundError):
        return False
    if isinstance(reply, ValkeyMemoryError):
        raise reply
    return True


def _delete_documents_plan(schema: IndexSchema, found: IndexInfo | None) -> Plan[int]:
    """Delete all documents: by the index where it surely has them all, else by their keys."""
    if found is None:
        return (yield from delete_all_plan(schema, STORAGES))
    stored = replace(schema, storage=found.storage)
    check_prefixes(found, stored)
    cluster = yield AskCluster(f"delete the documents of index {schema.name!r}")
    if cluster or not found.ready or found.failures:
        return (yield from delete_all_plan(stored, (found.storage,)))
    return (yield from delete_matching_plan(None, stored))


# An index over documents that were there before is filled in the background


def _filled_plan(schema: IndexSchema, timeout: float) -> Plan[bool]:
    """Ask for ``timeout`` seconds whether the index is filled, in a cluster on every node."""
    operation = f"describe index {schema.name!r}"
    scope = ("CLUSTER",) if (yield AskCluster(operation)) else ()
    for _ in range(max(1, round(timeout / limits.POLL_SECONDS))):
        (reply,) = yield Request(operation, (("FT.INFO", schema.name, *scope),), read_only=True)
        if is_ready(reply):
            return True
        yield Pause(limits.POLL_SECONDS)
    return False


def _complete_plan(operation: str, command: Command, schema: IndexSchema) -> Plan[Reply]:
    """The reply to a search once the index is filled, so that none of the documents is missing.

    One round trip; in a cluster, where every node has to be asked, two.

    Raises:
        ServerUnavailableError: It takes longer than a minute.
    """
    cluster = yield AskCluster(operation)
    if not cluster:
        commands = (("FT.INFO", schema.name), command)
        state, reply = yield Request(operation, commands, repeatable=True)
        if is_ready(state):
            return reply
    if not (yield from _filled_plan(schema, limits.READY_SECONDS)):
        raise ServerUnavailableError(
            f"{operation}: after {limits.READY_SECONDS:g} s the index is still being filled with "
            "the documents that were there before it, so some would be missed. Nothing was "
            "changed. Wait with wait_until_ready(), and try again."
        )
    (reply,) = yield Request(operation, (command,), repeatable=True)
    return reply


# Documents by a filter alone


def matching_ids_plan(
    condition: Filter | None, offset: int, limit: int, schema: IndexSchema
) -> Plan[list[str]]:
    """Ids of documents that satisfy ``condition``."""
    reply = yield from _complete_plan(
        f"list ids of index {schema.name!r}",
        (
            "FT.SEARCH", schema.name, compile_filter(condition), "NOCONTENT",
            "LIMIT", str(offset), str(limit), *searching.DIALECT,
        ),
        schema,
    )  # fmt: skip
    return document_ids(schema.name, searching.found(reply))


def _too_many(schema: IndexSchema) -> CommandError:
    return CommandError(
        f"{limits.RESULTS_LOOKED_AT} documents of index {schema.name!r} or more satisfy the "
        "filter, and valkey-search looks at no more of them: narrow the filter, or raise the "
        "server's search.max-nonvector-search-results-fetched"
    )


def delete_matching_plan(condition: Filter | None, schema: IndexSchema) -> Plan[int]:
    """Delete every document that satisfies ``condition``, however many; how many there were.

    In a cluster the index may still show what was just deleted. The walk passes over that, and
    begins again as long as it found something on the way, because pages move up meanwhile.
    """
    gone: set[str] = set()
    deleted, offset, found = 0, 0, False
    while True:
        ids = yield from matching_ids_plan(condition, offset, limits.PAGE, schema)
        if fresh := [one for one in ids if one not in gone]:
            deleted += yield from delete_plan(fresh, schema)
            gone.update(fresh)
            found = True
        elif ids:
            offset += len(ids)
        elif offset and found:
            offset, found = 0, False
        else:
            return deleted
