"""LangGraph's node cache: in graphs, by namespaces that never meet, with TTL."""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.cache.base import FullKey
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import CachePolicy
from typing_extensions import TypedDict

from langgraph_valkey_glide import ValkeyCache
from valkey_memory import (
    CacheStats,
    EmbeddedValkey,
    InvalidArgumentError,
    ValkeyConnection,
    ValkeyMemoryError,
)

from ..caches.test_exact import HOSTILE
from ..conftest import Face
from ..conversations.test_round_trips import sent

Make = Callable[..., Any]


class State(TypedDict):
    number: int
    square: int


@pytest.fixture
def connection(paired_connection: ValkeyConnection) -> ValkeyConnection:
    return paired_connection


@pytest.fixture
def plain(connection: ValkeyConnection, prefix: str) -> Callable[..., ValkeyCache[Any]]:
    def make(**options: Any) -> ValkeyCache[Any]:
        known: dict[str, Any] = {"connection": connection, "key_prefix": prefix}
        return ValkeyCache(**(known | options))

    return make


@pytest.fixture
def make(plain: Callable[..., ValkeyCache[Any]], is_async: bool) -> Make:
    """Makes a node cache, seen through its sync face on one server, its async one on a cluster."""
    return lambda **options: Face(plain(**options), is_async=is_async)


def test_values_by_namespace_and_key(make: Make) -> None:
    cache = make()
    near: list[FullKey] = [
        (("a:b",), "k"),
        (("a", "b"), "k"),
        (("a",), "b:k"),
        ((), "k"),
        (("",), "k"),
        (("a", ""), "k"),
        (("*",), "k"),
    ]
    cache.set({key: ([repr(key)], None) for key in near})
    assert cache.get([*near, (("no",), "k")]) == {key: [repr(key)] for key in near}
    cache.clear([("a", "b"), ("*",)])
    assert list(cache.get(near)) == [key for key in near if key[0] not in (("a", "b"), ("*",))]
    cache.clear([("a",)])  # exactly this one, not those that begin with it
    assert (("a", ""), "k") in cache.get(near)
    cache.clear([])
    assert cache.get(near)
    cache.clear()
    assert cache.get(near) == {}
    assert cache.get([]) == {}
    assert cache.store.stats().stores == len(near)


def test_any_text_is_a_key(make: Make) -> None:
    cache = make()
    keys = [((one, two), one) for one in HOSTILE[::2] for two in HOSTILE[::3]]
    cache.set({key: (number, None) for number, key in enumerate(keys)})
    assert cache.get(keys) == {key: number for number, key in enumerate(keys)}


@pytest.mark.parametrize("value", [None, [], b"bytes", {"a": (1, {2})}, [("channel", State)]])
def test_any_value_of_the_serialiser_comes_back(make: Make, value: Any) -> None:
    serde = JsonPlusSerializer()
    if value and "channel" in str(value):
        value = [("channel", {"number": 1}), ("other", None)]
    expected = serde.loads_typed(serde.dumps_typed(value))
    cache = make()
    cache.set({(("n",), "k"): (value, 60)})
    assert cache.get([(("n",), "k")]) == {(("n",), "k"): expected}


def test_ttl(make: Make) -> None:
    cache = make(ttl=0.2)
    cache.set({(("n",), "a"): (1, None), (("n",), "b"): (2, 60)})
    time.sleep(0.25)
    assert cache.get([(("n",), "a"), (("n",), "b")]) == {(("n",), "b"): 2}
    with pytest.raises(InvalidArgumentError, match="ttl"):
        cache.set({(("n",), "a"): (1, 0)})


def test_a_namespace_that_is_none_is_refused(make: Make) -> None:
    cache = make()
    cache.set({(("a", "b"), "k"): (1, None)})
    for key in ((("a", 1), "k"), (("a",), 1), ("ab", "k"), (None, "k")):
        with pytest.raises(InvalidArgumentError):
            cache.get([key])
        with pytest.raises(InvalidArgumentError):
            cache.set({key: (2, None)})
    for namespaces in ("ab", ["ab"], [None], [("a", 1)]):
        with pytest.raises(InvalidArgumentError, match="namespace"):
            cache.clear(namespaces)
    assert cache.get([(["a", "b"], "k")]) == {(("a", "b"), "k"): 1}


