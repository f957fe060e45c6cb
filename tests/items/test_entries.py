"""The list's entries: their order is that of namespaces as tuples, and none is read in two ways."""

from __future__ import annotations

import itertools
import random

import pytest

from valkey_memory import InvalidArgumentError
from valkey_memory._items.entries import (
    NamespaceMatch,
    Range,
    below,
    check_key,
    check_namespace,
    common_prefix,
    entry_of,
    place_of,
    within,
)
from valkey_memory._keys import item_key

PARTS = ["a", "aa", "a b", "/", "%", "%2F", "\x01", "\x7f", "*", "?", "{x}", ":", "é", "\U0001f600"]
NAMESPACES = [
    (),
    *((one,) for one in PARTS),
    *itertools.product(PARTS, repeat=2),
    ("a", "b", "c", "d"),
]
KEYS = ["", "k", "\0", "\0\0k", "a\0b", "/", *PARTS]
PLACES = [(namespace, key) for namespace in NAMESPACES for key in KEYS]


def inside(entry: bytes, where: Range) -> bool:
    after = where.start == b"-" or (
        entry >= where.start[1:] if where.start[:1] == b"[" else entry > where.start[1:]
    )
    return after and (where.stop == b"+" or entry < where.stop[1:])


def test_an_entry_comes_back() -> None:
    assert all(place_of(entry_of(*place)) == place for place in PLACES)


def test_different_items_have_different_keys_and_entries() -> None:
    places = list(dict.fromkeys(PLACES))
    assert len({entry_of(*place) for place in places}) == len(places)
    assert len({item_key("store", *place) for place in places}) == len(places)
    assert item_key("store", ("p/q",), "k") != item_key("store", ("p", "q"), "k")
    assert item_key("store", ("users", "alice"), "diet") == "store:users/alice/diet"


def test_no_key_of_an_item_can_move_its_slot_or_break_a_line() -> None:
    for place in PLACES:
        assert not set(item_key("store", *place)) & {"{", "}", "\n", "\0", "\x7f"}


def test_the_order_is_that_of_tuples() -> None:
    places = random.Random(3).sample(PLACES, len(PLACES))
    assert [place_of(entry) for entry in sorted(entry_of(*place) for place in places)] == sorted(
        places
    )


@pytest.mark.parametrize("namespace", [*NAMESPACES[:20], ("a", "a b")])
def test_a_namespace_is_a_range(namespace: tuple[str, ...]) -> None:
    size = len(namespace)
    for place in PLACES:
        entry = entry_of(*place)
        assert inside(entry, below(namespace)) == (place[0][:size] == namespace), place
        assert inside(entry, within(namespace)) == (place[0] == namespace), place


@pytest.mark.parametrize("label", ["", "a\0", 5, None, "\ud800", b"a"])
def test_a_label_that_cannot_be(label: str) -> None:
    with pytest.raises(InvalidArgumentError, match="namespace"):
        check_namespace(("a", label))


@pytest.mark.parametrize("namespace", ["users", None, {"users"}, 5])
def test_a_namespace_that_cannot_be(namespace: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="tuple of strings"):
        check_namespace(namespace)


@pytest.mark.parametrize("key", [None, 5, "\ud800", b"k"])
def test_a_key_that_cannot_be(key: str) -> None:
    with pytest.raises(InvalidArgumentError, match="key"):
        check_key(key)


def test_conditions_on_namespaces() -> None:
    namespace = ("uid", "users", "alice")
    assert NamespaceMatch("prefix", ("uid", "*")).fits(namespace)
    assert NamespaceMatch("suffix", ("*", "alice")).fits(namespace)
    assert NamespaceMatch("prefix", ()).fits(namespace)
    assert not NamespaceMatch("suffix", ("lice",)).fits(namespace)
    assert not NamespaceMatch("prefix", ("uid", "users", "alice", "*")).fits(namespace)
    assert common_prefix([NamespaceMatch("prefix", ("a", "*", "c"))]) == ("a",)
    assert common_prefix([NamespaceMatch("suffix", ("a",))]) == ()
