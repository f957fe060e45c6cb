"""What each operation on checkpoints sends, counted by the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import EmbeddedValkey

from ..conversations.test_round_trips import sent
from ..langgraph.checkpoints import config, put
from ..servers import admin

SENT = {"eval", "eval_ro", "unlink", "scan", "exec"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    """Of its own: with other tests' keys a SCAN takes more round trips."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def saver(server: EmbeddedValkey) -> Any:
    admin(server.port, "FLUSHALL")
    saver = ValkeySaver(url=server.url, ttl=60)
    for thread in ("t", "u"):
        where = config(thread)
        for step in range(15):
            where = put(saver, where, {"a": 1, "b": step}, versions={"b": str(step)}, run_id="r")
            saver.put_writes(where, [("b", step)], "task")
    return saver


ONE: dict[str, tuple[str, Callable[[Any], object]]] = {
    "get the newest": ("eval_ro", lambda s: s.get_tuple(config("t"))),
    "get what is not there": ("eval_ro", lambda s: s.get_tuple(config("none"))),
    "put": ("eval", lambda s: put(s, config("t"), {"a": 1, "c": 2}, new={"c": "1"})),
    "put writes": ("eval", lambda s: s.put_writes(config("t", "", "c"), [("a", 1)] * 9, "task")),
    "delete": ("unlink", lambda s: s.delete_thread("t")),
    "delete several": ("unlink", lambda s: s.prune(["t", "u"], strategy="delete")),
    "prune": ("eval", lambda s: s.prune(["t", "u"])),
    "history": (
        "eval_ro",
        lambda s: s.get_delta_channel_history(config=config("t"), channels=["x"]),
    ),
}


@pytest.mark.parametrize("name", ONE)
def test_one_script_or_command(server: EmbeddedValkey, saver: Any, name: str) -> None:
    command, action = ONE[name]
    counts = sent(server, lambda: action(saver))
    assert counts.keys() & SENT == {command}
    assert counts[command] == (2 if name in ("prune", "delete several") else 1)


def test_reading_with_a_ttl_to_restart_is_one_script(server: EmbeddedValkey, saver: Any) -> None:
    eager = ValkeySaver(url=server.url, ttl=60, refresh_ttl_on_read=True)
    counts = sent(server, lambda: eager.get_tuple(config("t")))
    assert (counts["eval"], counts["pexpire"]) == (1, 2)


def test_a_list_is_found_and_read_in_pages(server: EmbeddedValkey, saver: Any) -> None:
    assert sent(server, lambda: list(saver.list(config("t"))))["eval_ro"] == 1
    counts = sent(server, lambda: list(saver.list(config("t"), limit=3)))
    assert (counts["zrevrangebylex"], counts["eval_ro"]) == (1, 1)
    counts = sent(server, lambda: next(iter(saver.list(config("t"), filter={"run_id": "r"}))))
    assert counts["eval_ro"] == 2
    assert sent(server, lambda: list(saver.list(config("t"), limit=0))) == {}


def test_a_walk_uses_scan_and_never_keys(server: EmbeddedValkey, saver: Any) -> None:
    assert len(list(saver.list(None))) == 30
    counts = sent(server, lambda: list(saver.list(None)))
    assert counts["scan"] == 1
    assert "keys" not in counts
    counts = sent(server, lambda: saver.delete_for_runs(["r"]))
    assert (counts["scan"], counts["eval"]) == (1, 2)
    assert list(saver.list(None)) == []


def test_nothing_to_do_sends_nothing(server: EmbeddedValkey, saver: Any) -> None:
    def nothing() -> None:
        saver.put_writes(config("t", "", "c"), [], "task")
        saver.prune([])
        saver.delete_for_runs([])
        saver.get_delta_channel_history(config=config("t"), channels=[])
        ValkeySaver(url=server.url + "?client_name=unused", ttl=5)

    assert sent(server, nothing) == {}


def test_a_copy_is_read_and_written_once(server: EmbeddedValkey, saver: Any) -> None:
    counts = sent(server, lambda: saver.copy_thread("t", "copy"))
    assert (counts["exec"], counts["eval"]) == (1, 1)
    assert len(list(saver.list(config("copy")))) == 15
