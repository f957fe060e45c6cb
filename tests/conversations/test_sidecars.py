"""Sidecars are one table: whatever touches a conversation takes the list and all of them."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import KeyTypeError, MessageStore, ValkeyConnection
from valkey_memory._conversations.transfer import Whole, write_whole_plan
from valkey_memory._keys import SIDECARS, content_keys, conversation_keys, sidecar
from valkey_memory._plans import Change, Command, changes_plan

from .test_message_lists import EDITS, said, texts

EXTRA = "notes"


@pytest.fixture(autouse=True)
def extra_sidecar(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more sidecar, as a coming feature would register it."""
    monkeypatch.setitem(SIDECARS, EXTRA, "hash")


def at_once(connection: ValkeyConnection, key: str, *commands: Command) -> list[Any]:
    return connection.run(changes_plan(*(Change("look", key, (one,)) for one in commands)))


def expiries(connection: ValkeyConnection, key: str) -> list[int]:
    """When each key of a conversation expires; keys that are not there are left out.

    What remembers its writes expires with it; in a minute when there is nothing left.
    """
    commands = [("PEXPIRETIME", one) for one in conversation_keys(key)]
    *contents, writes = at_once(connection, key, *commands)
    found = [one for one in contents if one != -2]
    assert (
        writes in found or (not found and -1 < writes < (time.time() + 61) * 1000) or writes == -2
    )
    return found


@pytest.mark.parametrize("ttl", [None, 500], ids=["no ttl", "ttl"])
@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_takes_the_extra_sidecar(
    make_store: Any, connection: ValkeyConnection, prefix: str, edit: str, ttl: int | None
) -> None:
    key = f"{prefix}s"
    *_, extra = content_keys(key)
    owner = make_store(ttl=100)
    owner.extend("s", said(*"abcdef"))
    owner.archive_oldest("s", 2)
    at_once(connection, key, ("HSET", extra, "a", "b"))
    (before,) = set(expiries(connection, key)) - {-1}
    name, arguments, options = EDITS[edit]
    getattr(make_store(ttl=ttl), name)("s", *arguments, **options)
    found = expiries(connection, key)
    if name in ("take", "delete_archived"):  # the rest is not written anew, but expires together
        ttl = None
    assert len(set(found)) == 1, found
    assert at_once(connection, key, ("HGETALL", extra)) == [{b"a": b"b"}]
    assert (found[0] == before) if ttl is None else (found[0] > before)


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.delete("s"),
        lambda store: store.take("s"),
    ],
    ids=["delete", "take"],
)
def test_deleting_deletes_the_extra_sidecar(
    make_store: Any, connection: ValkeyConnection, prefix: str, action: Any
) -> None:
    key = f"{prefix}s"
    *_, extra = content_keys(key)
    make_store().append("s", said("a")[0])
    at_once(connection, key, ("HSET", extra, "a", "b"))
    action(make_store())
    assert at_once(connection, key, ("EXISTS", *conversation_keys(key))) == [0]


def test_expiry_alone_takes_the_extra_sidecar(
    make_store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    key = f"{prefix}s"
    *_, extra = content_keys(key)
    store = make_store(ttl=100, refresh_ttl_on_read=True)
    store.append("s", said("a")[0])
    at_once(connection, key, ("HSET", extra, "a", "b"))
    store.messages("s")
    assert len(set(expiries(connection, key))) == 1
    store.set_ttl("s", None)
    assert expiries(connection, key) == [-1, -1]
    store.set_ttl("s", 1000)
    assert len(set(expiries(connection, key))) == 1


@pytest.mark.parametrize("mode", ["new", "replace", "append"])
def test_an_import_takes_the_extra_sidecar(
    connection: ValkeyConnection, prefix: str, mode: Any
) -> None:
    key = f"{prefix}s"
    *_, extra = content_keys(key)
    at_once(connection, key, ("HSET", extra, "a", "b"))
    whole = Whole("s", 100_000, [b'{"role":"user","content":"a"}'])
    refused = connection.run(write_whole_plan(prefix, [whole], mode))
    kept = at_once(connection, key, ("EXISTS", extra))[0]
    assert (refused, kept) == (["s"] if mode == "new" else [], 0 if mode == "replace" else 1)
    assert len(set(expiries(connection, key))) == 1


FOREIGN = {**EDITS, "delete": ("delete", (), {}), "set_ttl": ("set_ttl", (50,), {})}


@pytest.mark.parametrize("name_of_foreign", ["archived", EXTRA])
@pytest.mark.parametrize("edit", FOREIGN)
def test_a_foreign_key_is_refused_before_anything_is_changed(
    make_store: Any, connection: ValkeyConnection, prefix: str, edit: str, name_of_foreign: str
) -> None:
    key = f"{prefix}s"
    foreign = sidecar(key, name_of_foreign)
    other = sidecar(key, "meta" if name_of_foreign == "archived" else "archived")
    make_store(ttl=100).extend("s", said(*"abc"))
    fill = ("HSET", other, "a", "b") if name_of_foreign == "archived" else ("RPUSH", other, "old")
    at_once(connection, key, ("SET", foreign, "mine"), fill)
    before = expiries(connection, key)
    name, arguments, options = FOREIGN[edit]
    with pytest.raises(KeyTypeError, match=name_of_foreign):
        getattr(make_store(ttl=500, max_messages=2), name)("s", *arguments, **options)
    assert texts(make_store().messages("s")) == list("abc")
    assert at_once(connection, key, ("GET", foreign), ("EXISTS", other)) == [b"mine", 1]
    assert expiries(connection, key) == before


STEPS = st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.booleans()), min_size=1, max_size=8)


@pytest.mark.parametrize("topology", ["standalone", "cluster"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, beginning=st.sampled_from(["nothing", "ttl", "no ttl"]))
def test_one_rule_for_stores_with_and_without_a_ttl(
    request: pytest.FixtureRequest,
    topology: str,
    steps: list[tuple[str, bool]],
    beginning: str,
) -> None:
    """All keys expire together. A write with a TTL restarts it, one without keeps what is there."""
    connection: ValkeyConnection = request.getfixturevalue(f"{topology}_connection")
    prefix = f"test-{uuid.uuid4().hex}:"
    key = f"{prefix}s"
    stores = {
        has_ttl: MessageStore(
            connection=connection, key_prefix=prefix, ttl=100 if has_ttl else None
        )
        for has_ttl in (True, False)
    }
    if beginning != "nothing":
        stores[beginning == "ttl"].extend("s", said(*"abcd"))
        stores[beginning == "ttl"].archive_oldest("s", 1)
        at_once(connection, key, ("HSET", content_keys(key)[-1], "a", "b"))
        stores[beginning == "ttl"].append("s", said("e")[0])
    for edit, has_ttl in steps:
        before = expiries(connection, key)
        name, arguments, options = EDITS[edit]
        getattr(stores[has_ttl], name)("s", *arguments, **options)
        after = expiries(connection, key)
        assert len(set(after)) <= 1, (edit, has_ttl)
        restarts = has_ttl and name not in ("take", "delete_archived")
        if after and restarts:
            assert after[0] > 0
        elif after:
            assert after[0] == (before[0] if before else -1), (edit, has_ttl)
