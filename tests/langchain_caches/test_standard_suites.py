"""LangChain's own tests of caches, all of them, for both caches on each backend."""

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
    def cache(self, connection: ValkeyConnection, prefix: str) -> BaseCache:
        return ValkeyCache(connection=connection, key_prefix=prefix)


class TestExactAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, connection: ValkeyConnection, prefix: str) -> BaseCache:
        return ValkeyCache(connection=connection, key_prefix=prefix)


class TestSemantic(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, connection: ValkeyConnection) -> Iterator[BaseCache]:
        with semantic(connection, "exact") as cache:
            yield cache


class TestSemanticAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, connection: ValkeyConnection) -> BaseCache:
        with semantic(connection, "exact") as cache:
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


SUITES = {
    TestExact: 2,  # topologies
    TestExactAsync: 2,
    TestSemantic: 2,
    TestSemanticAsync: 2,
    TestSemanticOnServer: 1,
    TestSemanticOnServerAsync: 1,
}


def test_each_class_is_collected_completely(request: pytest.FixtureRequest) -> None:
    module = request.node.getparent(pytest.Module)
    collected = Counter(
        getattr(item, "cls", None)
        for group in module.collect()
        if isinstance(group, pytest.Class)
        for item in group.collect()
    )
    # One more sees that none of them is overridden.
    assert collected == {suite: TESTS * times + 1 for suite, times in SUITES.items()}
