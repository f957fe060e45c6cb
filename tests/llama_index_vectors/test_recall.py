"""What was said about deployment, in any session, by this user: with a real model, offline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import FilterCondition, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.types import VectorStoreQueryMode

from llama_index_valkey_glide import LocalEmbedding

from .conftest import MakeStore

ECS = "We deployed to ECS using a blue-green strategy"
HNSW = "HNSW makes vector search fast"
PIPELINE = "CodePipeline deploys the service after every merge"
QUESTION = "How do I deploy my service?"


@pytest.fixture
def recall(make_store: MakeStore, is_async: bool) -> Any:
    """Asks the question of alice's three messages, through a retriever of LlamaIndex's."""
    store = make_store(metadata_fields={"user_id": "tag", "session_id": "tag", "role": "tag"})
    storage = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex([], storage_context=storage, embed_model=LocalEmbedding())
    said = [(ECS, "s1", "user"), (HNSW, "s2", "assistant"), (PIPELINE, "s3", "assistant")]
    index.insert_nodes(
        [
            TextNode(text=text, metadata={"user_id": "alice", "session_id": session, "role": role})
            for text, session, role in said
        ]
    )

    def ask(mode: str = "default", **fields: str) -> list[NodeWithScore]:
        parts = [MetadataFilter(key=key, value=value) for key, value in fields.items()]
        retriever = index.as_retriever(
            similarity_top_k=9,
            vector_store_query_mode=VectorStoreQueryMode(mode),
            filters=MetadataFilters(filters=[*parts], condition=FilterCondition.AND),
        )
        if is_async:
            return asyncio.run(retriever.aretrieve(QUESTION))
        return retriever.retrieve(QUESTION)

    return ask


def texts(found: list[NodeWithScore]) -> list[str]:
    return [one.node.get_content() for one in found]


def test_the_two_about_deployment_come_first(recall: Any) -> None:
    found = recall(user_id="alice")
    assert set(texts(found)[:2]) == {ECS, PIPELINE}
    assert texts(found)[2:] == [HNSW]
    assert found[1].score > 2 * found[2].score
    assert {one.node.metadata["session_id"] for one in found[:2]} == {"s1", "s3"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"session_id": "s1"}, {ECS}),
        ({"session_id": "s2"}, {HNSW}),
        ({"role": "user"}, {ECS}),
        ({"role": "assistant"}, {HNSW, PIPELINE}),
        ({"role": "assistant", "session_id": "s3"}, {PIPELINE}),
        ({"role": "user", "session_id": "s3"}, set()),
    ],
)
def test_filters_by_user_session_and_role(
    recall: Any, fields: dict[str, str], expected: set[str]
) -> None:
    assert set(texts(recall(user_id="alice", **fields))) == expected


@pytest.mark.parametrize("mode", ["default", "mmr"])
def test_bob_sees_none_of_them(recall: Any, mode: str) -> None:
    for bob in ("bob", "", "*", "alice*", "bob} | @user_id:{alice"):
        assert recall(mode, user_id=bob) == []
    assert len(recall(mode, user_id="alice")) == 3
