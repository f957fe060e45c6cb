from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import ValkeyConnection

from ..search_server import deselect_without_server
from .checkpoints import SaverFace


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "async")


@pytest.fixture
def make_plain_saver(connection: ValkeyConnection, prefix: str) -> Any:
    """Makes a ValkeySaver, on each topology."""

    def make(**options: Any) -> ValkeySaver:
        defaults: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        return ValkeySaver(**(defaults | options))

    return make


@pytest.fixture
def make_saver(make_plain_saver: Any, topology: str) -> Any:
    """The same, seen through its sync face on one server, and its async face on a cluster: faces
    share their plans, and graphs run in each of the four."""
    is_async = topology == "cluster"
    return lambda **options: SaverFace(make_plain_saver(**options), is_async=is_async)


@pytest.fixture
def saver(make_saver: Any) -> Any:
    return make_saver()
