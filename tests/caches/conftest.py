from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import ValkeyConnection
from valkey_memory._caches.answers import AnswerCodec
from valkey_memory._caches.exact import ExactCache
from valkey_memory._caches.semantic import SemanticCache

from ..conftest import Face
from ..models.words import Words
from ..search_server import deselect_without_server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


class TextCodec(AnswerCodec[str]):
    """Texts; an empty one is not worth keeping, and ``damaged`` cannot be read back."""

    def encode(self, answer: str) -> bytes | None:
        return answer.encode() or None

    def decode(self, raw: bytes) -> str:
        text = raw.decode()
        if text == "damaged":
            raise ValueError(text)
        return text


@pytest.fixture
def connection(paired_connection: ValkeyConnection) -> ValkeyConnection:
    return paired_connection


@pytest.fixture
def make_exact(connection: ValkeyConnection, is_async: bool, prefix: str) -> Any:
    """Makes an ExactCache, seen through its sync face on one server, its async one on a cluster."""

    def make(**options: Any) -> Any:
        defaults: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        cache = ExactCache(TextCodec(), **(defaults | options))
        return Face(cache, is_async=is_async)

    return make


SEARCHES = {"hash": "search", "exact": "standalone", "cluster": "cluster"}
"""Where answers are searched for, and on which server: valkey-search, or a plain one."""


@pytest.fixture(scope="session")
def search_connection(search_url: str) -> Iterator[ValkeyConnection]:
    with ValkeyConnection.from_url(search_url) as connection:
        yield connection


@pytest.fixture(params=list(SEARCHES))
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def make_semantic(request: pytest.FixtureRequest, backend: str) -> Iterator[Callable[..., Any]]:
    """Makes a SemanticCache; all of a test have one index."""
    connection = request.getfixturevalue(f"{SEARCHES[backend]}_connection")
    name = f"test-{uuid.uuid4().hex}"
    made: list[SemanticCache[str]] = []

    def make(embedding: Any = None, **options: Any) -> SemanticCache[str]:
        known: dict[str, Any] = {
            "connection": connection,
            "index_name": name,
            "search": "server" if backend == "hash" else "exact",
            "threshold": 0.7,
        }
        made.append(SemanticCache(TextCodec(), embedding or Words(), **(known | options)))
        return made[-1]

    yield make
    for cache in made:
        cache.index.drop(delete_documents=True)


@pytest.fixture
def face(backend: str) -> Callable[[Any], Any]:
    """Gives an object's sync methods, or on a cluster its async ones, under the sync names."""
    return lambda target: Face(target, is_async=backend == "cluster")
