"""Items on each topology, sync and async: what is put is what is read, found and listed."""

from __future__ import annotations

import time
from typing import Any

import pytest

from valkey_memory import (
    ConfigurationError,
    DocumentError,
    InvalidArgumentError,
    KeyTypeError,
    ValkeyConnection,
    _keys,
)
from valkey_memory._items import scripts
from valkey_memory._items.entries import entry_of
from valkey_memory.adapters import (
    GetItem,
    Item,
    ItemStore,
    ListNamespaces,
    NamespaceMatch,
    PutItem,
    SearchItems,
)

from ..servers import send

ALICE = ("users", "alice")
HOSTILE = ["*", "?", "a:b", "{a}", "}{", "[a-z]", "a\nb", "%2F", "p/q", "\x01", "\\", "é", "'", '"']


def put(items: Any, namespace: tuple[str, ...], key: str, value: Any = None, **kw: Any) -> None:
    items.batch([PutItem(namespace, key, {"v": 1} if value is None else value, **kw)])


def get(items: Any, namespace: tuple[str, ...], key: str, **kw: Any) -> Item | None:
    found: Item | None = items.batch([GetItem(namespace, key, **kw)])[0]
    return found


def search(items: Any, prefix: tuple[str, ...] = (), **kw: Any) -> list[Item]:
    found: list[Item] = items.batch([SearchItems(prefix, **kw)])[0]
    return found


def places(found: list[Item]) -> list[tuple[tuple[str, ...], str]]:
    return [(item.namespace, item.key) for item in found]


def namespaces(items: Any, *matches: NamespaceMatch, **kw: Any) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = items.batch([ListNamespaces(matches, **kw)])[0]
    return found


def test_what_is_put_is_what_is_read(items: Any) -> None:
    value = {
        "text": "Grüße \U0001f600 \ud800 \0 \n",
        "numbers": [0, -1, 1.5, 2**70, 1e300],
        "nested": {"": None, "a.b": {"c": [True, False, {}, []]}},
    }
    put(items, ALICE, "diet", value)
    found = get(items, ALICE, "diet")
    assert found is not None
    assert (found.namespace, found.key, found.value) == (ALICE, "diet", value)
    assert found.created_at == found.updated_at
    assert abs(found.created_at.timestamp() - time.time()) < 60
    assert get(items, ALICE, "other") is None
    assert get(items, ("users",), "diet") is None


def test_an_update_keeps_when_it_was_made(items: Any) -> None:
    put(items, ALICE, "k", {"a": 1, "b": 2})
    first = get(items, ALICE, "k")
    put(items, ALICE, "k", {"a": 3})
    second = get(items, ALICE, "k")
    assert first is not None
    assert second is not None
    assert second.value == {"a": 3}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    items.batch([PutItem(ALICE, "k", None)])
    assert get(items, ALICE, "k") is None
    assert search(items) == []
    put(items, ALICE, "k")
    third = get(items, ALICE, "k")
    assert third is not None
    assert third.created_at > second.updated_at


def test_a_batch_reads_before_it_writes_and_the_last_put_counts(items: Any) -> None:
    put(items, ALICE, "old", {"v": 0})
    results = items.batch(
        [
            PutItem(ALICE, "new", {"v": 1}),
            GetItem(ALICE, "new"),
            PutItem(ALICE, "old", {"v": 2}),
            GetItem(ALICE, "old"),
            PutItem(ALICE, "old", None),
            SearchItems(("users",)),
            PutItem(ALICE, "new", {"v": 3}),
            ListNamespaces(),
        ]
    )
    assert results[3].value == {"v": 0}
    assert [item.key for item in results[5]] == ["old"]
    assert results[7] == [ALICE]
    assert [results[number] for number in (0, 1, 2, 4, 6)] == [None] * 5
    assert [(item.key, item.value) for item in search(items)] == [("new", {"v": 3})]
    assert items.batch([]) == []


