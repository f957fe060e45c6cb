"""The shape of an index of exact search, kept beside its documents as a server keeps an index's.

``{name}:shape`` is JSON text: ``{"dimension": 384, "metric": "cosine"}``. The first write sets it.
Without it a process that expects another dimension would find nothing, and store documents that no
other process finds.
"""

from __future__ import annotations

from typing import Any

import orjson

from .._errors import IndexMismatchError
from .._keys import shape_key
from .._plans import AskFacts, Command, Plan, atomic
from .schema import IndexSchema
from .vector import Metric


def keep(schema: IndexSchema) -> Command:
    """The command that sets the shape unless there is one; ``check`` reads its reply."""
    shape = {"dimension": schema.dimension, "metric": schema.metric}
    return ("SET", shape_key(schema.name), orjson.dumps(shape), "NX", "GET")


_MET = "shapes of exact indexes"
"""Among what a connection found out: by name, the shape that was last kept or checked."""


def met_plan(operation: str, schema: IndexSchema, *, again: bool = False) -> Plan[dict[str, Any]]:
    """Keep the shape unless one is kept, where this connection has not met it yet, or ``again``.

    Args:
        operation: What it is done for.
        schema: The index.
        again: Whether or not it was met.

    Returns:
        The shapes that it has met, by the name of their index.

    Raises:
        IndexMismatchError: The one that is kept cannot serve ``schema``.
    """
    facts: dict[str, Any] = yield AskFacts(operation)
    met: dict[str, Any] = facts.setdefault(_MET, {})
    own = schema.dimension, schema.metric
    if again or met.pop(schema.name, None) != own:
        (kept,) = yield atomic(operation, keep(schema), repeatable=True)
        check(kept, schema)
    met[schema.name] = own
    return met


def look(schema: IndexSchema) -> Command:
    """The command that reads the shape; ``check`` reads its reply."""
    return ("GET", shape_key(schema.name))


def read(reply: bytes | None, schema: IndexSchema) -> tuple[int, Metric] | None:
    """The dimension and the metric that are kept; None when no shape is.

    Raises:
        IndexMismatchError: What is kept is no shape.
    """
    if reply is None:
        return None
    try:
        found: dict[str, Any] = orjson.loads(reply)
        return int(found["dimension"]), found["metric"]
    except (ValueError, TypeError, KeyError) as error:
        raise mismatch(schema, f"{shape_key(schema.name)!r} holds no shape ({error})") from error


def check(reply: bytes | None, schema: IndexSchema) -> int | None:
    """The dimension that is kept; None when no shape is.

    Raises:
        IndexMismatchError: What is kept cannot serve ``schema``.
    """
    kept = read(reply, schema)
    if kept is None:
        return None
    dimension, metric = kept
    problems = []
    if schema.dimension not in (None, dimension):
        problems.append(f"its dimension is {dimension}, not {schema.dimension}")
    if metric != schema.metric:
        problems.append(f"its metric is {metric}, not {schema.metric}")
    if problems:
        raise mismatch(schema, "; ".join(problems))
    return dimension


def mismatch(schema: IndexSchema, reason: str) -> IndexMismatchError:
    """The error for documents of another shape than ``schema``'s."""
    return IndexMismatchError(
        f"index {schema.name!r} exists, but {reason}. Use another index_name, declare what is "
        "there, or drop the index with its documents to make it anew"
    )
