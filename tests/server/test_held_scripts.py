"""Scripts are sent once; from then on their hash is enough, and where it is not, the text is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from glide_shared.exceptions import RequestError

from valkey_memory import (
    CommandError,
    EmbeddedValkey,
    KeyTypeError,
    MessageStore,
    PermissionDeniedError,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._server.failures import HashRefusedError, ScriptNotHeldError, translate
from valkey_memory._server.held_scripts import HeldScripts, is_script

from ..conftest import Face
from ..conversations.test_message_lists import said, texts
from ..servers import admin, exact_counts, send

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def own_connection(server: EmbeddedValkey) -> Iterator[ValkeyConnection]:
    """One that has sent nothing yet."""
    with ValkeyConnection.from_url(server.url) as connection:
        yield connection


@pytest.fixture
def store(own_connection: ValkeyConnection, prefix: str, is_async: bool) -> Iterator[Any]:
    store = MessageStore(connection=own_connection, key_prefix=prefix, ttl=60, max_messages=50)
    yield Face(store, is_async=is_async)
    if is_async:
        asyncio.run(own_connection.aclose())


def scripts_sent(server: EmbeddedValkey) -> dict[str, int]:
    """How many by text and by hash since the last time that this was asked."""
    counts = exact_counts(server.port)
    admin(server.port, "CONFIG", "RESETSTAT")
    return {name: calls for name, calls in counts.items() if name.startswith("eval")}


def test_a_script_is_sent_once(server: EmbeddedValkey, store: Any) -> None:
    scripts_sent(server)
    for _ in range(5):
        store.append("s", HELLO)
    assert scripts_sent(server) == {"eval": 1, "evalsha": 4}
    for _ in range(5):
        store.messages("s", max_tokens=100)
    assert scripts_sent(server) == {"eval_ro": 1, "evalsha_ro": 4}


def test_what_a_server_forgot_is_sent_again_and_applied_once(
    server: EmbeddedValkey, store: Any
) -> None:
    store.append("s", HELLO)
    admin(server.port, "SCRIPT", "FLUSH")
    scripts_sent(server)
    store.extend("s", said("once"))
    assert scripts_sent(server) == {"eval": 1, "evalsha": 1}
    store.extend("s", said("more"))
    assert scripts_sent(server) == {"evalsha": 1}
    assert texts(store.messages("s")) == ["hello", "once", "more"]


def test_without_tokens_too(server: EmbeddedValkey, prefix: str) -> None:
    with ValkeyConnection.from_url(server.url, retry_writes=False) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.append("s", HELLO)
        admin(server.port, "SCRIPT", "FLUSH")
        store.append("s", HELLO)
    assert admin(server.port, "LLEN", store.key("s")) == 2


def test_every_node_of_a_cluster_is_told(
    cluster_ports: list[int], cluster_url: str, prefix: str, is_async: bool
) -> None:
    connection = ValkeyConnection.from_url(cluster_url)
    store = Face(MessageStore(connection=connection, key_prefix=prefix, ttl=60), is_async=is_async)
    for port in cluster_ports:
        admin(port, "SCRIPT", "FLUSH")
    for turn in range(3):
        for n in range(30):
            store.append(f"s{n}", {"role": "user", "content": str(turn)})
    for n in range(30):
        assert texts(store.messages(f"s{n}", max_tokens=100)) == ["0", "1", "2"]
    asyncio.run(connection.aclose())


def test_a_user_who_may_not_send_hashes_writes_all_the_same(
    server: EmbeddedValkey, prefix: str, is_async: bool
) -> None:
    rules = "on >pw ~* +@all -evalsha -evalsha_ro"
    admin(server.port, "ACL", "SETUSER", "texter", *rules.split())
    url = server.url.replace("://", "://texter:pw@")
    connection = ValkeyConnection.from_url(url)
    try:
        store = Face(MessageStore(connection=connection, key_prefix=prefix), is_async=is_async)
        scripts_sent(server)
        for _ in range(4):
            store.append("s", HELLO)
        assert store.count("s") == 4
        assert scripts_sent(server)["eval"] == 4
    finally:
        asyncio.run(connection.aclose())
        admin(server.port, "ACL", "DELUSER", "texter")


def test_what_a_script_itself_refuses_stays_its_error(
    server: EmbeddedValkey, store: Any, own_connection: ValkeyConnection, prefix: str
) -> None:
    store.append("s", HELLO)
    send(own_connection, "SET", f"{prefix}other", "text")
    scripts_sent(server)
    with pytest.raises(KeyTypeError):
        store.append("other", HELLO)
    assert scripts_sent(server) == {"evalsha": 1}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("NoScriptError: No matching script. Please use EVAL.", ScriptNotHeldError),
        ("NOSCRIPT No matching script", ScriptNotHeldError),
        (
            "NOPERM User bob has no permissions to run the 'evalsha' command",
            HashRefusedError,
        ),
        (
            "NOPERM User bob has no permissions to run the 'rpush' command",
            PermissionDeniedError,
        ),
        ("WRONGTYPE noscript:1 is a string, no list", KeyTypeError),
    ],
)
def test_what_refuses_the_hash(text: str, kind: type[ValkeyMemoryError]) -> None:
    error = translate(RequestError(text), operation="append", address="host:1")
    assert type(error) is kind


def test_what_is_held_and_lost() -> None:
    held, command = HeldScripts(), ("EVAL", "return 1", "0")
    assert held.by_hash(command) is None
    held.hold(command)
    # What SCRIPT LOAD "return 1" returns.
    by_hash = ("EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0")
    assert held.by_hash(command) == by_hash
    held.lose(command, ScriptNotHeldError("NOSCRIPT"))
    assert held.by_hash(command) is None
    held.hold(command)
    assert held.by_hash(command) == by_hash
    held.lose(command, HashRefusedError("NOPERM"))
    held.hold(command)
    assert held.by_hash(command) is None


def test_scripts_among_others_go_by_text() -> None:
    script, other = ("EVAL", "return 1", "0"), ("PING",)
    assert is_script((script,))
    assert not is_script((script, other))
    assert not is_script((other,))


def test_a_script_that_failed_is_not_held(
    server: EmbeddedValkey, own_connection: ValkeyConnection
) -> None:
    scripts_sent(server)
    for _ in range(2):
        with pytest.raises(CommandError):
            send(own_connection, "EVAL", "return redis.error_reply('ERR no')", "0")
    assert scripts_sent(server) == {"eval": 2}
