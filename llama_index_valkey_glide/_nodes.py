"""LlamaIndex nodes as documents and back, and its filters as filter expressions.

A document's content is the node's text and its metadata the node's own, so that both are readable
and LangChain reads them too. What is left of the node (relationships, templates, start and end,
media) stands under one reserved metadata key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from valkey_memory import Document as StoredDocument
from valkey_memory import DocumentError, Filter, FilterError, Tag
from valkey_memory.adapters import ALWAYS, NEVER, And, FieldType, Or, comparison

NODE = "_node"
REF_DOC_ID = "llama_ref_doc_id"
NODE_ID = "llama_node_id"

OWN_FIELDS: dict[str, FieldType] = {REF_DOC_ID: "tag", NODE_ID: "tag"}
"""Tags that every node has beside the declared fields."""

_RESERVED = {NODE, *OWN_FIELDS}
_CLASSES: dict[str, type[BaseNode]] = {
    cls.class_name(): cls for cls in (TextNode, ImageNode, IndexNode, Node, Document, ImageDocument)
}


def to_document(node: BaseNode, embedding: Sequence[float]) -> StoredDocument:
    """A node as a document.

    Raises:
        DocumentError: A node of another class, or metadata with a reserved key.
    """
    name = node.class_name()
    if _CLASSES.get(name) is not type(node):  # a subclass may have its base's class_name
        raise DocumentError(
            f"node {node.node_id!r} is a {type(node).__name__}; stored can be {', '.join(_CLASSES)}"
        )
    if taken := _RESERVED & node.metadata.keys():
        raise DocumentError(f"node {node.node_id!r}: metadata keys {sorted(taken)} are reserved")
    content = node.get_content(metadata_mode=MetadataMode.NONE)
    rest = node.model_dump(mode="json", exclude={"embedding", "metadata", "id_"})
    rest["class_name"] = name
    _add_media(rest, node)
    _move_text(rest, content, out=True)
    metadata = {**_plain(node.metadata), NODE: rest, NODE_ID: node.node_id}
    if node.ref_doc_id is not None:
        metadata[REF_DOC_ID] = node.ref_doc_id
    return StoredDocument(node.node_id, content, metadata, embedding)


def to_node(document: StoredDocument) -> BaseNode:
    """The node of a document; a plain TextNode for what was not written as a node."""
    metadata = dict(document.metadata)
    rest = metadata.pop(NODE, None)
    for name in OWN_FIELDS:
        metadata.pop(name, None)
    embedding = list(document.embedding) or None
    if not isinstance(rest, dict):
        return TextNode(
            id_=document.id, text=document.content, metadata=metadata, embedding=embedding
        )
    cls = _CLASSES.get(str(rest.get("class_name")))
    if cls is None:
        raise DocumentError(
            f"document {document.id!r} holds a node of class {rest.get('class_name')!r}; "
            f"known are {', '.join(_CLASSES)}"
        )
    _move_text(rest, document.content, out=False)
    return cls.from_dict({**rest, "id_": document.id, "metadata": metadata, "embedding": embedding})


def _plain(value: Any) -> Any:
    """Members of string and integer enums as the values that they equal; VectorMemory has such."""
    if isinstance(value, Enum) and isinstance(value, (str, int)):
        return value.value
    if type(value) is dict:
        return {key: _plain(item) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item) for item in value]
    return value


def _add_media(fields: dict[str, Any], node: BaseNode) -> None:
    """Put in the bytes of a node's media, base64 as LlamaIndex keeps them; its dump has none."""
    for name in fields:
        media = getattr(node, name, None)
        if isinstance(media, MediaResource) and media.data is not None:
            fields[name]["data"] = media.data.decode()


def _move_text(fields: dict[str, Any], content: str, *, out: bool) -> None:
    """Take the text out of a node's fields, or put it back: it is the document's content."""
    resource = fields.get("text_resource")
    for holder in (fields, resource if isinstance(resource, dict) else {}):
        if out and content and holder.get("text") == content:
            holder["text"] = {"content": True}
        elif not out and holder.get("text") == {"content": True}:
            holder["text"] = content


_OPERATORS = {
    FilterOperator.EQ: "eq",
    FilterOperator.NE: "ne",
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
    FilterOperator.IN: "in",
    FilterOperator.NIN: "nin",
    FilterOperator.ANY: "any",
    FilterOperator.ALL: "all",
    FilterOperator.CONTAINS: "eq",
    # Whole words, without regard to case, as full-text indexes compare.
    FilterOperator.TEXT_MATCH: "phrase",
    FilterOperator.TEXT_MATCH_INSENSITIVE: "phrase",
}


def to_condition(filters: MetadataFilters | None, fields: Mapping[str, FieldType]) -> Filter | None:
    """LlamaIndex's filters as an expression; none, or an empty list of them, filter nothing.

    Raises:
        FilterError: An undeclared field, an operator that its type does not have, or a wrong value.
    """
    if filters is None or not filters.filters:
        return None
    parts = tuple(_part(one, fields) for one in filters.filters)
    condition = filters.condition or FilterCondition.AND
    if condition is FilterCondition.AND:
        return And(parts)
    if condition is FilterCondition.OR:
        return Or(parts)
    if condition is FilterCondition.NOT:
        return ~Or(parts)  # LlamaIndex: when none of the filters matches
    raise FilterError(f"unknown filter condition {condition!r}")


def _part(one: MetadataFilter | MetadataFilters, fields: Mapping[str, FieldType]) -> Filter:
    if isinstance(one, MetadataFilter):
        return _comparison(one, fields)
    nested = to_condition(one, fields)
    return ALWAYS if nested is None else nested


def _comparison(one: MetadataFilter, fields: Mapping[str, FieldType]) -> Filter:
    if one.operator is FilterOperator.IS_EMPTY:
        return comparison(one.key, "exists", False, fields)
    operator = _OPERATORS.get(one.operator)
    if operator is None:
        raise FilterError(f"operator {one.operator.value!r} of {one.key!r} is not known")
    if one.operator is FilterOperator.CONTAINS and fields.get(one.key, "tag") != "tag":
        raise FilterError(f"'contains' asks a list of tags; {one.key!r} is {fields[one.key]}")
    return comparison(one.key, operator, one.value, fields)


def by_ids(doc_ids: Sequence[str] | None, node_ids: Sequence[str] | None) -> list[Filter]:
    """Conditions on document and node ids; an empty list matches nothing."""
    return [
        Tag(name).is_in(ids) if ids else NEVER
        for name, ids in ((REF_DOC_ID, doc_ids), (NODE_ID, node_ids))
        if ids is not None
    ]
