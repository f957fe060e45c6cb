"""Where a server with valkey-search and valkey-json is for these tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey

SERVER_BACKENDS = ("json", "hash")
BACKENDS = (*SERVER_BACKENDS, "exact")

_FOLDERS = ("/usr/local/lib/valkey/modules", "/usr/lib/valkey/modules")


def find_search_server() -> AbstractContextManager[str] | None:
    """A server to enter for its URL, not started yet; None where there is none."""
    if url := os.environ.get("VALKEY_TEST_URL"):
        return nullcontext(url)
    for folder in (os.environ.get("VALKEY_MODULES_DIR"), *_FOLDERS):
        if folder and (modules := _modules(Path(folder))):
            return _embedded(modules)
    return None


def _modules(folder: Path) -> list[Path] | None:
    """valkey-json and valkey-search in ``folder``; None unless both are there."""
    found = []
    for name in ("json", "search"):
        files = [folder / f"{name}.so", folder / f"lib{name}.so"]
        existing = [file for file in files if file.is_file()]
        if not existing:
            return None
        found.append(existing[0])
    return found


@contextmanager
def _embedded(modules: list[Path]) -> Iterator[str]:
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
