"""Ways to search an index, behind one protocol, and the choice between them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias

from .._errors import IndexMismatchError, SearchUnavailableError
from .._filters.expressions import Filter
from .._plans import Plan
from . import exact, server
from .documents import Document, OnCorrupt
from .questions import Counted, Question
from .schema import IndexInfo, IndexSchema, check_fits
from .walk import dimensions_plan

Mode: TypeAlias = Literal["server", "exact"]
Search: TypeAlias = Literal["auto", "server", "exact"]

_log = logging.getLogger("valkey_memory")


class Engine(Protocol):
    """What finds documents. They are written, read and deleted by id by ``storage``, for all alike.

    Attributes:
        mode: Which search it is.
        schema: The index as it is stored.
    """

    @property
    def mode(self) -> Mode: ...

    @property
    def schema(self) -> IndexSchema: ...

    def create_plan(self) -> Plan[None]:
        """Make what choosing the engine did not make."""

    def info_plan(self) -> Plan[IndexInfo | None]:
        """What the server says of the index; None where it has none."""

    def wait_plan(self, timeout: float) -> Plan[bool]:
        """Wait at most ``timeout`` seconds until every document is searchable; whether it is."""

    def ask_plan(self, questions: Sequence[Question], *, fresh: bool = True) -> Plan[list[Any]]:
        """The answers to ``questions``, in order. One round trip for all of them.

        Without ``fresh`` what was known at the last question will do, where that saves one.
        """

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
        """Documents that satisfy ``condition``, without regard to vectors."""

    def count_plan(self, condition: Filter | None) -> Plan[int]:
        """How many documents satisfy ``condition``."""

    def delete_where_plan(self, condition: Filter | None) -> Plan[int]:
        """Delete every document that satisfies ``condition``; how many there were."""


class EmptyEngine:
    """Finds nothing: no dimension is known, because nothing was ever stored or asked.

    Where a dropped index of the server left documents, what has to see every document makes it anew
    over them.

    Args:
        mode: Which search there will be.
        schema: The index, without a dimension.
        on_corrupt: What to do with a document that cannot be read.
    """

    def __init__(self, mode: Mode, schema: IndexSchema, on_corrupt: OnCorrupt) -> None:
        self.mode = mode
        self.schema = schema
        self._on_corrupt = on_corrupt

    def _left_plan(self) -> Plan[Engine | None]:
        """What finds the documents that are there after all. It walks the keyspace."""
        if self.mode == "exact":
            return None  # who chose this looked for them
        dimensions = yield from dimensions_plan(self.schema)
        if not dimensions:
            return None
        return (yield from server.open_plan(self.schema, self._on_corrupt, max(dimensions)))

    def create_plan(self) -> Plan[None]:
        yield from ()

    def info_plan(self) -> Plan[None]:
        yield from ()

    def wait_plan(self, timeout: float) -> Plan[bool]:
        del timeout
        yield from ()
        return True

    def ask_plan(self, questions: Sequence[Question], *, fresh: bool = True) -> Plan[list[Any]]:
        del fresh
        yield from ()
        return [0 if isinstance(question, Counted) else [] for question in questions]

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
        engine = yield from self._left_plan()
        if engine is None:
            return []
        return (
            yield from engine.page_plan(
                condition,
                offset,
                limit,
                embeddings=embeddings,
                order_by=order_by,
                descending=descending,
            )
        )

    def count_plan(self, condition: Filter | None) -> Plan[int]:
        engine = yield from self._left_plan()
        return 0 if engine is None else (yield from engine.count_plan(condition))

    def delete_where_plan(self, condition: Filter | None) -> Plan[int]:
        engine = yield from self._left_plan()
        return 0 if engine is None else (yield from engine.delete_where_plan(condition))


def choose_plan(
    schema: IndexSchema,
    search: Search,
    exact_limit: int,
    on_corrupt: OnCorrupt,
    length: int | None,
) -> Plan[Engine]:
    """Find out which search there is, and make the index.

    Args:
        schema: The index as it shall be; its dimension may be None.
        search: ``"auto"`` takes the server if it can search.
        exact_limit: As many documents as exact search will hold.
        on_corrupt: What to do with a document that cannot be read.
        length: Numbers per vector that is written or searched for; None when there is none.

    Raises:
        SearchUnavailableError: The server was asked for, and it cannot.
        IndexMismatchError: An index of that name is there in another shape.
    """
    name = schema.name
    if search != "exact":
        try:
            on_server = yield from server.open_plan(schema, on_corrupt, length)
        except SearchUnavailableError as unavailable:
            if search == "server":
                raise
            _log.info("index %r: exact search in the client, because %s", name, unavailable)
        else:
            if search == "auto":
                _log.info("index %r: search on the server (valkey-search)", name)
            return on_server or EmptyEngine("server", schema, on_corrupt)
    schema = exact_schema(schema)
    in_client = yield from exact.open_plan(schema, exact_limit, on_corrupt, length)
    return in_client or EmptyEngine("exact", schema, on_corrupt)


def drop_plan(schema: IndexSchema, search: Search, *, delete_documents: bool) -> Plan[bool]:
    """Drop the index; whether there was one.

    It does not choose before, which would make the index, or refuse one that is to be made anew.
    """
    if search != "exact":
        try:
            found = yield from server.probe_plan(schema)
        except SearchUnavailableError:
            if search == "server":
                raise
        else:
            return (yield from server.drop_plan(schema, found, delete_documents))
    if not delete_documents:
        return False
    return (yield from exact.drop_plan(exact_schema(schema)))


def misfit_plan(schema: IndexSchema, mode: Mode, exact_limit: int) -> Plan[str]:
    """Why what is stored cannot serve ``schema``; nothing where it can, or where nothing is.

    Unlike a choice it makes no index. Exact search may walk the keyspace for that.
    """
    try:
        if mode == "exact":
            yield from exact.open_plan(exact_schema(schema), exact_limit, "skip")
        elif (found := (yield from server.probe_plan(schema))) is not None:
            check_fits(found, schema.of_dimension(found.dimension or None))
    except IndexMismatchError as error:
        return str(error)
    return ""


def exact_schema(schema: IndexSchema) -> IndexSchema:
    """``schema`` as exact search stores it: in hashes."""
    return replace(schema, storage="hash")
