"""What each operation sends, counted by the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, MessageStore

from ..servers import admin, command_counts
from .test_message_lists import EDITS, said

FROM_SCRIPTS = {"type", "exists", "pexpire", "pexpiretime"}
BOOKKEEPING = {"info", "config|resetstat", "client|setinfo", "client|setname", "hello", "select"}


def sent(server: EmbeddedValkey, action: Callable[[], object]) -> dict[str, int]:
    """Commands that ``action`` sent, without what GLIDE sends to open a connection."""
    admin(server.port, "CONFIG", "RESETSTAT")
    action()
    counts = command_counts(server.port)
    return {name: calls for name, calls in counts.items() if name not in BOOKKEEPING}


@pytest.fixture
def store(url: str, prefix: str) -> MessageStore:
    store = MessageStore(
        url=url, key_prefix=prefix, ttl=60, max_messages=5000, refresh_ttl_on_read=True
    )
    store.extend("s", said(*map(str, range(100))))
    return store


def test_appending_a_thousand_with_ttl_and_window_is_one_script(
    server: EmbeddedValkey, store: MessageStore
) -> None:
    messages = said(*map(str, range(1000)))
    counts = sent(server, lambda: store.extend("new", messages))
    # One RPUSH of the messages, one of the write's token.
    assert (counts["eval"], counts["rpush"], counts["ltrim"]) == (1, 2, 1)
    assert counts.keys() - FROM_SCRIPTS == {"eval", "lpos", "rpush", "ltrim"}


def test_reading_the_last_twenty_with_ttl_refresh_is_one_exec(
    server: EmbeddedValkey, store: MessageStore
) -> None:
    counts = sent(server, lambda: store.messages("s", last=20))
    assert counts.keys() - FROM_SCRIPTS == {"multi", "exec", "lrange", "eval"}
    assert (counts["exec"], counts["lrange"]) == (1, 1)


def test_reading_without_refresh_is_one_lrange(
    server: EmbeddedValkey, url: str, prefix: str
) -> None:
    store = MessageStore(url=url, key_prefix=prefix)
    assert sent(server, lambda: store.messages("s", last=20)) == {"lrange": 1}


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.archived("s", and_active=True),
        lambda store: store.count_all("s"),
    ],
)
def test_what_looks_at_both_lists_is_one_transaction(
    server: EmbeddedValkey, store: MessageStore, action: Callable[[MessageStore], Any]
) -> None:
    assert sent(server, lambda: action(store))["exec"] == 1


def test_counting_is_one_command(server: EmbeddedValkey, store: MessageStore) -> None:
    assert sent(server, lambda: store.count("s")) == {"llen": 1}


@pytest.mark.parametrize(
    "options",
    [{}, {"ttl": 60, "max_messages": 50}, {"max_messages": 2, "whole_turns": True}],
    ids=["plain", "ttl", "turns"],
)
@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_is_one_script(
    server: EmbeddedValkey, url: str, prefix: str, edit: str, options: dict[str, Any]
) -> None:
    store = MessageStore(url=url, key_prefix=prefix, **options)
    store.extend("s", said(*"abcdef"))
    store.archive_oldest("s", 2)
    name, arguments, keywords = EDITS[edit]
    counts = sent(server, lambda: getattr(store, name)("s", *arguments, **keywords))
    assert counts["eval"] == 1  # what a script calls is counted, too
    assert "exec" not in counts


def test_the_ttl_is_read_of_all_keys_at_once(server: EmbeddedValkey, store: MessageStore) -> None:
    assert sent(server, lambda: store.ttl_left("s")) == {"multi": 1, "exec": 1, "pttl": 5}


def test_listing_uses_scan_and_never_keys(server: EmbeddedValkey, store: MessageStore) -> None:
    counts = sent(server, store.sessions)
    assert set(counts) == {"scan"}


def test_nothing_to_append_sends_nothing(server: EmbeddedValkey, store: MessageStore) -> None:
    assert sent(server, lambda: store.extend("s", [])) == {}


def test_making_a_store_sends_nothing(server: EmbeddedValkey, url: str) -> None:
    assert sent(server, lambda: MessageStore(url=url + "?client_name=unused", ttl=5)) == {}