def test_hostile_names_stay_apart(items: Any) -> None:
    made: list[tuple[tuple[str, ...], str]] = []
    made += [((one,), other) for one in HOSTILE for other in [*HOSTILE, "", "\0", "\0\0a"]]
    made += [((one, other), "k") for one in HOSTILE for other in HOSTILE]
    items.batch([PutItem(*place, {"n": number}) for number, place in enumerate(made)])
    read = items.batch([GetItem(*place) for place in made])
    assert [item.value["n"] for item in read] == list(range(len(made)))
    assert places(search(items, limit=10_000)) == sorted(made)
    for label in HOSTILE:
        inside = sorted(place for place in made if place[0][0] == label)
        assert places(search(items, (label,), limit=1_000)) == inside
    assert namespaces(items, limit=1_000) == sorted({place[0] for place in made})
    assert items.delete_namespace(("*",)) == len([one for one in made if one[0][0] == "*"])
    rest = sorted(place for place in made if place[0][0] != "*")
    assert places(search(items, limit=10_000)) == rest


def test_a_prefix_ends_with_a_label(items: Any) -> None:
    made = [("foo",), ("foo", "child"), ("foo", "child", "deep"), ("foobar",), ("foo\x01",)]
    for namespace in made:
        put(items, namespace, "k")
    assert [one.namespace for one in search(items, ("foo",))] == made[:3]
    assert [one.namespace for one in search(items, ("foo", "child"))] == made[1:3]
    assert search(items, ("fo",)) == []
    assert namespaces(items, NamespaceMatch("prefix", ("foo",))) == made[:3]


def test_pages_of_a_search(items: Any) -> None:
    keys = [f"{number:03}" for number in range(450)]
    items.batch([PutItem(ALICE, key, {"n": int(key), "odd": int(key) % 2}) for key in keys])
    put(items, ("zoe",), "other")
    assert [one.key for one in search(items, ALICE, limit=1_000)] == keys
    assert [one.key for one in search(items, ALICE, limit=7, offset=301)] == keys[301:308]
    assert [one.key for one in search(items, ALICE, limit=10, offset=445)] == keys[445:]
    assert search(items, ALICE, offset=450) == []
    assert search(items, ALICE, limit=0) == []
    odd = {"odd": 1, "n": {"$gte": 100}}
    expected = keys[101::2]
    assert [one.key for one in search(items, ALICE, condition=odd, limit=1_000)] == expected
    page = search(items, ALICE, condition=odd, limit=5, offset=170)
    assert [one.key for one in page] == expected[170:175]
    assert search(items, ALICE, condition={"n": {"$gt": 449}}) == []


def test_a_query_without_vectors_is_a_search_without_one(items: Any) -> None:
    put(items, ALICE, "k")
    assert [(one.key, one.score) for one in search(items, query="anything")] == [("k", None)]


def test_namespaces(items: Any) -> None:
    made = [
        *(("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f")),
        *(("a", "c", "f"), ("b", "a", "f"), ("users", "123"), ("users", "456", "settings")),
    ]
    for namespace in made:
        for key in ("1", "2"):
            put(items, namespace, key)
    ab = NamespaceMatch("prefix", ("a", "b"))
    f = NamespaceMatch("suffix", ("f",))
    wild = NamespaceMatch("prefix", ("a", "*", "f"))
    assert namespaces(items) == made
    assert namespaces(items, ab) == made[:4]
    assert namespaces(items, f) == [made[3], made[4], made[5]]
    assert namespaces(items, ab, f) == [made[3]]
    assert namespaces(items, wild) == [made[3], made[4]]
    assert namespaces(items, NamespaceMatch("suffix", ("*", "f"))) == [made[3], made[4], made[5]]
    assert namespaces(items, max_depth=1) == [("a",), ("b",), ("users",)]
    assert namespaces(items, ab, max_depth=3) == [("a", "b", one) for one in "cdf"]
    assert namespaces(items, ab, max_depth=1) == [("a",)]
    assert namespaces(items, f, max_depth=2) == [("a", "b"), ("a", "c"), ("b", "a")]
    assert namespaces(items, limit=2, offset=3) == made[3:5]
    assert namespaces(items, limit=0) == []
    assert namespaces(items, offset=99) == []


def test_many_namespaces(items: Any) -> None:
    made = [("users", f"{number:04}", "notes") for number in range(500)]
    items.batch([PutItem(namespace, "k", {}) for namespace in made])
    assert namespaces(items, limit=1_000) == made
    assert namespaces(items, limit=10, offset=395) == made[395:405]
    assert namespaces(items, max_depth=1) == [("users",)]


# Expiry


def expiring(items: Any, namespace: tuple[str, ...], key: str) -> int:
    store: ItemStore = items.store
    left: int = send(store.connection, "PTTL", _keys.item_key(store.name, namespace, key))
    return left


