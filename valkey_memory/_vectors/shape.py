"""The shape of an index of exact search, kept beside its documents as a server keeps an index's.

``{name}:shape`` is JSON text: ``{"dimension": 384, "metric": "cosine"}``. The first write sets it.
Without it a process that expects another dimension would find nothing, and store documents that no
other process finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from .._errors import IndexMismatchError
from .._keys import shape_key
from .._plans import Command
from .schema import IndexSchema
from .vector import Metric

# A command that fails leaves out no other, as in a transaction.
_GUARDED = """
local kept = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'GET')
if kept and kept ~= ARGV[1] then
  return kept
end
local failed
local at = 2
while at <= #ARGV do
  local last = at + ARGV[at]
  local reply = redis.pcall(unpack(ARGV, at + 1, last))
  if type(reply) == 'table' and reply.err then
    failed = failed or reply
  end
  at = last + 1
end
return failed or kept
"""


def text(schema: IndexSchema) -> bytes:
    """The shape as it is kept."""
    return orjson.dumps({"dimension": schema.dimension, "metric": schema.metric})


def keep(schema: IndexSchema) -> Command:
    """The command that sets the shape unless there is one; ``check`` reads its reply."""
    return ("SET", shape_key(schema.name), text(schema), "NX", "GET")


def guarded(schema: IndexSchema, kept: bytes, commands: Sequence[Command]) -> Command:
    """``keep`` and then ``commands`` as one, which does nothing where another text is kept.

    Args:
        schema: The index.
        kept: The shape as it is kept, or will be.
        commands: To run where it is. Each begins with its name and its key.
    """
    keys = dict.fromkeys((shape_key(schema.name), *(command[1] for command in commands)))
    words = [word for command in commands for word in (str(len(command)), *command)]
    return ("EVAL", _GUARDED, str(len(keys)), *keys, kept, *words)


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
