"""``TextIndex``: texts embedded by the index itself, in sync and async."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from valkey_memory import DocumentError, InvalidArgumentError, ValkeyConnection
from valkey_memory._vectors.documents import Document
from valkey_memory._vectors.text_index import TextIndex

from ..conftest import Face
from ..models.words import Words, bag_of_words

NAME = "text-index"


@pytest.fixture(params=["sync", "async"])
def make(
    request: pytest.FixtureRequest, standalone_connection: ValkeyConnection
) -> Iterator[Callable[..., Any]]:
    made: list[TextIndex] = []

    def make(model: Any, **options: Any) -> Any:
        known: dict[str, Any] = {"connection": standalone_connection, "search": "exact"}
        made.append(TextIndex(model, NAME, **(known | options)))
        return Face(made[-1], is_async=request.param == "async")

    yield make
    for one in made:
        one.index.drop(delete_documents=True)


def test_texts_are_found_by_meaning(make: Callable[..., Any]) -> None:
    model = Words(16)
    index = make(model, fields={"user": "tag"})
    texts = ["blue green deployment", "bees collect nectar", "green bees"]
    metadata = [{"user": "a"}, {"user": "b"}, {"user": "a"}]
    assert index.add(texts, metadata, ids=["1", "2", "3"]) == ["1", "2", "3"]
    hits = index.search("bees collect nectar", 2)
    assert [hit.document.id for hit in hits] == ["2", "3"]
    assert hits[0].score == pytest.approx(1)
    assert [h.document.id for h in index.search("bees", filter={"user": "a"}, min_score=0.1)] == [
        "3"
    ]
    diverse = index.search_diverse("green bees", 2, fetch_k=3, lambda_mult=0.1)
    assert diverse[0].document.id == "3"
    assert len(diverse) == 2
    form = "a" if index.is_async else ""
    assert [name for name, _ in model.calls] == [
        f"{form}embed_documents", *[f"{form}embed_query"] * 3
    ]  # fmt: skip


def test_documents_are_embedded_and_written(make: Callable[..., Any]) -> None:
    index = make(Words(16), batch_size=2)
    index.upsert([Document(str(n), f"text {n}") for n in range(5)], ttl=60)
    (found,) = index.store.index.get(["3"], embeddings=True)
    assert found.content == "text 3"
    assert list(found.embedding) == pytest.approx(bag_of_words("text 3", 16), rel=1e-6)


def test_ids_are_made_where_none_are_given(make: Callable[..., Any]) -> None:
    index = make(Words(16))
    first, second = index.add(["one", "two"], ids=[None, "2"])
    assert len(first) == 36
    assert second == "2"


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_a_batch_is_never_larger_than_the_indexs_own(
    make: Callable[..., Any], batch_size: int
) -> None:
    model = Words(16)
    make(model, batch_size=3, concurrency=1).add(list("abcdef"), batch_size=batch_size)
    assert max(len(texts) for _, texts in model.calls) == min(batch_size, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (("one text",), {}, InvalidArgumentError),
        ((["a"], [{}, {}]), {}, InvalidArgumentError),
        ((["a", "b"],), {"ids": ["1"]}, InvalidArgumentError),
        ((["a", "b"],), {"ids": ["1", "1"]}, InvalidArgumentError),
        ((["a"],), {"ids": [""]}, InvalidArgumentError),
        ((["a"],), {"ids": ["\ud800"]}, DocumentError),
        ((["a"],), {"ttl": 0}, InvalidArgumentError),
        ((["a"],), {"batch_size": 0}, InvalidArgumentError),
    ],
)
def test_checks_come_before_texts_are_embedded(
    make: Callable[..., Any], arguments: Any, options: Any, error: type[Exception]
) -> None:
    model = Words(16)
    with pytest.raises(error):
        make(model).add(*arguments, **options)
    assert model.calls == []


def test_searches_are_checked_before_texts_are_embedded(make: Callable[..., Any]) -> None:
    model = Words(16)
    index = make(model)
    calls: list[Callable[[], Any]] = [
        lambda: index.search("a", 0),
        lambda: index.search_diverse("a", 1, lambda_mult=2),
        lambda: index.search_diverse("a", 1, fetch_k=0),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError):
            call()
    with pytest.raises(DocumentError, match="twice"):
        index.upsert([Document("a", "x"), Document("a", "y")])
    assert model.calls == []


def test_any_kind_of_model(make: Callable[..., Any]) -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return [bag_of_words(text, 16) for text in texts]

    index = make(embed)
    index.add(["one", "two"], ids=["1", "2"])
    assert [hit.document.id for hit in index.search("two", 1)] == ["2"]
    assert index.store.index.dimension == 16


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="int is no embedding model"):
        TextIndex(5, NAME, url="valkey://127.0.0.1:1")


def test_options_are_shown_and_misspelt_ones_refused() -> None:
    parameters = inspect.signature(TextIndex).parameters
    assert {"storage", "search", "ef_runtime", "ttl", "exact_limit"} <= parameters.keys()
    assert "options" not in parameters
    with pytest.raises(TypeError, match="metrik"):
        TextIndex(Words(), NAME, metrik="l2")  # type: ignore[call-arg]
