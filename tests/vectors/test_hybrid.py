"""Hybrid search: what is found by vector and by words, in which order, by both engines."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkey_memory import (
    ConfigurationError,
    Document,
    DocumentError,
    FilterError,
    Hit,
    InvalidArgumentError,
    LocalEmbedding,
    Tag,
    Text,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._vectors.hybrid import Query
from valkey_memory._vectors.ranking import K1, NEAREST, RANK_OFFSET, B
from valkey_memory._vectors.text_index import TextIndex
from valkey_memory._vectors.words import TERMS_ASKED, terms

from ..models.words import Words, bag_of_words
from .documents import ids, score

DATA = json.loads((Path(__file__).parent.parent / "data" / "recall.json").read_text())["users"]
SIZE = 32

TEXTS = {
    "ecs": "We deployed to ECS with a blue-green strategy",
    "late": "Order QX-417 was late, and the order of QX-9 was not",
    "bees": "Bees collect nectar, and bees dance",
    "blue": "A blue sky over the blue sea",
    "long": "The strategy of the team: first the order, then tea, then the blue order book of bees",
    "tea": "Tea",
    "stop": "It was not his",
    "emoji": "\U0001f41d\U0001f41d",
}
QUERIES = [
    "blue order",
    "What about order QX-417?",
    "bees and tea",
    "tea tea tea order",
    "the strategy of BEES",
    "QX",
    "nothing of this kind",
]

on_engines = pytest.mark.real_search


def vector(text: str) -> list[float]:
    return bag_of_words(text, SIZE)


def document(one: str, text: str, **metadata: Any) -> Document:
    return Document(one, text, metadata, vector(text))


@pytest.fixture
def index(make_index: Any) -> Any:
    return make_index(dimension=SIZE)


@pytest.fixture
def filled(index: Any) -> Any:
    index.upsert([document(one, text, user_id="a") for one, text in TEXTS.items()])
    return index


# What is right, straight from the definitions


def text_scores(texts: dict[str, str], query: str) -> dict[str, float]:
    """BM25 of the texts that have words of the query, for a query in the texts' own word forms."""
    found = {one: terms(text) for one, text in texts.items()}
    usual = sum(map(len, found.values())) / len(found)
    scores: dict[str, float] = {}
    for one, own in found.items():
        total = 0.0
        for term in terms(query):
            have = sum(term in other for other in found.values())
            times = own.count(term)
            weight = math.log(1 + (len(found) - have + 0.5) / (have + 0.5))
            norm = K1 * (1 - B + B * len(own) / usual)
            total += weight * times / (times + norm)
        if total:
            scores[one] = total
    return scores


def places(scores: dict[str, float]) -> dict[str, int]:
    ordered = sorted(scores, key=lambda one: (-round(scores[one], 6), one))
    return {one: place for place, one in enumerate(ordered, 1)}


def fused(texts: dict[str, str], query: str, alpha: float = 0.5) -> dict[str, float]:
    by_text = places(text_scores(texts, query))
    by_vector = places({o: score("cosine", vector(query), vector(t)) for o, t in texts.items()})
    scores = {
        one: (RANK_OFFSET + 1)
        * (
            (1 - alpha) * (1 / (RANK_OFFSET + by_text[one]) if one in by_text else 0)
            + alpha / (RANK_OFFSET + by_vector[one])
        )
        for one in texts
    }
    return {one: scores[one] for one in scores if scores[one]}


@on_engines
@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("alpha", [None, 0, 0.25, 1])
def test_the_order_is_that_of_both_ranks(filled: Any, query: str, alpha: float | None) -> None:
    expected = fused(TEXTS, query, 0.5 if alpha is None else alpha)
    hits = filled.search_hybrid(query, vector(query), 20, alpha=alpha)
    assert {hit.document.id: hit.score for hit in hits} == pytest.approx(expected)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert ids(filled.search_hybrid(query, vector(query), 3, alpha=alpha)) == ids(hits)[:3]


@on_engines
def test_words_alone_are_ranked_by_bm25(filled: Any) -> None:
    hits = filled.search_hybrid("order", None, 20)
    assert ids(hits) == ["late", "long"]
    assert hits[0].score > hits[1].score > 0
    rarer, common = (filled.search_hybrid(word, None)[0].score for word in ("nectar", "blue"))
    assert rarer > common
    assert ids(filled.search_hybrid("zebra", None)) == []


