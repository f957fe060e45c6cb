from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import LongTermMemory, ValkeyConnection

from ..conftest import Face
from ..models.words import Words
from ..search_server import deselect_without_server

SEARCHES = {"hash": "server", "exact": "exact"}
"""How memories are found, by the name of the backend."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


@pytest.fixture(params=list(SEARCHES))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def memory_connection(request: pytest.FixtureRequest, backend: str) -> Iterator[ValkeyConnection]:
    """A server with valkey-search, or a plain one."""
    url = request.getfixturevalue("search_url" if backend == "hash" else "url")
    with ValkeyConnection.from_url(url) as connection:
        yield connection


@pytest.fixture
def make_plain_memory(memory_connection: ValkeyConnection, backend: str) -> Iterator[Any]:
    """Makes a LongTermMemory; all of a test have one index."""
    name = f"test-{uuid.uuid4().hex}"
    made: list[LongTermMemory] = []

    def make(embedding: Any = None, **options: Any) -> LongTermMemory:
        known: dict[str, Any] = {
            "connection": memory_connection,
            "index_name": name,
            "search": SEARCHES[backend],
        }
        made.append(LongTermMemory(embedding or Words(), **(known | options)))
        return made[-1]

    yield make
    for memory in made:
        memory.index.drop(delete_documents=True)


@pytest.fixture(params=["sync", "async"])
def make_memory(request: pytest.FixtureRequest, make_plain_memory: Any) -> Any:
    """The same, seen through its sync and its async face."""

    def make(embedding: Any = None, **options: Any) -> Any:
        memory = make_plain_memory(embedding, **options)
        return Face(memory, is_async=request.param == "async")

    return make


@pytest.fixture
def memory(make_memory: Any) -> Any:
    return make_memory()


@pytest.fixture
def plain_memory(make_plain_memory: Any) -> LongTermMemory:
    """Its sync face only."""
    found: LongTermMemory = make_plain_memory()
    return found
