"""Exact search in the client, for servers without valkey-search and for small memories.

Documents are stored as hashes, just as an index of ``storage="hash"`` stores them. A local copy of
them is kept fresh by the log of changes. A search reads what is new in it, one round trip, and
fetches only the documents named there. When the log no longer reaches back far enough, everything
is read again. The copy knows each document's expiry, so expired documents drop out by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .._filters.expressions import Filter
from .._plans import Now, Plan, atomic
from . import shape
from .changelog import forget_plan
from .copy import LocalCopy
from .documents import Document, OnCorrupt
from .questions import Counted, Nearest, Question
from .reading import refresh_plan
from .schema import IndexSchema
from .storage import delete_plan
from .vector import from_bytes
from .walk import delete_all_plan, dimensions_plan


class ExactEngine:
    """Documents in hashes, compared in the client. ``open_plan`` makes it.

    Attributes:
        copy: The documents as this client has them.
    """

    mode: Literal["exact"] = "exact"

    def __init__(self, schema: IndexSchema, limit: int, on_corrupt: OnCorrupt = "raise") -> None:
        self.schema = schema
        self.copy = LocalCopy(schema, limit, on_corrupt)

    def create_plan(self) -> Plan[None]:
        """Keep the shape, unless one is kept."""
        operation = f"create index {self.schema.name!r}"
        yield from shape.met_plan(operation, self.schema, again=True)

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

    def ask_plan(self, questions: Sequence[Question], *, fresh: bool = True) -> Plan[list[Any]]:
        if fresh or self.copy.version is None:
            yield from refresh_plan(self.copy)
        now: int = yield Now()
        return [self._answer(question, now) for question in questions]

    def _answer(self, question: Question, now: int) -> Any:
        copy, condition = self.copy, question.condition
        if isinstance(question, Counted):
            return copy.count(condition, now)
        embeddings = question.embeddings
        if isinstance(question, Nearest):  # every vector is compared, with whatever ef_runtime
            query = from_bytes(question.query)
            return copy.nearest(query, question.k, condition, now, embeddings=embeddings)
        return copy.page(
            condition,
            0,
            question.limit,
            now,
            embeddings=embeddings,
            order_by=question.order_by,
            descending=question.descending,
        )

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
        if condition is None:  # what the copy leaves out, and what it cannot read, too
            return (yield from delete_all_plan(self.schema, ("hash",)))
        now = yield from self._fresh_plan()
        found = self.copy.page(condition, 0, None, now)
        return (yield from delete_plan([document.id for document in found], self.schema))


def open_plan(
    schema: IndexSchema, limit: int, on_corrupt: OnCorrupt, length: int | None = None
) -> Plan[ExactEngine | None]:
    """Exact search over the documents of ``schema``, which stores hashes.

    Args:
        schema: Its dimension may be left to the documents that are there.
        limit: As many documents as it will hold.
        on_corrupt: What to do with a document that cannot be read.
        length: The dimension where ``schema`` has none and nothing is stored.

    Returns:
        None when nothing is stored, and no dimension is known.

    Raises:
        IndexMismatchError: What is stored has another shape.
    """
    (kept,) = yield atomic(f"look at index {schema.name!r}", shape.look(schema), repeatable=True)
    stored = shape.check(kept, schema)
    if stored is None:
        dimensions = yield from dimensions_plan(schema)
        if dimensions and schema.dimension not in (None, *dimensions):
            found = ", ".join(map(str, sorted(dimensions)))
            raise shape.mismatch(schema, f"its dimension is {found}, not {schema.dimension}")
        stored = max(dimensions, default=None)
    schema = schema.of_dimension(stored or length)
    return None if schema.dimension is None else ExactEngine(schema, limit, on_corrupt)


def drop_plan(schema: IndexSchema) -> Plan[bool]:
    """Delete all documents, of whatever shape, and the log of changes; whether there were any."""
    deleted = yield from delete_all_plan(schema, ("hash",))
    yield from forget_plan(schema)
    return deleted > 0
