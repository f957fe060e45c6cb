"""Logs of runs: in order, once, bounded, and gone when their time is over."""

from __future__ import annotations

import asyncio
import datetime as dt
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from valkey_memory import (
    ConfigurationError,
    ConnectionFailedError,
    EmbeddedValkey,
    InvalidArgumentError,
    KeyTypeError,
    Run,
    RunEvent,
    RunLog,
    ValkeyConnection,
)
from valkey_memory._keys import run_key, runs_key, sidecar
from valkey_memory._runs import changes, plans

from ..conftest import Face
from ..conversations.test_round_trips import sent
from ..servers import send

HOSTILE = [
    "a", "a:b", "a*", "*", "?", "[a]", "a\\", "{a}", "{a", "a}", "%7Ba%7D", "%", "\n", "a\0b", " ",
    "é", "e\u0301", "runs", "}:runs", "a" * 300, "-1", "$",
]  # fmt: skip


@pytest.fixture
def connection(paired_connection: ValkeyConnection) -> ValkeyConnection:
    return paired_connection


@pytest.fixture
def make_log(connection: ValkeyConnection, is_async: bool, prefix: str) -> Callable[..., Any]:
    """Makes a RunLog, seen through its sync face on one server, its async one on a cluster."""

    def make(**options: Any) -> Any:
        known: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        return Face(RunLog(**(known | options)), is_async=is_async)

    return make


def actions(log: Any, run_id: str = "r", **options: Any) -> list[str]:
    return [event.action for event in log.read(run_id, **options)]


# Events


def test_events_come_back_in_order(make_log: Any) -> None:
    log = make_log()
    before = time.time()
    log.append("r", "run_start", {"name": "support"}, step="1")
    log.append("r", "tool_start", {"input": {"q": [1, None]}}, step="2", parent="1")
    log.append("r", "thought")
    first, second, third = log.read("r")
    assert (first.action, first.details, first.step, first.parent) == (
        "run_start", {"name": "support"}, "1", None,
    )  # fmt: skip
    assert (second.details, second.step, second.parent) == ({"input": {"q": [1, None]}}, "2", "1")
    assert (third.details, third.step, third.ends_run) == ({}, None, False)
    assert before - 0.01 <= first.ts <= second.ts <= third.ts <= time.time() + 0.01
    assert first.id < second.id < third.id
    assert log.read("nobody") == []


