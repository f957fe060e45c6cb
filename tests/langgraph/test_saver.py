"""``ValkeySaver`` as LangGraph's interface describes it, in both faces, on both topologies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import (
    ConfigurationError,
    InvalidArgumentError,
    KeyTypeError,
    ValkeyConnection,
)

from ..servers import send
from .checkpoints import checkpoint, config, ids, put


def keys(prefix: str, thread: str = "t") -> tuple[str, str]:
    return f"{{{prefix}{thread}}}:index", f"{{{prefix}{thread}}}:values"


def fields(connection: ValkeyConnection, prefix: str, thread: str = "t") -> list[bytes]:
    found: list[bytes] = send(connection, "HKEYS", keys(prefix, thread)[1])
    return sorted(found)


def values(found: Any) -> Any:
    return found.checkpoint["channel_values"]


# What is stored


def test_a_value_is_stored_once_per_version(
    saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    where = config("t")
    for step in range(10):
        large = {"large": "x" * 100_000, "step": step}
        versions = {"large": "1", "step": str(step)}
        new = versions if step == 0 else {"step": str(step)}
        where = put(saver, where, large, versions=versions, new=new)
    assert values(saver.get_tuple(config("t"))) == {"large": "x" * 100_000, "step": 9}
    assert [values(one)["step"] for one in saver.list(config("t"))] == [*range(9, -1, -1)]
    assert send(connection, "MEMORY", "USAGE", keys(prefix)[1], "SAMPLES", "0") < 150_000


def test_a_checkpoint_comes_back_whole(saver: Any) -> None:
    made = checkpoint({"a": [1, {"b": None}], "none": None, "bytes": b"\0\1"}, {"empty": "3"})
    made["versions_seen"] = {"node": {"a": "1"}}
    made["updated_channels"] = ["a"]
    made["of_the_future"] = {"kept": True}
    metadata = {"source": "input", "step": -1, "parents": {"": "p"}, "own": {"deep": [1, 2]}}
    versions = made["channel_versions"]
    given = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "user": "u", "__x": 1}}
    stored = saver.put(given, made, metadata, versions)
    found = saver.get_tuple(stored)
    assert found.checkpoint == made
    assert found.metadata == {**metadata, "user": "u"}
    assert found.config == stored == config("t", "", made["id"])
    assert found.parent_config is None
    assert found.pending_writes == []


def test_what_put_is_given_is_left_as_it_is(saver: Any) -> None:
    made = checkpoint({"a": [1]})
    before, metadata = copy.deepcopy(made), {"step": 1}
    saver.put(config("t"), made, metadata, made["channel_versions"])
    assert (made, metadata) == (before, {"step": 1})


def test_a_channel_that_lost_its_value_has_none(saver: Any) -> None:
    first = put(saver, config("t"), {"a": 1, "b": 2})
    made = checkpoint({"a": 1}, {"b": "2"})
    saver.put(first, made, {}, {"b": "2"})
    assert values(saver.get_tuple(config("t"))) == {"a": 1}
    assert values(saver.get_tuple(first)) == {"a": 1, "b": 2}


def test_put_again_replaces(saver: Any) -> None:
    made = checkpoint({"a": 1})
    for step in range(2):
        saver.put(config("t"), made, {"step": step}, made["channel_versions"])
    (found,) = saver.list(config("t"))
    assert found.metadata == {"step": 1}


@pytest.mark.parametrize("how", ["expired", "pruned", "deleted"])
def test_a_put_on_a_thread_that_lost_its_values_stores_them_again(
    saver: Any, connection: ValkeyConnection, prefix: str, how: str
) -> None:
    """A graph runs longer than the TTL, or somebody deletes its thread meanwhile."""
    first = put(saver, config("t"), {"a": "kept", "b": 1})
    if how == "expired":
        send(connection, "PEXPIRE", keys(prefix)[0], "0")
        send(connection, "PEXPIRE", keys(prefix)[1], "0")
    elif how == "deleted":
        saver.delete_thread("t")
    else:
        put(saver, first, {"a": "other", "b": 2}, versions={"a": "x", "b": "y"})
        saver.prune(["t"])
    put(saver, first, {"a": "kept", "b": 3}, versions={"b": "3"}, new={"b": "3"})
    assert values(saver.get_tuple(config("t"))) == {"a": "kept", "b": 3}


def test_branches_keep_their_values_apart(saver: Any) -> None:
    first = put(saver, config("t"), {"a": "first"})
    branches = []
    for value in ("left", "right"):
        version = saver.store.get_next_version("1", None)
        versions = {"a": version}
        branches.append(put(saver, first, {"a": value}, versions=versions))
    assert [values(saver.get_tuple(one))["a"] for one in branches] == ["left", "right"]
    assert [saver.get_tuple(one).parent_config for one in branches] == [first, first]


# Versions


def test_versions_grow() -> None:
    saver = ValkeySaver(url="valkey://localhost:1")
    version: Any = None
    for _ in range(200):
        after = saver.get_next_version(version, None)
        assert version is None or after > version
        version = after
    assert saver.get_next_version(version, None) != saver.get_next_version(version, None)


@pytest.mark.parametrize("of_another", [0, 7, 2.5])
def test_a_thread_that_began_with_numbers_goes_on_with_numbers(of_another: float) -> None:
    """LangGraph compares them, so they stay numbers; two branches do not count alike."""
    saver = ValkeySaver(url="valkey://localhost:1")
    one, other = (saver.get_next_version(of_another, None) for _ in range(2))
    assert type(one) is type(of_another)
    assert one > of_another
    assert other > of_another
    assert one != other
    assert JsonPlusSerializer().loads_typed(JsonPlusSerializer().dumps_typed(one)) == one


def test_versions_sort_among_those_of_other_savers() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    other = InMemorySaver().get_next_version(None, None)
    own = ValkeySaver(url="valkey://localhost:1").get_next_version(other, None)
    assert other < own < InMemorySaver().get_next_version(own, None)


# Pending writes


def test_writes_come_in_the_order_in_which_they_are_applied(saver: Any) -> None:
    where = put(saver, config("t"))
    for path, task in [("b", "1"), ("a", "3"), ("a", "2"), ("", "9")]:
        saver.put_writes(where, [("x", f"{path}{task}0"), ("y", f"{path}{task}1")], task, path)
    found = saver.get_tuple(where).pending_writes
    assert [value for _, _, value in found] == [
        "90",
        "91",
        "a20",
        "a21",
        "a30",
        "a31",
        "b10",
        "b11",
    ]
    assert found[0] == ("9", "x", "90")


def test_the_first_write_stays_and_special_ones_are_replaced(saver: Any) -> None:
    where = put(saver, config("t"))
    saver.put_writes(where, [("x", 1), ("__error__", "first")], "task")
    saver.put_writes(where, [("x", 2), ("y", 3), ("__error__", "second")], "task")
    found = {(channel, value) for _, channel, value in saver.get_tuple(where).pending_writes}
    # The error stood at index 1 in the first call; "y" has it in the second.
    assert found == {("x", 1), ("y", 3), ("__error__", "second")}


def test_writes_may_be_there_before_their_checkpoint(saver: Any) -> None:
    made = checkpoint()
    saver.put_writes(config("t", "", made["id"]), [("x", 1)], "task")
    assert saver.get_tuple(config("t")) is None
    assert saver.get_tuple(config("t", "", made["id"])) is None
    saver.put(config("t"), made, {}, {})
    assert saver.get_tuple(config("t")).pending_writes == [("task", "x", 1)]


def test_no_writes_and_many_writes(make_plain_saver: Any) -> None:
    saver = make_plain_saver()
    where = put(saver, config("t"))
    saver.put_writes(where, [], "task")
    saver.put_writes(where, [("x", n) for n in range(10_000)], "task")
    saver.put_writes(where, [("x", -n) for n in range(10_001)], "task")
    found = [value for _, _, value in saver.get_tuple(where).pending_writes]
    assert found == [*range(10_000), -10_000]


def test_many_tasks_and_many_channels(make_plain_saver: Any) -> None:
    saver = make_plain_saver()
    many = {f"c{n}": n for n in range(9_000)}
    where = put(saver, config("t"), many)
    for n in range(40):
        saver.put_writes(where, [("x", n)], f"{n:05}")
    found = saver.get_tuple(where)
    assert values(found) == many
    assert [value for _, _, value in found.pending_writes] == [*range(40)]


# Listing


def test_list_over_all_namespaces_and_threads(saver: Any) -> None:
    stored = [
        put(saver, config(thread, namespace))["configurable"]
        for _ in range(3)
        for thread in ("a", "b")
        for namespace in ("", "sub:1")
    ]
    newest_first = [one["checkpoint_id"] for one in reversed(stored)]
    assert ids(saver.list(None)) == newest_first
    assert ids(saver.list(None, limit=5)) == newest_first[:5]
    assert ids(saver.list({"configurable": {"thread_id": "a"}})) == [
        one["checkpoint_id"] for one in reversed(stored) if one["thread_id"] == "a"
    ]
    before = {"configurable": stored[4]}
    assert ids(saver.list(None, before=before)) == newest_first[-4:]
    only = saver.list({"configurable": {"thread_id": "a", "checkpoint_id": newest_first[-1]}})
    assert ids(only) == newest_first[-1:]
    assert ids(saver.list(config("a", "", newest_first[-1]))) == newest_first[-1:]
    assert saver.list(config("a", "", newest_first[-1]), before={"configurable": stored[0]}) == []


def test_list_goes_in_pages(saver: Any) -> None:
    stored = [put(saver, config("t"), {"n": n}, odd=n % 2)["configurable"] for n in range(45)]
    newest_first = [one["checkpoint_id"] for one in reversed(stored)]
    odd = [one["checkpoint_id"] for one in reversed(stored[1::2])]
    for limit in (None, 0, 1, 7, 45, 1000):
        assert ids(saver.list(config("t"), limit=limit)) == newest_first[:limit]
        assert ids(saver.list(config("t"), filter={"odd": 1}, limit=limit)) == odd[:limit]
        assert saver.list(config("t"), filter={"odd": 1, "missing": 1}, limit=limit) == []


def test_large_values_are_read_in_several_pages(make_plain_saver: Any) -> None:
    saver = make_plain_saver()
    for n in range(5):
        put(saver, config("t"), {"n": bytes([n]) * 3_000_000}, versions={"n": str(n)})
        put(saver, config("u"), {"n": bytes([n]) * 3_000_000}, versions={"n": str(n)})
    assert [values(one)["n"][0] for one in saver.list(config("t"))] == [4, 3, 2, 1, 0]
    assert [values(one)["n"][0] for one in saver.list(None)] == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]


def test_tuples_of_a_list_share_nothing(saver: Any) -> None:
    where = put(saver, config("t"), {"a": []})
    put(saver, where, {"a": []}, new={})
    newer, older = saver.list(config("t"))
    values(newer)["a"].append(1)
    assert values(older)["a"] == []


# Threads


def test_delete_thread_leaves_nothing(
    saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    for thread in ("t", "t2", "t*", "*"):
        where = put(saver, config(thread, "ns"), {"a": 1})
        saver.put_writes(where, [("a", 2)], "task")
    saver.delete_thread("t*")
    assert send(connection, "EXISTS", *keys(prefix, "t*")) == 0
    assert [saver.get_tuple(config(one, "ns")) is None for one in ("t", "t2", "t*", "*")] == [
        False,
        False,
        True,
        False,
    ]
    saver.delete_thread("nobody's")


def test_delete_for_runs_keeps_what_others_need(
    saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    one, two = uuid4(), "run * {2}\0"
    first = put(saver, config("t"), {"a": 1, "b": 1}, run_id=str(one))
    saver.put_writes(first, [("a", 2)], "task")
    second = put(saver, first, {"a": 2, "b": 1}, versions={"a": "2"}, new={"a": "2"}, run_id=two)
    put(saver, config("other"), {"a": 1})
    put(saver, config("gone", "x"), {"a": 1}, run_id=str(one))
    saver.delete_for_runs([one])
    assert saver.get_tuple(first) is None
    assert values(saver.get_tuple(second)) == {"a": 2, "b": 1}
    assert send(connection, "EXISTS", *keys(prefix, "gone")) == 0
    assert not [one for one in fields(connection, prefix) if one[:1] == b"w" or b"a\0001" in one]
    saver.delete_for_runs([two])
    assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == {"other"}
    saver.delete_for_runs([])


def test_prune_leaves_the_newest_and_its_values_alone(
    saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    latest: Any = config("t")
    for n in range(5):
        latest = put(saver, latest, {"kept": 0, "n": n}, versions={"n": str(n)})
        saver.put_writes(latest, [("n", n)], "task")
    sub = put(saver, config("t", "sub"), {"n": "sub"})
    late = config("t", "", str(checkpoint()["id"]))
    saver.put_writes(late, [("n", "early")], "task")
    saver.prune(["t", "none"])
    assert ids(saver.list(config("t"))) == [latest["configurable"]["checkpoint_id"]]
    found = saver.get_tuple(config("t"))
    assert values(found) == {"kept": 0, "n": 4}
    assert found.pending_writes == [("task", "n", 4)]
    assert values(saver.get_tuple(sub)) == {"n": "sub"}
    blobs = [one for one in fields(connection, prefix) if one[:1] == b"b"]
    assert len(blobs) == 3
    saver.put(latest, checkpoint(id=late["configurable"]["checkpoint_id"]), {}, {})
    assert saver.get_tuple(config("t")).pending_writes == [("task", "n", "early")]
    saver.prune(["t"], strategy="delete")
    assert send(connection, "EXISTS", *keys(prefix)) == 0
    with pytest.raises(InvalidArgumentError, match="keep_latest"):
        saver.prune(["t"], strategy="keep_all")


def delta_chain(saver: Any, snapshots: set[int], steps: int, thread: str = "t") -> list[Any]:
    """Checkpoints of a graph with a DeltaChannel ``d``, as LangGraph's loop writes them."""
    where, stored, counter, version = config(thread), [], 0, 0
    for step in range(steps):
        counter, version = counter + 1, version + 1
        held: dict[str, Any] = {"plain": step}
        new = {"plain": str(step), "d": str(version)}
        if step in snapshots:
            held["d"], counter = _DeltaSnapshot(list(range(step))), 0
        counted: dict[str, Any] = (
            {"counters_since_delta_snapshot": {"d": (counter, counter)}} if counter else {}
        )
        where = put(saver, where, held, versions=new, new=new, **counted)
        saver.put_writes(where, [("d", [step]), ("plain", step + 1)], f"task-{step}")
        stored.append(where)
    return stored


