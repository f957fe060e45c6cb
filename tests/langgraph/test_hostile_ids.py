"""Ids are values, never patterns: none reaches another's data, none is lost by deleting."""

from __future__ import annotations

import random
from itertools import islice, product
from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import ValkeyConnection
from valkey_memory._plans import Plan, Scan

from .checkpoints import config, put

PIECES = ["*", "?", "[a-z]", "{", "}", "{a}", ":", "%", "%7B", "\n", "\0", "\1", "\1\1", "\1\2"]
PIECES += ["\x7f", " ", "a", "b", "ab", "\\", "^", "é", "\U0001f600", "c", "w", ":index", ":values"]
PIECES += ["(", "[", "+", "-", "'", '"', "\r\n", "\xff", "\uffff", "\t", "0", "graph:", "|", "\b"]


def hostile(number: int) -> list[str]:
    """So many different ids of pieces with a meaning to somebody."""
    found = list(PIECES)
    found += ["".join(pair) for pair in product(PIECES, PIECES)]
    triples = ["".join(three) for three in product(PIECES, repeat=3)]
    random.Random(7).shuffle(triples)
    return list(islice(dict.fromkeys(found + triples), number))


LONG = [pytest.mark.long, pytest.mark.timeout(600)]
NUMBERS = [pytest.param(200, id="200"), pytest.param(10_000, id="10000", marks=LONG)]


def keys_plan(prefix: str) -> Plan[list[bytes]]:
    """Every key with ``prefix`` in it."""
    found: list[bytes] = []
    cursor = None
    while True:
        page = yield Scan("test", f"*{prefix}*", None, cursor)
        found += page.keys
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("number", NUMBERS)
def test_threads(connection: ValkeyConnection, prefix: str, number: int) -> None:
    saver = ValkeySaver(connection=connection, key_prefix=prefix)
    threads = hostile(number)
    for thread in threads:
        where = put(saver, config(thread), {"own": thread}, run_id=f"run {thread}")
        saver.put_writes(where, [("own", thread)], "task")
    found = {one.config["configurable"]["thread_id"]: one for one in saver.list(None)}
    assert found.keys() == set(threads)
    for thread in threads:
        one = saver.get_tuple(config(thread))
        assert one == found[thread]
        assert one is not None
        assert one.checkpoint["channel_values"] == {"own": thread}
        assert one.pending_writes == [("task", "own", thread)]
    gone, left = threads[::2], set(threads[1::2])
    for thread in gone[::2]:
        saver.delete_thread(thread)
    saver.prune(gone[1::2], strategy="delete")
    assert {one.config["configurable"]["thread_id"] for one in saver.list(None)} == left
    if number < 1000:
        saver.delete_for_runs(["*", "run *"])
        # LangGraph takes zero bytes from what is in metadata.
        assert len(list(saver.list(None))) == len([t for t in left if t.replace("\0", "") != "*"])
    for thread in left:
        saver.delete_thread(thread)
    assert list(saver.list(None)) == []
    assert connection.run(keys_plan(prefix)) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_namespaces(connection: ValkeyConnection, prefix: str, number: int) -> None:
    saver = ValkeySaver(connection=connection, key_prefix=prefix)
    namespaces = ["", *hostile(number)]
    for namespace in namespaces:
        where = put(saver, config("t", namespace), {"own": namespace})
        saver.put_writes(where, [("own", namespace)], "task")
    for namespace in namespaces:
        (one,) = saver.list(config("t", namespace))
        assert one.config["configurable"]["checkpoint_ns"] == namespace
        assert one.checkpoint["channel_values"] == {"own": namespace}
        assert one.pending_writes == [("task", "own", namespace)]
    saver.prune(["t"])
    assert len(list(saver.list({"configurable": {"thread_id": "t"}}))) == len(namespaces)


@pytest.mark.parametrize("number", [150])
def test_all_other_names(connection: ValkeyConnection, prefix: str, number: int) -> None:
    """Channels, versions, tasks, paths and checkpoint ids."""
    saver = ValkeySaver(connection=connection, key_prefix=prefix)
    names = hostile(number)
    versions: dict[str, Any] = dict(zip(names, reversed(names), strict=True))
    where = put(saver, config("t"), {name: name for name in names}, versions=versions)
    for name in names:
        saver.put_writes(where, [(name, name)], name, name)
    found = saver.get_tuple(config("t"))
    assert found is not None
    assert found.checkpoint["channel_values"] == {name: name for name in names}
    assert found.pending_writes == [(name, name, name) for name in sorted(names)]
    for name in names:
        put(saver, config("u", "ns"), {"own": name}, versions={"own": name}, id=name)
    for name in names:
        (one,) = saver.list(config("u", "ns", name))
        assert one.checkpoint["channel_values"] == {"own": name}
    listed = [one.config["configurable"]["checkpoint_id"] for one in saver.list(config("u", "ns"))]
    assert listed == sorted(names, reverse=True)
    newest = saver.get_tuple(config("u", "ns"))
    assert newest is not None
    assert newest.config["configurable"]["checkpoint_id"] == max(names)
    middle = sorted(names)[number // 2]
    before = config("u", "ns", middle)
    assert len(list(saver.list(config("u", "ns"), before=before))) == number // 2
