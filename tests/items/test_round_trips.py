"""How often the server is asked, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey
from valkey_memory._plans import Plan
from valkey_memory.adapters import (
    GetItem,
    ItemStore,
    ListNamespaces,
    Operation,
    PutItem,
    SearchItems,
)

from ..models.words import Words
from ..servers import admin, command_counts

ALICE = ("users", "alice")


def requests(store: ItemStore, *operations: Operation) -> int:
    """Round trips of a batch."""
    count = 0

    def counted(plan: Plan[Any]) -> Plan[Any]:
        nonlocal count
        reply: Any = None
        while True:
            try:
                step = plan.send(reply)
            except StopIteration as end:
                return end.value
            count += type(step).__name__ in ("Request", "Lanes", "Scan")
            reply = yield step

    store.connection.run(counted(store.plans.batch_plan(operations)))
    return count


def puts(number: int, texts: Callable[[Any], list[str]] | None = None) -> list[PutItem]:
    return [PutItem(ALICE, f"{n}", {"n": n, "text": f"{n}"}, texts=texts) for n in range(number)]


@pytest.fixture
def store(name: str, url: str) -> ItemStore:
    return ItemStore(name, url=url)


def test_gets_and_puts(store: ItemStore) -> None:
    assert requests(store, *puts(1)) == 1
    assert requests(store, GetItem(ALICE, "0")) == 1
    gets = [GetItem(ALICE, f"{n}") for n in range(50)]
    assert requests(store, *gets, *puts(50), PutItem(ALICE, "x", None)) == 1


def test_searches(store: ItemStore) -> None:
    requests(store, *puts(150))
    assert requests(store, SearchItems(ALICE)) == 2
    assert requests(store, SearchItems(ALICE, limit=100)) == 2
    assert requests(store, SearchItems(ALICE, limit=10, offset=120)) == 3
    assert requests(store, SearchItems(ALICE, condition={"n": 149})) == 2
    assert requests(store, *[SearchItems(ALICE)] * 5) == 2
    assert requests(store, ListNamespaces()) == 2


def test_by_meaning(name: str, url: str) -> None:
    store = ItemStore(name, url=url, embedding=Words(), search="exact")

    def texts(value: Any) -> list[str]:
        return [value["text"]]

    requests(store, *puts(20, texts))
    assert requests(store, *puts(20, texts)) == 3
    requests(store, SearchItems(ALICE, query="5"))  # brings the copy up to date
    assert requests(store, SearchItems(ALICE, query="5")) == 2
    assert requests(store, PutItem(ALICE, "0", None)) == 2


def test_a_limit_stops_a_search_early(name: str) -> None:
    with EmbeddedValkey() as server:
        store = ItemStore(name, url=server.url)
        store.batch(puts(1_000))
        admin(server.port, "CONFIG", "RESETSTAT")
        store.batch([SearchItems(("users",), limit=10)])
        counts = command_counts(server.port)
        assert (counts["zrange"], counts["hmget"]) == (1, 10)
        assert not {"keys", "scan", "zscan"} & set(counts)
        admin(server.port, "CONFIG", "RESETSTAT")
        store.batch([GetItem(ALICE, "1"), *puts(2)])
        counts = command_counts(server.port)
        assert (counts["multi"], counts["exec"], counts["zadd"], counts["eval"]) == (1, 1, 2, 3)
