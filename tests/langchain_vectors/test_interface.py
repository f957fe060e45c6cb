"""What LangChain's code expects of a vector store: signatures, native async, few model calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import VectorStore

from langchain_valkey_glide import ValkeyVectorStore

from ..conftest import Face
from ..models.words import Words, bag_of_words
from .backends import Backend

VECTOR = bag_of_words("one", 64)

# LangChain's own, which only call other async methods.
DISPATCHERS = {
    "asimilarity_search_with_relevance_scores",
    "_asimilarity_search_with_relevance_scores",
}

CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("add_texts", (["one"],)),
    ("add_documents", ([Document(page_content="one")],)),
    ("delete", (["1"],)),
    ("search", ("one", "similarity")),
    ("search", ("one", "hybrid")),
    ("hybrid_search", ("one",)),
    ("hybrid_search_with_score", ("one",)),
    ("search", ("one", "mmr")),
    ("similarity_search", ("one",)),
    ("similarity_search_by_vector", (VECTOR,)),
    ("similarity_search_with_score", ("one",)),
    ("similarity_search_with_score_by_vector", (VECTOR,)),
    ("similarity_search_with_relevance_scores", ("one",)),
    ("max_marginal_relevance_search", ("one",)),
    ("max_marginal_relevance_search_by_vector", (VECTOR,)),
]


def async_methods(cls: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(cls, inspect.iscoroutinefunction)} | {
        name
        for name, method in inspect.getmembers(cls, inspect.ismethod)
        if inspect.iscoroutinefunction(method.__func__)
    }


def function_of(cls: type, name: str) -> Any:
    method = getattr(cls, name)
    return getattr(method, "__func__", method)


# Native async


def test_every_async_method_is_the_stores_own() -> None:
    inherited = {
        name
        for name in async_methods(VectorStore)
        if function_of(ValkeyVectorStore, name) is function_of(VectorStore, name)
    }
    assert inherited == DISPATCHERS
    for name in DISPATCHERS:
        assert "run_in_executor" not in inspect.getsource(getattr(VectorStore, name))


def test_no_async_method_runs_in_a_thread(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **_: Any) -> None:
        raise AssertionError(f"run in a thread: {arguments}")

    for module in ("vectorstores.base", "embeddings.embeddings", "runnables.config"):
        monkeypatch.setattr(f"langchain_core.{module}.run_in_executor", refuse)
    model = Words()
    store = Face(backend.store(model, metadata_fields={"content": "text"}), is_async=True)
    for name, arguments in CALLS:
        getattr(store, name)(*arguments)
    store.get_by_ids(["1"])
    assert {name for name, _ in model.calls} == {"aembed_documents", "aembed_query"}


def test_no_sync_method_calls_an_async_one(backend: Backend) -> None:
    model = Words()
    store = backend.store(model, metadata_fields={"content": "text"})
    for name, arguments in CALLS:
        getattr(store, name)(*arguments)
    assert {name for name, _ in model.calls} == {"embed_documents", "embed_query"}


# Signatures


def test_sync_and_async_signatures_agree() -> None:
    names = async_methods(ValkeyVectorStore) - {"aindex"}
    assert names > async_methods(VectorStore)
    for name in names:
        twin = f"_{name[2:]}" if name.startswith("_") else name[1:]
        sync_one = inspect.signature(getattr(ValkeyVectorStore, twin))
        assert inspect.signature(getattr(ValkeyVectorStore, name)) == sync_one, name


def test_positional_arguments_stand_where_langchain_has_them() -> None:
    for name in ("similarity_search", "max_marginal_relevance_search", "add_texts", "from_texts"):
        base = [*inspect.signature(getattr(VectorStore, name)).parameters.values()]
        ours = [*inspect.signature(getattr(ValkeyVectorStore, name)).parameters.values()]
        named = [one.name for one in base if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert [one.name for one in ours][: len(named)] == named


@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_an_unknown_keyword_is_an_error(store: Any, name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="colour"):
        getattr(store, name)(*arguments, colour="red")


def test_an_unknown_keyword_of_a_constructor_is_an_error(
    backend: Backend, face: Callable[[Any], Any]
) -> None:
    with pytest.raises(TypeError, match="colour"):
        ValkeyVectorStore(Words(), colour="red", **backend.options())  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="colour"):
        face(ValkeyVectorStore).from_texts(["one"], Words(), colour="red", **backend.options())


def test_an_unknown_search_argument_of_a_retriever_is_an_error(
    store: Any, face: Callable[[Any], Any]
) -> None:
    retriever = store.store.as_retriever(search_kwargs={"colour": "red"})
    with pytest.raises(TypeError, match="colour"):
        face(retriever).invoke("one")


# Calls of the model


def test_the_model_is_the_stores_embeddings(make: Callable[..., Any]) -> None:
    model = Words()
    assert make(model).store.embeddings is model


def test_nothing_is_embedded_and_nothing_sent_by_the_constructor() -> None:
    model = Words()
    ValkeyVectorStore(model, url="valkey://127.0.0.1:1")
    assert model.calls == []


def test_an_unknown_dimension_costs_no_call_when_adding(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model)
    store.add_texts(["one", "two"])
    assert [texts for _, texts in model.calls] == [["one", "two"]]
    assert store.store.index.dimension == 64


@pytest.mark.parametrize(
    "method",
    ["similarity_search", "similarity_search_with_score", "max_marginal_relevance_search"],
)
def test_an_unknown_dimension_costs_no_call_when_searching(
    make: Callable[..., Any], method: str
) -> None:
    model = Words()
    store = make(model)
    assert getattr(store, method)("one") == []
    assert [texts for _, texts in model.calls] == [["one"]]


def test_searching_by_vector_embeds_nothing(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model)
    assert store.similarity_search_by_vector(VECTOR) == []
    assert store.max_marginal_relevance_search_by_vector(VECTOR) == []
    assert model.calls == []


def test_where_nothing_tells_the_dimension_nothing_is_embedded(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model)
    assert store.get_by_ids(["1"]) == []
    assert store.delete(["1"]) is store.delete(filter={"user_id": "alice"}) is True
    assert store.store.index.dimension is None
    assert store.store.index.count() == 0
    assert model.calls == []


def test_the_dimension_of_what_is_stored_is_found(
    make: Callable[..., Any], backend: Backend
) -> None:
    first = make()
    first.add_texts(["one"], ids=["1"])
    model = Words()
    second = make(model, **backend.options() | {"index_name": first.store.index.name})
    assert [one.id for one in second.get_by_ids(["1"])] == ["1"]
    assert second.store.index.dimension == first.store.index.dimension == 64
    assert model.calls == []


def test_a_given_dimension_costs_no_call(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model, dimension=64)
    assert store.get_by_ids(["1"]) == []
    assert store.delete(filter={"user_id": "alice"}) is True
    assert model.calls == []


def test_no_texts_cost_no_call(make: Callable[..., Any]) -> None:
    model = Words()
    assert make(model).add_texts([]) == []
    assert model.calls == []


def test_texts_are_embedded_in_batches(make: Callable[..., Any]) -> None:
    model = Words()
    store = make(model, embedding_batch_size=2, embedding_concurrency=1)
    texts = [f"text {number}" for number in range(5)]
    store.add_texts(texts, ids=list("abcde"))
    assert [called for _, called in model.calls] == [texts[:2], texts[2:4], texts[4:]]
    assert [one.page_content for one in store.get_by_ids(list("abcde"))] == texts


@pytest.mark.parametrize(("batch_size", "calls"), [(1, 4), (2, 2), (3, 2), (100, 2)])
def test_a_smaller_batch_size_can_be_given_with_the_texts(
    make: Callable[..., Any], batch_size: int, calls: int
) -> None:
    model = Words()
    store = make(model, embedding_batch_size=3)
    store.add_texts(["one", "two", "three", "four"], batch_size=batch_size)
    assert len(model.calls) == calls


def test_progress_is_told(store: Any) -> None:
    told: list[tuple[int, int]] = []
    store.add_texts(["one", "two"], progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (2, 2)


# LangChain's indexing


def test_langchains_index_adds_skips_and_deletes(backend: Backend) -> None:
    store = backend.store(Words())
    records = InMemoryRecordManager("notes")
    one, two, three = (
        Document(page_content=text, metadata={"source": text}) for text in ("one", "two", "three")
    )

    def load(documents: list[Document]) -> dict[str, Any]:
        return dict(
            index(
                documents,
                records,
                store,
                cleanup="full",
                source_id_key="source",
                key_encoder="blake2b",
            )
        )

    assert load([one, two])["num_added"] == 2
    assert load([one, two])["num_skipped"] == 2
    assert load([two, three]) == {
        "num_added": 1,
        "num_updated": 0,
        "num_skipped": 1,
        "num_deleted": 1,
    }
    found = {document.page_content for document in store.similarity_search("one", k=5)}
    assert found == {"two", "three"}


async def test_langchains_async_index_adds_skips_and_deletes(backend: Backend) -> None:
    store = backend.store(Words())
    records = InMemoryRecordManager("notes")
    one, two, three = (
        Document(page_content=text, metadata={"source": text}) for text in ("one", "two", "three")
    )

    async def load(documents: list[Document]) -> dict[str, Any]:
        done = await aindex(
            documents,
            records,
            store,
            cleanup="full",
            source_id_key="source",
            key_encoder="blake2b",
        )
        return {**done}

    assert (await load([one, two]))["num_added"] == 2
    assert (await load([one, two]))["num_skipped"] == 2
    assert (await load([two, three]))["num_deleted"] == 1
    found = {document.page_content for document in await store.asimilarity_search("one", k=5)}
    assert found == {"two", "three"}