def test_the_history_of_a_channel(saver: Any) -> None:
    stored = delta_chain(saver, {2}, 6)
    found = saver.get_delta_channel_history(config=config("t"), channels=["d", "plain", "no"])
    assert found["d"]["seed"] == _DeltaSnapshot([0, 1])
    assert found["d"]["writes"] == [(f"task-{n}", "d", [n]) for n in (2, 3, 4)]
    assert found["plain"] == {"seed": 4, "writes": [("task-4", "plain", 5)]}
    assert found["no"] == {"writes": []}
    of_third = saver.get_delta_channel_history(config=stored[2], channels=["d"])
    assert of_third == {"d": {"writes": [("task-0", "d", [0]), ("task-1", "d", [1])]}}
    missing = saver.get_delta_channel_history(config=config("none"), channels=["d", "d"])
    assert missing == {"d": {"writes": []}}
    assert saver.get_delta_channel_history(config=config("t"), channels=[]) == {}


def test_the_history_is_that_of_the_base_class(saver: Any, make_plain_saver: Any) -> None:
    plain = make_plain_saver()
    stored = delta_chain(saver, {0, 3}, 8)
    for where in [config("t"), *stored]:
        own = saver.get_delta_channel_history(config=where, channels=["d", "plain"])
        walked = BaseCheckpointSaver.get_delta_channel_history(
            plain, config=where, channels=["d", "plain"]
        )
        assert own == walked


