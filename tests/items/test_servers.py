"""Servers that are full, and users that may only read."""

from __future__ import annotations

import time
from typing import Any

import pytest

from valkey_memory import (
    EmbeddedValkey,
    KeyTypeError,
    PermissionDeniedError,
    ValkeyConnection,
    WriteRefusedError,
)
from valkey_memory.adapters import GetItem, ItemStore, ListNamespaces, PutItem, SearchItems

from ..servers import admin, send

ALICE = ("users", "alice")


def found(store: ItemStore, **options: Any) -> list[str]:
    return [item.key for item in store.batch([SearchItems((), **options)])[0]]


def test_a_full_server_is_read_and_emptied(name: str) -> None:
    with EmbeddedValkey() as server:
        store = ItemStore(name, url=server.url)
        store.batch([PutItem(ALICE, f"{n}", {"n": n}, ttl=100) for n in range(3)])
        store.batch([PutItem(ALICE, "gone", {}, ttl=0.01)])
        time.sleep(0.05)
        admin(server.port, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(WriteRefusedError):
            store.batch([PutItem(ALICE, "new", {}), PutItem(ALICE, "0", {})])
        assert found(store) == ["0", "1", "2"]
        assert store.batch([GetItem(ALICE, "1")])[0].value == {"n": 1}
        assert store.batch([ListNamespaces()]) == [[ALICE]]
        store.batch([PutItem(ALICE, "0", None)])
        assert store.delete_namespace(("users",)) == 2
        admin(server.port, "CONFIG", "SET", "maxmemory", "0")
        assert found(store) == []


def test_in_a_cluster_an_item_is_listed_before_it_is_written(
    cluster_connection: ValkeyConnection, name: str
) -> None:
    """Where the node of the list refuses, no item is left that nobody would find and delete."""
    store = ItemStore(name, connection=cluster_connection)
    send(cluster_connection, "SET", f"{{{name}}}:items", "mine")
    with pytest.raises(KeyTypeError):
        store.batch([PutItem(ALICE, f"{n}", {"n": n}) for n in range(20)])
    assert store.batch([GetItem(ALICE, f"{n}") for n in range(20)]) == [None] * 20
    assert send(cluster_connection, "GET", f"{{{name}}}:items") == b"mine"


def test_a_user_who_may_only_read(name: str) -> None:
    with EmbeddedValkey() as server:
        store = ItemStore(name, url=server.url)
        store.batch([PutItem(ALICE, "1", {"n": 1})])
        store.batch([PutItem(ALICE, "2", {"n": 2}, ttl=0.01)])
        time.sleep(0.05)
        rules = ("on", ">pw", "~*", "+@read", "+@connection", "+info", "+eval_ro", "+time")
        admin(server.port, "ACL", "SETUSER", "reader", *rules)
        reader = ItemStore(name, url=server.url.replace("://", "://reader:pw@"))
        assert found(reader, refresh_ttl=False) == ["1"]
        assert reader.batch([ListNamespaces()]) == [[ALICE]]
        assert reader.batch([GetItem(ALICE, "1", refresh_ttl=False)])[0].value == {"n": 1}
        with pytest.raises(PermissionDeniedError):
            reader.batch([PutItem(ALICE, "3", {})])
