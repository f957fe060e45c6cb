"""LangChain's own integration tests, all of them, on each backend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

from langchain_valkey_glide import ValkeyVectorStore
from valkey_memory import ValkeyConnection

from .backends import opened

VECTOR_STORE_TESTS = 25
RETRIEVER_TESTS = 5


class TestJson(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, search_connection: ValkeyConnection) -> Iterator[VectorStore]:
        with opened("json", search_connection) as backend:
            yield backend.store(self.get_embeddings())


class TestHash(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, search_connection: ValkeyConnection) -> Iterator[VectorStore]:
        with opened("hash", search_connection) as backend:
            yield backend.store(self.get_embeddings())


class TestExact(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, standalone_connection: ValkeyConnection) -> Iterator[VectorStore]:
        with opened("exact", standalone_connection) as backend:
            yield backend.store(self.get_embeddings())


class RetrieverTests(RetrieversIntegrationTests):
    """``as_retriever``; its ``k`` is among the ``search_kwargs``."""

    store: ValkeyVectorStore
    search_type = "similarity"

    @property
    def retriever_constructor(self) -> Callable[..., BaseRetriever]:  # type: ignore[override]
        def retriever(**search: Any) -> BaseRetriever:
            return self.store.as_retriever(search_type=self.search_type, search_kwargs=search)

        return retriever

    @property
    def retriever_query_example(self) -> str:
        return "text 3"


TEXTS = [f"text {number}" for number in range(5)]


class TestJsonRetriever(RetrieverTests):
    @pytest.fixture(autouse=True)
    def fill(self, search_connection: ValkeyConnection) -> Iterator[None]:
        with opened("json", search_connection) as backend:
            self.store = backend.store(DeterministicFakeEmbedding(size=6))
            self.store.add_texts(TEXTS)
            yield


class TestHashRetriever(RetrieverTests):
    search_type = "mmr"

    @pytest.fixture(autouse=True)
    def fill(self, search_connection: ValkeyConnection) -> Iterator[None]:
        with opened("hash", search_connection) as backend:
            self.store = backend.store(DeterministicFakeEmbedding(size=6))
            self.store.add_texts(TEXTS)
            yield


class TestExactRetriever(RetrieverTests):
    @pytest.fixture(autouse=True)
    def fill(self, standalone_connection: ValkeyConnection) -> Iterator[None]:
        with opened("exact", standalone_connection) as backend:
            self.store = backend.store(DeterministicFakeEmbedding(size=6))
            self.store.add_texts(TEXTS)
            yield


def test_each_class_is_collected_completely(request: pytest.FixtureRequest) -> None:
    module = request.node.getparent(pytest.Module)
    collected = Counter(
        getattr(item, "cls", None)
        for group in module.collect()
        if isinstance(group, pytest.Class)
        for item in group.collect()
    )
    assert collected == {
        TestJson: VECTOR_STORE_TESTS,
        TestHash: VECTOR_STORE_TESTS,
        TestExact: VECTOR_STORE_TESTS,
        TestJsonRetriever: RETRIEVER_TESTS,
        TestHashRetriever: RETRIEVER_TESTS,
        TestExactRetriever: RETRIEVER_TESTS,
    }


@pytest.mark.parametrize("tests", [TestJson, TestHash, TestExact])
def test_no_group_of_tests_is_switched_off(tests: type[VectorStoreIntegrationTests]) -> None:
    suite = tests()
    assert suite.has_sync
    assert suite.has_async
    assert suite.has_get_by_ids
