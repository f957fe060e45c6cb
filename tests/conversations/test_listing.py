"""Walks over conversations, and what is said of each."""

from __future__ import annotations

import pytest

from valkey_memory import KeyTypeError, MessageStore, ValkeyConnection, _keys
from valkey_memory._conversations.listing import Walk, describe_plan

from ..servers import send, send_all


@pytest.fixture
def store(connection: ValkeyConnection, prefix: str) -> MessageStore:
    return MessageStore(connection=connection, key_prefix=prefix)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def test_a_walk_gives_each_id_once(connection: ValkeyConnection, prefix: str) -> None:
    ids = {f"s{number}" for number in range(1200)}
    send_all(connection, *(("RPUSH", f"{prefix}{one}", "x") for one in [*ids, "other"]))
    walk = Walk(prefix, "s")
    pages = []
    while not walk.finished:
        pages.append(await connection.arun(walk.page_plan()))
    assert len(pages) > 1
    assert all(page == sorted(page) for page in pages)
    found = [one for page in pages for one in page]
    assert set(found) == ids
    assert len(found) == len(ids)


def test_a_description(connection: ValkeyConnection, prefix: str, store: MessageStore) -> None:
    store.extend("a", [user("1"), user("2"), user("3")])
    store.archive_oldest("a", 1)
    store.append("b", user("1"))
    store.archive_oldest("b", 1)
    store.set_ttl("b", 600)
    first, second = connection.run(describe_plan(prefix, ["a", "nobody", "b"], memory=True))
    assert (first.id, first.messages, first.archived, first.ttl) == ("a", 2, 1, None)
    assert (second.id, second.messages, second.archived) == ("b", 0, 1)
    assert 590 < (second.ttl or 0) <= 600
    assert (first.bytes or 0) > (second.bytes or 0) > 0
    (without,) = connection.run(describe_plan(prefix, ["a"]))
    assert without.bytes is None
    assert connection.run(describe_plan(prefix, [])) == []


def test_memory_is_that_of_all_keys(
    connection: ValkeyConnection,
    prefix: str,
    store: MessageStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.append("s", user("x"))
    (before,) = connection.run(describe_plan(prefix, ["s"], memory=True))
    monkeypatch.setitem(_keys.SIDECARS, "notes", "hash")
    sidecar = _keys.sidecar(_keys.list_key(prefix, "s"), "notes")
    send(connection, "HSET", sidecar, "a", "x" * 1000)
    (after,) = connection.run(describe_plan(prefix, ["s"], memory=True))
    assert (after.bytes or 0) > (before.bytes or 0) + 1000


def test_a_foreign_sidecar_is_an_error(
    connection: ValkeyConnection, prefix: str, store: MessageStore
) -> None:
    store.append("s", user("x"))
    send(connection, "SET", _keys.sidecar(_keys.list_key(prefix, "s"), "archived"), "mine")
    with pytest.raises(KeyTypeError):
        connection.run(describe_plan(prefix, ["s"]))
