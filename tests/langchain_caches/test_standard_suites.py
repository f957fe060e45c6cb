"""LangChain's own tests of caches, all of them, for both caches in sync and async."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from langchain_core.caches import BaseCache
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from langchain_valkey_glide import ValkeyCache, ValkeySemanticCache
from valkey_memory import ValkeyConnection

from ..models.words import Words

TESTS = 7


@contextmanager
def semantic(connection: ValkeyConnection, search: str) -> Iterator[ValkeySemanticCache]:
    cache = ValkeySemanticCache(
        Words(),
        connection=connection,
        index_name=f"test-{uuid.uuid4().hex}",
        search=search,  # type: ignore[arg-type]
    )
    yield cache
    cache.index.drop(delete_documents=True)


class TestExact(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, standalone_connection: ValkeyConnection, prefix: str) -> BaseCache:
        return ValkeyCache(connection=standalone_connection, key_prefix=prefix)


class TestExactAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, cluster_connection: ValkeyConnection, prefix: str) -> BaseCache:
        return ValkeyCache(connection=cluster_connection, key_prefix=prefix)


class TestSemantic(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, cluster_connection: ValkeyConnection) -> Iterator[BaseCache]:
        with semantic(cluster_connection, "exact") as cache:
            yield cache


class TestSemanticAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, standalone_connection: ValkeyConnection) -> BaseCache:
        with semantic(standalone_connection, "exact") as cache:
            return cache


class TestSemanticOnServer(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, search_connection: ValkeyConnection) -> Iterator[BaseCache]:
        with semantic(search_connection, "server") as cache:
            yield cache


class TestSemanticOnServerAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, search_connection: ValkeyConnection) -> BaseCache:
        with semantic(search_connection, "server") as cache:
            return cache


SUITES = (
    TestExact,
    TestExactAsync,
    TestSemantic,
    TestSemanticAsync,
    TestSemanticOnServer,
    TestSemanticOnServerAsync,
)


def test_each_class_is_collected_completely(request: pytest.FixtureRequest) -> None:
    module = request.node.getparent(pytest.Module)
    collected = Counter(
        getattr(item, "cls", None)
        for group in module.collect()
        if isinstance(group, pytest.Class)
        for item in group.collect()
    )
    # One more sees that none of them is overridden.
    assert collected == dict.fromkeys(SUITES, TESTS + 1)