def test_the_fields_are_the_cookbooks(
    make_log: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_log().append("r", "search", {"q": "tea"})
    ((_, pairs),) = send(connection, "XRANGE", f"{prefix}r", "-", "+").items()
    fields = dict(map(tuple, pairs))
    assert fields.pop(b"ts").replace(b".", b"").isdigit()
    assert fields == {b"action": b"search", b"details": b'{"q":"tea"}'}


@pytest.mark.parametrize(
    ("details", "found"),
    [
        ({"a": (1, 2), "b": b"x"}, {"a": (1, 2), "b": b"x"}),
        ({"a": "\ud800"}, {"a": "\ud800"}),
        ({1: 2}, {1: 2}),
        ({"~": 1}, {"~": 1}),
        ({"a": float("nan")}, None),
        ({"a": dt.date(2026, 1, 2)}, {"a": dt.date(2026, 1, 2)}),
        ({"a": "x" * 100}, {"a": "x" * 60 + "..."}),
        ({"a": ["x" * 100], "b": 1}, {"a": '["' + "x" * 58 + "...", "b": 1}),
        ({"a": 2**64}, {"a": 2**64}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_any_details(make_log: Any, details: Any, found: Any) -> None:
    log = make_log(max_chars=60)
    log.append("r", "a", details)
    (event,) = log.read("r")
    if found is not None:
        assert event.details == found


def test_details_that_contain_themselves(make_log: Any) -> None:
    circle: dict[str, Any] = {"n": 1}
    circle["self"] = circle
    log = make_log()
    log.append("r", "a", circle)
    (event,) = log.read("r")
    assert event.details["n"] == 1


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "_AT_ONCE", 20)


@pytest.mark.usefixtures("small_pages")
def test_pages(make_log: Any) -> None:
    log = make_log()
    for n in range(50):
        log.append("r", str(n))
    events = log.read("r")
    assert [event.action for event in events] == [str(n) for n in range(50)]
    assert log.read("r", limit=3) == events[:3]
    assert log.read("r", after=events[2], limit=3) == events[3:6]
    assert log.read("r", after=events[47].id) == events[48:]
    assert log.read("r", after=events[-1]) == []
    assert log.read("r", limit=21) == events[:21]
    assert log.read("r", limit=20) == events[:20]


def test_foreign_entries_are_read_as_far_as_they_can_be(
    make_log: Any, connection: ValkeyConnection, prefix: str
) -> None:
    for fields in (
        ("action", "search", "details", '{"q": 1}', "ts", "1795275207.26"),
        ("action", "search", "details", "no json", "ts", "yesterday"),
        ("details", "[1]", "ts", "nan"),
        ("details", '{"~":"nothing","v":1}'),
        ("other", b"\xff"),
    ):
        send(connection, "XADD", f"{prefix}r", "1000-*", *fields)
    events = make_log().read("r")
    assert [event.action for event in events] == ["search", "search", "", "", ""]
    assert [event.ts for event in events] == [1795275207.26, 1.0, 1.0, 1.0, 1.0]
    assert [event.details for event in events[:3]] == [
        {"q": 1},
        {"text": "no json"},
        {"value": [1]},
    ]
    assert events[0].id == "1000-0"


def test_what_is_kept_is_bounded(make_log: Any) -> None:
    log = make_log(max_events=50)

    async def fill(store: RunLog) -> None:
        await asyncio.gather(*(store.aappend("r", str(n)) for n in range(400)))
        await store.aappend("r", "last")  # those at once are in no order

    asyncio.run(fill(log.store))
    found = actions(log)
    assert 50 <= len(found) <= 50 + 100
    assert found[-1] == "last"


def test_expiry_slides(make_log: Any, connection: ValkeyConnection, prefix: str) -> None:
    keys = [f"{prefix}r", sidecar(f"{prefix}r", "writes"), runs_key(prefix)]

    def left() -> list[int]:
        return [send(connection, "TTL", key) for key in keys]

    make_log(ttl=100).append("r", "a")
    assert all(95 <= seconds <= 100 for seconds in left())
    make_log(ttl=dt.timedelta(seconds=50)).append("r", "b")
    of_log, of_writes, of_list = left()
    assert 45 <= of_log <= 50
    assert 45 <= of_writes <= 50
    assert of_list > 90  # it lives as long as the longest of its runs
    send(connection, "DEL", keys[1])
    make_log(ttl=None).append("r", "c")  # keeps what there is
    assert 45 <= left()[0] <= 50
    assert 45 <= left()[1] <= 50
    assert left()[2] == -1
    make_log(ttl=None).append("s", "a")
    assert send(connection, "TTL", f"{prefix}s") == -1
    make_log(ttl=100).append("r", "d")
    assert left()[2] == -1
    make_log(ttl=0.05).append("t", "a")
    time.sleep(0.06)
    assert make_log().read("t") == []


def test_an_event_that_is_sent_again_is_there_once(
    connection: ValkeyConnection, prefix: str
) -> None:
    log = RunLog(connection=connection, key_prefix=prefix)
    key = run_key(prefix, "r")
    change = changes.append(key, b"token", ["action", "a"], 100, 1000)
    for _ in range(3):
        send(connection, *change.commands[0])
    assert change.repeatable
    assert actions(log) == ["a"]
    for n in range(150):
        log.append("r", str(n))
    assert send(connection, "LLEN", sidecar(key, "writes")) == 100


# Runs


def test_the_last_active_come_first(make_log: Any) -> None:
    log = make_log()
    for name in "abc":
        log.append(name, "run_start", {"name": f"agent {name}"})
        time.sleep(0.002)
    log.append("b", "run_error")
    log.append("c", "run_end", {"name": "other"})
    log.append("a", "x", {"name": 5})
    found = {run.run_id: run for run in log.runs()}
    assert {run_id: (run.name, run.events, run.state) for run_id, run in found.items()} == {
        "a": ("agent a", 2, "running"),
        "b": ("agent b", 2, "failed"),
        "c": ("agent c", 2, "ended"),
    }
    assert isinstance(found["a"], Run)
    assert found["a"].started_at <= found["b"].started_at <= found["c"].started_at
    times = [run.last_active for run in log.runs()]
    assert times == sorted(times, reverse=True)
    assert len(log.runs(2)) == 2
    assert make_log(key_prefix="nobody:").runs() == []


def test_expired_runs_are_dropped_from_the_list(
    make_log: Any, connection: ValkeyConnection, prefix: str
) -> None:
    log = make_log()
    log.append("live", "a")
    now = time.time()
    for n in range(10):
        send(connection, "ZADD", runs_key(prefix), str(now - 100 + n), f"old-{n}")
    send(connection, "ZADD", runs_key(prefix), str(now), "not there yet")
    send(connection, "SET", f"{prefix}foreign", "mine")
    send(connection, "ZADD", runs_key(prefix), str(now - 100), "foreign")
    assert [run.run_id for run in log.runs(2)] == ["live"]
    assert send(connection, "ZCARD", runs_key(prefix)) == 2
    assert send(connection, "GET", f"{prefix}foreign") == b"mine"


def test_the_list_is_bounded(make_log: Any, connection: ValkeyConnection, prefix: str) -> None:
    scores = [part for n in range(10_050) for part in (str(n), f"old-{n}")]
    send(connection, "ZADD", runs_key(prefix), *scores)
    make_log().append("new", "a")
    assert send(connection, "ZCARD", runs_key(prefix)) == changes.LISTED
    assert send(connection, "ZSCORE", runs_key(prefix), "new")


def test_delete(make_log: Any, connection: ValkeyConnection, prefix: str) -> None:
    log = make_log()
    log.append("a", "x")
    log.append("b", "x")
    assert log.delete("a")
    assert not log.delete("a")
    assert [run.run_id for run in log.runs()] == ["b"]
    log.delete("b")
    assert send(connection, "KEYS", f"*{prefix}*") == []


def test_hostile_ids(make_log: Any) -> None:
    log = make_log()
    for run_id in HOSTILE:
        log.append(run_id, "of", {"id": run_id})
    assert {run.run_id for run in log.runs(100)} == set(HOSTILE)
    for run_id in HOSTILE[::2]:
        assert log.delete(run_id)
    for number, run_id in enumerate(HOSTILE):
        assert [event.details["id"] for event in log.read(run_id)] == [run_id] * (number % 2)
    assert {run.run_id for run in log.runs(100)} == set(HOSTILE[1::2])


def test_the_runs_of_a_user(make_log: Any, connection: ValkeyConnection, prefix: str) -> None:
    log = make_log()
    for run_id in HOSTILE:
        log.append(run_id, "run_start", user_id="a*")
    for run_id, user in (("of A", "A*"), ("of a", "a"), ("cut", None), ("cut", "a*"), ("no", None)):
        log.append(run_id, "x", user_id=user)
    log.append("began", "x", user_id="a*")
    log.append("began", "more")
    send(connection, "XADD", f"{prefix}foreign", "*", "user_id", "a*")
    send(connection, "XADD", f"{prefix}%7b", "*", "user_id", b"\xff")
    send(connection, "SET", f"{prefix}text", "a*")
    assert log.read("cut")[1].user_id == "a*"
    assert {run.run_id: run.user_id for run in log.runs(100)}["began"] == "a*"
    assert log.clear(user_id="a*") == len(HOSTILE) + 3
    assert log.clear(user_id="a*") == 0
    assert {run.run_id for run in log.runs(100)} == {"of A", "of a", "no"}
    assert send(connection, "GET", f"{prefix}text") == b"a*"
    left = {key.decode().removeprefix(prefix) for key in send(connection, "KEYS", f"{prefix}*")}
    assert left == {"of A", "of a", "no", "%7b", "text"}
    for wrong in ("", None, 5):
        with pytest.raises(InvalidArgumentError, match="user_id"):
            log.clear(user_id=wrong)


# Following


def test_follow_a_run_that_goes_on(make_log: Any, connection: ValkeyConnection) -> None:
    log = make_log()
    log.append("r", "run_start")

    def work() -> None:
        for n in range(5):
            time.sleep(0.03)
            log.store.append("r", f"step {n}")
        log.store.append("r", "run_end")

    worker = threading.Thread(target=work)
    worker.start()
    found = [event.action for event in follow(log, "r", interval=0.01)]
    worker.join()
    assert found == ["run_start", *(f"step {n}" for n in range(5)), "run_end"]
    first = log.read("r", limit=1)[0]
    assert [e.action for e in follow(log, "r", after=first)] == found[1:]


def follow(log: Any, run_id: str, **options: Any) -> list[RunEvent]:
    if not log.is_async:
        return list(log.store.follow(run_id, **options))

    async def collect() -> list[RunEvent]:
        return [event async for event in log.store.afollow(run_id, **options)]

    return asyncio.run(collect())


def test_follow_beyond_an_end(make_log: Any) -> None:
    """Where a run id stands for several turns, an end with something behind it is none."""
    log = make_log()
    for action in ("run_start", "run_end", "run_start", "run_error"):
        log.append("r", action)
    assert len(follow(log, "r")) == 4
    if not log.is_async:
        events = log.store.follow("r", interval=0.001, until_end=False)
        assert [next(events).action for _ in range(4)][-1] == "run_error"
        log.append("r", "run_start")
        assert next(events).action == "run_start"


@pytest.mark.usefixtures("small_pages")
def test_follow_where_a_page_ends_with_an_end(make_log: Any) -> None:
    log = make_log()
    for _ in range(20):
        log.append("r", "run_end")
    assert len(follow(log, "r", interval=0.01)) == 20
    log.append("r", "more")
    log.append("r", "run_end")
    assert len(follow(log, "r", interval=0.01)) == 22


# Costs, concurrency, failures


def test_round_trips(server: EmbeddedValkey, url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        log = RunLog(connection=connection, key_prefix=prefix)
        send(connection, "PING")
        append = sent(server, lambda: log.append("r", "a"))
        assert (append["exec"], append["eval"], append["xadd"]) == (1, 2, 1)
        assert sent(server, lambda: log.read("r")) == {"xrange": 1}
        runs = sent(server, lambda: log.runs())
        assert runs == {"zrange": 1, "xlen": 1, "xrange": 1, "xrevrange": 1}


def test_many_writers_of_a_run(connection: ValkeyConnection, prefix: str) -> None:
    log = RunLog(connection=connection, key_prefix=prefix)

    def write(writer: int) -> None:
        for n in range(20):
            log.append("r", f"{n}", step=str(writer))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    events = log.read("r")
    assert len({event.id for event in events}) == 160
    for writer in range(8):
        own = [event.action for event in events if event.step == str(writer)]
        assert own == [str(n) for n in range(20)]


def test_foreign_keys_are_left(make_log: Any, connection: ValkeyConnection, prefix: str) -> None:
    log = make_log()
    send(connection, "SET", f"{prefix}r", "mine")
    for name, arguments in (("append", ("r", "a")), ("read", ("r",))):
        with pytest.raises(KeyTypeError):
            getattr(log, name)(*arguments)
    assert send(connection, "GET", f"{prefix}r") == b"mine"
    assert send(connection, "EXISTS", sidecar(f"{prefix}r", "writes")) == 0


@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_server(is_async: bool) -> None:
    url = "valkey://localhost:1?connection_timeout=0.2"
    with ValkeyConnection.from_url(url) as connection:
        log = Face(RunLog(connection=connection), is_async=is_async)
        for name, arguments in (("append", ("r", "a")), ("read", ("r",)), ("runs", ())):
            with pytest.raises(ConnectionFailedError):
                getattr(log, name)(*arguments)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda log: log.append("", "a"), "run_id"),
        (lambda log: log.append("\ud800", "a"), "run_id"),
        (lambda log: log.append("r", ""), "action"),
        (lambda log: log.append("r", "a", [1]), "details"),
        (lambda log: log.append("r", "a", step=5), "step"),
        (lambda log: log.append("r", "a", parent=""), "parent"),
        (lambda log: log.append("r", "a", user_id=""), "user_id"),
        (lambda log: log.read(None), "run_id"),
        (lambda log: log.read("r", after="yesterday"), "after"),
        (lambda log: log.read("r", after=1), "after"),
        (lambda log: log.read("r", limit=0), "limit"),
        (lambda log: log.runs(0), "limit"),
        *(
            (lambda log, interval=interval: log.store.follow("r", interval=interval), "interval")
            for interval in (0, -1, None, True, "1", float("nan"), float("inf"))
        ),
        (lambda log: log.store.follow(""), "run_id"),
        (lambda log: log.store.afollow("r", after="x"), "after"),
        (lambda log: log.delete(""), "run_id"),
    ],
)  # fmt: skip
def test_arguments_that_cannot_work(make_log: Any, call: Any, match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        call(make_log())


@pytest.mark.parametrize("options", [{"ttl": 0}, {"max_events": 0}, {"max_chars": -1}], ids=repr)
def test_options_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        RunLog(url="valkey://localhost:1", **options)
    with pytest.raises(ConfigurationError, match="braces"):
        RunLog(url="valkey://localhost:1", key_prefix="{")


def test_it_pickles(url: str, prefix: str) -> None:
    log = RunLog(url=url, key_prefix=prefix)
    log.append("r", "a", {"n": 1})
    copy = pickle.loads(pickle.dumps(log))  # noqa: S301
    assert copy.read("r") == log.read("r") == pickle.loads(pickle.dumps(log.read("r")))  # noqa: S301
