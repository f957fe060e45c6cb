"""Which real server with valkey-search the tests run on, if there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkey_memory import EmbeddedValkey, ValkeyConnection
from valkey_memory._plans import Command, Plan, Reply, Request

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


def send(
    connection: ValkeyConnection, *command: str | bytes, errors_as_replies: bool = False
) -> Reply:
    """Send one command over a connection, behind the library."""

    def plan(command: Command) -> Plan[Reply]:
        replies = yield Request("test", (command,), errors_as_replies=errors_as_replies)
        return replies[0]

    return connection.run(plan(command))


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
