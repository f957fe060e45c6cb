"""``ValkeyStore`` does what LangGraph's own store in memory does, and more."""

from __future__ import annotations

import asyncio
import pickle
import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from langgraph_valkey_glide import ValkeyStore
from valkey_memory import (
    ConfigurationError,
    FilterError,
    InvalidArgumentError,
    ValkeyConnection,
)

from ..conftest import Face
from ..models.words import Words
from ..servers import send

ALICE = ("users", "alice")
INDEX: Any = {"dims": 64, "embed": Words(), "fields": ["text", "notes[*].body"]}


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def plain(connection: ValkeyConnection, name: str) -> ValkeyStore:
    """A store on each topology."""
    return ValkeyStore(name=name, connection=connection)


@pytest.fixture
def store(topology: str, plain: ValkeyStore) -> Any:
    """Its sync face on one server, and its async face on a cluster."""
    return Face(plain, is_async=topology == "cluster")


@pytest.fixture(params=["exact", "hash"])
def backend(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def make_indexed(request: pytest.FixtureRequest, backend: str, name: str) -> Callable[..., Any]:
    """Makes a store that finds by meaning."""
    url = request.getfixturevalue("url" if backend == "exact" else "search_url")

    def make(index: Any = None, **options: Any) -> ValkeyStore:
        search: Any = "exact" if backend == "exact" else "server"
        return ValkeyStore(name=name, url=url, index=index or INDEX, search=search, **options)

    return make


def test_the_methods_of_a_store(store: Any) -> None:
    store.put(ALICE, "diet", {"likes": ["apples"], "since": 2024})
    found = store.get(ALICE, "diet")
    assert type(found) is Item
    assert found.value == {"likes": ["apples"], "since": 2024}
    assert found.namespace == ALICE
    (hit,) = store.search(("users",), filter={"since": {"$gte": 2024}})
    assert type(hit) is SearchItem
    assert (hit.key, hit.score) == ("diet", None)
    assert Item.__eq__(hit, found)
    assert store.list_namespaces() == [ALICE]
    store.delete(ALICE, "diet")
    assert store.get(ALICE, "diet") is None
    assert store.list_namespaces() == []


# As LangGraph's own

LABELS = ["a", "b", "ab", "a b", "a:b", "*"]
NUMBERS = [0, 1, 2.5, -3]


def some_operation(rng: random.Random) -> Op:
    namespace = tuple(rng.choices(LABELS, k=rng.randint(1, 3)))
    key = rng.choice("xyz")
    kind = rng.random()
    if kind < 0.5:
        value = {"n": rng.choice(NUMBERS), "t": rng.choice("pq"), "in": {"n": rng.choice(NUMBERS)}}
        return PutOp(namespace, key, None if rng.random() < 0.2 else value)
    if kind < 0.65:
        return GetOp(namespace, key)
    prefix = namespace[: rng.randint(0, 2)]
    if kind < 0.85:
        operator = rng.choice(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
        number = rng.choice(NUMBERS)
        condition = rng.choice(
            [
                None,
                {"n": number},
                {"n": {operator: number}},
                {"in": {"n": {operator: number}}, "t": "p"},
                {"in": {"n": number}},
                {"n": {"$gte": number, "$ne": 2.5}},
            ]
        )
        return SearchOp(prefix, cast("Any", condition), limit=1_000)
    matches = tuple(
        MatchCondition(
            rng.choice(["prefix", "suffix"]), tuple(rng.choices(LABELS, k=rng.randint(1, 2)))
        )
        for _ in range(rng.randint(0, 2))
    )
    depth = rng.choice([None, 1, 2])
    return ListNamespacesOp(matches, depth, limit=rng.randint(1, 50), offset=rng.choice([0, 0, 2]))


def comparable(op: Op, result: Any) -> Any:
    if isinstance(op, SearchOp):
        return sorted((one.namespace, one.key, one.value["n"]) for one in result)
    if isinstance(op, GetOp):
        return result and (result.namespace, result.key, result.value)
    return result


class Remembering(InMemoryStore):
    """LangGraph's store, without namespaces that were only asked for, or have no item any more."""

    def batch(self, ops: Any) -> list[Any]:
        results: dict[int, Any] = dict.fromkeys(range(len(ops)))
        for number, op in enumerate(ops):
            if not isinstance(op, PutOp):
                (results[number],) = super().batch([op])
                self._forget_empty()
        super().batch([op for op in ops if isinstance(op, PutOp)])
        self._forget_empty()
        return list(results.values())

    def _forget_empty(self) -> None:
        for namespace in [one for one, items in self._data.items() if not items]:
            del self._data[namespace]


@pytest.mark.parametrize("seed", range(2))
def test_as_the_store_in_memory(store: Any, seed: int) -> None:
    rng = random.Random(seed)
    theirs = Remembering()
    for _ in range(40):
        ops = [some_operation(rng) for _ in range(rng.randint(1, 12))]
        expected = theirs.batch(ops)
        for op, mine, other in zip(ops, store.batch(ops), expected, strict=True):
            assert comparable(op, mine) == comparable(op, other), op


def test_scores_are_those_of_the_store_in_memory(make_indexed: Callable[..., Any]) -> None:
    stores: list[BaseStore] = [make_indexed(), InMemoryStore(index=INDEX)]
    rng = random.Random(1)
    for number in range(30):
        value = {
            "text": f"red {rng.randint(0, 9)}",
            "notes": [{"body": f"blue {rng.randint(0, 9)} {n}"} for n in range(number % 3)],
            "n": number,
        }
        for each in stores:
            index: Any = [None, None, False, ["text"]][number % 4]
            each.put(("docs", f"{number % 5}"), f"{number}", value, index=index)
    for query in ("red 3", "blue 7", "green"):
        for condition in (None, {"n": {"$lt": 20}}):
            mine, theirs = (
                s.search(("docs",), query=query, filter=condition, limit=99) for s in stores
            )
            scores = [{one.key: one.score for one in found} for found in (mine, theirs)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-5)
            ordered = [one.score for one in mine if one.score is not None]
            assert ordered == sorted(ordered, reverse=True)


# Interfaces


def test_namespaces_that_langgraph_forbids(plain: ValkeyStore) -> None:
    for namespace in ((), ("a.b",), ("a", ""), ("langgraph", "x"), ("a\0",)):
        with pytest.raises(InvalidNamespaceError):
            plain.put(namespace, "k", {})
    for op in (
        GetOp(("a.b",), "k"),
        PutOp(("a.b",), "k", {}),
        SearchOp(("a.b",)),
        ListNamespacesOp((MatchCondition("prefix", ("a.b",)),)),
    ):
        with pytest.raises(InvalidNamespaceError):
            plain.batch([PutOp(("a",), "k", {}), op])
        with pytest.raises(InvalidNamespaceError):
            asyncio.run(plain.abatch([op]))
    with pytest.raises(InvalidNamespaceError):
        plain.delete_namespace(("a.b",))
    assert plain.search(()) == []  # nothing of a refused batch was done
    plain.batch([PutOp(("langgraph", "x"), "k", {})])
    assert plain.list_namespaces() == [("langgraph", "x")]


def test_arguments_that_cannot_be(plain: ValkeyStore) -> None:
    wrong: list[tuple[type[Exception], Any]] = [
        (InvalidArgumentError, PutOp(ALICE, "k", {"a": {1}})),
        (InvalidArgumentError, PutOp(ALICE, "k", {}, ttl=0)),
        (InvalidArgumentError, PutOp(ALICE, "k", {}, ttl=-1)),
        (InvalidArgumentError, PutOp(ALICE, "k", {}, ttl=cast("Any", "1"))),
        (InvalidArgumentError, PutOp(ALICE, "k", {}, ttl=float("inf"))),
        (InvalidArgumentError, PutOp(ALICE, "k", {}, ttl=float("nan"))),
        (InvalidArgumentError, GetOp(ALICE, cast("Any", 5))),
        (InvalidArgumentError, GetOp(("\ud800",), "k")),
        (InvalidArgumentError, SearchOp(ALICE, limit=-1)),
        (InvalidArgumentError, ("get", "k")),
        (FilterError, SearchOp(ALICE, {"a": {"$in": [1]}})),
        (FilterError, SearchOp(ALICE, {"$or": []})),
    ]
    for error, op in wrong:
        with pytest.raises(error):
            plain.batch([op])


def test_options_that_cannot_be() -> None:
    wrong: list[dict[str, Any]] = [
        {"index": {"dims": 3}},
        {"index": {"embed": Words(), "dimensions": 3}},
        {"index": []},
        {"index": {"embed": Words(), "fields": "text"}},
        {"index": {"embed": Words(), "fields": [5]}},
        {"index": {"embed": 5}},
        {"ttl": {"default": 5}},
        {"ttl": {"default_ttl": 0}},
        {"ttl": 5},
        {"filter_fields": {"a": "tag"}},
        {"name": "a.b"},
    ]
    for options in wrong:
        with pytest.raises((ConfigurationError, InvalidArgumentError)):
            ValkeyStore(url="valkey://localhost:1", **options)
    store = ValkeyStore(url="valkey://localhost:1", index={"embed": Words()})
    with pytest.raises(InvalidArgumentError, match="list of paths"):
        store.put(ALICE, "k", {}, index=cast("Any", "text"))


def test_paths_are_lists_too(plain: ValkeyStore) -> None:
    plain.put(ALICE, "k", {})
    plain.put(("prod", "alice"), "k", {})
    assert [one.namespace for one in plain.search(cast("Any", ["users"]))] == [ALICE]
    assert plain.list_namespaces(prefix=cast("Any", ["users", "*"])) == [ALICE]
    one = MatchCondition("suffix", cast("Any", "alice"))
    assert plain.batch([ListNamespacesOp((one,))])[0] == [("prod", "alice"), ALICE]


def test_a_copy_is_an_equal_store(url: str, name: str) -> None:
    index: Any = {"embed": Words(), "fields": ["text"]}
    store = ValkeyStore(name=name, url=url, index=index, ttl={"default_ttl": 5}, search="exact")
    store.put(ALICE, "k", {"text": "red apple"})
    other = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
    assert other.search(ALICE, query="apple")[0].key == "k"
    assert other.ttl_config == {"default_ttl": 5}
    assert repr(other) == repr(store)


def test_no_password_is_shown() -> None:
    store = ValkeyStore(url="valkey://user:secret-word@localhost:1")
    assert "secret-word" not in repr(store)


# Peers' faults, measured on langgraph-checkpoint-aws 1.2.6


def test_each_operator_finds_what_it_says(plain: ValkeyStore) -> None:
    for number in range(3):
        plain.put(ALICE, f"{number}", {"n": number})
    found = {
        name: [item.key for item in plain.search(ALICE, filter={"n": {name: 1}})]
        for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
    }
    assert found == {
        "$eq": ["1"],
        "$ne": ["0", "2"],
        "$gt": ["2"],
        "$gte": ["1", "2"],
        "$lt": ["0"],
        "$lte": ["0", "1"],
    }


def test_a_label_with_a_slash_is_one(plain: ValkeyStore) -> None:
    plain.put(("p/q",), "k", {"which": 1})
    plain.put(("p", "q"), "k", {"which": 2})
    one, two = plain.get(("p/q",), "k"), plain.get(("p", "q"), "k")
    assert one is not None
    assert two is not None
    assert (one.value["which"], two.value["which"]) == (1, 2)
    assert len(plain.search(("p",))) == 1
    assert plain.list_namespaces(suffix=("q",)) == [("p", "q")]


def test_a_wildcard_deletes_nothing_else(plain: ValkeyStore) -> None:
    plain.put(ALICE, "k", {})
    plain.delete(("users", "*"), "k")
    plain.delete(("users", "*"), "*")
    assert plain.delete_namespace(("*",)) == 0
    assert plain.get(ALICE, "k") is not None


# TTL

MINUTE = 60_000


@pytest.mark.parametrize("minutes", [int, lambda n: timedelta(minutes=n)], ids=["int", "timedelta"])
def test_ttls_are_minutes(
    connection: ValkeyConnection, name: str, minutes: Callable[[int], Any]
) -> None:
    store = ValkeyStore(name=name, connection=connection, ttl={"default_ttl": minutes(2)})
    key = f"{name}:users/alice/k"

    def left() -> int:
        found: int = send(connection, "PTTL", key)
        return found

    assert store.supports_ttl
    store.put(ALICE, "k", {})
    assert MINUTE < left() <= 2 * MINUTE
    store.put(ALICE, "k", {}, ttl=minutes(10))
    assert 9 * MINUTE < left() <= 10 * MINUTE
    send(connection, "PEXPIRE", key, "5000")
    store.get(ALICE, "k", refresh_ttl=False)
    assert left() <= 5_000
    store.get(ALICE, "k")
    assert left() > 9 * MINUTE
    store.put(ALICE, "k", {}, ttl=None)
    assert left() == -1


def test_no_refresh_by_default_where_it_is_off(connection: ValkeyConnection, name: str) -> None:
    store = ValkeyStore(name=name, connection=connection, ttl={"refresh_on_read": False})
    store.put(ALICE, "k", {}, ttl=0.0015)
    for _ in range(4):
        time.sleep(0.03)
        store.get(ALICE, "k")
        store.search(ALICE)
    assert store.get(ALICE, "k") is None
    assert store.search(ALICE) == []
    assert store.list_namespaces() == []


def test_what_is_read_stays(connection: ValkeyConnection, name: str) -> None:
    store = ValkeyStore(name=name, connection=connection)
    store.put(ALICE, "k", {}, ttl=0.005)
    for number in range(5):
        time.sleep(0.12)
        found: Sequence[Any] = store.search(ALICE) if number % 2 else [store.get(ALICE, "k")]
        assert found != []
        assert found[0] is not None


# Models


@pytest.mark.parametrize("form", ["langchain", "function", "async function"])
def test_every_form_of_an_embedder(make_indexed: Callable[..., Any], form: str) -> None:
    words = Words()

    async def later(texts: Sequence[str]) -> list[list[float]]:
        await asyncio.sleep(0)
        return words.embed_documents(list(texts))

    embed: Any = {
        "langchain": words,
        "function": lambda texts: words.embed_documents(list(texts)),
        "async function": later,
    }[form]
    store = make_indexed({"dims": 64, "embed": embed})
    asyncio.run(store.aput(ALICE, "1", {"text": "red apple"}))
    assert asyncio.run(store.asearch(ALICE, query="apple"))[0].key == "1"
    store.put(ALICE, "2", {"text": "blue car"})
    assert store.search(ALICE, query="blue car")[0].key == "2"


def test_the_whole_value_by_default(make_indexed: Callable[..., Any]) -> None:
    words = Words()
    store = make_indexed({"embed": words})
    store.put(ALICE, "1", {"b": 1, "a": "ü"})
    assert words.calls[0][1] == ['{"a": "ü", "b": 1}']


def test_filter_fields(make_indexed: Callable[..., Any]) -> None:
    store = make_indexed(filter_fields={"color": "tag", "year": "numeric"})
    for number in range(60):
        value = {"text": f"note {number}", "color": "red" if number % 2 else "blue", "year": number}
        store.put(ALICE, f"{number}", value)
    condition = {"color": "red", "year": {"$gt": 50}}
    found = store.search(ALICE, query="note 3", filter=condition, limit=50)
    assert sorted(int(one.key) for one in found) == [51, 53, 55, 57, 59]


# In programs


def test_sync_methods_in_a_running_loop(plain: ValkeyStore) -> None:
    async def main() -> None:
        plain.put(ALICE, "sync", {"n": 1})
        await plain.aput(ALICE, "async", {"n": 2})
        assert plain.get(ALICE, "async") is not None
        assert len(plain.search(ALICE)) == len(await plain.asearch(ALICE)) == 2
        assert plain.list_namespaces() == await plain.alist_namespaces()
        plain.delete(ALICE, "sync")
        await plain.adelete(ALICE, "async")

    asyncio.run(main())
    assert plain.search(ALICE) == []


def test_many_tasks_and_threads(plain: ValkeyStore) -> None:
    async def put_many() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                group.create_task(plain.aput((f"{number % 3}",), f"{number}", {"n": number}))

    asyncio.run(put_many())
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: plain.put(("t",), f"{n}", {"n": n}), range(40)))
    assert len(plain.search((), limit=200)) == 100
    assert asyncio.run(plain.adelete_namespace(("t",))) == 40
    assert plain.list_namespaces() == [("0",), ("1",), ("2",)]


