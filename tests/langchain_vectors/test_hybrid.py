"""``search_type="hybrid"``: of the store, of its retrievers, of chains over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever

from langchain_valkey_glide import LocalEmbeddings
from valkey_memory import FilterError, InvalidArgumentError, Tag

from ..models.words import Words
from .test_tenants import HOSTILE

TEXTS = {
    "ecs": ("alice", "We deployed to ECS with a blue-green strategy"),
    "late": ("alice", "Order QX-417 was late"),
    "bees": ("alice", "Bees collect nectar"),
    "secret": ("bob", "The order QX-417 is a secret"),
}
ALICE = {"user_id": "alice"}


def ids(found: list[Any]) -> list[Any]:
    return [(one if isinstance(one, Document) else one[0]).id for one in found]


@pytest.fixture
def filled(store: Any) -> Any:
    owners, texts = zip(*TEXTS.values(), strict=True)
    store.add_texts(list(texts), [{"user_id": owner} for owner in owners], ids=list(TEXTS))
    return store


def test_by_vectors_and_by_words(filled: Any) -> None:
    found = filled.hybrid_search_with_score("the order QX-417", k=3, filter=ALICE)
    assert ids(found)[0] == "late"
    assert found[0][1] == pytest.approx(1)
    assert found[0][0] == Document(
        id="late", page_content=TEXTS["late"][1], metadata={"user_id": "alice"}
    )
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert len(found) == 3
    plain = filled.hybrid_search("the order QX-417", k=3, filter=ALICE)
    assert plain == [document for document, _ in found]


def test_by_words_alone_nothing_is_embedded(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model)
    store.add_texts(["green tea", "bees"], ids=["1", "2"])
    calls = len(model.calls)
    found = store.hybrid_search_with_score("tea", mode="text")
    assert ids(found) == ["1"]
    assert found[0][1] > 0
    assert len(model.calls) == calls
    assert ids(store.hybrid_search("tea bees", alpha=1.0, k=9)) == ids(
        store.similarity_search("tea bees", k=9)
    )


def test_retriever(filled: Any, face: Callable[[Any], Any]) -> None:
    retriever = filled.store.as_retriever(
        search_type="hybrid", search_kwargs={"k": 2, "filter": ALICE}
    )
    assert isinstance(retriever, VectorStoreRetriever)
    assert retriever.tags == ["ValkeyVectorStore", "Words"]
    found = face(retriever).invoke("the order QX-417")
    assert ids(found) == ids(filled.hybrid_search("the order QX-417", k=2, filter=ALICE))
    assert len(found) == 2
    assert ids(face(retriever).invoke("the order QX-417", k=1)) == ["late"]
    assert ids(face(retriever).invoke("QX-417", filter=Tag("user_id") == "bob")) == ["secret"]


def test_retriever_takes_the_options_of_the_search(filled: Any, face: Callable[[Any], Any]) -> None:
    options = {"mode": "text", "language": "english"}
    retriever = filled.store.as_retriever(search_type="hybrid", search_kwargs=options)
    assert ids(face(retriever).invoke("nectar")) == ["bees"]
    wrong = filled.store.as_retriever(search_type="hybrid", search_kwargs={"fetch_k": 3})
    with pytest.raises(TypeError, match="fetch_k"):
        face(wrong).invoke("nectar")


@pytest.mark.parametrize("search_type", ["hybird", "text", "", None, 5, ["hybrid"]])
def test_an_unknown_type_is_refused_with_those_that_are_known(store: Any, search_type: Any) -> None:
    with pytest.raises(ValueError, match=r"similarity.*mmr.*hybrid"):
        store.store.as_retriever(search_type=search_type)
    with pytest.raises(InvalidArgumentError, match=r"unknown: use one of similarity.*hybrid"):
        store.search("tea", search_type)


@pytest.mark.parametrize(
    ("search_type", "options"),
    [
        ("similarity", {}),
        ("mmr", {}),
        ("hybrid", {}),
        ("similarity_score_threshold", {"score_threshold": 0.0}),
    ],
)
def test_search_by_the_name_of_its_type(
    filled: Any, face: Callable[[Any], Any], search_type: str, options: dict[str, Any]
) -> None:
    found = filled.search("the order QX-417", search_type, k=2, filter=ALICE, **options)
    assert "late" in ids(found)
    retriever = filled.store.as_retriever(
        search_type=search_type, search_kwargs={"k": 2, "filter": ALICE} | options
    )
    assert face(retriever).invoke("the order QX-417") == found


def test_the_text_has_to_be_declared(make: Callable[..., Any], face: Callable[[Any], Any]) -> None:
    model = Words()
    store = make(model, metadata_fields={"user_id": "tag"})
    retriever = store.store.as_retriever(search_type="hybrid")
    with pytest.raises(FilterError, match=r'metadata_fields=\{"content": "text", ...\}'):
        face(retriever).invoke("tea")
    assert model.calls == []


def test_nobody_sees_what_is_somebody_elses(filled: Any) -> None:
    for other in HOSTILE:
        condition = {"user_id": other}
        for mode in ("hybrid", "text"):
            found = filled.hybrid_search("order QX-417", k=9, filter=condition, mode=mode)
            assert {*ids(found)} <= ({"secret"} if other == "bob" else set())
        assert "secret" not in ids(filled.hybrid_search(other or "x", k=9, filter=ALICE))


def test_an_empty_store_has_nothing(store: Any) -> None:
    assert store.hybrid_search("tea") == []
    assert store.hybrid_search("tea", mode="text") == []
    assert store.hybrid_search("\U0001f41d") == []


def test_with_a_real_model(make: Callable[..., Any]) -> None:
    store = make(LocalEmbeddings())
    store.add_texts(
        [f"The invoice {number} is paid" for number in range(150)]
        + ["Parcel ZK-88 waits at the gate"],
        ids=[str(number) for number in range(151)],
    )
    assert ids(store.hybrid_search("ZK-88", k=1)) == ["150"]
    assert ids(store.hybrid_search("Where is ZK-88?", k=1)) == ["150"]
