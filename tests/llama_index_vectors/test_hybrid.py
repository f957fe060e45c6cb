"""Query modes HYBRID and TEXT_SEARCH: of the store, and through the retrievers of an index."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from valkey_memory import FilterError, InvalidArgumentError

from .conftest import MakeStore, Side
from .embedding import BagOfWords, bag_of_words

HYBRID, TEXT_SEARCH = VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.TEXT_SEARCH
FIELDS = {"user_id": "tag", "content": "text"}
TEXTS = {
    "ecs": ("alice", "We deployed to ECS with a blue-green strategy"),
    "late": ("alice", "Order QX-417 was late"),
    "bees": ("alice", "Bees collect nectar"),
    "secret": ("bob", "The order QX-417 is a secret"),
}
ALICE = MetadataFilters(filters=[MetadataFilter(key="user_id", value="alice")])


def nodes() -> list[TextNode]:
    return [
        TextNode(id_=one, text=text, metadata={"user_id": owner}, embedding=bag_of_words(text))
        for one, (owner, text) in TEXTS.items()
    ]


@pytest.fixture
def store(make_side: Callable[..., Side]) -> Side:
    side = make_side(metadata_fields=FIELDS)
    side.add(nodes())
    return side


def asked(text: str, mode: VectorStoreQueryMode = HYBRID, **options: Any) -> VectorStoreQuery:
    known: dict[str, Any] = {"similarity_top_k": 9, "query_str": text, "mode": mode}
    if mode is HYBRID:
        known["query_embedding"] = bag_of_words(text)
    return VectorStoreQuery(**(known | options))


def test_hybrid_fuses_both_ranks(store: Side) -> None:
    result = store.query(asked("order QX-417", filters=ALICE))
    assert result.ids[0] == "late"
    assert {*result.ids} == {"late", "ecs", "bees"}
    assert result.similarities[0] == pytest.approx(1)
    assert result.similarities == sorted(result.similarities, reverse=True)
    assert result.nodes[0].get_content() == TEXTS["late"][1]
    assert result.nodes[0].metadata == {"user_id": "alice"}


def test_text_search_needs_no_embedding(store: Side) -> None:
    result = store.query(asked("order QX-417", TEXT_SEARCH))
    assert {*result.ids} == {"late", "secret"}
    assert result.similarities[0] >= result.similarities[1] > 0
    assert store.query(asked("nectar", TEXT_SEARCH, filters=ALICE)).ids == ["bees"]
    assert store.query(asked("the of", TEXT_SEARCH)).ids == []
    assert store.query(asked("\U0001f41d", TEXT_SEARCH)).ids == []
    assert store.query(asked("\U0001f41d")).similarities[0] == pytest.approx(0.5)


def test_alpha_weighs_vectors_against_words(store: Side) -> None:
    vector = bag_of_words("bees collect")
    both: dict[str, Any] = {"query_str": "QX-417", "query_embedding": vector, "mode": HYBRID}
    by_vector, by_words, even = (
        store.query(VectorStoreQuery(**both, similarity_top_k=9, alpha=alpha)).ids
        for alpha in (1.0, 0.0, None)
    )
    nearest = store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=9))
    assert by_vector[0] == nearest.ids[0] == "bees"
    assert {*by_vector} == {*TEXTS}
    assert {*by_words} == {"late", "secret"}
    assert {*even} == {*TEXTS}
    with pytest.raises(InvalidArgumentError, match="alpha"):
        store.query(VectorStoreQuery(**both, alpha=2.0))


def test_how_many(store: Side) -> None:
    assert len(store.query(asked("order", similarity_top_k=1)).ids) == 1
    assert len(store.query(asked("order", similarity_top_k=1, hybrid_top_k=9)).ids) == 2
    one_each = asked(
        "nectar", query_embedding=bag_of_words("blue green"), similarity_top_k=1, hybrid_top_k=9
    )
    assert {*store.query(one_each).ids} == {"ecs", "bees"}
    assert len(store.query(asked("order", hybrid_top_k=2)).ids) == 2
    assert len(store.query(asked("order", TEXT_SEARCH, similarity_top_k=1)).ids) == 1
    assert len(store.query(asked("order", TEXT_SEARCH, sparse_top_k=1)).ids) == 1
    assert len(store.query(asked("order", sparse_top_k=1, alpha=0.0)).ids) == 1


@pytest.mark.parametrize("name", ["similarity_top_k", "sparse_top_k", "hybrid_top_k"])
@pytest.mark.parametrize("mode", [HYBRID, TEXT_SEARCH])
def test_numbers_that_cannot_be(store: Side, name: str, mode: VectorStoreQueryMode) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        store.query(asked("order", mode, **{name: 0}))


def test_what_a_query_lacks_is_named(store: Side) -> None:
    with pytest.raises(InvalidArgumentError, match="'hybrid' needs query_str"):
        store.query(asked("x", query_str=None))
    with pytest.raises(InvalidArgumentError, match="'hybrid' needs query_embedding"):
        store.query(asked("x", query_embedding=None))
    with pytest.raises(InvalidArgumentError, match="'text_search' needs query_str"):
        store.query(asked("x", TEXT_SEARCH, query_str=None))
    with pytest.raises(InvalidArgumentError, match="query must be a non-empty string"):
        store.query(asked("", TEXT_SEARCH))
    with pytest.raises(InvalidArgumentError, match="default, mmr, hybrid, text_search"):
        store.query(asked("x", VectorStoreQueryMode.SPARSE))


def test_what_stands_beside_the_query(store: Side) -> None:
    found = store.query(asked("Nektar und nectar", TEXT_SEARCH), language="german")
    assert found.ids == ["bees"]
    with pytest.raises(InvalidArgumentError, match="unknown arguments of query: colour"):
        store.query(asked("x"), colour="red")
    with pytest.raises(InvalidArgumentError, match="unknown arguments of query: language"):
        store.query(asked("x", VectorStoreQueryMode.DEFAULT), language="german")


@pytest.mark.parametrize("mode", [HYBRID, TEXT_SEARCH])
def test_conditions_hold(store: Side, mode: VectorStoreQueryMode) -> None:
    assert store.query(asked("order QX-417", mode, doc_ids=[])).ids == []
    assert store.query(asked("order QX-417", mode, node_ids=["late"])).ids == ["late"]
    assert store.query(asked("order QX-417", mode, node_ids=["late"], doc_ids=["x"])).ids == []
    for other in ("", "*", "alice*", "bob} | @user_id:{alice", "\x00"):
        condition = MetadataFilters(filters=[MetadataFilter(key="user_id", value=other)])
        assert store.query(asked("order QX-417", mode, filters=condition)).ids == []


@pytest.mark.parametrize("mode", [HYBRID, TEXT_SEARCH])
def test_the_text_has_to_be_declared(
    make_side: Callable[..., Side], mode: VectorStoreQueryMode
) -> None:
    side = make_side(metadata_fields={"user_id": "tag"})
    with pytest.raises(FilterError, match=r'metadata_fields=\{"content": "text", ...\}'):
        side.query(asked("order", mode))


@pytest.mark.parametrize("mode", [HYBRID, TEXT_SEARCH])
def test_an_empty_store_has_nothing(
    make_side: Callable[..., Side], mode: VectorStoreQueryMode
) -> None:
    result = make_side(metadata_fields=FIELDS).query(asked("order", mode))
    assert (result.ids, result.nodes, result.similarities) == ([], [], [])


# Through an index


def retrieved(retriever: BaseRetriever, text: str, *, is_async: bool) -> list[NodeWithScore]:
    if is_async:
        return asyncio.run(retriever.aretrieve(text))
    return retriever.retrieve(text)


def test_retrievers(make_store: MakeStore, is_async: bool) -> None:
    store = make_store(metadata_fields=FIELDS)
    storage = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes(), storage_context=storage, embed_model=BagOfWords())

    def ask(mode: str, **options: Any) -> list[str]:
        retriever = index.as_retriever(vector_store_query_mode=mode, **options)
        found = retrieved(retriever, "the order QX-417", is_async=is_async)
        assert all(one.score and one.score > 0 for one in found)
        return [one.node.node_id for one in found]

    assert ask("hybrid", filters=ALICE)[0] == "late"
    assert {*ask("hybrid")} == {"late", "secret"}
    assert len(ask("hybrid", similarity_top_k=1, hybrid_top_k=4)) == 2
    assert {*ask("hybrid", similarity_top_k=9, alpha=0.0)} == {"late", "secret"}
    assert ask("text_search", filters=ALICE) == ["late"]
    assert {*ask("text_search", vector_store_kwargs={"language": "english"})} == {"late", "secret"}


def test_text_search_embeds_nothing(make_store: MakeStore, is_async: bool) -> None:
    class Silent(MockEmbedding):
        def _get_query_embedding(self, query: str) -> list[float]:
            raise AssertionError(query)

        _aget_query_embedding = _get_query_embedding  # type: ignore[assignment]

    store = make_store(metadata_fields=FIELDS)
    store.add(nodes())
    index = VectorStoreIndex.from_vector_store(store, embed_model=Silent(embed_dim=512))
    retriever = index.as_retriever(vector_store_query_mode="text_search", similarity_top_k=5)
    found = retrieved(retriever, "nectar", is_async=is_async)
    assert [one.node.node_id for one in found] == ["bees"]