class Cipher:
    """One byte of a key; no cipher to use, but it knows what is not its own."""

    def __init__(self, key: int) -> None:
        self._key = key

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "test:cipher", bytes(one ^ self._key for one in b"mine" + plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        found = bytes(one ^ self._key for one in ciphertext)
        if ciphername != "test:cipher" or not found.startswith(b"mine"):
            raise ValueError("another key")
        return found[4:]


def test_encrypted_values_stay_with_who_has_the_key(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cache, key = make(serde=EncryptedSerializer(Cipher(7))), (("n",), "k")
    cache.set({key: (["secret"], None)})
    assert cache.get([key]) == {key: ["secret"]}
    assert make(serde=EncryptedSerializer(Cipher(8))).get([key]) == {}
    assert "is a miss" in caplog.text


def test_many_are_one_round_trip(
    server: EmbeddedValkey, standalone_connection: ValkeyConnection, prefix: str
) -> None:
    cache: ValkeyCache[int] = ValkeyCache(connection=standalone_connection, key_prefix=prefix)
    pairs: dict[FullKey, tuple[int, int | None]] = {((str(n),), "k"): (n, 60) for n in range(50)}
    assert sent(server, lambda: cache.set(pairs)) == {"set": 50}
    assert sent(server, lambda: cache.get(list(pairs))) == {"get": 50}


def test_a_pickle_is_the_same_cache(url: str, prefix: str) -> None:
    cache: ValkeyCache[Any] = ValkeyCache(url=url, key_prefix=prefix, ttl=60)
    cache.set({(("n",), "k"): ([1], None)})
    pickled = pickle.dumps(cache)
    assert not re.search(rb"_(memory|glide)\._", pickled)
    again = pickle.loads(pickled)  # noqa: S301
    assert again.get([(("n",), "k")]) == {(("n",), "k"): [1]}
    assert "ValkeyCache" in repr(again)


# Graphs


def build(calls: list[int], ttl: int | None = None) -> StateGraph[State]:
    def square(state: State) -> dict[str, int]:
        calls.append(state["number"])
        return {"square": state["number"] ** 2}

    builder = StateGraph(State)
    builder.add_node("square", square, cache_policy=CachePolicy(ttl=ttl))
    builder.add_edge(START, "square")
    return builder


def invoke(graph: Any, number: int, *, is_async: bool, **config: Any) -> int:
    given = {"number": number}
    found = (
        asyncio.run(graph.ainvoke(given, **config)) if is_async else graph.invoke(given, **config)
    )
    square: int = found["square"]
    return square


def test_a_node_runs_once(plain: Callable[..., ValkeyCache[Any]], is_async: bool) -> None:
    calls: list[int] = []
    cache = plain()
    graph = build(calls).compile(cache=cache)
    assert [invoke(graph, n, is_async=is_async) for n in (3, 3, 4, 3)] == [9, 9, 16, 9]
    assert calls == [3, 4]
    assert cache.stats() == CacheStats(hits=2, misses=2, stores=2)
    again = build(calls).compile(cache=plain())  # another process
    assert invoke(again, 4, is_async=not is_async) == 16
    assert calls == [3, 4]
    graph.clear_cache() if not is_async else asyncio.run(graph.aclear_cache())
    assert invoke(graph, 3, is_async=is_async) == 9
    assert calls == [3, 4, 3]


def test_a_nodes_entry_expires(plain: Callable[..., ValkeyCache[Any]], is_async: bool) -> None:
    calls: list[int] = []
    graph = build(calls, ttl=1).compile(cache=plain(), checkpointer=InMemorySaver())
    for number, thread in ((2, "a"), (2, "b")):
        config = {"configurable": {"thread_id": thread}}
        assert invoke(graph, number, is_async=is_async, config=config) == 4
    assert calls == [2]
    time.sleep(1.1)
    assert invoke(graph, 2, is_async=is_async, config={"configurable": {"thread_id": "a"}}) == 4
    assert calls == [2, 2]


def test_tasks_of_the_functional_api(
    plain: Callable[..., ValkeyCache[Any]], is_async: bool
) -> None:
    calls: list[int] = []

    policy: Any = CachePolicy()

    @task(cache_policy=policy)
    def slow(number: int) -> int:
        calls.append(number)
        return number * 2

    @entrypoint(cache=plain())
    def flow(numbers: list[int]) -> list[int]:
        return [one.result() for one in [slow(number) for number in numbers]]

    for _ in range(2):
        found = asyncio.run(flow.ainvoke([1, 2, 3])) if is_async else flow.invoke([1, 2, 3])
        assert found == [2, 4, 6]
    assert sorted(calls) == [1, 2, 3]


def test_a_node_that_fails_is_not_cached(plain: Callable[..., ValkeyCache[Any]]) -> None:
    calls: list[int] = []

    def fragile(state: State) -> dict[str, int]:
        calls.append(1)
        if len(calls) < 2:
            raise RuntimeError("once")
        return {"square": 1}

    builder = StateGraph(State)
    builder.add_node("fragile", fragile, cache_policy=CachePolicy())
    builder.add_edge(START, "fragile")
    graph = builder.compile(cache=plain())
    with pytest.raises(RuntimeError, match="once"):
        invoke(graph, 1, is_async=False)
    assert invoke(graph, 1, is_async=False) == 1
    assert invoke(graph, 1, is_async=False) == 1
    assert len(calls) == 2


def test_what_cannot_be_stored_stops_no_graph(
    plain: Callable[..., ValkeyCache[Any]], is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    value: Any = threading.Lock()
    builder = StateGraph(State)
    builder.add_node("n", lambda state: {"square": value}, cache_policy=CachePolicy(ttl=60))
    builder.add_edge(START, "n")
    graph = builder.compile(cache=plain())
    for _ in range(2):
        assert invoke(graph, 1, is_async=is_async) is value
    assert caplog.text.count("not cached") == 2


def test_a_server_that_is_gone(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    url = "valkey://127.0.0.1:1?connection_timeout=0.2&cluster=false"
    with ValkeyConnection.from_url(url) as connection:
        graph = build(calls).compile(cache=ValkeyCache(connection=connection))
        with pytest.raises(ValkeyMemoryError):
            invoke(graph, 2, is_async=is_async)
        tolerant: ValkeyCache[Any] = ValkeyCache(connection=connection, on_error="warn")
        assert invoke(build(calls).compile(cache=tolerant), 2, is_async=is_async) == 4
    assert "passed over" in caplog.text
