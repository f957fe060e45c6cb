"""All documents of an index that satisfy a condition, whatever the index looks like.

By the index where it surely has them all. Else by their keys: where the server has no index, in a
cluster, where an index follows the writes after a moment, and where it is being filled or could not
take some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, cast

from .._filters.expressions import FieldType, Filter
from .._keys import document_key
from .._plans import AskCluster, Plan, Request
from . import limits, shape
from .discovery import declared, server_index_plan, stored_fields
from .schema import Algorithm, IndexInfo, IndexSchema
from .server import matching_ids_plan
from .vector import Metric
from .walk import matching_plan

_SAMPLE = 100


class Matching(NamedTuple):
    """Documents of one storage."""

    schema: IndexSchema
    ids: list[str]


def find_plan(
    name: str, condition: Filter, fields: Mapping[str, FieldType]
) -> Plan[list[Matching]]:
    """The documents that satisfy ``condition``, which is on ``fields``.

    Three round trips where the index tells; else it walks the keyspace.
    """
    info = yield from _own_index_plan(name)
    cluster = yield AskCluster(f"look for documents of index {name!r}")
    schema = IndexSchema(name, fields=fields, storage="hash" if info is None else info.storage)
    complete = info is not None and info.ready and not info.failures and not cluster
    if complete and info is not None and fields.items() <= info.fields.items():
        ids = yield from matching_ids_plan(condition, 0, limits.RESULTS_LOOKED_AT, schema)
        if len(ids) < limits.RESULTS_LOOKED_AT:
            return [Matching(schema, ids)] if ids else []
    found = yield from matching_plan(schema, condition)
    return [Matching(replace(schema, storage=one), ids) for one, ids in found.items() if ids]


def shape_plan(found: Matching) -> Plan[IndexSchema]:
    """The whole shape of the index that documents are in. Where the server has no index, fields are
    those that a sample of the documents has, and the algorithm is flat."""
    name = found.schema.name
    info = yield from _own_index_plan(name)
    if info is not None:
        return schema_of(info)
    commands = tuple(
        ("HKEYS", document_key(name, one))
        for one in (found.ids[:_SAMPLE] if found.schema.storage == "hash" else ())
    )
    kept, *keys = yield Request(
        f"look at index {name!r}", (shape.look(found.schema), *commands), repeatable=True
    )
    fields = stored_fields(one for reply in keys for one in reply)
    schema = replace(found.schema, fields=fields, algorithm="flat")
    stored = shape.read(kept, schema)
    return schema if stored is None else replace(schema, dimension=stored[0], metric=stored[1])


def target_plan(shape_: IndexSchema) -> Plan[IndexSchema]:
    """The shape that documents of ``shape_`` are written in: that of the server's index of the same
    name where there is one, with vectors as they are."""
    info = yield from _own_index_plan(shape_.name)
    if info is None:
        return shape_
    schema = replace(schema_of(info), dimension=shape_.dimension)
    # The order of fields is seen in documents, and a cluster tells another one.
    same = schema.fields == shape_.fields
    return replace(schema, fields=shape_.fields) if same else schema


def schema_of(info: IndexInfo) -> IndexSchema:
    """The schema of an index that the server has."""
    return IndexSchema(
        info.name,
        info.dimension,
        fields=declared(info.fields),
        storage=info.storage,
        metric=cast("Metric", info.metric),
        algorithm=cast("Algorithm", info.algorithm),
    )


def _own_index_plan(name: str) -> Plan[IndexInfo | None]:
    """The server's index; None where it has none, or one of another program's documents."""
    info = yield from server_index_plan(name)
    ours = info is not None and info.dimension and info.prefixes == (IndexSchema(name).prefix,)
    return info if ours else None