@pytest.mark.parametrize("remove", ["prune", "copy"])
def test_what_a_delta_channel_is_rebuilt_from_stays(saver: Any, remove: str) -> None:
    stored = delta_chain(saver, {0, 3}, 8)
    before = saver.get_delta_channel_history(config=config("t"), channels=["d"])
    if remove == "prune":
        saver.prune(["t"])
        assert ids(saver.list(config("t"))) == ids([saver.get_tuple(s) for s in stored[:2:-1]])
        thread = "t"
    else:
        saver.copy_thread("t", "copy")
        thread = "copy"
    after = saver.get_delta_channel_history(config=config(thread), channels=["d"])
    assert after == before
    assert before["d"]["seed"] == _DeltaSnapshot([0, 1, 2])


def test_prune_takes_all_but_the_newest_where_that_holds_the_snapshot(saver: Any) -> None:
    delta_chain(saver, {0, 3, 7}, 8)
    saver.prune(["t"])
    assert len(saver.list(config("t"))) == 1


def test_a_checkpoint_that_is_its_own_parent_ends_every_walk(saver: Any) -> None:
    where = put(saver, config("t"), {"a": 1}, counters_since_delta_snapshot={"d": (1, 1)})
    same = where["configurable"]["checkpoint_id"]
    put(saver, where, {"a": 1}, versions={"d": "1"}, new={"d": "1"}, id=same,
        counters_since_delta_snapshot={"d": (1, 1)})  # fmt: skip
    assert saver.get_delta_channel_history(config=where, channels=["d"])["d"]["writes"] == []
    saver.prune(["t"])
    assert len(saver.list(config("t"))) == 1