def test_an_item_expires_and_is_found_nowhere(items: Any) -> None:
    put(items, ("a",), "gone", ttl=0.05)
    put(items, ("b",), "gone", ttl=0.05)
    put(items, ("b",), "here")
    put(items, ("b", "c"), "gone", ttl=0.05)
    time.sleep(0.1)
    assert get(items, ("a",), "gone") is None
    assert places(search(items)) == [(("b",), "here")]
    assert places(search(items, limit=1, condition={"v": 1})) == [(("b",), "here")]
    assert search(items, offset=1) == []
    assert namespaces(items) == [("b",)]
    assert namespaces(items, max_depth=1) == [("b",)]
    assert namespaces(items, NamespaceMatch("suffix", ("c",))) == []


def test_reading_restarts_the_items_own_ttl(items: Any) -> None:
    put(items, ALICE, "k", ttl=1_000)
    put(items, ALICE, "ever")
    store = items.store
    key = _keys.item_key(store.name, ALICE, "k")

    def after(read: Any) -> int:
        send(store.connection, "PEXPIRE", key, "5000")
        read()
        return expiring(items, ALICE, "k")

    assert after(lambda: get(items, ALICE, "k", refresh_ttl=False)) <= 5_000
    assert after(lambda: get(items, ALICE, "k")) > 900_000
    assert after(lambda: search(items, ALICE, refresh_ttl=False)) <= 5_000
    assert after(lambda: search(items, ALICE)) > 900_000
    assert after(lambda: search(items, ALICE, condition={"v": 2})) <= 5_000
    assert expiring(items, ALICE, "ever") == -1


def test_a_put_sets_and_ends_a_ttl(items: Any) -> None:
    put(items, ALICE, "k", ttl=100)
    assert 0 < expiring(items, ALICE, "k") <= 100_000
    put(items, ALICE, "k")
    assert expiring(items, ALICE, "k") == -1
    assert get(items, ALICE, "k") is not None
    assert expiring(items, ALICE, "k") == -1


def test_entries_of_what_expired_are_dropped_when_it_is_sure(items: Any) -> None:
    store: ItemStore = items.store
    listed = _keys.entries_key(store.name)
    missing = _keys.missing_key(store.name)
    put(items, ALICE, "gone", ttl=0.02)
    put(items, ALICE, "back", ttl=0.02)
    put(items, ALICE, "here")
    time.sleep(0.05)
    assert len(search(items)) == 1
    assert send(store.connection, "ZCARD", listed) == 3  # one may be just being put
    assert send(store.connection, "ZCARD", missing) == 2
    put(items, ALICE, "back", ttl=0.02)
    time.sleep(0.05)
    for entry in (entry_of(ALICE, "gone"), entry_of(ALICE, "here")):
        send(store.connection, "ZADD", missing, "XX", "INCR", "-60", entry)
    assert len(search(items)) == 1
    assert send(store.connection, "ZRANGE", listed, "0", "-1") == [
        entry_of(ALICE, "back"),
        entry_of(ALICE, "here"),
    ]


# Erasing


def test_a_namespace_is_deleted_with_all_below_it(items: Any) -> None:
    for namespace in (ALICE, (*ALICE, "notes"), ("users", "alice2"), ("users",)):
        items.batch([PutItem(namespace, f"{number}", {}) for number in range(230)])
    assert items.delete_namespace(ALICE) == 460
    assert namespaces(items) == [("users",), ("users", "alice2")]
    assert items.delete_namespace(ALICE) == 0
    store: ItemStore = items.store
    assert not keys_of(store, "alice/")


def keys_of(store: ItemStore, part: str) -> list[bytes]:
    """All keys of a store that have ``part`` in their names."""
    found = []
    for place in (ALICE, (*ALICE, "notes")):
        for number in range(230):
            key = _keys.item_key(store.name, place, f"{number}")
            if part in key and send(store.connection, "EXISTS", key):
                found.append(key.encode())
    return found


def test_the_whole_store_is_no_namespace(items: Any) -> None:
    put(items, ALICE, "k")
    with pytest.raises(InvalidArgumentError, match="whole store"):
        items.delete_namespace(())
    assert get(items, ALICE, "k") is not None