@on_engines
def test_stems_rank_and_words_look_up(filled: Any) -> None:
    """The form that the query has is looked up; other forms count where they are candidates."""
    hits = {hit.document.id: hit.score for hit in filled.search_hybrid("bee", vector("bee"), 20)}
    assert hits["bees"] > hits["tea"]
    assert ids(filled.search_hybrid("ORDER", None)) == ["late", "long"]


@on_engines
def test_a_rare_word_is_found_beyond_the_nearest(index: Any) -> None:
    near = [document(f"n{n:03}", f"tea {n}") for n in range(2 * NEAREST)]
    index.upsert([*near, document("code", "QX-417 is what they call that one")])
    assert "code" in ids(index.search_hybrid("QX-417", vector("tea"), 2))
    assert "code" not in ids(index.search(vector("tea"), NEAREST))


@on_engines
def test_common_words_alone_find_something_still(index: Any) -> None:
    index.upsert([document(f"n{n:03}", "tea tea" if n == 7 else "tea") for n in range(250)])
    assert len(index.search_hybrid("tea", None, 300)) == 250
    assert ids(index.search_hybrid("tea", None, 1)) == ["n007"]
    assert len(index.search_hybrid("tea", vector("tea"), 300)) == 250


@on_engines
def test_what_takes_part_can_be_limited(filled: Any) -> None:
    asked = "blue order"
    by_words = ids(filled.search_hybrid(asked, None, 20))
    nearest = ids(filled.search(vector(asked), 20))
    found = filled.search_hybrid(asked, vector(asked), 20, vector_k=1, text_k=2)
    assert {*ids(found)} == {nearest[0], *by_words[:2]}
    assert ids(filled.search_hybrid(asked, None, 20, text_k=1)) == by_words[:1]


# Filters and tenants


@on_engines
@pytest.mark.parametrize(
    "query",
    [
        "secret tea",
        "@user_id:{b}",
        "secret) | @user_id:{b",
        "*",
        "=>[KNN 10 @_embedding $vector]",
        "-secret ~tea %secret% \"secret tea\" 'tea' $vector",
        "_any _has _none",
        "\x00secret\x00",
        "secret " * 20_000,
        " ".join(f"w{n}" for n in range(5_000)) + " secret",
        "s" * 100_000,
        "\u6771\u4eac" * 5_000,
        "x" * 3_000 + " secret",
        " ".join(str(n) * 100 for n in range(10, 60)) + " secret",
        " ".join("\u0436" * n for n in range(60)) + " secret",
    ],
    ids=lambda query: query[:16].encode("unicode_escape").decode(),
)
def test_nobody_sees_what_is_somebody_elses(index: Any, query: str) -> None:
    index.upsert([document(f"a{n}", "tea", user_id="a") for n in range(3)])
    index.upsert([document(f"b{n}", "secret tea", user_id="b") for n in range(3)])
    for mode in (None, vector(query)):
        found = index.search_hybrid(query, mode, 10, filter={"user_id": "a"})
        assert {*ids(found)} <= {"a0", "a1", "a2"}
        assert index.search_hybrid(query, mode, 10, filter={"user_id": []}) == []


@on_engines
@pytest.mark.parametrize("backend", ["flat-hash", "exact"])
def test_words_of_others_do_not_count(index: Any) -> None:
    """A word is as rare as it is among the documents that may be found.

    HNSW misses documents among so many equal vectors of others, so the rank by vector may change.
    """
    own = [document(f"a{n}", f"tea {n}", user_id="a") for n in range(3)]
    index.upsert(own)
    before = index.search_hybrid("tea", vector("tea"), filter=Tag("user_id") == "a")
    index.upsert([document(f"b{n:03}", "tea tea", user_id="b") for n in range(300)])
    assert index.search_hybrid("tea", vector("tea"), filter=Tag("user_id") == "a") == before
    both = (Tag("user_id") == "a") & Text("content").matches("1")
    assert ids(index.search_hybrid("tea", vector("tea"), filter=both)) == ["a1"]


# Nothing to look up, nothing there


@on_engines
@pytest.mark.parametrize("query", ["the of and", "\U0001f41d", " ", "?!", "it's"])
def test_without_words_vectors_alone_rank(filled: Any, query: str) -> None:
    assert filled.search_hybrid(query, None) == []
    found = filled.search_hybrid(query, vector(query), 20)
    assert ids(found) == ids(filled.search(vector(query), 20))
    assert found[0].score == pytest.approx(0.5)


