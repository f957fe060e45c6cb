from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llama_index.core
import pytest
from llama_index.core import set_global_tokenizer

from llama_index_valkey_glide import ValkeyVectorStore
from valkey_memory import ValkeyConnection

from ..conftest import Face
from ..search_server import BACKENDS, deselect_without_server, send
from .embedding import BagOfWords

HERE = Path(__file__).parent

# Servers


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a search server, only exact search can be tested."""
    deselect_without_server(HERE, config, items)


@pytest.fixture(scope="session")
def _connections() -> Iterator[dict[str, ValkeyConnection]]:
    connections: dict[str, ValkeyConnection] = {}
    yield connections
    for connection in connections.values():
        connection.close()


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """How nodes are stored and searched."""
    name: str = request.param
    return name


@pytest.fixture
def server_url(request: pytest.FixtureRequest, backend: str) -> str:
    """The server of the backend: exact search is tested on one that has no modules."""
    url: str = request.getfixturevalue("url" if backend == "exact" else "search_url")
    return url


@pytest.fixture
def connection(server_url: str, _connections: dict[str, ValkeyConnection]) -> ValkeyConnection:
    """A connection to the server of the backend."""
    if server_url not in _connections:
        _connections[server_url] = ValkeyConnection.from_url(server_url)
    return _connections[server_url]


# Stores


def _sweep(connection: ValkeyConnection, name: str) -> None:
    cursor: bytes = b"0"
    while True:
        cursor, keys = send(connection, "SCAN", cursor, "MATCH", f"*{name}*", "COUNT", "10000")
        if keys:
            send(connection, "UNLINK", *keys)
        if cursor == b"0":
            return


MakeStore = Callable[..., ValkeyVectorStore]


@pytest.fixture
def index_name() -> str:
    """A name of this test's own."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def make_store(backend: str, connection: ValkeyConnection, index_name: str) -> Iterator[MakeStore]:
    """Makes stores of the backend, all on one index unless told otherwise. Sweeps up behind them
    and behind whatever else has the index's name in its keys."""
    made: list[ValkeyVectorStore] = []

    def make(**options: Any) -> ValkeyVectorStore:
        options = {"index_name": index_name} | BACKENDS[backend] | options
        if "url" not in options:
            options.setdefault("connection", connection)
        made.append(ValkeyVectorStore(**options))
        return made[-1]

    yield make
    used: dict[str, ValkeyVectorStore] = {}
    for store in made:
        if store.dimension is not None:
            used.setdefault(store.index_name, store)
    for store in used.values():
        store.index.drop()
    _sweep(connection, index_name)


class Side(Face):
    """A store through the one or the other form of its methods; LlamaIndex has ``async_add``."""

    store: ValkeyVectorStore

    def __getattr__(self, name: str) -> Any:
        if self.is_async and name == "add":
            return lambda *args, **kwargs: asyncio.run(self.store.async_add(*args, **kwargs))
        return super().__getattr__(name)


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture
def make_side(make_store: MakeStore, is_async: bool) -> Callable[..., Side]:
    """``make_store``, seen through the sync and the async form of its methods."""

    def make(**options: Any) -> Side:
        return Side(make_store(**options), is_async=is_async)

    return make


# LlamaIndex


@pytest.fixture
def embed_model() -> BagOfWords:
    return BagOfWords()


@pytest.fixture(autouse=True, scope="session")
def words_as_tokens() -> Iterator[None]:
    """LlamaIndex counts words, with no vocabulary to load or download."""
    before = llama_index.core.global_tokenizer
    set_global_tokenizer(str.split)
    yield
    llama_index.core.global_tokenizer = before
