"""Indexes as they are found, by what stores documents: on any server, and with valkey-search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, ValkeyConnection, VectorIndex
from valkey_memory._vectors.discovery import (
    commands_plan,
    declared,
    exact_names_plan,
    index_plan,
    indexes_plan,
    names_plan,
    server_index_plan,
    stored_fields,
)

from ..search_server import find
from ..servers import send
from .documents import doc

NAME = "discovered"
FIELDS: dict[str, Any] = {"user_id": "tag", "year": "numeric", "content": "text"}


def fill(connection: ValkeyConnection, name: str = NAME, **options: Any) -> VectorIndex:
    index = VectorIndex(name, 4, fields=FIELDS, connection=connection, **options)
    index.upsert([doc(1, user_id="alice", year=2026), doc(2, user_id="bob")])
    return index


async def test_exact_search(connection: ValkeyConnection) -> None:
    index = fill(connection, search="exact")
    try:
        found = await connection.arun(index_plan(NAME))
        assert found is not None
        assert (found.name, found.search, found.storage) == (NAME, "exact", "hash")
        assert (found.dimension, found.documents, found.fields) == (4, 2, FIELDS)
        assert (found.metric, found.algorithm, found.ready) == (None, None, True)
        assert 100 < (found.bytes_per_document or 0) < 2000
        assert found.bytes == 2 * (found.bytes_per_document or 0)
        assert NAME in await connection.arun(exact_names_plan())
        assert NAME in await connection.arun(names_plan())
        assert await connection.arun(indexes_plan([NAME, "nothing"])) == [found]
    finally:
        await index.adrop(delete_documents=True)
    assert await connection.arun(index_plan(NAME)) is None
    assert NAME not in await connection.arun(names_plan())


def test_hashes_of_somebody_else_are_no_index(connection: ValkeyConnection) -> None:
    send(connection, "HSET", "discovered-foreign:1", "x", "y")
    assert connection.run(index_plan("discovered-foreign")) is None
    send(connection, "UNLINK", "discovered-foreign:1")


def test_a_server_without_modules(connection: ValkeyConnection) -> None:
    found = connection.run(commands_plan())
    assert (found.search, found.json, found.indexes) == (False, False, [])
    assert connection.run(server_index_plan(NAME)) is None


def test_fields_by_the_names_under_which_they_are_stored() -> None:
    names = [b"words.b", b"tags.a", b"numbers.c", b"tags._has", b"_embedding", b"other", b"\xff"]
    assert stored_fields(names) == {"a": "tag", "b": "text", "c": "numeric"}
    known = {"a": "tag", "b": "text", "c": "numeric", "_has": "tag", "place": "geo"}
    assert declared(known) == {"a": "tag", "b": "text", "c": "numeric"}


@pytest.fixture(scope="module")
def search() -> Iterator[ValkeyConnection]:
    with (
        EmbeddedValkey(modules=find().modules) as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        yield connection


@pytest.mark.real_search(modules=True)
@pytest.mark.parametrize(
    "options",
    [
        {"storage": "json", "metric": "l2"},
        {"storage": "hash", "algorithm": "flat"},
    ],
)
def test_server_search(search: ValkeyConnection, options: dict[str, Any]) -> None:
    index = fill(search, search="server", **options)
    assert index.wait_until_ready()
    found = search.run(index_plan(NAME))
    assert found is not None
    assert (found.name, found.search, found.storage) == (NAME, "server", options["storage"])
    assert (found.dimension, found.documents, found.failures) == (4, 2, 0)
    assert found.fields == FIELDS
    assert found.metric == options.get("metric", "cosine")
    assert found.algorithm == options.get("algorithm", "hnsw")
    assert found.bytes_per_document is None
    (measured,) = search.run(indexes_plan([NAME], memory=True))
    assert 100 < (measured.bytes_per_document or 0) < 3000
    commands = search.run(commands_plan())
    assert (commands.search, commands.json, commands.indexes) == (True, True, [NAME])
    assert search.run(names_plan()) == [NAME]
    index.drop(delete_documents=True)


@pytest.mark.real_search(modules=True)
def test_a_foreign_index_and_a_user_who_may_not_list(search: ValkeyConnection) -> None:
    send(search, "FT.CREATE", "foreign", "ON", "HASH", "SCHEMA", "a", "TAG")
    (found,) = search.run(indexes_plan(["foreign"], memory=True))
    assert (found.dimension, found.metric, found.algorithm) == (0, None, None)
    assert found.bytes_per_document is None
    send(search, "ACL", "SETUSER", "eve", "on", ">pw", "~*", "+@all", "-ft._list")
    url = (search.url or "").replace("valkey://", "valkey://eve:pw@")
    with ValkeyConnection.from_url(url) as refused:
        commands = refused.run(commands_plan())
    assert (commands.search, commands.json, commands.indexes) == (True, True, None)
    send(search, "FT.DROPINDEX", "foreign")
