"""Nodes for the tests: handmade ones, and strategies for every class that can be stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from llama_index_valkey_glide._nodes import _RESERVED


def node(node_id: str, embedding: list[float], doc: str | None = None, **metadata: Any) -> TextNode:
    """A TextNode of the document ``doc``."""
    made = TextNode(id_=node_id, text=f"text of {node_id}", metadata=metadata, embedding=embedding)
    if doc is not None:
        made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=doc)
    return made


def ids(nodes: list[BaseNode]) -> list[str]:
    """Sorted: without a query there is no order."""
    return sorted(one.node_id for one in nodes)


# Strategies

_integers = st.integers(-(2**63), 2**64 - 1)
_floats = st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | _integers | _floats | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
_names = st.text(min_size=1, max_size=12)
_keys = _names.filter(lambda key: key not in _RESERVED)
metadata = st.dictionaries(_keys, _json, max_size=4)
_vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)

_related = st.builds(
    RelatedNodeInfo,
    node_id=_names,
    node_type=st.none() | st.sampled_from(ObjectType) | _names,
    metadata=metadata,
    hash=st.none() | st.text(max_size=8),
)
_one_related = (
    NodeRelationship.SOURCE,
    NodeRelationship.PREVIOUS,
    NodeRelationship.NEXT,
    NodeRelationship.PARENT,
)
_relationships = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(_one_related, _related)
    | {NodeRelationship.CHILD: st.lists(_related, max_size=2)},
)

_common: dict[str, st.SearchStrategy[Any]] = {
    "id_": _names,
    "embedding": _vectors,
    "metadata": metadata,
    "relationships": _relationships,
    "excluded_embed_metadata_keys": st.lists(_names, max_size=2),
    "excluded_llm_metadata_keys": st.lists(_names, max_size=2),
    "metadata_template": st.sampled_from(["{key}: {value}", "<{key}> {{}} {value}", ""]),
    "metadata_separator": st.sampled_from(["\n", "", " | "]),
    "text_template": st.sampled_from(["{metadata_str}\n\n{content}", "{content}", "é"]),
}
_optional_text = st.none() | st.text(max_size=12)
_text_fields = _common | {
    "text": st.text(),
    "mimetype": st.sampled_from(["text/plain", "text/markdown"]),
    "start_char_idx": st.none() | st.integers(0, 10**6),
    "end_char_idx": st.none() | st.integers(0, 10**6),
}
_image_fields = _text_fields | {
    "image": _optional_text,
    "image_path": st.none() | st.sampled_from(["a.png", "dir/b.jpg", "no extension"]),
    "image_url": st.none() | st.just("https://example.org/c.png"),
    "image_mimetype": st.none() | st.just("image/webp"),
    "text_embedding": st.none() | _vectors,
}
_media = st.builds(
    MediaResource,
    embeddings=st.none() | st.dictionaries(st.sampled_from(["sparse", "dense"]), _vectors),
    data=st.none() | st.binary(max_size=16) | st.just(b"\x89PNG\r\n\x1a\n" + bytes(16)),
    text=_optional_text,
    path=st.none() | st.sampled_from([Path("a.png"), Path("dir/clip.mp4")]),
    url=st.none() | st.just("https://example.org/c.png?x=1"),
    mimetype=st.none() | st.just("image/webp"),
)
_resource_fields = _common | {
    f"{kind}_resource": st.none() | _media for kind in ("text", "image", "audio", "video")
}
_targets = st.none() | st.builds(TextNode, id_=_names, text=st.text(max_size=12), metadata=metadata)

NODES: dict[type[BaseNode], st.SearchStrategy[BaseNode]] = {
    TextNode: st.builds(TextNode, **_text_fields),
    ImageNode: st.builds(ImageNode, **_image_fields),
    IndexNode: st.builds(IndexNode, **_text_fields, index_id=_names, obj=_targets),
    Node: st.builds(Node, **_resource_fields),
    Document: st.builds(Document, **_resource_fields),
    ImageDocument: st.builds(ImageDocument, **_resource_fields),
}
