"""The vector store's own contract, on every backend and through both forms of every method."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import pickle
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryMode

from llama_index_valkey_glide import ValkeyVectorStore
from valkey_memory import (
    ConfigurationError,
    DocumentError,
    EmbeddedValkey,
    IndexMismatchError,
    InvalidArgumentError,
    SearchUnavailableError,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory import Document as StoredDocument

from ..search_server import send
from .conftest import MakeStore, Side
from .nodes import ids, node

MakeSide = Callable[..., Side]
MMR = VectorStoreQueryMode.MMR

AWKWARD_IDS = [
    "idx:1",
    "1:idx",
    "ix",
    "doc-1",
    "{a}",
    "a b",
    "*",
    "ünï ☃",
    "a|b",
    "ref_doc_id",
    "test-:",
    "line\nbreak",
    "0",
]


def by_topic(topic: str) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="topic", value=topic)])


def nearest(
    side: Side, vector: list[float] | None = None, k: int = 10, **query: Any
) -> VectorStoreQueryResult:
    found: VectorStoreQueryResult = side.query(
        VectorStoreQuery(vector or [1.0, 0.0], similarity_top_k=k, **query)
    )
    return found


@pytest.fixture
def side(make_side: MakeSide) -> Side:
    """An empty store."""
    return make_side(metadata_fields={"topic": "tag"})


@pytest.fixture
def filled(side: Side) -> Side:
    """Six nodes of three documents and two topics, each further from [1, 0] than the one before."""
    side.add(
        [
            node("a1", [1.0, 0.0], "a", topic="x"),
            node("a2", [1.0, 0.2], "a", topic="y"),
            node("b1", [1.0, 0.5], "b", topic="x"),
            node("b2", [1.0, 1.0], "b", topic="y"),
            node("c1", [0.0, 1.0], "c", topic="x"),
            node("none", [-1.0, 0.0], topic="y"),
        ]
    )
    return side


EVERY = ["a1", "a2", "b1", "b2", "c1", "none"]


# Adding


def test_add_returns_the_ids_in_order(side: Side) -> None:
    assert side.add([node("2", [1.0, 0.0]), node("1", [0.0, 1.0])]) == ["2", "1"]


def test_adding_nothing_does_nothing(side: Side) -> None:
    assert side.add([]) == []
    assert side.store.dimension is None


def test_a_node_comes_back_from_every_method(side: Side) -> None:
    made = TextNode(
        id_="n",
        text="hello",
        metadata={"topic": "x", "nested": {"list": [1, 2.5, None, True]}},
        excluded_llm_metadata_keys=["nested"],
        start_char_idx=3,
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata={"a": 1}),
            NodeRelationship.CHILD: [RelatedNodeInfo(node_id="child")],
        },
        embedding=[1.0, 0.0],
    )
    side.add([made])
    bare = made.model_copy(update={"embedding": None})
    for selection in ({}, {"node_ids": ["n"]}, {"filters": by_topic("x")}):
        assert side.get_nodes(**selection) == [made]
        assert side.get_nodes(**selection, embeddings=False) == [bare]
    assert nearest(side).nodes == [bare]
    by_filter = VectorStoreQuery(filters=by_topic("x"), similarity_top_k=1)
    assert side.query(by_filter).nodes == [bare]


def test_nodes_go_from_one_store_to_another(filled: Side, make_side: MakeSide) -> None:
    other = make_side(index_name=f"{filled.store.index_name}-other")
    other.add(filled.get_nodes())
    assert nearest(other).ids == EVERY
    other.store.index.drop(delete_documents=True)


@pytest.mark.parametrize(
    "made",
    [
        Document(id_="n", text="a document", embedding=[1.0, 0.0]),
        ImageNode(id_="n", text="caption", image_url="https://example.org", embedding=[1.0, 0.0]),
        IndexNode(id_="n", text="to another", index_id="other", embedding=[1.0, 0.0]),
        Node(id_="n", image_resource=MediaResource(data=b"\x89PNG"), embedding=[1.0, 0.0]),
    ],
    ids=lambda made: type(made).__name__,
)
def test_other_classes_come_back_as_what_they_are(side: Side, made: BaseNode) -> None:
    side.add([made])
    (back,) = side.get_nodes()
    assert type(back) is type(made)
    assert back == made


def test_adding_leaves_the_nodes_alone(side: Side) -> None:
    made = node("n", [1.0, 0.0], "doc", topic="x")
    before = made.model_copy(deep=True)
    side.add([made])
    assert made == before


def test_adding_again_replaces(side: Side) -> None:
    side.add([node("n", [1.0, 0.0], "old", topic="x"), node("other", [0.0, 1.0])])
    side.add([node("n", [0.0, 1.0], "new")])
    assert ids(side.get_nodes()) == ["n", "other"]
    assert side.get_nodes(filters=by_topic("x")) == []
    assert nearest(side, doc_ids=["old"]).ids == []
    assert nearest(side, [0.0, 1.0], doc_ids=["new"]).similarities == pytest.approx([1.0])


@pytest.mark.parametrize("embedding", [None, []])
def test_a_node_without_an_embedding_is_refused(side: Side, embedding: list[float] | None) -> None:
    with pytest.raises(DocumentError, match="node 'bare' has no embedding: embed it first"):
        side.add([node("good", [1.0, 0.0]), TextNode(id_="bare", embedding=embedding)])
    assert side.get_nodes() == []


def test_nodes_of_different_dimensions_are_refused_together(side: Side) -> None:
    with pytest.raises(DocumentError, match=r"'long'.* has 3 numbers, the index has dimension 2"):
        side.add([node("good", [1.0, 0.0]), node("long", [1.0, 0.0, 0.0])])
    assert side.get_nodes() == []


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])
def test_a_number_that_is_not_finite_is_refused(side: Side, number: float) -> None:
    with pytest.raises(DocumentError, match="every number must be finite"):
        side.add([node("n", [1.0, number])])


def test_an_id_that_occurs_twice_is_refused(side: Side) -> None:
    with pytest.raises(DocumentError, match="document id 'n' occurs twice"):
        side.add([node("n", [1.0, 0.0]), node("n", [0.0, 1.0])])


def test_metadata_that_cannot_be_stored_is_refused(side: Side) -> None:
    with pytest.raises(DocumentError, match=r"'n': metadata.* is builtins.object, which cannot"):
        side.add([node("n", [1.0, 0.0], labels=[object()])])
    assert side.get_nodes() == []


def test_rich_metadata_comes_back_equal(make_side: MakeSide) -> None:
    side = make_side(metadata_fields={"at": "numeric"})
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    rich: dict[str, Any] = {
        "at": noon,
        "price": Decimal("1.50"),
        "uuid": uuid.UUID(int=7),
        "pair": (1, 2),
    }
    side.add([node("n", [1.0, 0.0], **rich), node("other", [1.0, 0.0])])
    # LlamaIndex's filters take numbers.
    since = MetadataFilter(key="at", value=noon.timestamp(), operator=FilterOperator.GTE)
    (found,) = side.get_nodes(filters=MetadataFilters(filters=[since]))
    assert found.metadata == rich
    assert type(found.metadata["pair"]) is tuple


# Ids that peers corrupt


def test_ids_come_back_as_they_were(side: Side, index_name: str) -> None:
    names = [*AWKWARD_IDS, index_name, f"{index_name}:1", index_name[:3]]
    assert side.add([node(name, [1.0, 0.0]) for name in names]) == names
    assert ids(side.get_nodes()) == sorted(names)
    found = nearest(side, k=100)
    assert sorted(found.ids or []) == sorted(names)
    assert [one.node_id for one in found.nodes or []] == found.ids
    for name in names:
        assert ids(side.get_nodes(node_ids=[name])) == [name]
        assert nearest(side, node_ids=[name]).ids == [name]


def test_awkward_ids_are_deleted_alone(side: Side) -> None:
    side.add([node(name, [1.0, 0.0], name) for name in AWKWARD_IDS])
    for done, name in enumerate(AWKWARD_IDS):
        if done % 2:
            side.delete(name)
        else:
            side.delete_nodes([name])
        assert ids(side.get_nodes()) == sorted(AWKWARD_IDS[done + 1 :])


def test_an_index_whose_name_begins_another_is_apart(make_side: MakeSide, index_name: str) -> None:
    one, longer = make_side(), make_side(index_name=f"{index_name}2")
    one.add([node("n", [1.0, 0.0])])
    longer.add([node("m", [1.0, 0.0])])
    assert (ids(one.get_nodes()), ids(longer.get_nodes())) == (["n"], ["m"])
    one.clear()
    assert ids(longer.get_nodes()) == ["m"]


# Deleting


def test_delete_takes_every_node_of_a_document_and_no_other(filled: Side) -> None:
    filled.delete("a")
    assert ids(filled.get_nodes()) == ["b1", "b2", "c1", "none"]
    assert nearest(filled).ids == ["b1", "b2", "c1", "none"]


@pytest.mark.parametrize("ref_doc_id", ["unknown", "a1", "*", "", "None", "A"])
def test_deleting_an_unknown_document_deletes_nothing(filled: Side, ref_doc_id: str) -> None:
    filled.delete(ref_doc_id)
    assert ids(filled.get_nodes()) == EVERY


def test_delete_has_no_upper_limit(side: Side) -> None:
    side.add([node(f"n{number}", [1.0, 0.0], "big") for number in range(1_100)])
    side.add([node("other", [1.0, 0.0], "small")])
    side.delete("big")
    assert ids(side.get_nodes()) == ["other"]


def test_delete_nodes_by_ids(filled: Side) -> None:
    filled.delete_nodes(["a1", "c1", "unknown"])
    assert ids(filled.get_nodes()) == ["a2", "b1", "b2", "none"]


def test_delete_nodes_by_filters(filled: Side) -> None:
    filled.delete_nodes(filters=by_topic("x"))
    assert ids(filled.get_nodes()) == ["a2", "b2", "none"]


def test_delete_nodes_by_both(filled: Side) -> None:
    filled.delete_nodes(["a1", "a2", "b2"], by_topic("y"))
    assert ids(filled.get_nodes()) == ["a1", "b1", "c1", "none"]


@pytest.mark.parametrize("filters", [None, by_topic("x"), MetadataFilters(filters=[])])
def test_an_empty_list_of_ids_deletes_nothing(
    filled: Side, filters: MetadataFilters | None
) -> None:
    filled.delete_nodes([], filters)
    assert ids(filled.get_nodes()) == EVERY


@pytest.mark.parametrize("filters", [None, MetadataFilters(filters=[])])
def test_delete_nodes_wants_something_to_select_by(
    filled: Side, filters: MetadataFilters | None, is_async: bool
) -> None:
    way_out = "aclear" if is_async else "clear"
    with pytest.raises(InvalidArgumentError, match=rf"to delete everything use {way_out}\(\)"):
        filled.delete_nodes(filters=filters)
    assert ids(filled.get_nodes()) == EVERY


def test_clear_empties_the_store_and_it_can_be_used_again(filled: Side) -> None:
    filled.clear()
    assert filled.get_nodes() == []
    assert nearest(filled).ids == []
    filled.add([node("new", [1.0, 0.0])])
    assert nearest(filled).ids == ["new"]


# Getting


def test_get_nodes_by_ids_in_their_order(filled: Side) -> None:
    found = filled.get_nodes(node_ids=["c1", "unknown", "a1", "c1"])
    assert [one.node_id for one in found] == ["c1", "a1"]


def test_get_nodes_by_filters(filled: Side) -> None:
    assert ids(filled.get_nodes(filters=by_topic("y"))) == ["a2", "b2", "none"]


def test_get_nodes_by_both(filled: Side) -> None:
    found = filled.get_nodes(node_ids=["a1", "a2", "unknown"], filters=by_topic("y"))
    assert ids(found) == ["a2"]


@pytest.mark.parametrize("filters", [None, by_topic("x"), MetadataFilters(filters=[])])
def test_get_nodes_of_no_ids_is_nothing(filled: Side, filters: MetadataFilters | None) -> None:
    assert filled.get_nodes(node_ids=[], filters=filters) == []


def test_get_nodes_of_all(filled: Side) -> None:
    assert ids(filled.get_nodes()) == EVERY


def test_more_nodes_than_a_page(side: Side) -> None:
    names = [f"n{number:04}" for number in range(1_050)]
    side.add([node(name, [1.0, number / 1000]) for number, name in enumerate(names)])
    assert ids(side.get_nodes()) == names
    assert [one.node_id for one in side.get_nodes(node_ids=names)] == names


# Querying


def test_a_query_gives_the_nearest_first(filled: Side) -> None:
    found = nearest(filled, k=3)
    assert found.ids == ["a1", "a2", "b1"]
    assert [one.node_id for one in found.nodes or []] == found.ids
    assert found.similarities == pytest.approx([1, 1 / 1.04**0.5, 1 / 1.25**0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "similarities"),
    [("cosine", [1.0, 0.0, -1.0]), ("ip", [2.0, 0.0, -2.0]), ("l2", [1 / 2, 1 / 6, 1 / 10])],
)
def test_similarities_of_every_metric(
    make_side: MakeSide, metric: str, similarities: list[float]
) -> None:
    side = make_side(metric=metric)
    side.add([node("near", [2.0, 0.0]), node("side", [0.0, 2.0]), node("far", [-2.0, 0.0])])
    found = nearest(side)
    assert found.ids == ["near", "side", "far"]
    assert found.similarities == pytest.approx(list(similarities), abs=1e-6)


def test_more_than_ten_and_more_than_there_are(side: Side) -> None:
    side.add([node(f"n{number:02}", [1.0, number / 10]) for number in range(30)])
    assert nearest(side, k=25).ids == [f"n{number:02}" for number in range(25)]
    assert nearest(side, k=500).ids == [f"n{number:02}" for number in range(30)]


def test_a_query_by_documents(filled: Side) -> None:
    assert nearest(filled, doc_ids=["b", "c"]).ids == ["b1", "b2", "c1"]
    assert nearest(filled, doc_ids=["unknown"]).ids == []
    assert nearest(filled, doc_ids=[]).ids == []


def test_a_query_by_nodes(filled: Side) -> None:
    assert nearest(filled, node_ids=["c1", "a1"]).ids == ["a1", "c1"]
    assert nearest(filled, node_ids=["unknown"]).ids == []


def test_no_node_ids_are_no_condition(filled: Side) -> None:
    # VectorStoreIndex.as_retriever sends [] with every query to a store that keeps text.
    assert nearest(filled, node_ids=[]).ids == EVERY


def test_all_conditions_of_a_query_hold(filled: Side) -> None:
    found = nearest(filled, doc_ids=["a", "b"], node_ids=["a2", "b1", "c1"], filters=by_topic("x"))
    assert found.ids == ["b1"]


def test_a_query_that_finds_nothing(side: Side, filled: Side) -> None:
    found = nearest(filled, filters=by_topic("none such"))
    assert (found.nodes, found.similarities, found.ids) == ([], [], [])


def test_a_query_of_an_empty_store(side: Side) -> None:
    found = nearest(side)
    assert (found.nodes, found.similarities, found.ids) == ([], [], [])


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_similarity_top_k_is_a_positive_number(filled: Side, k: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="similarity_top_k"):
        nearest(filled, k=k)


def test_a_query_without_an_embedding_is_refused(filled: Side) -> None:
    with pytest.raises(InvalidArgumentError, match="the query has no embedding"):
        filled.query(VectorStoreQuery(query_str="hello", similarity_top_k=1))
    with pytest.raises(InvalidArgumentError, match="the query has no embedding"):
        filled.query(VectorStoreQuery(filters=by_topic("x"), mode=MMR))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"filters": by_topic("x")}, ["a1", "b1", "c1"]),
        ({"filters": by_topic("x"), "doc_ids": ["a", "c"]}, ["a1", "c1"]),
        ({"node_ids": ["b1", "b2"]}, ["b1", "b2"]),
        ({"doc_ids": []}, []),
    ],
)
def test_a_query_by_filters_alone(
    filled: Side, selection: dict[str, Any], expected: list[str]
) -> None:
    found = filled.query(VectorStoreQuery(similarity_top_k=10, **selection))
    assert sorted(found.ids) == expected
    assert ids(found.nodes) == expected
    assert found.similarities is None
    few = filled.query(VectorStoreQuery(similarity_top_k=1, **selection))
    assert len(few.ids) == min(1, len(expected))


def test_a_query_of_another_dimension_is_refused(filled: Side) -> None:
    with pytest.raises(DocumentError, match="the query has 3 numbers, the index has dimension 2"):
        nearest(filled, [1.0, 0.0, 0.0])


def test_an_unknown_argument_of_query_is_refused(filled: Side) -> None:
    with pytest.raises(InvalidArgumentError, match="unknown arguments of query: similarity_cutoff"):
        filled.query(VectorStoreQuery([1.0, 0.0]), similarity_cutoff=0.5)


SERVED = ("default", "mmr", "hybrid", "text_search")


@pytest.mark.parametrize(
    "mode", [mode for mode in VectorStoreQueryMode if mode.value not in SERVED]
)
def test_other_modes_are_refused(filled: Side, mode: VectorStoreQueryMode) -> None:
    with pytest.raises(
        InvalidArgumentError,
        match=f"mode '{mode.value}' is not served; use {', '.join(SERVED)}",
    ):
        nearest(filled, mode=mode)


# Variety (MMR)


@pytest.fixture
def twins(side: Side) -> Side:
    """Two near nodes that are the same, and one that is further but different."""
    side.add(
        [
            node("near", [1.0, 0.1, 0.0], topic="x"),
            node("twin", [1.0, 0.11, 0.0], topic="x"),
            node("other", [1.0, 0.0, 1.0], topic="y"),
            node("far", [-1.0, 0.0, 0.0], topic="y"),
        ]
    )
    return side


ALONG = [1.0, 0.0, 0.0]


def test_mmr_prefers_variety(twins: Side) -> None:
    assert nearest(twins, ALONG, k=2).ids == ["near", "twin"]
    assert nearest(twins, ALONG, k=2, mode=MMR).ids == ["near", "other"]


def test_a_threshold_of_one_is_nearness_alone(twins: Side) -> None:
    found = nearest(twins, ALONG, k=3, mode=MMR, mmr_threshold=1.0)
    assert found.ids == ["near", "twin", "other"]


def test_a_threshold_of_zero_is_variety_alone(twins: Side) -> None:
    found = nearest(twins, ALONG, k=2, mode=MMR, mmr_threshold=0.0)
    assert found.ids == ["near", "far"]


def test_the_threshold_beside_the_query_wins_as_retrievers_pass_it(twins: Side) -> None:
    query = VectorStoreQuery(ALONG, similarity_top_k=2, mode=MMR, mmr_threshold=0.0)
    assert twins.query(query, mmr_threshold=1.0).ids == ["near", "twin"]


def test_mmr_similarities_are_those_to_the_query(twins: Side) -> None:
    found = nearest(twins, ALONG, k=2, mode=MMR)
    assert found.similarities == pytest.approx([1 / 1.01**0.5, 0.5**0.5], abs=1e-6)
    assert [one.embedding for one in found.nodes or []] == [None, None]


def test_mmr_with_filters(twins: Side) -> None:
    assert nearest(twins, ALONG, k=5, mode=MMR, filters=by_topic("x")).ids == ["near", "twin"]
    assert nearest(twins, ALONG, k=5, mode=MMR, node_ids=["far"]).ids == ["far"]


@pytest.mark.parametrize("threshold", [-0.1, 1.1])
def test_a_threshold_out_of_bounds_is_refused(twins: Side, threshold: float) -> None:
    with pytest.raises(InvalidArgumentError, match="must be from 0 to 1"):
        nearest(twins, ALONG, mode=MMR, mmr_threshold=threshold)


# The dimension


def test_the_dimension_is_that_of_the_first_nodes(side: Side) -> None:
    assert side.store.dimension is None
    assert side.store.index.dimension is None
    side.add([node("n", [1.0, 0.0])])
    assert side.store.dimension == side.store.index.dimension == 2


def test_an_empty_store_of_unknown_dimension_can_be_read_and_deleted_from(side: Side) -> None:
    side.delete("doc")
    side.delete_nodes(["n"])
    side.delete_nodes(filters=by_topic("x"))
    side.clear()
    assert side.get_nodes() == []
    assert side.get_nodes(node_ids=["n"]) == []
    assert side.store.dimension is None


def test_a_second_store_finds_the_dimension_out(filled: Side, make_side: MakeSide) -> None:
    calls: list[Callable[[Side], Any]] = [
        lambda second: second.get_nodes(),
        lambda second: second.get_nodes(node_ids=["a1"]),
        lambda second: second.delete("a"),
        lambda second: second.delete_nodes(["b1"]),
        lambda second: second.add([node("d1", [1.0, 0.0])]),
        lambda second: nearest(second),
        lambda second: second.clear(),
    ]
    for call in calls:
        second = make_side(metadata_fields={"topic": "tag"})
        assert second.store.dimension is None
        call(second)
        assert second.store.dimension == 2
    assert filled.get_nodes() == []


def test_a_second_store_refuses_what_does_not_fit(filled: Side, make_side: MakeSide) -> None:
    second = make_side(metadata_fields={"topic": "tag"})
    with pytest.raises(DocumentError, match="the query has 3 numbers, the index has dimension 2"):
        nearest(second, [1.0, 0.0, 0.0])
    with pytest.raises(DocumentError, match="has 3 numbers, the index has dimension 2"):
        second.add([node("n", [1.0, 0.0, 0.0])])
    assert ids(second.get_nodes()) == EVERY


def test_two_first_writers_at_once(make_store: MakeStore) -> None:
    stores = [make_store() for _ in range(4)]

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for number, store in enumerate(stores):
                group.create_task(store.async_add([node(f"n{number}", [1.0, 0.0])]))

    asyncio.run(all_at_once())
    assert ids(make_store().get_nodes()) == ["n0", "n1", "n2", "n3"]


# Sharing an index


def test_stores_see_each_others_nodes(filled: Side, make_side: MakeSide) -> None:
    second = make_side(metadata_fields={"topic": "tag"})
    second.add([node("later", [1.0, 0.0], "a")])
    filled.delete("a")
    assert ids(second.get_nodes()) == ids(filled.get_nodes()) == ["b1", "b2", "c1", "none"]


def test_other_declarations_do_not_fit_the_index(
    filled: Side, make_side: MakeSide, backend: str
) -> None:
    second = make_side(metadata_fields={"topic": "tag", "year": "numeric"})
    if backend == "exact":
        assert ids(second.get_nodes()) == EVERY
    else:
        with pytest.raises(IndexMismatchError, match="lacks the numeric field year"):
            second.get_nodes()


def test_documents_that_another_face_wrote_are_text_nodes(
    side: Side, filled: Side, index_name: str
) -> None:
    filled.store.index.upsert([StoredDocument("plain", "words", {"topic": "z", "n": 1}, [1, 0])])
    (found,) = filled.get_nodes(filters=by_topic("z"))
    assert found == TextNode(
        id_="plain", text="words", metadata={"topic": "z", "n": 1}, embedding=[1.0, 0.0]
    )


def test_other_code_reads_text_and_metadata(filled: Side) -> None:
    index: VectorIndex = filled.store.index
    (document,) = index.get(["a1"])
    assert document.content == "text of a1"
    assert document.metadata["topic"] == "x"


def test_a_session_id_can_be_filtered_without_being_declared(make_side: MakeSide) -> None:
    side = make_side()
    side.add([node("1", [1.0, 0.0], session_id="s1"), node("2", [1.0, 0.0], session_id=None)])
    filters = MetadataFilters(filters=[MetadataFilter(key="session_id", value="s1")])
    assert nearest(side, filters=filters).ids == ["1"]


def test_a_session_id_can_be_declared_otherwise(make_side: MakeSide) -> None:
    side = make_side(metadata_fields={"session_id": "numeric"})
    side.add([node("1", [1.0, 0.0], session_id=1.5), node("2", [1.0, 0.0], session_id=2)])
    at_least = MetadataFilter(key="session_id", value=2, operator=FilterOperator.GTE)
    assert nearest(side, filters=MetadataFilters(filters=[at_least])).ids == ["2"]


# Expiry


def test_nodes_expire(make_store: MakeStore, connection: ValkeyConnection) -> None:
    store = make_store(ttl=1000)
    store.add([node("n", [1.0, 0.0])])
    assert 990_000 < ttl_ms(connection, f"{store.index_name}:n") <= 1_000_000


def test_a_query_restarts_the_ttl(make_side: MakeSide, connection: ValkeyConnection) -> None:
    side = make_side(ttl=1000, refresh_ttl_on_read=True)
    side.add([node("n", [1.0, 0.0])])
    key = f"{side.store.index_name}:n"
    send(connection, "PEXPIRE", key, "5000")
    assert nearest(side).ids == ["n"]
    assert ttl_ms(connection, key) > 990_000


def test_some_nodes_expire_earlier(make_side: MakeSide, connection: ValkeyConnection) -> None:
    side = make_side(ttl=1000)
    side.add([node("n", [1.0, 0.0])], ttl=5)
    assert 0 < ttl_ms(connection, f"{side.store.index_name}:n") <= 5000


def test_a_timedelta_is_a_ttl(make_side: MakeSide, connection: ValkeyConnection) -> None:
    side = make_side(ttl=timedelta(minutes=10))
    assert side.store.ttl == 600
    side.add([node("n", [1.0, 0.0])])
    assert 590_000 < ttl_ms(connection, f"{side.store.index_name}:n") <= 600_000
    side.add([node("n", [1.0, 0.0])], ttl=timedelta(seconds=5))
    assert 0 < ttl_ms(connection, f"{side.store.index_name}:n") <= 5000


def ttl_ms(connection: ValkeyConnection, key: str) -> int:
    return int(send(connection, "PTTL", key))


# Which search is used


def test_auto_uses_the_search_that_there_is(
    make_side: MakeSide, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    side = make_side(search="auto")
    with caplog.at_level(logging.INFO, "valkey_memory"):
        side.add([node("n", [1.0, 0.0])])
    assert side.store.index.mode == ("exact" if backend == "exact" else "server")
    again = make_side(search="auto")
    assert ids(again.get_nodes()) == ["n"]


@pytest.mark.parametrize("call", ["add", "query", "get_nodes", "clear"])
def test_server_search_where_there_is_none(url: str, is_async: bool, call: str) -> None:
    store = ValkeyVectorStore(f"test-{uuid.uuid4().hex}", url=url, search="server")
    arguments: dict[str, list[Any]] = {
        "add": [[node("n", [1.0, 0.0])]],
        "query": [VectorStoreQuery([1.0, 0.0])],
    }
    with pytest.raises(
        SearchUnavailableError, match=r'load valkey-search .* or use search="exact"'
    ):
        getattr(Side(store, is_async=is_async), call)(*arguments.get(call, []))


# Async forms


def coroutine_methods() -> list[str]:
    return [
        name
        for name, member in inspect.getmembers(BasePydanticVectorStore, inspect.iscoroutinefunction)
        if not name.startswith("_")
    ]


@pytest.mark.parametrize("name", coroutine_methods())
def test_every_async_form_is_our_own(name: str) -> None:
    own = getattr(ValkeyVectorStore, name)
    assert own is not getattr(BasePydanticVectorStore, name)
    assert inspect.iscoroutinefunction(own)


def test_there_are_as_many_async_forms_as_we_know() -> None:
    assert set(coroutine_methods()) == {
        "aclear",
        "adelete",
        "adelete_nodes",
        "aget_nodes",
        "aquery",
        "async_add",
    }


@pytest.mark.parametrize("name", ["add", "clear", "delete", "delete_nodes", "get_nodes", "query"])
def test_both_forms_take_the_same(name: str) -> None:
    twin = "async_add" if name == "add" else f"a{name}"
    sync, is_async = getattr(ValkeyVectorStore, name), getattr(ValkeyVectorStore, twin)
    assert inspect.signature(sync) == inspect.signature(is_async)


async def test_async_forms_use_no_sync_call(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*_: Any) -> Any:
        raise AssertionError("a sync call in an async method")

    store = make_store(metadata_fields={"topic": "tag"})
    with monkeypatch.context() as patch:
        patch.setattr(ValkeyConnection, "run", blocked)
        await store.async_add([node("n", [1.0, 0.0], "d", topic="x"), node("m", [0.0, 1.0])])
        assert (await store.aquery(VectorStoreQuery([1.0, 0.0]))).ids == ["n"]
        assert (await store.aquery(VectorStoreQuery([1.0, 0.0], mode=MMR))).ids == ["n"]
        assert ids(await store.aget_nodes()) == ["m", "n"]
        await store.adelete_nodes(["m"])
        await store.adelete_nodes(filters=by_topic("y"))
        await store.adelete("d")
        await store.aclear()
        assert await store.aget_nodes() == []


async def test_many_queries_at_once(make_store: MakeStore) -> None:
    store = make_store()
    await store.async_add([node(f"n{number}", [1.0, number / 10]) for number in range(20)])
    queries = [VectorStoreQuery([1.0, number / 10]) for number in range(20)]
    found = await asyncio.gather(*map(store.aquery, queries))
    assert [result.ids for result in found] == [[f"n{number}"] for number in range(20)]


# Misspelt arguments


@pytest.mark.parametrize(
    "call",
    [
        lambda side: side.add([], batch_size=5),
        lambda side: side.delete("doc", delete_from_docstore=True),
        lambda side: side.delete_nodes(["n"], node_id="n"),
        lambda side: side.get_nodes(["n"], limit=5),
        lambda side: side.clear(force=True),
    ],
    ids=["add", "delete", "delete_nodes", "get_nodes", "clear"],
)
def test_unknown_arguments_are_errors(unreachable: Side, call: Callable[[Side], Any]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        call(unreachable)


@pytest.fixture
def unreachable(is_async: bool) -> Side:
    """A store whose server is not there."""
    return Side(ValkeyVectorStore(url="valkey://127.0.0.1:1", dimension=2), is_async=is_async)


def test_an_unknown_option_of_the_store_is_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'hnsw_m'"):
        ValkeyVectorStore(hnsw_m=5)  # type: ignore[call-arg]


# Construction


def test_making_a_store_asks_no_server() -> None:
    ValkeyVectorStore(url="valkey://127.0.0.1:1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index_name": "a b"}, "index name 'a b'"),
        ({"index_name": ""}, "index name ''"),
        ({"dimension": -1}, "dimension must be 1 to"),
        ({"dimension": 0}, "dimension must be 1 to"),
        ({"storage": "xml"}, "storage 'xml'"),
        ({"search": "hybrid"}, "search 'hybrid'"),
        ({"metric": "dot"}, "metric 'dot'"),
        ({"algorithm": "ivf"}, "algorithm 'ivf'"),
        ({"m": 0}, "m must be 1 to"),
        ({"ef_runtime": 5000}, "ef_runtime must be 1 to 4096"),
        ({"metadata_fields": {"a b": "tag"}}, "metadata field 'a b'"),
        ({"metadata_fields": ["a"]}, "metadata_fields must be a dict, not a list"),
        ({"metadata_fields": {"a": "date"}}, "metadata field 'a' has the type 'date'"),
        ({"metadata_fields": {"llama_node_id": "tag"}}, r"\['llama_node_id'\] are the store's own"),
        ({"refresh_ttl_on_read": True}, "refresh_ttl_on_read needs a ttl"),
        ({"ttl": 0}, "ttl"),
        ({"exact_limit": 0}, "exact_limit"),
        ({"stores_text": False}, "keeps text and compares embeddings"),
        ({"is_embedding_query": False}, "keeps text and compares embeddings"),
    ],
)
def test_wrong_options_fail_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, InvalidArgumentError), match=message):
        ValkeyVectorStore(**options)


def test_url_and_connection_exclude_each_other() -> None:
    with (
        ValkeyConnection.from_url("valkey://127.0.0.1:1") as connection,
        pytest.raises(ConfigurationError),
    ):
        ValkeyVectorStore(url="valkey://127.0.0.1:1", connection=connection)


def test_it_says_what_llama_index_asks() -> None:
    store = ValkeyVectorStore(url="valkey://127.0.0.1:1")
    assert ValkeyVectorStore.class_name() == "ValkeyVectorStore"
    assert (store.stores_text, store.is_embedding_query) == (True, True)
    assert isinstance(store.client, ValkeyConnection)


# Written down and read again

OPTIONS: dict[str, Any] = {
    "index_name": "nodes",
    "dimension": 3,
    "url": "valkey://user:secret@127.0.0.1:1/2",
    "storage": "hash",
    "search": "exact",
    "metadata_fields": {"topic": "tag", "year": "numeric"},
    "metric": "l2",
    "algorithm": "flat",
    "m": 8,
    "ef_construction": 50,
    "ef_runtime": 20,
    "ttl": 60.0,
    "refresh_ttl_on_read": True,
    "exact_limit": 500,
    "on_corrupt": "skip",
}

COPIES: dict[str, Callable[[ValkeyVectorStore], ValkeyVectorStore]] = {
    "dict": lambda store: ValkeyVectorStore.from_dict(store.to_dict()),
    "json": lambda store: ValkeyVectorStore.from_json(store.to_json()),
    "pickle": lambda store: pickle.loads(pickle.dumps(store)),  # noqa: S301
    "deepcopy": copy.deepcopy,
    "model": lambda store: ValkeyVectorStore.model_validate(store.model_dump()),
    "model as JSON": lambda store: ValkeyVectorStore.model_validate_json(store.model_dump_json()),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["defaults", "everything"])
def test_a_copy_has_the_same_options(
    make_copy: Callable[[ValkeyVectorStore], ValkeyVectorStore], options: dict[str, Any]
) -> None:
    store = ValkeyVectorStore(**options)
    copied = make_copy(store)
    assert copied == store
    assert copied != ValkeyVectorStore("another")
    assert copied.to_dict() == store.to_dict()
    for name, value in options.items():
        assert getattr(copied, name) == value, name


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_a_copy_uses_the_same_nodes(
    make_copy: Callable[[ValkeyVectorStore], ValkeyVectorStore],
    make_store: MakeStore,
    server_url: str,
) -> None:
    store = make_store(url=server_url, metadata_fields={"topic": "tag"})
    store.add([node("n", [1.0, 0.0], topic="x")])
    copied = make_copy(store)
    assert ids(copied.get_nodes(filters=by_topic("x"))) == ["n"]
    assert copied.dimension == 2


def test_the_class_is_named_in_the_dict() -> None:
    assert ValkeyVectorStore().to_dict()["class_name"] == "ValkeyVectorStore"


def test_every_option_is_written_down() -> None:
    parameters = set(inspect.signature(ValkeyVectorStore.__init__).parameters)
    written = set(ValkeyVectorStore().to_dict()) - {"class_name"}
    assert parameters - {"self", "connection"} == written
    assert set(OPTIONS) == written - {"stores_text", "is_embedding_query"}


def test_the_url_of_a_connection_is_written_down() -> None:
    with ValkeyConnection.from_url("valkey://127.0.0.1:1") as connection:
        store = ValkeyVectorStore(connection=connection)
        assert COPIES["pickle"](store).url == "valkey://127.0.0.1:1"


@pytest.mark.parametrize("show", [repr, str, "{}".format, "%r".__mod__])
def test_a_password_is_never_shown(show: Callable[[ValkeyVectorStore], str]) -> None:
    shown = show(ValkeyVectorStore(**OPTIONS))
    assert "secret" not in shown
    assert "127.0.0.1" in shown


def test_a_password_is_in_no_error(is_async: bool) -> None:
    store = ValkeyVectorStore(
        url="valkey://user:secret@127.0.0.1:1?connection_timeout=0.5", dimension=2
    )
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as caught:
        Side(store, is_async=is_async).get_nodes()
    assert "secret" not in str(caught.value)


# A server that is gone and back


@pytest.fixture
def own_server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


def test_a_cleared_server_is_noticed_by_exact_search(
    own_server: EmbeddedValkey, is_async: bool
) -> None:
    side = Side(ValkeyVectorStore(url=own_server.url, search="exact"), is_async=is_async)
    side.add([node("n", [1.0, 0.0])])
    assert nearest(side).ids == ["n"]
    send(side.store.client, "FLUSHALL")
    assert nearest(side).ids == []
