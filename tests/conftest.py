from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection

from .search_server import real_server, search_source, search_url
from .servers import cluster
from .vectors import plugin as vector_search

__all__ = ["real_server", "search_source", "search_url"]


def pytest_addoption(parser: pytest.Parser) -> None:
    vector_search.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(vector_search.SearchReport(config), "vector-search-report")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fork first: in the child GLIDE connects again for every sync client that the process ever
    had, and waits for those whose server is gone."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)


@pytest.fixture(autouse=True)
def no_loop_left_behind() -> Iterator[None]:
    """LlamaIndex's sync wrappers make a loop where none is set, and leave it open and set."""
    asyncio.set_event_loop(None)
    yield
    with contextlib.suppress(RuntimeError):  # there is none
        loop = asyncio.get_event_loop_policy().get_event_loop()
        if not loop.is_running():
            loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedValkey]:
    """A standalone server of this test process."""
    with EmbeddedValkey() as embedded:
        yield embedded


@pytest.fixture(scope="session")
def url(server: EmbeddedValkey) -> str:
    return server.url


@pytest.fixture(scope="session")
def cluster_ports() -> Iterator[list[int]]:
    with cluster() as ports:
        yield ports


@pytest.fixture(scope="session")
def cluster_url(cluster_ports: list[int]) -> str:
    return f"valkey://127.0.0.1:{cluster_ports[0]}"


@pytest.fixture(scope="session")
def standalone_connection(url: str) -> Iterator[ValkeyConnection]:
    with ValkeyConnection.from_url(url) as connection:
        yield connection


@pytest.fixture(scope="session")
def cluster_connection(cluster_url: str) -> Iterator[ValkeyConnection]:
    with ValkeyConnection.from_url(cluster_url) as connection:
        yield connection


@pytest.fixture(params=["standalone", "cluster"])
def topology(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def connection(request: pytest.FixtureRequest, topology: str) -> ValkeyConnection:
    """A connection to each topology in turn."""
    found: ValkeyConnection = request.getfixturevalue(f"{topology}_connection")
    return found


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture
def paired_connection(request: pytest.FixtureRequest, is_async: bool) -> ValkeyConnection:
    """For sync code to one server, for async code to a cluster.

    Both run the same plans, and so two of the four pairs show as much. Who wants that names it
    ``connection`` in a module or folder.
    """
    name = "cluster" if is_async else "standalone"
    found: ValkeyConnection = request.getfixturevalue(f"{name}_connection")
    return found


@pytest.fixture
def prefix() -> str:
    """A key prefix of this test's own."""
    return f"test-{uuid.uuid4().hex}:"


class Face:
    """Calls a method of a store in its sync form, or in its async form in a loop of its own."""

    def __init__(self, store: Any, *, is_async: bool) -> None:
        self.store = store
        self.is_async = is_async

    def __getattr__(self, name: str) -> Any:
        if not self.is_async:
            return getattr(self.store, name)
        method = getattr(self.store, f"a{name}")
        return lambda *args, **kwargs: asyncio.run(method(*args, **kwargs))


@pytest.fixture(params=["sync", "async"])
def make_store(request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str) -> Any:
    """Makes a MessageStore, seen through its sync and its async face, on each topology."""

    def make(**options: Any) -> Any:
        defaults: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        return Face(MessageStore(**(defaults | options)), is_async=request.param == "async")

    return make
