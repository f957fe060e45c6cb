"""One index for all users: nobody sees what is somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document

from langchain_valkey_glide import LocalEmbeddings
from valkey_memory import FilterError, Tag

HOSTILE = [
    "bob",
    "",
    " ",
    "*",
    "a*",
    "alice*",
    "alic",
    "alicee",
    "Alice",
    "ALICE",
    " alice",
    "alice ",
    "alice\n",
    "alice\x00",
    "alice|bob",
    "bob|alice",
    "alice,bob",
    "bob,alice",
    "{alice}",
    "bob} | @user_id:{alice",
    "bob}|@user_id:{alice}",
    "bob})|(@user_id:{alice}",
    "x} | @year:[-inf +inf] | @user_id:{x",
    "-alice",
    "~alice",
    "!alice",
    "@user_id:{alice}",
    "=>[KNN 10 @embedding $vector]",
    "alice=>",
    "\\alice",
    "alice\\",
    "bob\\|alice",
    "%alice%",
    '"alice"',
    "'alice'",
    "$alice",
    "_any",
    "_has",
    "None",
    "true",
    "1",
    "ａlice",  # noqa: RUF001
    "ali\u0301ce",
    "алиса",
    "🦄",
    "a" * 2000,
]

# Integers and booleans are users of their own, too.
NUMBERS = [1, 0, True, False, -1]


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


@pytest.fixture
def alices(store: Any) -> Any:
    store.add_texts(
        ["alice's secret", "alice's other secret"],
        [{"user_id": "alice", "year": 2025}, {"user_id": "alice", "year": 2026}],
    )
    return store


def test_hostile_user_ids_see_nothing_of_alices(alices: Any) -> None:
    for user in [*HOSTILE, *NUMBERS]:
        for condition in ({"user_id": user}, {"user_id": [user]}, Tag("user_id") == user):
            assert alices.similarity_search("alice's secret", filter=condition) == [], user


def test_each_hostile_user_sees_exactly_their_own(alices: Any) -> None:
    users = [*HOSTILE, *NUMBERS]
    alices.add_texts([f"of {user!r}" for user in users], [{"user_id": user} for user in users])
    seen = {}
    for user in users:
        seen[repr(user)] = contents(
            alices.similarity_search("alice's secret", k=200, filter={"user_id": user})
        )
    assert seen == {repr(user): [f"of {user!r}"] for user in users}
    mine = alices.similarity_search("secret", k=200, filter={"user_id": "alice"})
    assert set(contents(mine)) == {"alice's secret", "alice's other secret"}


def test_hostile_users_delete_only_their_own(alices: Any) -> None:
    alices.add_texts([f"of {user!r}" for user in HOSTILE], [{"user_id": u} for u in HOSTILE])
    for user in HOSTILE:
        alices.delete(filter={"user_id": user})
    left = alices.similarity_search("secret", k=200)
    assert set(contents(left)) == {"alice's secret", "alice's other secret"}


@pytest.mark.parametrize("user", [1.5, b"alice", {"$regex": ".*"}, {"$where": "1"}, object()])
def test_what_is_no_user_is_an_error(alices: Any, user: Any) -> None:
    with pytest.raises(FilterError):
        alices.similarity_search("alice's secret", filter={"user_id": user})


def test_no_user_is_not_every_user(alices: Any) -> None:
    """A missing user id must not open the filter."""
    assert alices.similarity_search("alice's secret", filter={"user_id": None}) == []
    assert alices.similarity_search("alice's secret", filter={"user_id": []}) == []


# The seed example, with a real model

ECS = "We deployed to ECS using a blue-green strategy"
HNSW = "HNSW makes vector search fast"
PIPELINE = "CodePipeline deploys the service after every merge"
QUESTION = "How do I deploy my service?"


@pytest.fixture
def memories(make: Callable[..., Any]) -> Any:
    store = make(LocalEmbeddings())
    store.add_texts(
        [ECS, HNSW, PIPELINE],
        [
            {"user_id": "alice", "session_id": "s1", "role": "user"},
            {"user_id": "alice", "session_id": "s2", "role": "assistant"},
            {"user_id": "alice", "session_id": "s3", "role": "assistant"},
        ],
    )
    return store


def test_the_two_about_deployment_come_first(memories: Any) -> None:
    found = memories.similarity_search_with_score(QUESTION, k=3, filter={"user_id": "alice"})
    assert {document.page_content for document, _ in found[:2]} == {ECS, PIPELINE}
    assert found[1][1] > 2 * found[2][1]
    assert found[2][0].page_content == HNSW


def test_they_are_found_across_sessions(memories: Any) -> None:
    found = memories.similarity_search(QUESTION, k=2, filter={"user_id": "alice"})
    assert {document.metadata["session_id"] for document in found} == {"s1", "s3"}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"session_id": "s1"}, {ECS}),
        ({"session_id": "s2"}, {HNSW}),
        ({"role": "user"}, {ECS}),
        ({"role": "assistant"}, {HNSW, PIPELINE}),
        ({"role": "assistant", "session_id": ["s1", "s3"]}, {PIPELINE}),
        ({"session_id": {"$ne": "s2"}}, {ECS, PIPELINE}),
    ],
)
def test_filters_by_user_session_and_role(
    memories: Any, condition: dict[str, Any], expected: set[str]
) -> None:
    found = memories.similarity_search(QUESTION, k=9, filter={"user_id": "alice"} | condition)
    assert set(contents(found)) == expected


def test_bob_sees_none_of_them(memories: Any, face: Callable[[Any], Any]) -> None:
    condition = {"user_id": "bob"}
    assert memories.similarity_search(QUESTION, filter=condition) == []
    assert memories.max_marginal_relevance_search(QUESTION, filter=condition) == []
    for kind in ("similarity", "mmr", "similarity_score_threshold"):
        retriever = memories.store.as_retriever(
            search_type=kind,
            search_kwargs={"filter": condition}
            | ({"score_threshold": 0.0} if kind == "similarity_score_threshold" else {}),
        )
        assert face(retriever).invoke(QUESTION) == []
