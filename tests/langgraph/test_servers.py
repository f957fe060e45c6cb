"""A ``ValkeySaver`` on servers that are full, that have replicas, or that lose replies."""

from __future__ import annotations

from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import EmbeddedValkey, KeyTypeError, ValkeyConnection, WriteRefusedError
from valkey_memory._plans import Request

from ..servers import admin, command_counts, replicated, send
from .checkpoints import chain, config, put


def test_a_full_server_refuses_whole_writes() -> None:
    with EmbeddedValkey(config={"maxmemory-policy": "noeviction"}) as server:
        saver = ValkeySaver(url=server.url)
        where: Any = put(saver, config("t"), {"a": 1})
        admin(server.port, "CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(WriteRefusedError):
            put(saver, where, {"a": 2}, versions={"a": "2"})
        with pytest.raises(WriteRefusedError):
            saver.put_writes(where, [("a", 2)], "task")
        found = saver.get_tuple(config("t"))
        assert found is not None
        assert (found.config, found.pending_writes) == (where, [])
        saver.prune(["t"])
        saver.delete_thread("t")
        assert saver.get_tuple(config("t")) is None


def test_states_are_read_from_primaries() -> None:
    with replicated() as (primary, replica):
        url = f"valkey://127.0.0.1:{primary}?read_from=prefer_replica"
        graph = chain("abc", ValkeySaver(url=url))
        for turn in range(20):
            found = graph.invoke({"seen": [str(turn)]}, config("t"))
            assert len(found["seen"]) == 4 * (turn + 1)
        assert "eval_ro" not in command_counts(replica)
        ValkeyConnection.shared(url).close()


@pytest.mark.parametrize("number", [0, 1])
def test_reading_a_foreign_key(connection: ValkeyConnection, prefix: str, number: int) -> None:
    saver = ValkeySaver(connection=connection, key_prefix=prefix)
    put(saver, config("t"), {"a": 1})
    key = f"{{{prefix}t}}:{('index', 'values')[number]}"
    send(connection, "SET", key, "mine")
    with pytest.raises(KeyTypeError, match="another type"):
        saver.get_tuple(config("t"))
    saver.delete_thread("t")
    assert saver.get_tuple(config("t")) is None


def test_every_write_may_arrive_twice(standalone_connection: ValkeyConnection, prefix: str) -> None:
    """As after a timeout, when the library sends again what was applied."""
    connection = standalone_connection
    send_once = connection._send

    def send_twice(step: Any) -> Any:
        if isinstance(step, Request) and not step.read_only:
            assert step.repeatable
            send_once(step)
        return send_once(step)

    connection._send = send_twice  # type: ignore[method-assign]
    try:
        saver = ValkeySaver(connection=connection, key_prefix=prefix)
        assert chain("abc", saver).invoke({"seen": ["x"]}, config("t"))["seen"] == [*"xabc"]
        saver.copy_thread("t", "u")
        assert chain("abc", saver).invoke({"seen": ["x"]}, config("u"))["seen"] == [*"xabc"] * 2
        saver.prune(["t"])
        assert len(list(saver.list(config("t")))) == 1
        saver.delete_thread("t")
        assert saver.get_tuple(config("t")) is None
    finally:
        connection._send = send_once  # type: ignore[method-assign]
