from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import ValkeyConnection
from valkey_memory.adapters import ItemStore

from ..conftest import Face
from ..models.words import Words
from ..search_server import deselect_without_server

SEARCHES = {"hash": "server", "exact": "exact"}
"""How items are found by meaning, by the name of the backend."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


@pytest.fixture
def name() -> str:
    """A store of this test's own."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def items(topology: str, connection: ValkeyConnection, name: str) -> Any:
    """An ItemStore without vectors: its sync face on one server, its async face on a cluster."""
    return Face(ItemStore(name, connection=connection), is_async=topology == "cluster")


@pytest.fixture(params=[*SEARCHES, "cluster"])
def backend(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def make_items(request: pytest.FixtureRequest, backend: str, name: str) -> Iterator[Any]:
    """Makes an ItemStore with vectors; all of a test have one name."""
    made: list[ItemStore] = []
    connection: ValkeyConnection
    if backend == "cluster":
        connection = request.getfixturevalue("cluster_connection")
    else:
        url = request.getfixturevalue("search_url" if backend == "hash" else "url")
        connection = ValkeyConnection.shared(url)

    def make(embedding: Any = None, **options: Any) -> ItemStore:
        known: dict[str, Any] = {"connection": connection, "search": SEARCHES.get(backend, "exact")}
        made.append(ItemStore(name, embedding=embedding or Words(), **(known | options)))
        return made[-1]

    yield make
    for store in made:
        assert store.plans.index is not None
        store.connection.run(store.plans.index.plans.drop_plan(True))
