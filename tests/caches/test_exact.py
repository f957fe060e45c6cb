"""Entries by exact key: any text is a name, scopes never meet, nothing outlives its TTL."""

from __future__ import annotations

import logging
import pickle
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkey_memory import (
    CacheStats,
    ConfigurationError,
    EmbeddedValkey,
    InvalidArgumentError,
    KeyTypeError,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._caches.exact import ExactCache, Place
from valkey_memory._caches.typed import pack_typed, unpack_typed
from valkey_memory._keys import digest, entries_prefix, entry_key, is_entry

from ..conversations.test_round_trips import sent
from ..servers import send
from .conftest import TextCodec

HOSTILE = [
    *(
        "",
        "a",
        "a:b",
        "*",
        "a*",
        "[a]",
        "{a}",
        "}{",
        "\\",
        "\n",
        "\0",
        "%",
        "?",
        "é",
        "😀",
        "\ud800",
    ),
    *("x" * 100_000, " ", "a b", "{chat:s1}:meta", "../..", "__proto__"),
]


def place(name: str = "name", *scopes: tuple[str, ...]) -> Place:
    return Place(scopes or (("scope",),), name)


def ttl_of(connection: ValkeyConnection, prefix: str, at: Place) -> int:
    left: int = send(connection, "PTTL", entry_key(prefix, at.scopes, at.name))
    return left


def test_what_was_stored_is_found(make_exact: Any) -> None:
    cache = make_exact()
    cache.set({place("a"): ("one", None), place("b"): ("two", None)})
    assert cache.get([place("a"), place("c"), place("b"), place("a")]) == {
        place("a"): "one",
        place("b"): "two",
    }
    assert cache.store.stats() == CacheStats(hits=2, misses=1, stores=2)
    assert cache.store.stats().hit_rate == pytest.approx(2 / 3)
    cache.set({place("a"): ("new", None)})
    assert cache.get([place("a")]) == {place("a"): "new"}
    assert cache.get([]) == {}
    cache.set({})


def test_any_text_is_a_name_and_a_scope(make_exact: Any) -> None:
    cache = make_exact()
    places = [place(name, (scope,)) for name in HOSTILE for scope in HOSTILE[::3]]
    places += [place(name, (name, name)) for name in HOSTILE] + [
        place(name, ()) for name in HOSTILE
    ]
    cache.set({at: (str(number), None) for number, at in enumerate(places)})
    assert cache.get(places) == {at: str(number) for number, at in enumerate(places)}


def test_scopes_never_meet(make_exact: Any) -> None:
    cache = make_exact()
    near = [
        Place((("a:b",),), "k"),
        Place((("a", "b"),), "k"),
        Place((("a",), ("b",)), "k"),
        Place((("a",),), "b"),
        Place(((),), "k"),
        Place((("",),), "k"),
        Place((("", ""),), "k"),
        Place((), "k"),
    ]
    cache.set({at: (repr(at), None) for at in near})
    assert cache.get(near) == {at: repr(at) for at in near}
    assert cache.clear([(("a", "b"),)]) == 1
    assert near[1] not in cache.get(near)
    assert len(cache.get(near)) == len(near) - 1
    assert cache.clear([(("a",),)]) == 2  # the scope within it, too
    assert cache.clear([(("a:b",),), ((),)]) == 2
    assert cache.clear([]) == 0
    assert cache.clear() == 3
    assert cache.get(near) == {}


texts = st.text(st.characters(), max_size=6)


@given(st.lists(st.lists(texts, max_size=3).map(tuple), min_size=2, max_size=2, unique=True))
def test_no_two_lists_of_parts_have_one_hash(parts: list[tuple[str, ...]]) -> None:
    first, second = parts
    assert digest(*first) != digest(*second)


def test_clearing_leaves_what_is_not_the_caches(
    make_exact: Any, connection: ValkeyConnection, prefix: str
) -> None:
    cache = make_exact()
    other = make_exact(key_prefix=prefix.removesuffix(":") + "?")
    for one in (cache, other):
        one.set({place(str(n)): ("x", None) for n in range(30)})
    foreign = [f"{prefix}mine", f"{prefix}{digest('a')}:mine", f"{prefix}{digest('a')[:-1]}"]
    for key in foreign:
        send(connection, "SET", key, "1")
    assert cache.clear() == 30
    assert [send(connection, "EXISTS", key) for key in foreign] == [1, 1, 1]
    assert len(other.get([place(str(n)) for n in range(30)])) == 30


def test_thousands_are_cleared(make_exact: Any) -> None:
    cache = make_exact()
    cache.set({place(str(n), (str(n % 2),)): ("x", None) for n in range(3_000)})
    assert cache.clear([(("0",),)]) == 1_500
    assert cache.clear() == 1_500


def test_an_entry_has_a_key_that_is_known(prefix: str) -> None:
    key = entry_key(prefix, (("a",), ("b",)), "c")
    assert key.startswith(entries_prefix(prefix, (("a",),)))
    assert is_entry(prefix, key.encode())
    assert not is_entry(prefix, key.encode() + b"0")
    assert not is_entry(prefix, f"{prefix}\udcff".encode("utf-8", "surrogatepass"))


# TTL


def test_each_entry_has_its_own_ttl(
    make_exact: Any, connection: ValkeyConnection, prefix: str
) -> None:
    cache = make_exact(ttl=timedelta(minutes=1))
    cache.set({place("own"): ("x", 5), place("given"): ("x", None), place("ms"): ("x", 0.05)})
    assert 4_000 < ttl_of(connection, prefix, place("own")) <= 5_000
    assert 59_000 < ttl_of(connection, prefix, place("given")) <= 60_000
    time.sleep(0.1)
    assert place("ms") not in cache.get([place("ms")])
    forever = make_exact()
    forever.set({place("own"): ("y", None)})
    assert ttl_of(connection, prefix, place("own")) == -1


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "60", True, 1e13])
def test_a_ttl_that_cannot_be_is_refused(make_exact: Any, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl"):
        make_exact(ttl=ttl)
    cache = make_exact()
    with pytest.raises(InvalidArgumentError, match="ttl"):
        cache.set({place("a"): ("x", None), place("b"): ("x", ttl)})
    assert cache.get([place("a")]) == {}


# What goes wrong


def test_arguments_that_cannot_be_are_refused(make_exact: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="on_error"):
        make_exact(on_error="ignore")
    with pytest.raises(ConfigurationError, match="braces"):
        make_exact(key_prefix="{a}")
    cache = make_exact(on_error="warn")
    for at in (Place((("a",),), 1), Place(("a",), "n"), Place(((1,),), "n")):  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError):
            cache.get([at])


