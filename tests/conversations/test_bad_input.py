"""Wrong input and foreign data: a clear error of ours, and nothing stored is touched."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from valkey_memory import (
    ConfigurationError,
    CorruptMessageError,
    EmbeddedValkey,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageEncodeError,
    MessageStore,
)
from valkey_memory._keys import SIDECARS, WRITES, sidecar
from valkey_memory._messages import values
from valkey_memory._messages.codecs import PlainCodec

from ..servers import admin
from .test_message_lists import said

HUGE: Any = 10**5000
STRANGE_IDS = [
    "a{b}c",
    "{}",
    "}{",
    "new\nline",
    "tab\tnul\x00del\x7f",
    "with space",
    "100%",
    "%7B",
    "%257B",
    "%25",
    "😀 emoji",
    "чат",
    "a*b?[c]",
    ":::",
    "x" * 10_240,
    "'quoted\" \\back",
]


@pytest.mark.parametrize("session_id", STRANGE_IDS, ids=lambda s: repr(s[:12]))
def test_strange_session_ids_work(make_store: Any, session_id: str) -> None:
    store = make_store(ttl=60)
    store.extend(session_id, said("a", "b"))
    store.archive_oldest(session_id, 1)
    assert store.messages(session_id) == said("b")
    assert store.archived(session_id) == said("a")
    assert store.sessions() == [session_id]
    assert store.delete(session_id) is True


def test_strange_session_ids_do_not_meet(make_store: Any) -> None:
    store = make_store()
    for session_id in STRANGE_IDS:
        store.append(session_id, said(session_id)[0])
    assert store.sessions() == sorted(STRANGE_IDS)
    for session_id in STRANGE_IDS:
        assert store.messages(session_id) == said(session_id)


@pytest.mark.parametrize("session_id", ["", None, 7, b"bytes", "\ud800", ["s"], {}, {"s"}])
def test_impossible_session_ids(make_store: Any, session_id: Any) -> None:
    with pytest.raises(InvalidSessionIdError):
        make_store().append(session_id, said("a")[0])
    with pytest.raises(InvalidSessionIdError):
        make_store().messages(session_id)


def test_numbers_that_python_refuses_to_write(make_store: Any) -> None:
    store = make_store()
    calls: list[Callable[[], object]] = [
        lambda: make_store(ttl=HUGE),
        lambda: make_store(max_messages=HUGE),
        lambda: store.page("s", HUGE, 1),
        lambda: store.set_ttl("s", HUGE),
        lambda: store.messages(HUGE),
        lambda: store.delete_at("s", HUGE),
        lambda: store.append("s", said("a")[0], once=HUGE),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="a very long int"):
            call()


@pytest.mark.parametrize(
    "ttl",
    [
        0,
        -1,
        0.0,
        float("nan"),
        float("inf"),
        True,
        "60",
        2**60,
        10**400,
        timedelta(0),
        timedelta.max,
    ],
    ids=lambda ttl: repr(ttl)[:20],
)
def test_impossible_ttls(make_store: Any, ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl"):
        make_store(ttl=ttl)
    store = make_store()
    store.append("s", said("a")[0])
    with pytest.raises(InvalidArgumentError, match="ttl"):
        store.set_ttl("s", ttl)
    assert store.ttl_left("s") is None


@pytest.mark.parametrize("window", [0, -1, 1.5, True, "3"])
def test_impossible_windows(make_store: Any, window: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="max_messages"):
        make_store(max_messages=window)
    with pytest.raises(InvalidArgumentError, match="last"):
        make_store().messages("s", last=window)


@pytest.mark.parametrize(
    ("offset", "limit"), [(-1, 1), (0, 0), (0, -3), (0, 1.0), (None, 1), (0, None), (None, None)]
)
def test_impossible_pages(make_store: Any, offset: Any, limit: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        make_store().page("s", offset, limit)


@pytest.mark.parametrize("n", [0, -1, 1.0, True, None])
def test_impossible_numbers_of_messages(make_store: Any, n: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="n must be"):
        make_store().delete_oldest("s", n)
    with pytest.raises(InvalidArgumentError, match="n must be"):
        make_store().archive_oldest("s", n)


@pytest.mark.parametrize("index", [1.0, "1", True, None])
def test_impossible_indexes(make_store: Any, index: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="index"):
        make_store().delete_at("s", index)
    with pytest.raises(InvalidArgumentError, match="index"):
        make_store().insert("s", index, said("a")[0])


@pytest.mark.parametrize("key_prefix", ["{tag}:", "a}", 7, None, b"chat:", "\ud800:", "chat\udfff"])
def test_impossible_prefixes(url: str, key_prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="key_prefix"):
        MessageStore(url=url, key_prefix=key_prefix)


def test_unknown_arguments_are_refused(url: str) -> None:
    with pytest.raises(TypeError, match="tll"):
        MessageStore(url=url, tll=60)  # type: ignore[call-arg]


def test_unknown_policy_for_corrupt_elements(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="on_corrupt"):
        MessageStore(url=url, on_corrupt="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        "just text",
        None,
        {},
        {"role": "user"},
        {"role": "", "content": "x"},
        {"role": 3, "content": "x"},
        {"role": "user", "content": 3},
        {"role": "user", "content": None},
        {"role": "user", "content": "x", "extra": object()},
        {"role": "user", "content": "lone \ud800 surrogate"},
    ],
)
def test_messages_that_cannot_be_stored_leave_nothing_behind(make_store: Any, message: Any) -> None:
    store = make_store(ttl=60)
    store.append("s", said("before")[0])
    with pytest.raises(MessageEncodeError):
        store.extend("s", [*said("good"), message])
    with pytest.raises(MessageEncodeError):
        store.replace("s", [*said("good"), message])
    assert store.messages("s") == said("before")


def test_the_error_names_the_place() -> None:
    from valkey_memory._messages.values import to_json

    with pytest.raises(MessageEncodeError, match=r"message\['a'\]\[1\]\['b'\] is builtins.object"):
        to_json({"a": [0, {"b": object()}]})


FOREIGN = {
    "string": ("SET", "{}", "value"),
    "hash": ("HSET", "{}", "field", "value"),
    "set": ("SADD", "{}", "member"),
    "zset": ("ZADD", "{}", "1", "member"),
    "stream": ("XADD", "{}", "1-1", "field", "value"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("append", (said("a")[0],)),
        ("replace", (said("a"),)),
        ("replace", ([],)),
        ("insert", (0, said("a")[0])),
        ("messages", ()),
        ("window", ()),
        ("page", (0, 5)),
        ("count", ()),
        ("delete_at", (0,)),
        ("delete_last", ()),
        ("delete_oldest", (1,)),
        ("archive_oldest", (1,)),
        ("delete", ()),
        ("take", ()),
        ("set_ttl", (5,)),
        ("set_ttl", (None,)),
        ("refresh_ttl", ()),
        ("count_all", ()),
        ("extend_archived", ()),
        ("replace_archived", ()),
        ("replace_whole", ()),
    ],
)
def test_a_key_of_another_type_is_left_as_it_is(
    server: EmbeddedValkey,
    prefix: str,
    kind: str,
    method: str,
    arguments: tuple[Any, ...],
) -> None:
    key = f"{prefix}s"
    admin(server.port, *(part.format(key) for part in FOREIGN[kind]))
    admin(server.port, "PEXPIRE", key, "987654321")
    before = admin(server.port, "DUMP", key)
    store = MessageStore(
        url=server.url, key_prefix=prefix, ttl=60, max_messages=2, refresh_ttl_on_read=True
    )
    calls: dict[str, Any] = {
        "extend_archived": lambda: store.extend("s", said("a"), archived=True),
        "replace_archived": lambda: store.replace("s", said("a"), archived=True),
        "replace_whole": lambda: store.replace("s", said("a"), archived=True, whole=True),
        "window": lambda: store.messages("s", max_tokens=10),
    }
    with pytest.raises(KeyTypeError, match=key):
        calls[method]() if method in calls else getattr(store, method)("s", *arguments)
    assert admin(server.port, "DUMP", key) == before
    assert admin(server.port, "PTTL", key) > 987_000_000
    if method not in ("replace_archived", "replace_whole"):  # they make an archived list
        assert store.sessions() == []


@pytest.mark.parametrize("user_id", [None, "user"])
@pytest.mark.parametrize("whole_turns", [False, True], ids=["", "whole turns"])
@pytest.mark.parametrize("name", ["", *SIDECARS, WRITES])
def test_every_key_of_another_type_is_named(
    server: EmbeddedValkey, prefix: str, name: str, whole_turns: bool, user_id: str | None
) -> None:
    store = MessageStore(
        url=server.url, key_prefix=prefix, max_messages=5, whole_turns=whole_turns, user_id=user_id
    )
    key = sidecar(store.key("s"), name) if name else store.key("s")
    admin(server.port, "SET", key, "foreign")
    named = f"{re.escape(key)} is a string, no {SIDECARS.get(name, 'list')}\\."
    writes: list[Callable[[], None]] = [
        lambda: store.append("s", said("a")[0]),
        lambda: store.append("s", said("a")[0], once="x"),
        lambda: store.insert("s", 0, said("a")[0]),
    ]
    for write in writes:
        with pytest.raises(KeyTypeError, match=named):
            write()
    assert admin(server.port, "GET", key) == b"foreign"
    assert store.sessions() == []


@pytest.mark.parametrize("user_id", [None, "user"])
def test_tokens_of_another_type_are_named_and_nothing_is_changed(
    server: EmbeddedValkey, prefix: str, user_id: str | None
) -> None:
    store = MessageStore(url=server.url, key_prefix=prefix, ttl=60, user_id=user_id)
    key = f"{{{prefix}s}}:writes"
    admin(server.port, "SET", key, "foreign")
    with pytest.raises(KeyTypeError, match=f"{re.escape(key)} is a string, no list"):
        store.append("s", said("a")[0])
    assert store.count("s") == 0
    assert admin(server.port, "GET", key) == b"foreign"
    assert admin(server.port, "PTTL", key) == -1


CORRUPT = {
    "no JSON": b"{oops",
    "not UTF-8": b"\xff\xfe",
    "a string": b'"text"',
    "a list": b"[1]",
    "no role": b'{"content": "x"}',
    "role of another type": b'{"role": 1, "content": "x"}',
    "empty": b"",
}


@pytest.mark.parametrize("element", CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_element_is_named_and_kept(
    server: EmbeddedValkey,
    make_store: Any,
    connection: Any,
    prefix: str,
    element: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = make_store()
    store.extend("s", said("a", "b"))
    put(connection, f"{prefix}s", element)
    store.extend("s", said("c"))
    with pytest.raises(CorruptMessageError) as caught:
        store.messages("s")
    assert (caught.value.key, caught.value.position) == (f"{prefix}s", 2)
    with pytest.raises(CorruptMessageError) as caught:
        store.messages("s", last=2)
    assert caught.value.position == -2
    with pytest.raises(CorruptMessageError) as caught:
        store.page("s", 1, 2)
    assert caught.value.position == 2
    assert store.count("s") == 4
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert make_store(on_corrupt="skip").messages("s") == said("a", "b", "c")
    assert f"element 2 of '{prefix}s'" in caplog.text
    # It can be deleted by its position, like any other element.
    assert store.delete_at("s", 2) is None
    assert store.messages("s") == said("a", "b", "c")


def test_moving_a_corrupt_element_loses_nothing(
    make_store: Any, connection: Any, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store()
    put(connection, f"{prefix}s", b"{oops")
    store.append("s", said("a")[0])
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert store.archive_oldest("s", 2) == said("a")
    assert store.count_all("s") == (0, 2)
    assert "not a readable message" in caplog.text


def put(connection: Any, key: str, element: bytes) -> None:
    """RPUSH a raw element."""
    from valkey_memory._plans import Plan, atomic

    def plan() -> Plan[None]:
        yield atomic("put", ("RPUSH", key, element))

    connection.run(plan())


def test_plain_elements_of_the_cookbook_are_read(
    make_store: Any, connection: Any, prefix: str
) -> None:
    put(connection, f"{prefix}s", b'{"role": "user", "content": "written by plain code"}')
    assert make_store().messages("s") == said("written by plain code")


def test_what_is_written_is_plain_json(make_store: Any, connection: Any, prefix: str) -> None:
    import json

    from valkey_memory._conversations.changes import read
    from valkey_memory._plans import change_plan

    make_store().append("s", said("Привет")[0])
    (element,) = connection.run(change_plan(read(f"{prefix}s", 0, -1)))
    assert json.loads(element).items() >= said("Привет")[0].items()


TOO_MUCH: dict[str, Any] = {
    "last": lambda store: store.messages("s", last=10**30),
    "offset": lambda store: store.page("s", 10**30, 1),
    "limit": lambda store: store.page("s", 0, 10**30),
    "n": lambda store: store.delete_oldest("s", 10**30),
    "index": lambda store: store.insert("s", -(10**30), said("x")[0]),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_numbers_beyond_the_server_are_refused_before_anything_is_sent(
    make_store: Any, name: str
) -> None:
    store = make_store()
    store.extend("s", said("a", "b"))
    with pytest.raises(InvalidArgumentError, match=rf"{name} must be (at most|within) 2\*\*53"):
        TOO_MUCH[name](store)
    assert store.messages("s") == said("a", "b")


def test_a_window_beyond_the_server_is_refused_by_the_constructor(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"max_messages must be at most 2\*\*53"):
        MessageStore(url=url, max_messages=10**30)
    MessageStore(url=url, max_messages=2**53)


class TimeIsOverError(Exception):
    """What an application throws from a signal handler, as task queues do at their time limit."""


def interrupting(call: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """``call``, after a signal whose handler throws ``error``."""

    def handler(*_: object) -> None:
        raise error

    def interrupted(*arguments: Any) -> Any:
        previous = signal.signal(signal.SIGUSR1, handler)
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            return call(*arguments)
        finally:
            signal.signal(signal.SIGUSR1, previous)

    return interrupted


@pytest.mark.parametrize(
    "thrown", [TimeIsOverError, TimeoutError, RuntimeError, ValueError, AttributeError]
)
@pytest.mark.parametrize("on_corrupt", ["raise", "skip"])
@pytest.mark.parametrize("place", ["all", "each", "tags", "write"])
def test_what_a_signal_handler_throws_is_not_taken_for_corruption(
    make_store: Any,
    connection: Any,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    thrown: type[Exception],
    on_corrupt: str,
    place: str,
) -> None:
    store = make_store(on_corrupt=on_corrupt)
    store.extend("s", [*said("a", "b"), {"role": "user", "content": "c", "n": (1,)}])
    late = thrown("the time is over")
    owner, name = {
        "all": (PlainCodec, "decode_all"),
        "each": (PlainCodec, "decode"),
        "tags": (values, "from_json"),
        "write": (PlainCodec, "to_element"),
    }[place]
    if place == "each":
        put(connection, f"{prefix}s", b"{oops")  # so that each is read by itself
    monkeypatch.setattr(owner, name, interrupting(getattr(owner, name), late))
    with pytest.raises(thrown) as raised:
        store.append("s", said("d")[0]) if place == "write" else store.messages("s")
    assert raised.value is late