@on_engines
@pytest.mark.parametrize("dimension", [None, SIZE])
def test_an_empty_index_has_nothing(make_index: Any, dimension: int | None) -> None:
    index = make_index(dimension=dimension)
    assert index.search_hybrid("tea", None) == []
    assert index.search_hybrid("tea", vector("tea")) == []
    index.upsert([document("1", "tea")])
    assert ids(index.search_hybrid("tea", vector("tea"))) == ["1"]


@on_engines
def test_the_dimension_is_that_of_what_is_stored(make_index: Any) -> None:
    make_index(dimension=SIZE).upsert([document("1", "tea")])
    with pytest.raises(DocumentError, match=f"dimension {SIZE}"):
        make_index(dimension=None).search_hybrid("tea", [1.0, 0.0])
    with pytest.raises(DocumentError, match=f"dimension {SIZE}"):
        make_index(dimension=SIZE).search_hybrid("tea", [1.0, 0.0])


@on_engines
def test_a_search_restarts_the_ttl_of_what_it_returns(make_index: Any) -> None:
    index = make_index(dimension=SIZE, ttl=1_000, refresh_ttl_on_read=True)
    index.upsert([document("1", "tea"), document("2", "tea leaves")], ttl=50)
    assert ids(index.search_hybrid("tea", vector("tea"), 1)) == ["1"]
    left = {one: _seconds_left(index.store, one) for one in "12"}
    assert left["1"] > 900
    assert left["2"] <= 50


def _seconds_left(index: VectorIndex, one: str) -> int:
    from ..search_server import send

    seconds: int = send(index.connection, "TTL", f"{index.name}:{one}")
    return seconds


# What is refused, before anything is sent


def nowhere(**options: Any) -> VectorIndex:
    known: dict[str, Any] = {"fields": {"content": "text"}, "url": "valkey://127.0.0.1:1"}
    return VectorIndex("nowhere", SIZE, **(known | options))


@pytest.mark.parametrize("query", [None, "", 5, b"tea", "\ud800"])
def test_a_query_is_a_text(query: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="query"):
        nowhere().search_hybrid(query, vector("tea"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"k": 0}, "k must be"),
        ({"alpha": 1.5}, "alpha must be from 0"),
        ({"alpha": math.nan}, "alpha must be from 0"),
        ({"alpha": True}, "alpha must be from 0"),
        ({"alpha": "1"}, "alpha must be from 0"),
        ({"vector_k": 0}, "vector_k"),
        ({"text_k": -1}, "text_k"),
    ],
)
def test_numbers_that_cannot_be(options: dict[str, Any], what: str) -> None:
    with pytest.raises(InvalidArgumentError, match=what):
        nowhere().search_hybrid("tea", vector("tea"), **options)


