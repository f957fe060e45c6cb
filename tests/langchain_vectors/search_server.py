"""Where a server with valkey-search and valkey-json is for these tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey

from ..vectors.search_server import find

SERVER_BACKENDS = ("json", "hash")
BACKENDS = (*SERVER_BACKENDS, "exact")


def find_search_server() -> AbstractContextManager[str] | None:
    """A server to enter for its URL, not started yet; None where there is none."""
    source = find()
    if source.url is not None:
        return nullcontext(source.url)
    return _embedded(source.modules) if source.modules else None


@contextmanager
def _embedded(modules: tuple[Path, ...]) -> Iterator[str]:
    with EmbeddedValkey(modules=modules) as server:
        yield server.url


def needs_search(item: pytest.Item) -> bool:
    """Whether a collected test talks to the search server."""
    if "search_url" in getattr(item, "fixturenames", ()):
        return True
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return parameters.get("backend_name") in SERVER_BACKENDS


def deselect_without_server(folder: Path, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of ``folder`` that need a search server out, where there is none."""
    if find_search_server() is not None:
        return
    gone = [item for item in items if folder in item.path.parents and needs_search(item)]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]
