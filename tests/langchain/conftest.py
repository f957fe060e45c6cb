from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import ValkeyConnection
from valkey_memory._server.clients import load

from ..servers import admin
from .histories import HistoryFace


def _open(url: str) -> Any:
    glide = load("glide_sync")
    port = int(url.rpartition(":")[2])
    address = [glide.NodeAddress("127.0.0.1", port)]
    if b"cluster_enabled:1" in admin(port, "INFO", "cluster"):
        configuration = glide.GlideClusterClientConfiguration(address, request_timeout=5000)
        return glide.GlideClusterClient.create(configuration)
    configuration = glide.GlideClientConfiguration(address, request_timeout=5000)
    return glide.GlideClient.create(configuration)


@pytest.fixture(scope="session")
def raw_client_of() -> Iterator[Callable[[ValkeyConnection], Any]]:
    """Plain GLIDE clients, one for each server, for the server of a connection."""
    clients: dict[str, Any] = {}
    with ExitStack() as stack:

        def client_of(connection: ValkeyConnection) -> Any:
            url = connection.url
            assert url is not None
            if url not in clients:
                clients[url] = _open(url)
                stack.callback(clients[url].close)
            return clients[url]

        yield client_of


@pytest.fixture
def raw(raw_client_of: Callable[[ValkeyConnection], Any], connection: ValkeyConnection) -> Any:
    """A plain GLIDE client of the server that ``connection`` reaches."""
    return raw_client_of(connection)


@pytest.fixture(params=["sync", "async"])
def make_history(request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str) -> Any:
    """Makes histories, seen through their sync and their async face, on each topology."""

    def make(session_id: str = "s1", **options: Any) -> HistoryFace:
        defaults: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        history = ValkeyChatMessageHistory(session_id, **(defaults | options))
        return HistoryFace(history, is_async=request.param == "async")

    return make
