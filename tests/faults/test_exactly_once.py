"""What was acknowledged is there exactly once; what was not, at most once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import (
    InvalidArgumentError,
    MessageStore,
    OperationTimeoutError,
    ReplyLostError,
    ValkeyConnection,
)
from valkey_memory._conversations.frame import FORGET_AT, REMEMBERED
from valkey_memory._keys import WRITES, sidecar

from ..conversations.test_message_lists import EDITS, said, texts
from ..servers import told
from .callers import Caller, check
from .proxy import Proxy

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("fault", ["reply lost", "cut", "late", "dead path"])
def test_an_append_whose_reply_does_not_come(
    proxy: Proxy, runner: asyncio.Runner | None, fault: str
) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.5) as connection:
        call = Caller(MessageStore(connection=connection, ttl=60), runner)
        call("append", "s", said("0")[0])
        for number in range(1, 4):
            if fault == "reply lost":
                proxy.swallow_replies = True
            elif fault == "late":
                proxy.delay = 0.8
            elif fault == "dead path":
                proxy.kill_paths()
            else:
                proxy.swallow_replies = True  # and the cut follows, below
            with contextlib.suppress(OperationTimeoutError), mended(proxy, fault):
                call("append", "s", said(str(number))[0])
        if fault == "late":
            time.sleep(2)  # what waited on its way arrives
        check([], texts(call("messages", "s")))
        assert texts(call("messages", "s")) == ["0", "1", "2", "3"]


@contextlib.contextmanager
def mended(proxy: Proxy, fault: str) -> Iterator[None]:
    """The fault is over a moment after the first try has failed."""

    def mend() -> None:
        if fault == "cut":
            proxy.cut()
        proxy.swallow_replies = False
        proxy.delay = 0

    timer = threading.Timer(0.2 if fault == "cut" else 0.6, mend)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def test_copies_that_come_late_change_nothing(proxy: Proxy, runner: asyncio.Runner | None) -> None:
    edits = {name: edit for name, edit in EDITS.items() if edit[0] != "take"}
    with ValkeyConnection.from_url(proxy.url) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        for name, (method, arguments, options) in edits.items():
            call("extend", name, said(*"abcdef"))
            call("archive_oldest", name, 2)
            call(method, name, *arguments, **options)
            call("append", name, said("z")[0])
        before = [texts(call("archived", name, and_active=True)) for name in edits]
        proxy.replay()
        assert [texts(call("archived", name, and_active=True)) for name in edits] == before


def test_a_conversation_that_was_emptied_remembers_for_a_minute(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(proxy.url) as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        store.delete_last("s")
        writes = sidecar(store.key("s"), WRITES)
        assert store.ttl_left("s") == 0.0
        assert store.sessions() == []
        assert 0 < int(told(proxy.target, "TTL", f"'{writes}'").strip(b":\r\n")) <= 60
        store.append("s", said("b")[0])
        proxy.replay()
        assert texts(store.messages("s")) == ["b"]
        assert store.ttl_left("s") is None
        assert told(proxy.target, "TTL", f"'{writes}'") == b":-1\r\n"


def test_what_deletes_everything_leaves_nothing(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(proxy.url) as connection:
        store = MessageStore(connection=connection)
        for delete in (store.delete, store.take):
            store.append("s", said("a")[0])
            delete("s")
            assert told(proxy.target, "DBSIZE") == b":0\r\n"


def test_a_deletion_whose_reply_is_lost_is_not_made_twice(
    proxy: Proxy, runner: asyncio.Runner | None
) -> None:
    with ValkeyConnection.from_url(proxy.url, request_timeout=0.5) as connection:
        call = Caller(MessageStore(connection=connection), runner)
        call("extend", "s", said(*"abc"))
        proxy.swallow_replies = True
        with pytest.raises(OperationTimeoutError) as caught, mended(proxy, "reply lost"):
            call("delete_last", "s")
        assert texts(call("messages", "s")) == ["a", "b"]
        assert isinstance(caught.value, ReplyLostError)
        assert not caught.value.outcome_unknown


def test_without_tokens_nothing_is_sent_again(proxy: Proxy) -> None:
    with ValkeyConnection.from_url(
        proxy.url, request_timeout=0.5, retry_writes=False
    ) as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        proxy.swallow_replies = True
        with pytest.raises(OperationTimeoutError) as caught, mended(proxy, "reply lost"):
            store.append("s", said("b")[0])
        assert caught.value.outcome_unknown
        assert texts(store.messages("s")) == ["a", "b"]
        assert told(proxy.target, "DBSIZE") == b":1\r\n"  # no tokens are kept


# once=


def test_once(make_store: Any) -> None:
    store = make_store(ttl=60, max_messages=10)
    for _ in range(3):
        store.append("s", said("a")[0], once="job-1")
        store.extend("s", said("b", "c"), once="job-2")
        store.extend("s", said("d"), once="job-3", archived=True)
    assert texts(store.archived("s", and_active=True)) == list("dabc")
    make_store().append("s", said("x")[0], once="job-1")  # another store, as another process
    assert store.count("s") == 3
    store.append("t", said("a")[0], once="job-1")  # another conversation has its own
    assert store.count("t") == 1


def test_once_is_forgotten_after_a_hundred_writes(make_store: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0], once="job")
    for number in range(REMEMBERED - 1):
        store.append("s", said(str(number))[0])
    store.append("s", said("a")[0], once="job")
    assert store.count("s") == REMEMBERED
    for number in range(FORGET_AT - REMEMBERED):
        store.append("s", said(f"one more: {number}")[0])
    store.append("s", said("a")[0], once="job")
    assert store.count("s") == FORGET_AT + 1


@pytest.mark.parametrize("once", ["", 1, b"job", "x" * 257, "\ud800", None.__class__])
def test_what_cannot_be_the_name_of_a_write(make_store: Any, once: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="once must be"):
        make_store().append("s", said("a")[0], once=once)
    assert make_store().count("s") == 0
