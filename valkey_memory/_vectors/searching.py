"""Questions as FT.SEARCH commands, and what their replies say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import InvalidArgumentError
from .._filters.expressions import Exists
from .._filters.query import compile_filter
from .._plans import Command
from . import limits
from .documents import Hit, OnCorrupt
from .questions import Counted, Matching, Nearest, Question
from .records import from_search, returned
from .schema import EMBEDDING, IndexSchema
from .vector import similarity

DIALECT = ("DIALECT", "2")


def command(question: Question, schema: IndexSchema, offset: int = 0) -> Command:
    """The command that asks ``question``, passing over the first ``offset`` documents."""
    if isinstance(question, Nearest):
        return _nearest(question, schema)
    if isinstance(question, Matching):
        return _matching(question, schema, offset)
    selection = compile_filter(question.condition)
    return ("FT.SEARCH", schema.name, selection, "NOCONTENT", "LIMIT", "0", "0", *DIALECT)


def _nearest(question: Nearest, schema: IndexSchema) -> Command:
    k, condition = question.k, question.condition
    if k > limits.NEAREST:
        raise InvalidArgumentError(
            f"k is {k:,}, but valkey-search returns at most {limits.NEAREST:,} documents of a "
            "search by vector: ask for fewer, or go through them with page()"
        )
    selection = "*" if condition is None else f"({compile_filter(condition)})"
    # HNSW looks at this many candidates at least; k of them must be found.
    effort = question.ef_runtime or (k if k > schema.ef_runtime else None)
    runtime = f" EF_RUNTIME {effort}" if effort and schema.algorithm == "hnsw" else ""
    parts = returned(schema, embeddings=question.embeddings)
    return (
        "FT.SEARCH", schema.name,
        f"{selection}=>[KNN {k} @{EMBEDDING} $vector{runtime} AS _score]",
        "RETURN", str(len(parts) + 1), *parts, "_score",
        "LIMIT", "0", str(k),
        "PARAMS", "2", "vector", question.query, *DIALECT,
    )  # fmt: skip


def _matching(question: Matching, schema: IndexSchema, offset: int) -> Command:
    condition, order_by = question.condition, question.order_by
    parts = returned(schema, embeddings=question.embeddings)
    order: tuple[str, ...] = ()
    if order_by is not None:
        # SORTBY puts documents without the field last; they have no place in such an order.
        present = Exists(order_by)
        condition = present if condition is None else present & condition
        order = ("SORTBY", order_by, "DESC" if question.descending else "ASC")
    return (
        "FT.SEARCH", schema.name, compile_filter(condition),
        "RETURN", str(len(parts)), *parts, *order,
        "LIMIT", str(offset), str(question.limit), *DIALECT,
    )  # fmt: skip


def found(reply: Sequence[Any]) -> Mapping[bytes, Mapping[bytes, bytes]]:
    """The documents of a reply: their fields by key."""
    return reply[1] if len(reply) > 1 else {}


def answer(
    question: Question, reply: Sequence[Any], schema: IndexSchema, on_corrupt: OnCorrupt
) -> Any:
    """The answer to ``question`` in the reply to its command."""
    if isinstance(question, Counted):
        return reply[0]
    fields = found(reply)
    documents = from_search(fields, schema, on_corrupt)
    if isinstance(question, Matching):
        return [document for document in documents if document is not None]
    return [
        Hit(document, similarity(float(values[b"_score"]), schema.metric))
        for document, values in zip(documents, fields.values(), strict=True)
        if document is not None
    ]
