"""Which real server with valkey-search the tests run on, if there is one; the fixtures of it.

tests/conftest.py takes the fixtures in, so every folder has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, ValkeyConnection

from .servers import send as send

_DIRECTORIES = ("/usr/local/lib/valkey/modules", "/usr/lib/valkey/modules")


@dataclass(frozen=True)
class SearchSource:
    """Where a search server comes from.

    Attributes:
        url: A server that is there (``VALKEY_TEST_URL``), or None to start one.
        modules: valkey-json and valkey-search, in the order in which they load; or none.
    """

    url: str | None
    modules: tuple[Path, ...]

    @property
    def found(self) -> bool:
        return self.url is not None or bool(self.modules)


def find(environment: Mapping[str, str] = os.environ) -> SearchSource:
    """``VALKEY_TEST_URL``, else modules in ``VALKEY_MODULES_DIR`` or the usual directories.

    ``VALKEY_TEST_NO_MODULES=1`` finds nothing.
    """
    if environment.get("VALKEY_TEST_NO_MODULES", "") not in ("", "0"):
        return SearchSource(None, ())
    named = environment.get("VALKEY_MODULES_DIR")
    directories = [named] if named else []
    return SearchSource(
        environment.get("VALKEY_TEST_URL") or None, _modules([*directories, *_DIRECTORIES])
    )


def _modules(directories: Sequence[str]) -> tuple[Path, ...]:
    for directory in map(Path, directories):
        found = [
            next((file for name in names if (file := directory / name).is_file()), None)
            for names in (("libjson.so", "json.so"), ("libsearch.so", "search.so"))
        ]
        if None not in found:
            return tuple(file for file in found if file is not None)
    return ()


@contextmanager
def open_server(source: SearchSource) -> Iterator[ValkeyConnection]:
    """A connection to the search server, which is started if need be."""
    if source.url is not None:
        with ValkeyConnection.from_url(source.url) as connection:
            yield connection
        return
    with (
        EmbeddedValkey(modules=source.modules) as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        yield connection


def search_version(connection: ValkeyConnection) -> str:
    """valkey-search's version, from ``INFO modules``."""
    for line in send(connection, "INFO", "modules").decode().splitlines():
        if line.startswith("module:name=search,"):
            number = int(line.split("ver=")[1].split(",")[0])
            return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
    raise AssertionError("the search server has no valkey-search")


def wipe(connection: ValkeyConnection, *names: str) -> None:
    """Drop indexes of these names with their documents and sidecars, if they are there."""
    for name in names:
        send(connection, "FT.DROPINDEX", name, errors_as_replies=True)
        for pattern in (f"{name}:*", f"{{{name}}}:*"):
            cursor = b"0"
            while True:
                cursor, keys = send(connection, "SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
                if keys:
                    send(connection, "UNLINK", *keys)
                if cursor == b"0":
                    break


# Fixtures


@dataclass(frozen=True)
class RealServer:
    """The search server of this test process."""

    connection: ValkeyConnection
    version: str


@pytest.fixture(scope="session")
def search_source() -> SearchSource:
    return find()


@pytest.fixture(scope="session")
def real_server(search_source: SearchSource) -> Iterator[RealServer | None]:
    """The search server, or None where there is none."""
    if not search_source.found:
        yield None
        return
    with open_server(search_source) as connection:
        yield RealServer(connection, search_version(connection))


@pytest.fixture(scope="session")
def search_url(real_server: RealServer | None) -> str:
    """The search server's URL. Tests that need it are deselected where there is none."""
    assert real_server is not None
    url = real_server.connection.url
    assert url is not None
    return url


SERVER_BACKENDS = ("json", "hash")
BACKENDS: dict[str, dict[str, Any]] = {
    **{name: {"search": "server", "storage": name} for name in SERVER_BACKENDS},
    "exact": {"search": "exact"},
}
"""Options of the ways in which a vector store can work."""


def needs_search(item: pytest.Item) -> bool:
    """Whether a collected test talks to the search server."""
    if "search_url" in getattr(item, "fixturenames", ()):
        return True
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return any(parameters.get(name) in SERVER_BACKENDS for name in ("backend", "backend_name"))


def deselect_without_server(folder: Path, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of ``folder`` that need a search server out, where there is none."""
    if find().found:
        return
    gone = [item for item in items if folder in item.path.parents and needs_search(item)]
    if gone:
        config.hook.pytest_deselected(items=gone)
        items[:] = [item for item in items if item not in gone]
