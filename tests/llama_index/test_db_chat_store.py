"""ValkeyDBChatStore: every method with every status, and LlamaIndex's own SQL store as oracle."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from sqlalchemy.ext.asyncio import create_async_engine

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import (
    CorruptMessageError,
    InvalidArgumentError,
    MessageEncodeError,
    MessageStore,
    ValkeyConnection,
)

from ..servers import send
from .behind import elements
from .messages import calling, said, texts_of

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED
STATUSES = [ACTIVE, ARCHIVED, None]
every_status = pytest.mark.parametrize("status", STATUSES, ids=["active", "archived", "any"])
each_status = pytest.mark.parametrize("status", [ACTIVE, ARCHIVED], ids=["active", "archived"])


@pytest.fixture
def store(connection: ValkeyConnection, prefix: str) -> ValkeyDBChatStore:
    return ValkeyDBChatStore(connection=connection, key_prefix=prefix)


@asynccontextmanager
async def sql_store() -> AsyncIterator[SQLAlchemyChatStore]:
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    try:
        yield SQLAlchemyChatStore(table_name="messages", async_engine=engine)
    finally:
        await engine.dispose()


async def filled(store: AsyncDBChatStore) -> Any:
    """``store`` with a to c archived and d to g active, under the key s."""
    await store.add_messages("s", said(*"abcdefg"))
    await store.archive_oldest_messages("s", 3)
    return store


async def texts(store: AsyncDBChatStore, status: MessageStatus | None) -> str:
    return "".join(text or "" for text in texts_of(await store.get_messages("s", status)))


async def contents(store: AsyncDBChatStore) -> tuple[str, str]:
    """The texts of the active and of the archived messages."""
    return await texts(store, ACTIVE), await texts(store, ARCHIVED)


# Adding and reading


@each_status
async def test_messages_come_back_equal_and_in_order(
    store: ValkeyDBChatStore, status: MessageStatus
) -> None:
    conversation = [
        *said("2 + 3?"),
        calling("add", "c1", a=2, b=3),
        ChatMessage(role="tool", content="5", additional_kwargs={"tool_call_id": "c1"}),
    ]
    await store.add_messages("s", conversation, status)
    await store.add_message("s", ChatMessage(role="assistant", content="Five."), status)
    conversation.append(ChatMessage(role="assistant", content="Five."))
    assert await store.get_messages("s", status) == conversation
    assert await store.get_messages("s", None) == conversation
    other = ARCHIVED if status is ACTIVE else ACTIVE
    assert await store.get_messages("s", other) == []


async def test_active_is_the_default(store: ValkeyDBChatStore) -> None:
    await store.add_message("s", said("a")[0])
    await store.add_messages("s", said("b"))
    assert await store.get_messages("s") == said("a", "b")
    assert await store.count_messages("s") == 2
    await store.set_messages("s", said("c"))
    assert await contents(store) == ("c", "")


@every_status
async def test_an_unknown_conversation_is_empty(
    store: ValkeyDBChatStore, status: MessageStatus | None
) -> None:
    assert await store.get_messages("s", status) == []
    assert await store.count_messages("s", status) == 0
    assert await store.delete_message("s", 0) is None
    assert await store.delete_oldest_messages("s", 2) == []
    assert await store.archive_oldest_messages("s", 2) == []
    await store.delete_messages("s", status)
    assert await store.get_keys() == []


@each_status
async def test_adding_no_messages_adds_none(
    store: ValkeyDBChatStore, status: MessageStatus
) -> None:
    await store.add_messages("s", [], status)
    assert await store.count_messages("s", None) == 0


async def test_conversations_are_apart(store: ValkeyDBChatStore) -> None:
    await filled(store)
    await store.add_message("t", said("other")[0])
    await store.delete_messages("s")
    assert await store.get_messages("t") == said("other")
    assert await store.get_keys() == ["t"]


@every_status
async def test_each_read_gives_fresh_messages(
    store: ValkeyDBChatStore, status: MessageStatus | None
) -> None:
    await filled(store)
    first = await store.get_messages("s", status)
    first[0].additional_kwargs["session_id"] = "s"  # as memory blocks do
    first[0].content = "changed"
    first.clear()
    assert (await store.get_messages("s", status))[0] in said("a", "d")


async def test_a_batch_with_a_bad_message_adds_nothing(store: ValkeyDBChatStore) -> None:
    bad: Any = {"role": "user"}
    with pytest.raises(MessageEncodeError):
        await store.add_messages("s", [*said("a"), bad])
    assert await store.count_messages("s", None) == 0


async def test_the_window_counts_active_messages_only(
    connection: ValkeyConnection, prefix: str
) -> None:
    store = ValkeyDBChatStore(connection=connection, key_prefix=prefix, max_messages=2)
    await store.add_messages("s", said("x", "y", "z"), ARCHIVED)
    await store.add_messages("s", said("a", "b", "c"))
    assert await contents(store) == ("bc", "xyz")


# Setting, deleting, archiving


@each_status
async def test_set_messages_replaces_the_whole_conversation(
    store: ValkeyDBChatStore, status: MessageStatus
) -> None:
    """``AsyncDBChatStore.set_messages``: "Set all messages for a key (replacing existing ones)".

    ``SQLAlchemyChatStore.set_messages`` begins with ``delete_messages(key)``, of any status.
    """
    async with sql_store() as oracle:
        for each in (store, oracle):
            await filled(each)
            await each.set_messages("s", said("x", "y"), status)
            assert await contents(each) == (("xy", "") if status is ACTIVE else ("", "xy"))
            await each.set_messages("s", [], status)
            assert await each.count_messages("s", None) == 0
            assert await each.get_keys() == []


@pytest.mark.parametrize(
    ("status", "left"),
    [(ACTIVE, ("", "abc")), (ARCHIVED, ("defg", "")), (None, ("", ""))],
    ids=["active", "archived", "any"],
)
async def test_delete_messages_of_a_status(
    store: ValkeyDBChatStore, status: MessageStatus | None, left: tuple[str, str]
) -> None:
    await filled(store)
    await store.delete_messages("s", status)
    assert await contents(store) == left


async def test_delete_messages_deletes_all_by_default(
    store: ValkeyDBChatStore, connection: ValkeyConnection, prefix: str
) -> None:
    await filled(store)
    await store.delete_messages("s")
    assert await contents(store) == ("", "")
    assert send(connection, "EXISTS", f"{prefix}s") == 0
    assert send(connection, "EXISTS", f"{{{prefix}s}}:archived") == 0


@pytest.mark.parametrize("idx", [-5, -4, -2, -1, 0, 1, 3, 4])
async def test_delete_message_is_list_pop_of_the_active_ones(
    store: ValkeyDBChatStore, idx: int
) -> None:
    await filled(store)
    expected = said(*"defg")
    deleted = expected.pop(idx) if -4 <= idx < 4 else None
    assert await store.delete_message("s", idx) == deleted
    assert await store.get_messages("s") == expected
    assert await texts(store, ARCHIVED) == "abc"


@pytest.mark.parametrize("n", [1, 3, 4, 99])
async def test_delete_oldest_messages(store: ValkeyDBChatStore, n: int) -> None:
    await filled(store)
    assert await store.delete_oldest_messages("s", n) == said(*"defg"[:n])
    assert await contents(store) == ("defg"[n:], "abc")


@pytest.mark.parametrize("n", [1, 3, 4, 99])
async def test_archive_oldest_messages(store: ValkeyDBChatStore, n: int) -> None:
    await filled(store)
    assert await store.archive_oldest_messages("s", n) == said(*"defg"[:n])
    assert await contents(store) == ("defg"[n:], "abc" + "defg"[:n])


async def test_archived_messages_stay_what_they_were(
    store: ValkeyDBChatStore, connection: ValkeyConnection, prefix: str
) -> None:
    await store.add_messages("s", [calling("add", "c1", a=2), *said("b")])
    before = elements(connection, f"{prefix}s")
    await store.archive_oldest_messages("s", 1)
    assert elements(connection, f"{{{prefix}s}}:archived") == before[:1]
    assert elements(connection, f"{prefix}s") == before[1:]


async def test_keys_are_those_of_any_status(store: ValkeyDBChatStore) -> None:
    async with sql_store() as oracle:
        for each in (store, oracle):
            await filled(each)
            await each.add_message("archived only", said("x")[0], ARCHIVED)
            await each.add_message("b{r}aces", said("x")[0])
            assert sorted(await each.get_keys()) == ["archived only", "b{r}aces", "s"]


# Expiry


CHANGES: dict[str, Callable[[ValkeyDBChatStore], Awaitable[Any]]] = {
    "add": lambda store: store.add_message("s", said("x")[0]),
    "add archived": lambda store: store.add_message("s", said("x")[0], ARCHIVED),
    "set": lambda store: store.set_messages("s", said("x")),
    "delete": lambda store: store.delete_message("s", 0),
    "delete oldest": lambda store: store.delete_oldest_messages("s", 1),
    "archive": lambda store: store.archive_oldest_messages("s", 1),
}
changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def expiries(connection: ValkeyConnection, prefix: str) -> list[int]:
    """Milliseconds left of the lists that are there, of one at least."""
    keys = (f"{prefix}s", f"{{{prefix}s}}:archived")
    found = [left for key in keys if (left := send(connection, "PTTL", key)) != -2]
    assert found
    return found


@changes
async def test_active_and_archived_messages_expire_together(
    connection: ValkeyConnection,
    prefix: str,
    change: Callable[[ValkeyDBChatStore], Awaitable[Any]],
) -> None:
    store = ValkeyDBChatStore(connection=connection, key_prefix=prefix, ttl=1000)
    await filled(store)
    for key in (f"{prefix}s", f"{{{prefix}s}}:archived"):
        send(connection, "PEXPIRE", key, "50000")
    await change(store)
    assert all(900_000 < left <= 1_000_000 for left in expiries(connection, prefix))


@changes
async def test_a_change_keeps_a_ttl_that_is_there(
    store: ValkeyDBChatStore,
    connection: ValkeyConnection,
    prefix: str,
    change: Callable[[ValkeyDBChatStore], Awaitable[Any]],
) -> None:
    await filled(store)
    for key in (f"{prefix}s", f"{{{prefix}s}}:archived"):
        send(connection, "PEXPIRE", key, "900000")
    await change(store)
    assert all(800_000 < left <= 900_000 for left in expiries(connection, prefix))


async def test_what_is_archived_first_takes_over_the_ttl(
    store: ValkeyDBChatStore, connection: ValkeyConnection, prefix: str
) -> None:
    await store.add_messages("s", said("a", "b"))
    send(connection, "PEXPIRE", f"{prefix}s", "900000")
    await store.archive_oldest_messages("s", 1)
    assert all(800_000 < left <= 900_000 for left in expiries(connection, prefix))


@pytest.mark.parametrize("refresh", [False, True])
@pytest.mark.parametrize("limit", [None, 1])
async def test_reading_restarts_the_ttl_only_when_asked(
    connection: ValkeyConnection, prefix: str, refresh: bool, limit: int | None
) -> None:
    store = ValkeyDBChatStore(
        connection=connection, key_prefix=prefix, ttl=1000, refresh_ttl_on_read=refresh
    )
    await filled(store)
    for key in (f"{prefix}s", f"{{{prefix}s}}:archived"):
        send(connection, "PEXPIRE", key, "50000")
    await store.get_messages("s", limit=limit)
    assert [left > 50_000 for left in expiries(connection, prefix)] == [refresh, refresh]


# Other readers and writers


async def test_the_chat_store_and_plain_code_see_the_active_messages(
    store: ValkeyDBChatStore, connection: ValkeyConnection, prefix: str
) -> None:
    await filled(store)
    chat_store = ValkeyChatStore(connection=connection, key_prefix=prefix)
    assert await chat_store.aget_messages("s") == said(*"defg")
    plain = MessageStore(connection=connection, key_prefix=prefix)
    await plain.aappend("s", {"role": "assistant", "content": "h"})
    assert (await store.get_messages("s"))[-1] == ChatMessage(role="assistant", content="h")


@pytest.mark.parametrize(
    ("status", "key", "position"),
    [(ACTIVE, "{}s", 4), (ARCHIVED, "{{{}s}}:archived", 3), (None, "{{{}s}}:archived", 3)],
    ids=["active", "archived", "any"],
)
async def test_an_unreadable_element_is_named(
    store: ValkeyDBChatStore,
    connection: ValkeyConnection,
    prefix: str,
    status: MessageStatus | None,
    key: str,
    position: int,
) -> None:
    await filled(store)
    for damaged in (f"{prefix}s", f"{{{prefix}s}}:archived"):
        send(connection, "RPUSH", damaged, "not json")
    with pytest.raises(CorruptMessageError) as caught:
        await store.get_messages("s", status)
    assert (caught.value.key, caught.value.position) == (key.format(prefix), position)
    skipping = ValkeyDBChatStore(connection=connection, key_prefix=prefix, on_corrupt="skip")
    assert await contents(skipping) == ("defg", "abc")


# The SQL store as oracle, where row ids do not matter

LIMITS = [None, 0, 1, 2, 3, 4, 7, 99]
OFFSETS = [None, 0, 1, 2, 4, 7, 99]


@every_status
async def test_limit_and_offset_are_those_of_the_sql_store(
    store: ValkeyDBChatStore, status: MessageStatus | None
) -> None:
    await filled(store)
    async with sql_store() as oracle:
        await filled(oracle)
        for limit, offset in itertools.product(LIMITS, OFFSETS):
            ours = await store.get_messages("s", status, limit, offset)
            theirs = await oracle.get_messages("s", status, limit, offset)
            assert (limit, offset, ours) == (limit, offset, theirs)


@pytest.mark.parametrize("bad", [-1, 1.5, "2", True])
@pytest.mark.parametrize("name", ["limit", "offset"])
async def test_an_impossible_limit_or_offset_is_an_error(
    store: ValkeyDBChatStore, name: str, bad: Any
) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        await store.get_messages("s", **{name: bad})


@pytest.mark.parametrize("method", ["delete_oldest_messages", "archive_oldest_messages"])
async def test_the_oldest_none_are_none_as_in_the_sql_store(
    store: ValkeyDBChatStore, method: str
) -> None:
    await filled(store)
    async with sql_store() as oracle:
        await filled(oracle)
        assert await getattr(oracle, method)("s", 0) == []
    assert await getattr(store, method)("s", 0) == []
    assert await contents(store) == ("defg", "abc")


@pytest.mark.parametrize("method", ["delete_oldest_messages", "archive_oldest_messages"])
@pytest.mark.parametrize("n", [-1, 1.5, "2", True])
async def test_an_impossible_number_is_an_error(
    store: ValkeyDBChatStore, method: str, n: Any
) -> None:
    await filled(store)
    with pytest.raises(InvalidArgumentError, match="n must be"):
        await getattr(store, method)("s", n)
    assert await contents(store) == ("defg", "abc")


# Archived messages come from archiving here: the SQL store sorts by time, ours by archiving.
steps = st.one_of(
    st.tuples(st.just("add_message"), st.none()),
    st.tuples(st.just("add_messages"), st.integers(1, 3)),
    st.tuples(st.just("set_messages"), st.integers(0, 3)),
    st.tuples(st.just("archive_oldest_messages"), st.integers(1, 4)),
    st.tuples(st.just("delete_oldest_messages"), st.integers(1, 4)),
    st.tuples(st.just("delete_messages"), st.sampled_from(STATUSES)),
)
views = st.tuples(
    st.sampled_from(STATUSES),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 6),
)


async def run_on_both(
    connection: ValkeyConnection, calls: list[tuple[tuple[str, Any], tuple[Any, Any, Any]]]
) -> None:
    ours = ValkeyDBChatStore(connection=connection, key_prefix=f"{uuid.uuid4()}:")
    async with sql_store() as theirs:
        for position, ((name, argument), (status, limit, offset)) in enumerate(calls):
            if name == "add_message":
                argument = said(f"{position}")[0]
            elif name in ("add_messages", "set_messages"):
                argument = said(*(f"{position}.{number}" for number in range(argument)))
            results = [await getattr(store, name)("s", argument) for store in (ours, theirs)]
            assert results[0] == results[1]
            for shown in STATUSES:
                assert await ours.get_messages("s", shown) == await theirs.get_messages("s", shown)
                counts = [await store.count_messages("s", shown) for store in (ours, theirs)]
                assert counts[0] == counts[1]
            pages = [
                await store.get_messages("s", status, limit, offset) for store in (ours, theirs)
            ]
            assert pages[0] == pages[1]


@given(st.lists(st.tuples(steps, views), max_size=10))
@settings(deadline=None, max_examples=40)
def test_any_sequence_of_calls_has_the_sql_stores_outcome(
    standalone_connection: ValkeyConnection,
    calls: list[tuple[tuple[str, Any], tuple[Any, Any, Any]]],
) -> None:
    asyncio.run(run_on_both(standalone_connection, calls))


async def test_many_tasks_add_and_archive_at_once_and_nothing_is_lost(
    store: ValkeyDBChatStore,
) -> None:
    sent = [f"m{number}" for number in range(60)]
    await asyncio.gather(
        *(store.add_message("s", said(text)[0]) for text in sent),
        *(store.archive_oldest_messages("s", 2) for _ in range(20)),
    )
    assert set(texts_of(await store.get_messages("s", None))) == set(sent)
    assert await store.count_messages("s", None) == 60