class Calling(FakeMessagesListChatModel):
    """A scripted model that has tools."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


@tool
def note(text: str, runtime: ToolRuntime) -> str:
    """Remember a text."""
    assert runtime.store is not None
    runtime.store.put(("notes",), text, {"text": text})
    return "noted"


def test_in_an_agent(plain: ValkeyStore) -> None:
    call = {"name": "note", "args": {"text": "likes apples"}, "id": "1"}
    model = Calling(responses=[AIMessage("", tool_calls=[call]), AIMessage("Noted.")])
    agent = create_agent(model, [note], store=plain)
    answer = agent.invoke({"messages": [{"role": "user", "content": "I like apples"}]})
    assert answer["messages"][-1].content == "Noted."
    found = plain.get(("notes",), "likes apples")
    assert found is not None
    assert found.value == {"text": "likes apples"}


class State(TypedDict):
    user: str
    seen: list[str]


def remember(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    assert runtime.store is not None
    runtime.store.put(("users", state["user"]), "visit", {"count": 1})
    return {}


def recall(state: State) -> dict[str, Any]:
    found = get_store().search(("users",), limit=100)
    return {"seen": [item.namespace[1] for item in found]}


async def aremember(state: State, runtime: Runtime[Any]) -> dict[str, Any]:
    assert runtime.store is not None
    await runtime.store.aput(("users", state["user"]), "visit", {"count": 1})
    return {}


async def arecall(state: State) -> dict[str, Any]:
    found = await get_store().asearch(("users",), limit=100)
    return {"seen": [item.namespace[1] for item in found]}


def graph_of(store: BaseStore, *nodes: Any) -> Any:
    graph = StateGraph(State)
    for node in nodes:
        graph.add_node(node.__name__, node)
    graph.add_edge(START, nodes[0].__name__)
    graph.add_edge(nodes[0].__name__, nodes[1].__name__)
    return graph.compile(store=store)


def test_in_a_graph(plain: ValkeyStore) -> None:
    graph = graph_of(plain, remember, recall)
    assert graph.invoke({"user": "alice", "seen": []})["seen"] == ["alice"]
    assert graph.invoke({"user": "bob", "seen": []})["seen"] == ["alice", "bob"]


def test_in_an_async_graph(plain: ValkeyStore) -> None:
    graph = graph_of(plain, aremember, arecall)

    async def main() -> Any:
        await asyncio.gather(*(graph.ainvoke({"user": f"{n}", "seen": []}) for n in range(10)))
        return await graph.ainvoke({"user": "alice", "seen": []})

    assert asyncio.run(main())["seen"] == [*map(str, range(10)), "alice"]