@pytest.mark.parametrize("options", [{"alpha": 0.5}, {"vector_k": 5}])
def test_by_words_alone_nothing_is_said_of_vectors(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        nowhere().search_hybrid("tea", None, **options)


@pytest.mark.parametrize("language", ["klingon", None, ["english"]])
def test_a_language_needs_a_stemmer(language: Any) -> None:
    with pytest.raises(ConfigurationError, match="has no stemmer"):
        nowhere().search_hybrid("tea", None, language=language)


@pytest.mark.parametrize("fields", [None, {"user_id": "tag"}])
@pytest.mark.parametrize("given", [None, [1.0] * SIZE])
def test_the_text_has_to_be_declared(fields: Any, given: Any) -> None:
    with pytest.raises(FilterError, match=r'metadata_fields=\{"content": "text", ...\}'):
        nowhere(fields=fields).search_hybrid("tea", given)


def test_other_filters_are_refused_as_ever() -> None:
    with pytest.raises(FilterError, match="'colour' is not declared"):
        nowhere().search_hybrid("tea", None, filter={"colour": "red"})


def test_nothing_is_embedded_for_what_is_refused() -> None:
    model = Words(SIZE)
    index = TextIndex(model, "nowhere", fields={"user_id": "tag"}, url="valkey://127.0.0.1:1")
    with pytest.raises(FilterError, match="content"):
        index.search_hybrid("tea")
    with pytest.raises(InvalidArgumentError, match='mode \'dense\' is unknown: "hybrid" or "text"'):
        index.search_hybrid("tea", mode="dense")  # type: ignore[arg-type]
    assert model.calls == []


# The words of a query


def test_words_are_looked_up_whole_and_ranked_by_stem() -> None:
    query = Query.of("What's the deployments' state? Deployments, deployed!", "english")
    assert query.words == {"deployments": ["deploy"], "state": ["state"], "deployed": ["deploy"]}
    assert query.terms == ["deploy", "state", "deploy", "deploy"]


@given(st.text())
def test_any_text_is_a_query(text: str) -> None:
    query = Query.of(text, "english")
    assert len(query.words) <= TERMS_ASKED
    assert {*query.terms} == {term for own in query.words.values() for term in own}
    assert all(word == word.casefold() for word in query.words)


@given(st.lists(st.sampled_from(["tea", "the", "green", "bees", "it's"]), max_size=9))
def test_a_query_has_the_terms_of_its_text(chosen: list[str]) -> None:
    text = " ".join(chosen)
    assert Query.of(text, "english").terms == terms(text)


# Tasks that end early


@on_engines
def test_a_cancelled_search_leaves_nothing_behind(filled: Any) -> None:
    index: VectorIndex = filled.store
    hits = index.search_hybrid("blue order", vector("blue order"))

    async def cancelled(after: float) -> None:
        search = index.asearch_hybrid("blue order", vector("blue order"))
        task = asyncio.ensure_future(search)
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await index.asearch_hybrid("blue order", vector("blue order")) == hits

    for after in (0, 0.0005, 0.002):
        asyncio.run(cancelled(after))


# Both engines


def assert_same_but_for_ties(one: Sequence[Any], other: Sequence[Any]) -> None:
    """Equal order, where scores differ by more than rounding of vectors."""
    assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
    for left, right in zip(one, other, strict=True):
        if left.document.id != right.document.id:
            assert left.score == pytest.approx(right.score, abs=1e-5)


@pytest.mark.real_search
@pytest.mark.parametrize("storage", ["json", "hash"])
def test_both_engines_give_the_same_order(search_url: str, url: str, storage: Any) -> None:
    with (
        ValkeyConnection.from_url(search_url) as searching,
        ValkeyConnection.from_url(url) as plain,
    ):
        fields: Any = {"content": "text", "user_id": "tag"}
        name = f"same-order-{storage}"
        indexes = [
            TextIndex(
                Words(), name, fields=fields, connection=searching, search="server", storage=storage
            ),
            TextIndex(Words(), name, fields=fields, connection=plain, search="exact"),
        ]
        try:
            for index in indexes:
                add_all(index)
            for user in DATA:
                for asked in user["questions"][::2]:
                    for mode, condition in (
                        ("hybrid", {"user_id": user["user_id"]}),
                        ("hybrid", None),
                        ("text", None),
                    ):
                        found = [
                            index.search_hybrid(
                                asked["question"],
                                10,
                                mode=mode,  # type: ignore[arg-type]
                                filter=condition,
                            )
                            for index in indexes
                        ]
                        assert_same_but_for_ties(*found)
        finally:
            for index in indexes:
                index.index.drop(delete_documents=True)


@pytest.mark.slow
def test_words_help_on_the_labelled_set(url: str) -> None:
    """The bounds are a little below what was measured (docs/concepts/search.md)."""
    with ValkeyConnection.from_url(url) as connection:
        index = TextIndex(
            LocalEmbedding(),
            "labelled",
            fields={"content": "text", "user_id": "tag"},
            connection=connection,
            search="exact",
        )
        try:
            add_all(index)
            dense, hybrid = (
                share_found(search, 5) for search in (index.search, index.search_hybrid)
            )
        finally:
            index.index.drop(delete_documents=True)
    assert hybrid > 0.45
    assert hybrid > dense + 0.07


def share_found(search: Callable[..., list[Hit]], depth: int) -> float:
    """The share of the answering turns that are among the first."""
    shares = []
    for user in DATA:
        for asked in user["questions"]:
            hits = search(asked["question"], depth, filter={"user_id": user["user_id"]})
            found = {hit.document.metadata["turn"] for hit in hits}
            shares.append(len(found & {*asked["answers"]}) / len(asked["answers"]))
    assert len(shares) > 60
    return sum(shares) / len(shares)


def add_all(index: TextIndex) -> None:
    turns = [
        (user["user_id"], turn["id"], turn["text"])
        for user in DATA
        for session in user["sessions"]
        for turn in session["turns"]
    ]
    assert len(turns) > 150
    index.add(
        [text for *_, text in turns],
        [{"user_id": owner, "turn": one} for owner, one, _ in turns],
        ids=[f"{owner}-{one}" for owner, one, _ in turns],
    )
