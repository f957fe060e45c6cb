"""A server behind a proxy, and a store that is called in one form, sync or async."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from valkey_memory import EmbeddedValkey

from .proxy import Proxy, proxied


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with EmbeddedValkey() as server, proxied(server.port) as proxy:
        yield proxy


@pytest.fixture(params=["sync", "async"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner | None]:
    """What runs async calls, or nothing for sync ones."""
    if request.param == "sync":
        yield None
    else:
        with asyncio.Runner() as runner:
            yield runner
