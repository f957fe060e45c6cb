"""Nodes as documents and back: nothing is lost, and nothing unknown is let in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.llms import MessageRole
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    MediaResource,
    MetadataMode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)

from llama_index_valkey_glide._nodes import (
    _RESERVED,
    NODE,
    NODE_ID,
    REF_DOC_ID,
    to_document,
    to_node,
)
from valkey_memory import Document as StoredDocument
from valkey_memory import DocumentError

from .nodes import NODES

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def through_json(document: StoredDocument) -> StoredDocument:
    """The document as a store writes and reads it."""
    content, metadata = orjson.loads(orjson.dumps([document.content, dict(document.metadata)]))
    return StoredDocument(document.id, content, metadata, document.embedding)


def returned(node: BaseNode) -> BaseNode:
    return to_node(through_json(to_document(node, node.get_embedding())))


# Every class comes back


@pytest.mark.parametrize("cls", NODES, ids=lambda cls: cls.__name__)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_node_comes_back_equal_and_of_its_class(cls: type[BaseNode], data: Any) -> None:
    node = data.draw(NODES[cls])
    back = returned(node)
    assert type(back) is cls
    assert back == node
    assert back.hash == node.hash
    assert back.model_dump() == node.model_dump()


@pytest.mark.parametrize("cls", NODES, ids=lambda cls: cls.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_making_a_document_leaves_the_node_alone(cls: type[BaseNode], data: Any) -> None:
    node = data.draw(NODES[cls])
    before = node.model_copy(deep=True)
    to_document(node, node.get_embedding())
    assert node == before


@settings(max_examples=40, deadline=None)
@given(node=st.one_of(*NODES.values()))
def test_text_and_metadata_are_readable_in_the_document(node: BaseNode) -> None:
    document = to_document(node, node.get_embedding())
    assert document.id == node.node_id
    assert document.content == node.get_content(metadata_mode=MetadataMode.NONE)
    assert {k: v for k, v in document.metadata.items() if k not in _RESERVED} == node.metadata


def test_the_text_is_stored_once() -> None:
    for node in (TextNode(text="needle"), Document(text="needle")):
        document = to_document(node, [1.0])
        assert document.content == "needle"
        assert b"needle" not in orjson.dumps(dict(document.metadata))


@pytest.mark.parametrize("data", [PNG, b"", b"plain text", b"\x00\xff"])
def test_the_bytes_of_an_image_come_back(data: bytes) -> None:
    node = ImageDocument(image_resource=MediaResource(data=data), embedding=[1.0])
    back = returned(node)
    assert isinstance(back, ImageDocument)
    assert back.image_resource == node.image_resource
    assert back.image == node.image


def test_an_image_document_keeps_its_media_type() -> None:
    back = returned(ImageDocument(image=PNG, text="a caption", embedding=[1.0]))
    assert isinstance(back, ImageDocument)
    assert (back.image_mimetype, back.text) == ("image/png", "a caption")


def test_the_source_document_is_a_field_to_filter_by() -> None:
    node = TextNode(id_="n", relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="d")})
    metadata = to_document(node, [1.0]).metadata
    assert (metadata[NODE_ID], metadata[REF_DOC_ID]) == ("n", "d")


def test_a_node_without_a_source_has_no_such_field() -> None:
    assert REF_DOC_ID not in to_document(TextNode(), [1.0]).metadata


def test_members_of_plain_enums_are_stored_as_what_they_equal() -> None:
    node = TextNode(metadata={"roles": [{"role": MessageRole.USER}]}, embedding=[1.0])
    assert to_document(node, [1.0]).metadata["roles"] == [{"role": "user"}]
    assert returned(node) == node


# What was not written as a node


@settings(max_examples=40, deadline=None)
@given(
    content=st.text(),
    metadata=st.dictionaries(st.text(min_size=1).filter(lambda k: k not in _RESERVED), st.text()),
)
def test_a_plain_document_reads_as_a_text_node(content: str, metadata: dict[str, str]) -> None:
    document = through_json(StoredDocument("1", content, metadata, [0.5, 1.0]))
    assert to_node(document) == TextNode(
        id_="1", text=content, metadata=metadata, embedding=[0.5, 1.0]
    )


@pytest.mark.parametrize("other", [None, "text", 1, ["TextNode"]])
def test_a_foreign_value_under_the_reserved_key_is_no_node(other: Any) -> None:
    read = to_node(StoredDocument("1", "text", {NODE: other, "a": 1}))
    assert read == TextNode(id_="1", text="text", metadata={"a": 1})


def test_a_document_without_an_embedding_is_a_node_without_one() -> None:
    assert to_node(StoredDocument("1", "text")).embedding is None


# What is refused


@pytest.mark.parametrize("key", sorted(_RESERVED))
def test_reserved_metadata_keys_are_refused(key: str) -> None:
    with pytest.raises(DocumentError, match=f"node 'n': metadata keys \\['{key}'\\] are reserved"):
        to_document(TextNode(id_="n", metadata={key: "x"}), [1.0])


class OwnNode(TextNode):
    extra: str = ""

    @classmethod
    def class_name(cls) -> str:
        return "OwnNode"


class Disguised(TextNode):
    """Inherits its class_name, as many subclasses do."""

    extra: str = ""


@pytest.mark.parametrize("cls", [OwnNode, Disguised])
def test_unknown_node_classes_are_refused(cls: type[TextNode]) -> None:
    with pytest.raises(DocumentError, match=f"is a {cls.__name__}; stored can be TextNode, "):
        to_document(cls(id_="n"), [1.0])


@pytest.mark.parametrize("name", ["OwnNode", "builtins.eval", None, 7, ["TextNode"]])
def test_a_document_of_an_unknown_node_class_is_refused(name: Any) -> None:
    with pytest.raises(DocumentError, match="document '1' holds a node of class"):
        to_node(StoredDocument("1", "text", {NODE: {"class_name": name}}))


def test_a_document_whose_node_has_no_class_is_refused() -> None:
    with pytest.raises(DocumentError, match="document '1' holds a node of class None"):
        to_node(StoredDocument("1", "text", {NODE: {}}))