def test_copy_thread_is_whole_and_apart(saver: Any) -> None:
    for namespace in ("", "sub\0:1"):
        where = config("t", namespace)
        for n in range(3):
            where = put(saver, where, {"n": n}, versions={"n": str(n)}, run_id="r")
            saver.put_writes(where, [("n", n)], "task", "path")
    saver.copy_thread("t", "copy*")
    both = [
        [(one.checkpoint, one.metadata, one.pending_writes) for one in saver.list(where)]
        for where in ({"configurable": {"thread_id": one}} for one in ("t", "copy*"))
    ]
    assert both[0] == both[1] != []
    saver.delete_thread("t")
    assert len(saver.list(None)) == 6
    saver.copy_thread("copy*", "copy*")
    saver.copy_thread("none", "also none")
    assert saver.list(config("also none")) == []


def test_a_copy_in_several_steps(saver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from valkey_memory._checkpoints import walk

    monkeypatch.setattr(walk, "_COPY_BYTES", 1000)
    for n in range(5):
        put(saver, config("t"), {"n": str(n) * 900}, versions={"n": str(n)})
    saver.copy_thread("t", "u")
    assert [values(one) for one in saver.list(config("u"))] == [
        values(one) for one in saver.list(config("t"))
    ]


# Expiry


def ttls(connection: ValkeyConnection, prefix: str, thread: str = "t") -> list[int]:
    return [send(connection, "PTTL", key) for key in keys(prefix, thread)]


def test_every_write_restarts_the_ttl_of_the_whole_thread(
    make_saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    saver = make_saver(ttl=60)
    made = checkpoint({"a": 1})
    writes: list[Callable[[], Any]] = [
        lambda: saver.put(config("t"), made, {}, made["channel_versions"]),
        lambda: saver.put_writes(config("t", "", made["id"]), [("a", 1)], "task"),
    ]
    for write in writes:
        write()
        assert all(50_000 < left <= 60_000 for left in ttls(connection, prefix))
        for key in keys(prefix):
            send(connection, "PEXPIRE", key, "5000")
    reads: list[Callable[[], Any]] = [
        lambda: saver.get_tuple(config("t")),
        lambda: saver.list(config("t")),
        lambda: saver.prune(["t"]),
    ]
    for read in reads:
        read()
        assert all(0 < left <= 5_000 for left in ttls(connection, prefix))
    saver.copy_thread("t", "u")
    assert all(50_000 < left <= 60_000 for left in ttls(connection, prefix, "u"))
    saver.put_writes(config("first", "", "c"), [("a", 1)], "task")
    assert all(50_000 < left <= 60_000 for left in ttls(connection, prefix, "first"))


def test_reading_restarts_the_ttl_when_asked(
    make_saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    saver = make_saver(ttl=60, refresh_ttl_on_read=True)
    put(saver, config("t"), {"a": 1})
    reads: list[Callable[[], Any]] = [
        lambda: saver.get_tuple(config("t")),
        lambda: saver.list(config("t")),
        lambda: saver.get_delta_channel_history(config=config("t"), channels=["a"]),
    ]
    for read in reads:
        for key in keys(prefix):
            send(connection, "PEXPIRE", key, "5000")
        read()
        assert all(50_000 < left <= 60_000 for left in ttls(connection, prefix))
    saver.get_tuple(config("none"))
    assert ttls(connection, prefix, "none") == [-2, -2]


def test_without_ttl_an_expiry_stays(
    make_saver: Any, connection: ValkeyConnection, prefix: str
) -> None:
    where = put(make_saver(ttl=60), config("t"), {"a": 1})
    put(make_saver(), where, {"a": 2}, versions={"a": "2"})
    make_saver(refresh_ttl_on_read=True).get_tuple(where)
    assert all(50_000 < left <= 60_000 for left in ttls(connection, prefix))


@pytest.mark.parametrize("ttl", [0, -1, True, "60", float("nan")])
def test_a_bad_ttl(ttl: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl"):
        ValkeySaver(url="valkey://localhost:1", ttl=ttl)


# Ids


def test_numbers_and_uuids_are_ids_too(saver: Any) -> None:
    for thread in (7, UUID(int=7)):
        stored = put(saver, config(thread), {"a": 1}, run_id=UUID(int=9))
        assert saver.get_tuple(config(str(thread))).config == stored
        assert stored["configurable"]["thread_id"] == str(thread)
    saver.delete_for_runs([UUID(int=9)])
    assert saver.list(None) == []
    put(saver, config(7), {"a": 1})
    saver.delete_thread(7)
    assert saver.get_tuple(config(7)) is None


@pytest.mark.parametrize("bad", [None, "", True, 1.5, b"t", ["t"], "\ud800"])
def test_an_id_that_is_none_is_refused(saver: Any, bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="thread_id"):
        saver.get_tuple(config(bad))
    with pytest.raises(InvalidArgumentError, match="thread_id"):
        put(saver, config(bad))
    with pytest.raises(InvalidArgumentError, match="thread_id"):
        saver.delete_thread(bad)
    with pytest.raises(InvalidArgumentError):
        saver.copy_thread("t", bad)
    with pytest.raises(InvalidArgumentError, match="run id"):
        saver.delete_for_runs([bad])


def test_a_config_without_a_thread(saver: Any) -> None:
    wrong: Any
    for wrong in ({}, {"configurable": {}}):
        with pytest.raises(InvalidArgumentError, match="names no thread"):
            saver.get_tuple(wrong)
    for wrong in (None, "t", {"configurable": "thread_id"}):
        with pytest.raises(InvalidArgumentError, match="a config is a dict such as"):
            saver.get_tuple(wrong)


def test_one_id_is_no_list_of_ids(saver: Any) -> None:
    """Its letters may be the ids of other threads."""
    put(saver, config("t"), {"a": 1}, run_id="r")
    calls: list[Callable[[Any], Any]] = [
        lambda given: saver.prune(given, strategy="delete"),
        saver.prune,
        saver.delete_for_runs,
        lambda given: saver.get_delta_channel_history(config=config("t"), channels=given),
    ]
    wrong: Any
    for wrong in ("rt", b"t", None, 5):
        for call in calls:
            with pytest.raises(InvalidArgumentError, match="give a list of"):
                call(wrong)
    assert len(saver.list(config("t"))) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"limit": -1},
        {"limit": 1.5},
        {"limit": "1"},
        {"filter": "run"},
        {"filter": [("a", 1)]},
        {"before": "t"},
        {"before": config("t", "", 1.5)},
    ],
    ids=str,
)
def test_a_list_that_cannot_be(saver: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        saver.list(config("t"), **options)


def test_before_an_id_that_is_a_uuid(saver: Any) -> None:
    older, newer = (put(saver, config("t"))["configurable"]["checkpoint_id"] for _ in range(2))
    before = config("t", "", UUID(newer))
    assert ids(saver.list(config("t"), before=before)) == [older]


@pytest.mark.parametrize("bad", ["\ud800", 1.5])
def test_a_namespace_that_is_no_text(saver: Any, bad: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        saver.get_tuple(config("t", bad))
    with pytest.raises(InvalidArgumentError):
        put(saver, config("t", bad))
    with pytest.raises(InvalidArgumentError):
        saver.list(config("t", bad))


def test_writes_need_a_checkpoint_and_names(saver: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="checkpoint id"):
        saver.put_writes(config("t"), [("a", 1)], "task")
    where = config("t", "", "c")
    wrong: Any
    for wrong in (([("a", 1)], None), ([("a", 1)], 5), ([(1, 1)], "task"), ([("a", 1)], "t", None)):
        with pytest.raises(InvalidArgumentError, match="a name must be a string"):
            saver.put_writes(where, *wrong)
    assert saver.list({"configurable": {"thread_id": "t"}}) == []


# What else is there


@pytest.mark.parametrize("number", [0, 1])
def test_a_foreign_key_is_refused_and_left_alone(
    saver: Any, connection: ValkeyConnection, prefix: str, number: int
) -> None:
    send(connection, "SET", keys(prefix)[number], "mine")
    writes: list[Callable[[], Any]] = [
        lambda: put(saver, config("t"), {"a": 1}),
        lambda: saver.put_writes(config("t", "", "c"), [("a", 1)], "task"),
        lambda: saver.prune(["t"]),
    ]
    for write in writes:
        with pytest.raises(KeyTypeError):
            write()
    assert send(connection, "GET", keys(prefix)[number]) == b"mine"
    assert send(connection, "EXISTS", keys(prefix)[1 - number]) == 0


def test_savers_of_other_prefixes_see_nothing(make_saver: Any, prefix: str) -> None:
    put(make_saver(), config("t"), {"a": 1})
    other = make_saver(key_prefix=f"{prefix}*")
    assert other.get_tuple(config("t")) is None
    assert other.list(None) == []


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="tll"):
        ValkeySaver(url="valkey://localhost:1", tll=5)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="braces"):
        ValkeySaver(url="valkey://localhost:1", key_prefix="{a}")


# Serialisers


class FernetCipher:
    def __init__(self) -> None:
        self.fernet = Fernet(Fernet.generate_key())

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        return "fernet", self.fernet.encrypt(plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "fernet"
        return self.fernet.decrypt(ciphertext)


def test_an_encrypted_state(make_saver: Any, connection: ValkeyConnection, prefix: str) -> None:
    saver = make_saver(serde=EncryptedSerializer(FernetCipher()))
    where = put(saver, config("t"), {"a": "a secret"}, note="a secret")
    saver.put_writes(where, [("a", "a secret")], "task")
    found = saver.get_tuple(config("t"))
    assert values(found) == {"a": "a secret"}
    assert found.metadata["note"] == "a secret"
    assert found.pending_writes == [("task", "a", "a secret")]
    assert len(saver.list(config("t"), filter={"note": "a secret"})) == 1
    stored = send(connection, "HGETALL", keys(prefix)[1])
    assert b"a secret" not in repr(stored).encode()


@dataclass
class Unknown:
    value: int


def test_what_the_serialiser_refuses_stays_refused(make_saver: Any) -> None:
    strict = JsonPlusSerializer(allowed_msgpack_modules=None)
    put(make_saver(), config("t"), {"a": Unknown(1)})
    refused = make_saver(serde=strict)
    assert values(refused.get_tuple(config("t"))) == {"a": {"value": 1}}
    allowed = refused.store.with_allowlist([(Unknown.__module__, "Unknown")])
    assert isinstance(allowed, ValkeySaver)
    assert values(allowed.get_tuple(config("t"))) == {"a": Unknown(1)}
    assert refused.store.serde is strict


def test_what_cannot_be_stored_is_an_error_and_changes_nothing(saver: Any) -> None:
    with pytest.raises(TypeError):
        put(saver, config("t"), {"a": object()})
    assert saver.list(config("t")) == []


# Pickles and copies


def test_a_pickled_saver_goes_on(url: str, prefix: str) -> None:
    saver = ValkeySaver(url=url, key_prefix=prefix, ttl=60)
    where = put(saver, config("t"), {"a": 1})
    again = pickle.loads(pickle.dumps(saver))  # noqa: S301
    assert values(again.get_tuple(where)) == {"a": 1}
    assert again.serde is saver.serde
    assert again.connection is saver.connection
    for copied in (copy.copy, copy.deepcopy):
        assert values(copied(saver).get_tuple(where)) == {"a": 1}
    serde = EncryptedSerializer(FernetCipher())
    assert copy.copy(ValkeySaver(url=url, serde=serde)).serde is serde
