"""Threads, processes that end, cancelled tasks, and names that are made to harm."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from valkey_memory import ValkeyConnection
from valkey_memory.adapters import GetItem, ItemStore, ListNamespaces, PutItem, SearchItems

from .test_items import HOSTILE

USERS = ("users",)


def test_writers_and_readers(connection: ValkeyConnection, name: str) -> None:
    """No reader misses what is there, whoever expires, drops and puts beside it."""
    store = ItemStore(name, connection=connection)
    store.batch([PutItem(USERS, f"steady{n}", {"n": n}) for n in range(5)])
    done = threading.Event()

    def churn(number: int) -> None:
        rng = random.Random(number)
        while not done.is_set():
            key = f"k{rng.randint(0, 3)}"
            ttl = rng.choice([None, 0.002])
            value = None if rng.random() < 0.3 else {"n": number}
            store.batch([PutItem(USERS, key, value, ttl=ttl if value else None)])

    def look() -> None:
        for _ in range(40):
            found = store.batch([SearchItems(USERS, limit=100)])[0]
            assert {f"steady{n}" for n in range(5)} <= {item.key for item in found}
            assert store.batch([ListNamespaces()]) == [[USERS]]

    with ThreadPoolExecutor(5) as threads:
        churning = [threads.submit(churn, number) for number in range(2)]
        try:
            for looking in [threads.submit(look) for _ in range(2)]:
                looking.result()
        finally:
            done.set()
        for one in churning:
            one.result()
    last = [PutItem(USERS, f"k{n}", {"last": n}) for n in range(4)]
    store.batch(last)
    assert len(store.batch([SearchItems(USERS, limit=100)])[0]) == 9


def test_cancelled_tasks(connection: ValkeyConnection, name: str) -> None:
    store = ItemStore(name, connection=connection)

    async def cancelled() -> list[Any]:
        for number in range(60):
            task = asyncio.create_task(store.abatch([PutItem(USERS, f"{number}", {"n": number})]))
            await asyncio.sleep(0.0002 * (number % 5))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return await store.abatch(
            [SearchItems(USERS, limit=100), *(GetItem(USERS, f"{n}") for n in range(60))]
        )

    found, *got = asyncio.run(cancelled())
    assert {item.key for item in found} == {item.key for item in got if item is not None}


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_ten_thousand_hostile_places(connection: ValkeyConnection, name: str, seed: int) -> None:
    """None reaches another's item, and a deleted namespace is gone, and no other."""
    rng = random.Random(seed)
    parts = [*HOSTILE, *("".join(pair) for pair in itertools.product(HOSTILE, repeat=2))]
    parts += ["\t", "\x7f", "\r\n", "\ufeff", "\U0010ffff", "%00", "%", "~", " ", "users*"]
    places: dict[tuple[tuple[str, ...], str], int] = {}
    while len(places) < 10_000:
        namespace = tuple(rng.choices(parts, k=rng.randint(1, 4)))
        places[namespace, rng.choice([*parts, "", "\0"])] = len(places)
    store = ItemStore(name, connection=connection)
    given = list(places.items())
    for start in range(0, len(given), 1_000):
        some = given[start : start + 1_000]
        store.batch([PutItem(*place, {"n": number}) for place, number in some])
    for start in range(0, len(given), 1_000):
        some = given[start : start + 1_000]
        read = store.batch([GetItem(*place) for place, _ in some])
        assert [item.value["n"] for item in read] == [number for _, number in some]
    listed = store.batch([ListNamespaces(limit=20_000)])[0]
    assert listed == sorted({namespace for namespace, _ in places})
    for label in rng.sample(parts, 40):
        inside = {place for place in places if place[0][0] == label}
        assert store.delete_namespace((label,)) == len(inside)
        for place in inside:
            del places[place]
    left = store.batch([SearchItems((), limit=20_000)])[0]
    assert [(item.namespace, item.key) for item in left] == sorted(places)
    assert [item.value["n"] for item in left] == [places[place] for place in sorted(places)]
