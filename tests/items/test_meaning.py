"""Items found by meaning: by valkey-search, exactly in the client, and in a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from valkey_memory import ConfigurationError, DocumentError, _keys
from valkey_memory._items import vectors
from valkey_memory._items.operations import Operation
from valkey_memory._plans import Plan
from valkey_memory.adapters import GetItem, Item, ItemStore, PutItem, SearchItems

from ..models.words import Words
from ..servers import send

NOTES = ("alice", "notes")


def texts(*fields: str) -> Any:
    return lambda value: [str(value[field]) for field in fields if field in value]


def put(store: ItemStore, key: str, namespace: tuple[str, ...] = NOTES, **value: Any) -> None:
    store.batch([PutItem(namespace, key, value, texts=texts("text", "title"))])


def search(
    store: ItemStore, query: str, prefix: tuple[str, ...] = NOTES, **options: Any
) -> list[Item]:
    found: list[Item] = store.batch([SearchItems(prefix, query=query, **options)])[0]
    return found


def keys(found: Sequence[Item]) -> list[str]:
    return [item.key for item in found]


def documents(store: ItemStore) -> int:
    assert store.plans.index is not None
    return store.connection.run(store.plans.index.plans.count_plan(None))


def test_the_nearest_come_first(make_items: Any) -> None:
    store = make_items()
    put(store, "1", text="red apple")
    put(store, "2", text="red car")
    put(store, "3", text="green apple")
    put(store, "4", namespace=("bob", "notes"), text="red apple")
    found = search(store, "red apple")
    assert keys(found) == ["1", *sorted(keys(found)[1:])]
    assert found[0].score == pytest.approx(1, abs=1e-5)
    scores = [item.score for item in found]
    assert scores == sorted(scores, key=lambda one: -(one or 0))
    assert keys(search(store, "red apple", ())) != keys(found)
    assert keys(search(store, "red apple", ("bob",))) == ["4"]
    assert search(store, "red apple", ("bo",)) == []


def test_async(make_items: Any) -> None:
    store: ItemStore = make_items()

    async def both() -> list[Any]:
        await store.abatch([PutItem(NOTES, "1", {"text": "red"}, texts=texts("text"))])
        return await store.abatch([SearchItems((), query="red"), GetItem(NOTES, "1")])

    found, item = asyncio.run(both())
    assert keys(found) == ["1"]
    assert item.value == {"text": "red"}


def test_the_best_of_an_items_vectors_counts(make_items: Any) -> None:
    store = make_items()
    put(store, "1", text="yellow banana", title="red apple")
    put(store, "2", text="red pear")
    found = search(store, "red apple")
    assert keys(found) == ["1", "2"]
    assert found[0].score == pytest.approx(1, abs=1e-5)
    assert keys(search(store, "banana", limit=1)) == ["1"]
    assert len(search(store, "red", limit=10)) == 2


def test_pages_are_complete_whatever_the_number_of_vectors(make_items: Any) -> None:
    store = make_items()
    many = {f"f{number}": f"red word{number}" for number in range(40)}
    store.batch([PutItem(NOTES, f"{n:02}", many | {"n": n}, texts=texts(*many)) for n in range(12)])
    store.batch([PutItem(NOTES, f"far{n}", {"t": f"blue {n}"}, texts=texts("t")) for n in range(9)])
    everything = search(store, "red", limit=100)
    assert len(everything) == 21
    assert {key[:3] for key in keys(everything[12:])} == {"far"}
    pages = [search(store, "red", limit=5, offset=offset) for offset in range(0, 25, 5)]
    assert sorted(keys([item for page in pages for item in page])) == sorted(keys(everything))
    assert search(store, "red", limit=5, offset=21) == []


def test_filters_are_complete_on_any_field(make_items: Any) -> None:
    store = make_items(filter_fields={"color": "tag", "year": "numeric"})
    put_all: list[Operation] = [
        PutItem(
            NOTES,
            f"{number:03}",
            {
                "text": f"note {number}",
                "color": ["red", "blue", None, 1][number % 4],
                "year": number if number % 3 else str(number),
                "n": number,
            },
            texts=texts("text"),
        )
        for number in range(300)
    ]
    store.batch(put_all)

    def found(**condition: Any) -> list[str]:
        return sorted(keys(search(store, "note 299", condition=condition, limit=500)))

    def numbers(wanted: Any) -> list[str]:
        return [f"{number:03}" for number in range(300) if wanted(number)]

    assert found(n=0) == ["000"]
    assert found(n={"$lt": 3}) == ["000", "001", "002"]
    assert found(color="red") == numbers(lambda n: n % 4 == 0)
    assert found(color=1.0) == numbers(lambda n: n % 4 == 3)
    assert found(color=True) == []
    assert found(color=None) == numbers(lambda n: n % 4 == 2)
    assert found(color={"$ne": "red"}) == numbers(lambda n: n % 4)
    assert found(year={"$gte": 100, "$lt": 110}) == numbers(lambda n: 100 <= n < 110)
    assert found(year=101) == ["101"]
    assert found(year="102") == ["102"]
    assert found(year=102) == []
    assert found(year={"$lt": 50}, color="blue", n={"$gt": 40}) == ["041", "045", "049"]
    assert len(search(store, "note", condition={"color": "red"}, limit=10, offset=70)) == 5


def test_an_update_is_found_by_its_new_text_only(make_items: Any) -> None:
    store = make_items()
    put(store, "1", text="zany zebra", title="xerxes")
    put(store, "2", text="other words")
    before = search(store, "zany zebra")[0]
    put(store, "1", text="something else")
    after = next(item for item in search(store, "zany zebra") if item.key == "1")
    assert after.score is not None
    assert before.score is not None
    assert after.score < before.score
    assert documents(store) == 2
    store.batch([PutItem(NOTES, "1", None), PutItem(NOTES, "2", None)])
    assert search(store, "something else") == []
    assert documents(store) == 0


def test_items_without_vectors_come_last_and_have_no_score(make_items: Any) -> None:
    store = make_items()
    put(store, "b", text="red apple")
    store.batch([PutItem(NOTES, key, {"text": "red apple"}) for key in ("a", "c", "d")])
    put(store, "e", other="no text")
    found = search(store, "red apple")
    assert keys(found) == ["b", "a", "c", "d", "e"]
    assert [item.score is None for item in found] == [False, True, True, True, True]
    assert keys(search(store, "red apple", limit=2)) == ["b", "a"]
    assert keys(search(store, "red apple", limit=2, offset=1)) == ["a", "c"]
    assert keys(search(store, "red apple", limit=2, offset=3)) == ["d", "e"]
    store.batch([PutItem(NOTES, "b", {"text": "red apple"})])
    assert all(item.score is None for item in search(store, "red apple"))
    assert documents(store) == 0


def test_texts_are_embedded_once(make_items: Any) -> None:
    words = Words()
    store = make_items(words)
    same = [PutItem(NOTES, f"{n}", {"text": "same"}, texts=texts("text")) for n in range(5)]
    empty = PutItem(NOTES, "empty", {"text": ""}, texts=texts("text"))
    store.batch([*same, same[0], empty])
    assert words.calls == [("embed_documents", ["same"])]
    assert documents(store) == 5


def test_vectors_live_as_long_as_their_item(make_items: Any) -> None:
    store = make_items()
    store.batch([PutItem(NOTES, "1", {"text": "red"}, texts=texts("text"), ttl=100)])
    item_key = _keys.item_key(store.name, *(NOTES, "1"))
    version = send(store.connection, "HGET", item_key, "vectors").decode().partition(":")[0]
    document = _keys.document_key(_keys.item_index(store.name), f"{version}.0")

    def left() -> int:
        found: int = send(store.connection, "PTTL", document)
        return found

    assert 255_000 < left() <= 260_000
    send(store.connection, "PEXPIRE", document, "150000")
    store.batch([GetItem(NOTES, "1"), SearchItems((), query="red")])
    assert left() <= 150_000  # half of the TTL is not over
    send(store.connection, "HINCRBY", item_key, "touched", "-51")
    store.batch([GetItem(NOTES, "1", refresh_ttl=False)])
    assert left() <= 150_000
    store.batch([GetItem(NOTES, "1")])
    assert left() > 255_000
    assert send(store.connection, "PTTL", item_key) > 95_000
    send(store.connection, "PEXPIRE", document, "150000")
    send(store.connection, "HINCRBY", item_key, "touched", "-51")
    assert keys(search(store, "red")) == ["1"]
    assert left() > 255_000


def test_what_expired_is_not_found(make_items: Any) -> None:
    store = make_items()
    store.batch([PutItem(NOTES, "1", {"text": "red"}, texts=texts("text"), ttl=0.05)])
    put(store, "2", text="blue")
    time.sleep(0.1)
    assert keys(search(store, "red")) == ["2"]


class StoppedError(Exception):
    pass


def stopped_after(steps: int, plan: Plan[Any]) -> Plan[Any]:
    """A plan whose process ends behind so many of its requests."""
    reply: Any = None
    while True:
        try:
            step = plan.send(reply)
        except StopIteration as end:
            return end.value
        if type(step).__name__ in ("Request", "Lanes"):
            if not steps:
                raise StoppedError
            steps -= 1
        reply = yield step


@pytest.mark.parametrize("operation", ["new", "update", "delete"])
def test_killed_between_any_two_requests(make_items: Any, operation: str) -> None:
    """An item is old or new, found by its own vectors or by none, and a repetition heals all."""
    store: ItemStore = make_items()
    put(store, "far", text="yellow")  # the index is there, and chosen
    search(store, "yellow")
    stops = 0
    while True:
        if operation != "new":
            put(store, "1", text="red apple")
        value = None if operation == "delete" else {"text": "blue car"}
        change = [PutItem(NOTES, "1", value, texts=texts("text"))]
        try:
            store.connection.run(stopped_after(stops, store.plans.batch_plan(change)))
        except StoppedError:
            pass
        else:
            break
        stops += 1
        item = store.batch([GetItem(NOTES, "1")])[0]
        found = {one.key: one for one in search(store, "blue car")}
        assert ("1" in found) == (item is not None)
        if item is not None:
            exact = found["1"].score == pytest.approx(1, abs=1e-5)
            assert exact == (item.value["text"] == "blue car")
        store.batch(change)
        assert sorted(keys(search(store, "blue car"))) == (
            ["far"] if operation == "delete" else ["1", "far"]
        )
        store.batch([PutItem(NOTES, "1", None)])
        assert keys(search(store, "blue car")) == ["far"]
    assert stops >= 1


def test_documents_without_their_item_are_deleted_when_met(
    make_items: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store: ItemStore = make_items()
    put(store, "1", text="red apple")
    send(store.connection, "DEL", _keys.item_key(store.name, NOTES, "1"))
    assert search(store, "red apple") == []
    assert documents(store) == 1
    monkeypatch.setattr(vectors, "_ORPHANED_MS", -1)
    assert search(store, "red apple") == []
    assert documents(store) == 0


def test_a_namespace_is_deleted_with_its_vectors(make_items: Any) -> None:
    store: ItemStore = make_items()
    put(store, "1", text="red apple", title="fruit")
    put(store, "2", namespace=(*NOTES, "old"), text="red apple")
    put(store, "3", namespace=("alice2",), text="red apple")
    send(store.connection, "DEL", _keys.item_key(store.name, NOTES, "1"))
    assert store.delete_namespace(("alice",)) == 1
    assert documents(store) == 1
    assert keys(search(store, "red apple", ())) == ["3"]


def test_a_store_without_a_model_deletes_vectors_too(make_items: Any) -> None:
    store: ItemStore = make_items()
    bare = ItemStore(store.name, connection=store.connection)
    for key in ("1", "2", "3"):
        put(store, key, text="red apple")
    bare.batch([PutItem(NOTES, "1", None), PutItem(NOTES, "2", {"text": "other"})])
    assert documents(store) == 1
    assert bare.delete_namespace(NOTES) == 2
    assert documents(store) == 0


def test_many_tasks_and_a_batch_of_searches(make_items: Any) -> None:
    store: ItemStore = make_items()

    async def everything() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                one = PutItem(
                    (f"u{number % 3}",), f"{number}", {"t": f"n{number}"}, texts=texts("t")
                )
                group.create_task(store.abatch([one]))
        wanted = [SearchItems((f"u{one}",), query="n1", limit=50) for one in range(3)]
        return await store.abatch(wanted)

    assert [len(found) for found in asyncio.run(everything())] == [10, 10, 10]


def test_more_than_an_index_finds_at_once(make_items: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store: ItemStore = make_items()
    store.batch(
        [
            PutItem(NOTES, f"{n:03}", {"t": f"w{n}", "u": "x", "n": n}, texts=texts("t", "u"))
            for n in range(300)
        ]
    )
    expected = search(store, "w7", condition={"n": {"$lt": 10}})
    monkeypatch.setattr(vectors, "_AT_MOST", 50)
    monkeypatch.setattr(vectors, "_AT_LEAST", 10)
    found = search(store, "w7", condition={"n": {"$lt": 10}})
    assert sorted(keys(found)) == sorted(keys(expected))
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert len(search(store, "w7", limit=1_000)) == 300


def test_a_vector_that_cannot_be(make_items: Any) -> None:
    store: ItemStore = make_items(lambda texts: [[1.0, float("nan")] for _ in texts])
    with pytest.raises(DocumentError, match="finite"):
        put(store, "1", text="red")
    assert store.batch([GetItem(NOTES, "1")]) == [None]


@pytest.mark.parametrize(
    "options",
    [
        {"filter_fields": {"a": "text"}},
        {"filter_fields": ["a"]},
        {"filter_fields": {"a-b": "tag"}},
        {"search": "best"},
        {"dimension": 0},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ItemStore("s", url="valkey://localhost:1", embedding=Words(), **options)


FIELDS = {"color": "tag", "n": "numeric"}


def by_filter(store: ItemStore, prefix: tuple[str, ...] = NOTES, **condition: Any) -> list[str]:
    found: list[Item] = store.batch([SearchItems(prefix, condition=condition, limit=999)])[0]
    return keys(found)


def numbered(first: int, last: int, **options: Any) -> list[Operation]:
    return [
        PutItem(NOTES, f"{n:03}", {"t": f"{n}", "n": n, "color": "ab"[n % 2]}, **options)
        for n in range(first, last)
    ]


def test_filters_alone_on_declared_fields(make_items: Any, backend: str) -> None:
    store: ItemStore = make_items(filter_fields=FIELDS)
    store.batch(numbered(0, 300, texts=texts("t")))
    store.batch(numbered(100, 110))  # no vectors any more
    assert by_filter(store, n={"$lt": 3}) == ["000", "001", "002"]
    assert by_filter(store, n={"$gte": 98, "$lt": 103}) == [f"{n:03}" for n in range(98, 103)]
    assert by_filter(store, n=105) == ["105"]
    assert len(by_filter(store, color="a")) == 150
    assert by_filter(store, color="a", n={"$gt": 290}, t="294") == ["294"]
    assert by_filter(store, ("alice",), n=7) == ["007"]
    assert by_filter(store, ("bob",), n=7) == []
    page = store.batch([SearchItems(NOTES, condition={"color": "a"}, limit=3, offset=49)])[0]
    assert keys(page) == ["098", "100", "102"]
    store.batch([PutItem(NOTES, "105", None), *numbered(106, 107, texts=texts("t"))])
    assert by_filter(store, n={"$gte": 105, "$lt": 108}) == ["106", "107"]
    unindexed = send(store.connection, "ZCARD", _keys.unindexed_key(store.name))
    assert unindexed == (9 if backend == "cluster" else 8)  # there a walk drops what was deleted


@pytest.mark.parametrize("without", ["an index", "the fields"])
def test_filters_alone_see_what_other_stores_put(make_items: Any, without: str) -> None:
    store: ItemStore = make_items(filter_fields=FIELDS)
    store.batch(numbered(0, 5, texts=texts("t")))
    other = (
        ItemStore(store.name, connection=store.connection)
        if without == "an index"
        else make_items()
    )
    other.batch(numbered(5, 10, texts=texts("t")))
    assert by_filter(store, n={"$gte": 3}) == [f"{n:03}" for n in range(3, 10)]
    assert by_filter(store, color="b") == ["001", "003", "005", "007", "009"]


def test_a_filter_alone_reads_only_what_satisfies_it(make_items: Any, backend: str) -> None:
    if backend != "hash":
        return
    store: ItemStore = make_items(filter_fields=FIELDS)
    store.batch(numbered(0, 400, texts=texts("t")))
    by_filter(store, n=1)
    send(store.connection, "CONFIG", "RESETSTAT")
    assert by_filter(store, n=300) == ["300"]
    info = send(store.connection, "INFO", "commandstats").decode()
    assert "cmdstat_hmget:calls=1," in info
    assert "cmdstat_FT.SEARCH:calls=1," in info