def test_what_cannot_be_read_is_a_miss_with_a_warning(
    make_exact: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_exact()
    cache.set({place("a"): ("damaged", None), place("b"): ("well", None), place("c"): ("", None)})
    assert cache.get([place("a"), place("b"), place("c")]) == {place("b"): "well"}
    assert cache.store.stats() == CacheStats(hits=1, misses=2, stores=2)
    (record,) = caplog.records
    assert record.name == "valkey_memory"
    assert "is a miss" in record.message


def test_a_foreign_value_is_an_error(
    make_exact: Any, connection: ValkeyConnection, prefix: str
) -> None:
    send(connection, "RPUSH", entry_key(prefix, place("a").scopes, "a"), "x")
    with pytest.raises(KeyTypeError):
        make_exact().get([place("a")])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_is_gone(caplog: pytest.LogCaptureFixture, is_async: bool) -> None:
    from ..conftest import Face

    url = "valkey://127.0.0.1:1?connection_timeout=0.2&cluster=false"
    with ValkeyConnection.from_url(url) as connection:

        def made(**options: Any) -> Any:
            cache = ExactCache(TextCodec(), "c:", connection=connection, **options)
            return Face(cache, is_async=is_async)

        cache = made(on_error="warn")
        assert cache.get([place()]) == {}
        cache.set({place(): ("x", None)})
        assert cache.store.stats() == CacheStats(misses=1)
        warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warnings) == 2
        with pytest.raises(ValkeyMemoryError):
            cache.clear()
        with pytest.raises(ValkeyMemoryError):
            made().get([place()])


# Round trips, threads, pickles


def test_any_number_is_one_round_trip(
    server: EmbeddedValkey, standalone_connection: ValkeyConnection, prefix: str
) -> None:
    cache = ExactCache(TextCodec(), prefix, connection=standalone_connection, ttl=60)
    entries: dict[Place, tuple[str, Any]] = {place(str(n)): ("x", None) for n in range(100)}
    assert sent(server, lambda: cache.set(entries)) == {"set": 100}
    assert sent(server, lambda: cache.get(list(entries))) == {"get": 100}


def test_threads_share_a_cache(standalone_connection: ValkeyConnection, prefix: str) -> None:
    cache = ExactCache(TextCodec(), prefix, connection=standalone_connection)

    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(50):
            name = str(chance.randrange(10))
            if not cache.get([place(name)]):
                cache.set({place(name): (name, None)})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    stats = cache.stats()
    assert stats.lookups == 400
    assert stats.stores == stats.misses >= 10


def test_a_cache_has_options_that_make_it_anew(url: str, prefix: str) -> None:
    cache = ExactCache(TextCodec(), prefix, url=url, ttl=60, on_error="warn")
    again = ExactCache(TextCodec(), **pickle.loads(pickle.dumps(cache.options())))  # noqa: S301
    cache.set({place(): ("x", None)})
    assert again.get([place()]) == {place(): "x"}


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.binary(max_size=50))
def test_a_type_and_its_bytes_are_one_value(kind: str, data: bytes) -> None:
    assert unpack_typed(pack_typed(kind, data)) == (kind, data)


@pytest.mark.parametrize("raw", [b"", b"x", b"9:abc", b"-1:a", b":a", b"9999999:", b"1:\xff"])
def test_what_is_no_typed_value_is_said_to_be_none(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"type|decode"):
        unpack_typed(raw)