# What cannot be


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([1], "must be a dict"),
        ({"a": float("nan")}, "no JSON"),
        ({"a": {"b": [1, {1, 2}]}}, "at 'b', at 1 has {1, 2}: a set"),
        ({"a": b"x"}, "bytes"),
        ({5: "a"}, "names in JSON are strings"),
        ({"a": object()}, "object"),
    ],
)
def test_a_value_that_is_no_json(value: Any, why: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        PutItem(ALICE, "k", value)
    assert why in str(error.value)


def test_an_integer_that_is_too_long() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"'k' in \('a',\) cannot be stored.*4300 digits"
    ):
        PutItem(("a",), "k", {"n": 10**5000})


def test_a_value_nested_too_deep() -> None:
    value: dict[str, Any] = {}
    for _ in range(2_000):
        value = {"a": value}
    with pytest.raises(InvalidArgumentError, match="nested"):
        PutItem(ALICE, "k", value)
    value["a"] = value
    with pytest.raises(InvalidArgumentError, match="nested"):
        PutItem(ALICE, "k", value)


@pytest.mark.parametrize(
    "arguments", [{"limit": -1}, {"offset": -1}, {"limit": 1.5}, {"query": 5}, {"limit": True}]
)
def test_a_search_that_cannot_be(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        SearchItems((), **arguments)


@pytest.mark.parametrize("arguments", [{"max_depth": 0}, {"limit": -1}, {"offset": 0.5}])
def test_a_listing_that_cannot_be(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        ListNamespaces(**arguments)
    with pytest.raises(InvalidArgumentError, match="prefix"):
        ListNamespaces((NamespaceMatch("middle", ("a",)),))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a:b", "a.b", "{a}", None, "-a", "a" * 101])
def test_a_name_that_cannot_be(name: str, standalone_connection: ValkeyConnection) -> None:
    with pytest.raises(ConfigurationError, match="name of a store"):
        ItemStore(name, connection=standalone_connection)


def test_what_another_program_wrote_is_left_as_it_is(items: Any) -> None:
    store: ItemStore = items.store
    key = _keys.item_key(store.name, ALICE, "k")
    send(store.connection, "SET", key, "theirs")
    for operation in (GetItem(ALICE, "k"), PutItem(ALICE, "k", {}), PutItem(ALICE, "k", None)):
        with pytest.raises(KeyTypeError):
            items.batch([operation])
    assert send(store.connection, "GET", key) == b"theirs"
    send(store.connection, "DEL", key)
    put(items, ALICE, "k")
    for value in (b"no json", b"[]", b"\xff"):
        send(store.connection, "HSET", key, "value", value, "created_at", "1", "updated_at", "1")
        with pytest.raises(DocumentError, match="cannot be read"):
            get(items, ALICE, "k")
    assert items.delete_namespace(ALICE) == 1


def test_vectors_outlive_two_ttls() -> None:
    assert scripts.vectors_ttl_ms(1_000) == 62_000


def test_a_store_that_nobody_searches_does_not_grow(items: Any) -> None:
    store: ItemStore = items.store
    listed, expiring = _keys.entries_key(store.name), _keys.expiring_key(store.name)

    def put_many(first: int, ttl: float | None) -> None:
        items.batch([PutItem(ALICE, f"{first + n}", {}, ttl=ttl) for n in range(100)])

    def turn_back(key: str) -> None:
        """As if it had been noted two minutes ago."""
        send(store.connection, "ZUNIONSTORE", key, "2", key, key, "WEIGHTS", "1", "0")
        for entry in send(store.connection, "ZRANGE", key, "0", "-1"):
            send(store.connection, "ZINCRBY", key, "-120", entry)

    put_many(0, 0.001)
    put_many(100, 50)
    put_many(200, None)
    time.sleep(0.01)
    assert send(store.connection, "ZCARD", expiring) == 200
    for _ in range(4):
        turn_back(expiring)
        if send(store.connection, "EXISTS", _keys.missing_key(store.name)):
            turn_back(_keys.missing_key(store.name))
        put(items, ALICE, "x", ttl=1_000)
    assert send(store.connection, "ZCARD", listed) == 201
    assert len(search(items, limit=999)) == 201
    put_many(100, None)
    assert send(store.connection, "ZRANGE", expiring, "0", "-1") == [entry_of(ALICE, "x")]
    assert store.delete_namespace(ALICE) == 201
