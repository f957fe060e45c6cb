"""Scores, relevance, diversity, filters and retrievers, on each backend, sync and async."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from langchain_classic.retrievers import TimeWeightedVectorStoreRetriever
from langchain_core.documents import Document

from valkey_memory import FilterError, InvalidArgumentError, Numeric, Tag, Text

from ..models.words import Opposites, Words, bag_of_words
from .backends import Backend

FRUIT = ["red apple", "green apple", "yellow banana", "dark plum"]

PEOPLE = [
    ("alice", "user", 2024, "blue green deployment"),
    ("alice", "assistant", 2025, "green deployment done"),
    ("bob", "user", 2025, "blue sky"),
    ("bob", "assistant", 2026, "a green sky"),
]

# What is asked for, as a dict and as an expression, and which of PEOPLE it lets through.
FILTERS: list[tuple[dict[str, Any], Any, set[int]]] = [
    ({"user_id": "alice"}, Tag("user_id") == "alice", {0, 1}),
    ({"user_id": {"$ne": "alice"}}, Tag("user_id") != "alice", {2, 3}),
    ({"user_id": ["alice", "bob"]}, Tag("user_id").is_in(["alice", "bob"]), {0, 1, 2, 3}),
    ({"user_id": []}, Tag("user_id").is_in([]), set()),
    ({"year": 2025}, Numeric("year") == 2025, {1, 2}),
    ({"year": {"$gte": 2025}}, Numeric("year") >= 2025, {1, 2, 3}),
    ({"year": {"$gt": 2024, "$lt": 2026}}, Numeric("year").between(2025, 2025), {1, 2}),
    (
        {"user_id": "alice", "role": "user"},
        (Tag("user_id") == "alice") & (Tag("role") == "user"),
        {0},
    ),
    (
        {"$or": [{"role": "user"}, {"year": 2026}]},
        (Tag("role") == "user") | (Numeric("year") == 2026),
        {0, 2, 3},
    ),
    ({"$not": {"user_id": "bob"}}, ~(Tag("user_id") == "bob"), {0, 1}),
    ({"content": "green"}, Text("content").matches("green"), {0, 1, 3}),
    ({"session_id": None}, Tag("session_id").is_empty(), {0, 1, 2, 3}),
    ({"session_id": "s1"}, Tag("session_id") == "s1", set()),
]


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


@pytest.fixture
def fruit(store: Any) -> Any:
    store.add_texts(FRUIT)
    return store


@pytest.fixture
def people(store: Any) -> Any:
    store.add_texts(
        [text for *_, text in PEOPLE],
        [{"user_id": user, "role": role, "year": year} for user, role, year, _ in PEOPLE],
        ids=[str(number) for number in range(len(PEOPLE))],
    )
    return store


# Scores


def test_scores_are_similarities_highest_first(fruit: Any) -> None:
    found = fruit.similarity_search_with_score("red apple", k=4)
    scores = [score for _, score in found]
    assert contents([document for document, _ in found])[:2] == ["red apple", "green apple"]
    assert scores[0] == pytest.approx(1, abs=1e-5)
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("metric", "similarity"),
    [
        ("cosine", lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
        ("ip", lambda a, b: a @ b),
        ("l2", lambda a, b: 1 / (1 + (a - b) @ (a - b))),
    ],
)
def test_scores_follow_the_metric(
    make: Callable[..., Any], metric: str, similarity: Callable[[Any, Any], float]
) -> None:
    class Long(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return [[3 * x for x in bag_of_words(text, 64)] for text in texts]

    model = Long()
    store = make(model, metric=metric)
    store.add_texts(FRUIT)
    query = np.array(model.embed_query("red apple"))
    for document, score in store.similarity_search_with_score("red apple", k=4):
        vector = np.array(model.embed_query(document.page_content))
        assert score == pytest.approx(similarity(query, vector), abs=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_relevance_is_from_0_to_1_without_warnings(make: Callable[..., Any], metric: str) -> None:
    class Long(Opposites):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return [[2 * x for x in vector] for vector in super().vectors(texts)]

    store = make(Long(), metric=metric)
    store.add_texts(["red apple", "not red apple", "dark plum"])
    found = store.similarity_search_with_relevance_scores("red apple", k=3)
    relevance = {document.page_content: score for document, score in found}
    assert len(relevance) == 3
    assert all(0 <= score <= 1 for score in relevance.values())
    assert relevance["red apple"] == pytest.approx(1, abs=1e-5)
    assert relevance["not red apple"] == pytest.approx(0, abs=0.06)


# Retrievers


def test_retriever_by_similarity(fruit: Any, face: Callable[[Any], Any]) -> None:
    retriever = fruit.store.as_retriever(search_kwargs={"k": 2})
    assert contents(face(retriever).invoke("red apple")) == ["red apple", "green apple"]


def test_retriever_by_default_returns_four(store: Any, face: Callable[[Any], Any]) -> None:
    store.add_texts([f"text {number}" for number in range(9)])
    assert len(face(store.store.as_retriever()).invoke("text")) == 4


def test_retriever_by_marginal_relevance(store: Any, face: Callable[[Any], Any]) -> None:
    store.add_texts(["red apple", "red apple pie", "dark plum"])
    retriever = store.store.as_retriever(
        search_type="mmr", search_kwargs={"k": 2, "fetch_k": 3, "lambda_mult": 0.1}
    )
    assert contents(face(retriever).invoke("red apple")) == ["red apple", "dark plum"]


def test_retriever_above_a_threshold(fruit: Any, face: Callable[[Any], Any]) -> None:
    retriever = fruit.store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9, "k": 4}
    )
    assert contents(face(retriever).invoke("green apple")) == ["green apple"]


def test_retriever_above_a_threshold_may_find_nothing(
    fruit: Any, face: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    retriever = fruit.store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9}
    )
    with caplog.at_level(logging.WARNING):
        assert face(retriever).invoke("a yacht") == []
    assert "No relevant docs" in caplog.text


def test_a_retriever_can_add_documents(store: Any, face: Callable[[Any], Any]) -> None:
    retriever = face(store.store.as_retriever())
    assert retriever.add_documents([Document(id="1", page_content="one")]) == ["1"]
    assert contents(retriever.invoke("one")) == ["one"]


def test_a_retriever_takes_several_questions_at_once(
    fruit: Any, face: Callable[[Any], Any]
) -> None:
    retriever = face(fruit.store.as_retriever(search_kwargs={"k": 1}))
    found = retriever.batch(["red apple", "dark plum"])
    assert [contents(documents) for documents in found] == [["red apple"], ["dark plum"]]


# Time


def test_a_time_weighted_retriever(make: Callable[..., Any], face: Callable[[Any], Any]) -> None:
    """It keeps datetimes in the metadata, and compares those of what it finds with now."""
    store = make()
    retriever = TimeWeightedVectorStoreRetriever(vectorstore=store.store, decay_rate=0.5, k=1)
    use = face(retriever)
    now = datetime.now()  # noqa: DTZ005 - the retriever's are without a zone
    old = Document("green bees", metadata={"last_accessed_at": now - timedelta(days=2)})
    use.add_documents([old, Document("green hills")])
    # Nearer, but not looked at for two days; and what is found is looked at.
    assert contents(use.invoke("green bees")) == ["green hills"]
    found = {one.page_content: one.metadata for one in store.get_by_filter()}
    assert found["green bees"]["last_accessed_at"] == now - timedelta(days=2)
    assert isinstance(found["green hills"]["created_at"], datetime)
    again = TimeWeightedVectorStoreRetriever(vectorstore=store.store, decay_rate=1e-9, k=1)
    again.memory_stream = retriever.memory_stream
    assert contents(face(again).invoke("green bees")) == ["green bees"]


# Diversity


def test_diversity_goes_from_nearness_alone_to_variety(store: Any) -> None:
    store.add_texts(["red apple", "red apple pie", "red pear", "dark plum"])

    def search(lambda_mult: float) -> list[str]:
        return contents(
            store.max_marginal_relevance_search(
                "red apple", k=2, fetch_k=4, lambda_mult=lambda_mult
            )
        )

    assert search(1.0) == ["red apple", "red apple pie"]
    assert search(0.0) == ["red apple", "dark plum"]


def test_diversity_chooses_among_the_nearest_only(store: Any) -> None:
    store.add_texts(["red apple", "red apple pie", "dark plum"])
    found = store.max_marginal_relevance_search("red apple", k=2, fetch_k=2, lambda_mult=0.0)
    assert contents(found) == ["red apple", "red apple pie"]


def test_diversity_by_vector_with_a_filter(people: Any) -> None:
    found = people.max_marginal_relevance_search_by_vector(
        bag_of_words("green sky", 64), k=4, filter={"user_id": "alice"}
    )
    assert {document.id for document in found} == {"0", "1"}


@pytest.mark.parametrize("wrong", [{"lambda_mult": 1.1}, {"lambda_mult": -0.1}, {"fetch_k": 0}])
def test_wrong_diversity_is_refused(fruit: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        fruit.max_marginal_relevance_search("red apple", **wrong)


# Filters


@pytest.mark.parametrize(
    "search_type", ["similarity", "mmr", "similarity_score_threshold", "hybrid"]
)
def test_filters_through_retrievers(
    people: Any, face: Callable[[Any], Any], search_type: str
) -> None:
    extra = {"score_threshold": 0.0} if search_type == "similarity_score_threshold" else {}
    for as_dict, as_expression, expected in FILTERS:
        for condition in (as_dict, as_expression):
            retriever = people.store.as_retriever(
                search_type=search_type, search_kwargs={"filter": condition, "k": 9} | extra
            )
            found = {int(document.id) for document in face(retriever).invoke("green sky")}
            assert found == expected, condition


def test_a_filter_can_be_given_with_the_question(people: Any, face: Callable[[Any], Any]) -> None:
    retriever = people.store.as_retriever(search_kwargs={"filter": {"user_id": "alice"}})
    found = face(retriever).invoke("green sky", filter={"user_id": "bob"})
    assert {document.id for document in found} == {"2", "3"}


@pytest.mark.parametrize(
    "condition",
    [
        {"colour": "red"},
        {"user_id": {"$like": "a"}},
        {"user_id": {"$gt": "a"}},
        {"year": "2025"},
        {"$nor": [{"user_id": "alice"}]},
        {"$or": []},
        {"user_id": {}},
        "user_id == alice",
        lambda document: True,
        Tag("colour") == "red",
        Tag("year") == 2025,
    ],
)
def test_a_filter_that_cannot_be_served_is_an_error(people: Any, condition: Any) -> None:
    with pytest.raises(FilterError):
        people.similarity_search("green sky", filter=condition)
    with pytest.raises(FilterError):
        people.max_marginal_relevance_search("green sky", filter=condition)


def test_nothing_passes_a_filter_of_an_empty_store(backend: Backend) -> None:
    store = backend.store(Words(), metadata_fields={"user_id": "tag"})
    assert store.similarity_search("one", filter={"user_id": "alice"}) == []
