"""Results of tools: once per arguments, once for all who ask at a time, for nobody else."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from valkey_memory import (
    CacheStats,
    ConfigurationError,
    ConnectionFailedError,
    EmbeddedValkey,
    InvalidArgumentError,
    KeyTypeError,
    MessageEncodeError,
    ToolCache,
    ValkeyConnection,
)
from valkey_memory._caches import tool_calls
from valkey_memory._caches.tool_arguments import canonical, digest
from valkey_memory._caches.tool_results import FORMS, ResultForm
from valkey_memory._keys import tool_claim_key, tool_key

from ..conftest import Face
from ..conversations.test_round_trips import sent
from ..servers import send
from .tools import FORK, Tool, call_in_child, die_in_call

HOSTILE = [
    "a", "a:b", "a:b:c", ":", "a*", "*", "?", "[a]", "a\\", "{a}", "{a", "a}", "%3A", "%", "a%3Ab",
    "\n", "a\0b", " ", "é", "e\u0301", "'", "a" * 300,
]  # fmt: skip
USERS = ["*", "a:b", "{a}"]


@pytest.fixture
def make_cache(connection: ValkeyConnection, is_async: bool, prefix: str) -> Callable[..., Any]:
    """Makes a ToolCache, seen through its sync face on one server, its async one on a cluster."""

    def make(**options: Any) -> Any:
        known: dict[str, Any] = {"key_prefix": prefix, "connection": connection}
        return Face(ToolCache(**(known | options)), is_async=is_async)

    return make


@pytest.fixture
def tool(connection: ValkeyConnection, prefix: str) -> Tool:
    return Tool(connection, prefix, seconds=0)


def keys_of(connection: ValkeyConnection, prefix: str) -> list[str]:
    """The test's keys, behind the library."""
    return sorted(
        key.decode()
        for key in send(connection, "KEYS", f"*{prefix}*")
        if not key.startswith(b"runs-of-")
    )


# One call


def test_a_call_is_made_once(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    first = cache.get_or_call("search", {"q": "tea"}, tool)
    assert first == cache.get_or_call("search", {"q": "tea"}, tool) == {"run": 1}
    assert cache.get_or_call("search", {"q": "mate"}, tool) == {"run": 2}
    assert cache.get_or_call("fetch", {"q": "tea"}, tool) == {"run": 3}
    stats = cache.store.stats()
    assert (stats, stats.hit_rate) == (CacheStats(hits=1, misses=3, stores=3), 0.25)


def test_sync_and_async_tools_in_both_faces(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    assert cache.get_or_call("a", {}, tool.acall) == {"run": 1}
    assert cache.get_or_call("a", {}, tool) == {"run": 1}


@pytest.mark.parametrize(
    "result",
    [
        None, "", 0, False, [], {}, "text", "\ud800", 1.5, float("inf"), 2**70, (1, (2,)), b"\xff",
        {1: "a"}, {"~": 1}, {1, 2}, dt.date(2026, 1, 2), {"a": [1, {"b": None}]},
    ],
    ids=repr,
)  # fmt: skip
def test_results_come_back_equal(make_cache: Any, result: Any) -> None:
    cache = make_cache()
    runs = []

    def run() -> Any:
        runs.append(1)
        return result

    for _ in range(2):
        found = cache.get_or_call("t", {}, run)
        assert found == result
        assert type(found) is type(result)
    assert len(runs) == 1


def test_a_result_that_cannot_be_stored_is_returned(
    make_cache: Any, connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_cache()
    thing = object()
    assert cache.get_or_call("t", {}, lambda: thing) is thing
    assert "of the tool 't' is not cached" in caplog.text
    assert keys_of(connection, prefix) == []


class _Ended(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [ValueError("no"), StopIteration(), KeyTypeError("own"), _Ended()]
)
def test_what_a_tool_raises_is_raised_and_not_stored(
    make_cache: Any, connection: ValkeyConnection, prefix: str, tool: Tool, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    for on_error in ("raise", "warn"):
        cache = make_cache(on_error=on_error)
        with pytest.raises(expected):
            cache.get_or_call("t", {}, fail)
        assert keys_of(connection, prefix) == []
    assert cache.get_or_call("t", {}, tool) == {"run": 1}


def test_a_form_that_fails_costs_no_result(
    make_cache: Any, connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> Any:
        raise ValueError("the truth value of an array is ambiguous")

    cache = make_cache()
    assert cache.get_or_call("t", {}, lambda: 1, form=ResultForm(dump=fail)) == 1
    assert "ambiguous" in caplog.text
    assert keys_of(connection, prefix) == []
    cache.get_or_call("t", {}, lambda: 2)
    assert cache.get_or_call("t", {}, lambda: 3, form=ResultForm(load=fail)) == 3
    assert "dropped an unreadable result" in caplog.text


def test_ttl_of_the_cache_and_of_a_result(
    make_cache: Any, connection: ValkeyConnection, prefix: str, tool: Tool
) -> None:
    cache = make_cache(ttl=100)
    cache.get_or_call("a", {}, tool)
    cache.get_or_call("b", {}, tool, ttl=dt.timedelta(seconds=50))
    left = {key.split(":")[1]: send(connection, "TTL", key) for key in keys_of(connection, prefix)}
    assert 95 <= left["a"] <= 100
    assert 45 <= left["b"] <= 50
    cache.get_or_call("c", {}, tool, ttl=0.05)
    time.sleep(0.06)
    assert cache.get_or_call("c", {}, tool) == {"run": 4}


def test_a_hit_does_not_prolong(make_cache: Any, tool: Tool) -> None:
    cache = make_cache(ttl=0.3)
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        cache.get_or_call("a", {}, tool)
        time.sleep(0.05)
    assert tool.runs >= 2


def test_round_trips(server: EmbeddedValkey, url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        cache = ToolCache(connection=connection, key_prefix=prefix)
        send(connection, "PING")
        miss = sent(server, lambda: cache.get_or_call("t", {}, lambda: 1))
        hit = sent(server, lambda: cache.get_or_call("t", {}, lambda: 1))
    assert miss == {"eval": 2, "get": 2, "set": 2, "del": 1}
    assert hit == {"eval": 1, "get": 1}


# Equal arguments


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": [1.0]}}, {"a": {"y": [1], "x": 1.0}}),
        ({"n": 1e20}, {"n": 10**20}),
        ({"n": -0.0}, {"n": 0}),
        ({"s": {"a", "b", "c", "d"}}, {"s": {"d", "c", "b", "a"}}),
        ({"d": {1: "a", 2: "b"}}, {"d": {2: "b", 1.0: "a"}}),
    ],
)
def test_equal_arguments(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(one) == digest(other)


UNEQUAL: list[dict[str, Any]] = [
    {}, {"a": None}, {"a": 1}, {"a": "1"}, {"a": True}, {"a": 1.5}, {"a": [1]}, {"a": (1,)},
    {"a": [1, 2]}, {"a": [2, 1]}, {"a": {"b": 1}}, {"a": ""}, {"a": " "}, {"a": "é"},
    {"a": "e\u0301"}, {"a": "É"}, {"a": "\ud800"}, {"a": "\ud801"}, {"b": 1}, {"a": float("nan")},
    {"a": 2**53}, {"a": 2**53 + 1}, {"a": 2**70}, {"a": b"1"}, {"a": {1: 1}}, {"a": {"1": 1}},
    {"a": {"~": "int", "v": "0x1"}},
]  # fmt: skip


def test_unequal_arguments() -> None:
    texts = [canonical(one) for one in UNEQUAL]
    assert len(set(texts)) == len(UNEQUAL)
    assert [canonical(one) for one in UNEQUAL] == texts


def test_arguments_that_have_no_form(make_cache: Any, tool: Tool) -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    for arguments in ({"a": object()}, circle, {"a": deep}):
        with pytest.raises(MessageEncodeError, match="arguments"):
            make_cache().get_or_call("t", arguments, tool)
        make_cache(on_error="warn").get_or_call("t", arguments, tool)
    assert tool.runs == 3
    for on_error in ("raise", "warn"):
        cache = make_cache(on_error=on_error)
        with pytest.raises(InvalidArgumentError, match="dict"):
            cache.get_or_call("t", [1], tool)
        with pytest.raises(InvalidArgumentError, match="not what it gave: 'about tea'"):
            cache.get_or_call("t", {}, "about tea")


# Whose


def test_users_get_their_own(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    for _ in range(2):
        assert cache.get_or_call("t", {}, tool, user_id="alice") == {"run": 1}
        assert cache.get_or_call("t", {}, tool, user_id="bob") == {"run": 2}
        assert cache.get_or_call("t", {}, tool) == {"run": 3}


def test_hostile_names_reach_nobody_else(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    made: dict[tuple[str, str | None], Any] = {}
    for name in HOSTILE:
        made[name, None] = cache.get_or_call(name, {}, tool)
        for user in USERS:
            made[name, user] = cache.get_or_call(name, {}, tool, user_id=user)
    assert tool.runs == len(made)
    for (name, whose), result in made.items():
        assert cache.get_or_call(name, {}, tool, user_id=whose) == result
    assert cache.clear("a") == 1 + len(USERS)
    assert cache.clear("a:b", "a:b:c") == 0
    assert cache.clear(user_id="*") == len(HOSTILE) - 1
    assert cache.clear() == len(HOSTILE) * (1 + len(USERS)) - 4 - (len(HOSTILE) - 1)


@pytest.mark.parametrize("on_error", ["raise", "warn"])
@pytest.mark.parametrize("name", ["", "\ud800", None, 5])
def test_names_that_cannot_be(make_cache: Any, name: Any, tool: Tool, on_error: str) -> None:
    cache = make_cache(on_error=on_error)
    with pytest.raises(InvalidArgumentError, match="tool"):
        cache.get_or_call(name, {}, tool)
    if name is not None:
        with pytest.raises(InvalidArgumentError, match="user_id"):
            cache.get_or_call("t", {}, tool, user_id=name)
        for arguments in ((name,), (None, name)):
            with pytest.raises(InvalidArgumentError):
                cache.clear(*arguments)
    assert tool.runs == 0


# Deleting


def test_clear_by_tool_and_user(make_cache: Any, tool: Tool, prefix: str) -> None:
    cache = make_cache()
    other = make_cache(key_prefix=f"other-{prefix}")
    for one in (cache, other):
        for n in range(3):
            for user in (None, "alice", "bob"):
                one.get_or_call("a", {"n": n}, tool, user_id=user)
                one.get_or_call("b", {"n": n}, tool, user_id=user)
    assert cache.clear("a", "alice") == 3
    assert cache.clear(user_id="alice") == 3
    assert cache.clear("a") == 6
    assert cache.clear("nobody") == 0
    assert cache.clear() == 6
    assert other.clear() == 18


def test_clear_of_many_leaves_what_is_none_of_its_own(
    make_cache: Any,
    connection: ValkeyConnection,
    prefix: str,
    tool: Tool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tool_calls, "_AT_ONCE", 20)
    cache = make_cache()
    foreign = [f"{prefix}note", f"{prefix}t:{'f' * 63}", f"{prefix}t:u:v:{'f' * 64}"]
    for key in foreign:
        send(connection, "SET", key, "mine")

    for n in range(50):
        cache.get_or_call("t", {"n": n}, tool)
    assert cache.clear() == 50
    assert cache.clear() == 0
    for key in foreign:
        assert send(connection, "GET", key) == b"mine"


def test_delete_one(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    cache.get_or_call("t", {"n": 1}, tool, user_id="alice")
    assert not cache.delete("t", {"n": 1})
    assert cache.delete("t", {"n": 1.0}, user_id="alice")
    assert not cache.delete("t", {"n": 1}, user_id="alice")
    with pytest.raises(InvalidArgumentError):
        cache.delete("", {})


def test_forms_have_their_own(make_cache: Any, tool: Tool) -> None:
    cache = make_cache()
    for _ in range(2):
        for number, form in enumerate(FORMS, 1):
            found = cache.get_or_call("t", {"n": 1}, tool, form=ResultForm(form))
            assert found == {"run": number}
    assert cache.delete("t", {"n": 1})
    assert cache.clear() == 0


def test_what_was_cleared_while_it_was_made_is_not_stored(
    make_cache: Any, tool: Tool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_cache()

    def clear_and_run() -> Any:
        cache.store.clear()
        return tool()

    assert cache.get_or_call("t", {}, clear_and_run) == {"run": 1}
    assert "the cache was cleared" in caplog.text
    assert cache.get_or_call("t", {}, tool) == {"run": 2}


# What lies there already


def test_an_unreadable_result_is_dropped(
    make_cache: Any,
    connection: ValkeyConnection,
    prefix: str,
    tool: Tool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = make_cache()
    for raw in ("no json", '{"~":"nothing","v":1}', ""):
        caplog.clear()
        key = tool_key(prefix, "t", digest({"raw": raw}))
        send(connection, "SET", key, raw)
        found = cache.get_or_call("t", {"raw": raw}, tool)
        assert f"unreadable result at '{key}'" in caplog.text
        assert cache.get_or_call("t", {"raw": raw}, tool) == found


def test_foreign_keys_are_left(
    make_cache: Any, connection: ValkeyConnection, prefix: str, tool: Tool
) -> None:
    key = tool_key(prefix, "t", digest({}))
    send(connection, "RPUSH", key, "mine")
    with pytest.raises(KeyTypeError):
        make_cache().get_or_call("t", {}, tool)
    assert tool.runs == 0
    assert make_cache(on_error="warn").get_or_call("t", {}, tool) == {"run": 1}
    assert send(connection, "LRANGE", key, "0", "-1") == [b"mine"]


def test_a_claim_without_end_holds_nobody_up(
    make_cache: Any, connection: ValkeyConnection, prefix: str, tool: Tool
) -> None:
    send(connection, "SET", tool_claim_key(tool_key(prefix, "t", digest({}))), "forever")
    assert make_cache().get_or_call("t", {}, tool) == {"run": 1}


# Single flight


def test_twenty_threads_run_it_once(connection: ValkeyConnection, prefix: str) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix)
    tool = Tool(connection, prefix)
    start = threading.Barrier(20)

    def call(_: int) -> Any:
        start.wait()
        return cache.get_or_call("t", {"q": 1}, tool)

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(call, range(20))) == [{"run": 1}] * 20
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (19, 1)
    assert stats.waits >= 10


async def test_twenty_tasks_run_it_once(connection: ValkeyConnection, prefix: str) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix)
    tool = Tool(connection, prefix)
    calls = [cache.aget_or_call("t", {"q": 1}, tool.acall) for _ in range(20)]
    assert await asyncio.gather(*calls) == [{"run": 1}] * 20


@pytest.mark.parametrize("is_async", [False])
@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_run_it_once(connection: ValkeyConnection, prefix: str) -> None:
    start, results = FORK.Barrier(4), FORK.Queue()
    arguments = connection.url, prefix, start, results
    children = [FORK.Process(target=call_in_child, args=arguments) for _ in range(4)]
    for child in children:
        child.start()
    assert [results.get(timeout=60) for _ in children] == [{"run": 1}] * 4
    for child in children:
        child.join()


@pytest.mark.parametrize("is_async", [False])
@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_killed_holder_delays_no_longer_than_its_lease(
    connection: ValkeyConnection, prefix: str
) -> None:
    lease = 1.5
    tool = Tool(connection, prefix)
    child = FORK.Process(target=die_in_call, args=(connection.url, prefix, lease))
    child.start()
    while not tool.runs:
        time.sleep(0.01)
    child.kill()
    child.join()
    cache = ToolCache(connection=connection, key_prefix=prefix, lease=lease)
    began = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(cache.get_or_call, "search", {"q": 1}, tool) for _ in range(20)]
        results = [call.result() for call in calls]
    assert time.monotonic() - began < lease + tool.seconds + 0.5
    assert results == [{"run": 2}] * 20  # and one of the twenty ran it for all


def test_a_tool_that_fails_does_not_queue_its_callers(
    connection: ValkeyConnection, prefix: str
) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix)

    def fail() -> None:
        time.sleep(0.1)
        raise ValueError("no")

    def call(_: int) -> str:
        with pytest.raises(ValueError, match="no"):
            cache.get_or_call("t", {}, fail)
        return "failed"

    began = time.monotonic()
    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(call, range(20))) == ["failed"] * 20
    assert time.monotonic() - began < 1.5  # one after the other it were two seconds


def test_after_a_failure_the_next_one_runs_for_all(
    connection: ValkeyConnection, prefix: str
) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix)
    tool = Tool(connection, prefix)

    def fail_first() -> Any:
        if (result := tool())["run"] == 1:
            raise ValueError("the first")
        return result

    with ThreadPoolExecutor(10) as threads:
        calls = [threads.submit(cache.get_or_call, "t", {}, fail_first) for _ in range(10)]
        errors = [call.exception() for call in calls]
    assert len([error for error in errors if error is None]) == 9
    assert tool.runs == 2


def test_a_tool_slower_than_its_lease(
    connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix, lease=0.1)
    tool = Tool(connection, prefix, seconds=0.4)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(cache.get_or_call, "t", {}, tool) for _ in range(4)]
        assert all(call.result()["run"] for call in calls)
    assert time.monotonic() - began < 1.5
    assert "lease=0.1 seconds" in caplog.text


async def test_a_cancelled_task_gives_its_claim_up(
    connection: ValkeyConnection, prefix: str
) -> None:
    cache = ToolCache(connection=connection, key_prefix=prefix)
    slow = Tool(connection, prefix, seconds=30)
    task = asyncio.create_task(cache.aget_or_call("t", {}, slow.acall))
    await asyncio.sleep(0.2)
    assert slow.runs == 1
    waiting = asyncio.create_task(
        cache.aget_or_call("t", {}, Tool(connection, prefix, seconds=0).acall)
    )
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    began = time.monotonic()
    assert await waiting == {"run": 2}
    assert time.monotonic() - began < 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await cache.aget_or_call("u", {}, slow.acall)
    assert keys_of(connection, prefix) == [tool_key(prefix, "t", digest({}))]


# A server that is down


@pytest.fixture
def nowhere() -> Iterator[ValkeyConnection]:
    url = "valkey://localhost:1?connection_timeout=0.2"
    with ValkeyConnection.from_url(url) as connection:
        yield connection


@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_server(
    nowhere: ValkeyConnection, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []
    cache = Face(ToolCache(connection=nowhere), is_async=is_async)
    with pytest.raises(ConnectionFailedError):
        cache.get_or_call("t", {}, lambda: runs.append(1))
    assert runs == []
    cache = Face(ToolCache(connection=nowhere, on_error="warn"), is_async=is_async)
    assert cache.get_or_call("t", {}, lambda: "fresh") == "fresh"
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("valkey_memory", logging.WARNING)
    assert "the tool 't' runs without its cache" in caplog.text


def test_a_server_that_goes_while_the_tool_runs(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedValkey() as server:
        url = f"{server.url}?request_timeout=0.5&connection_timeout=0.5"
        with ValkeyConnection.from_url(url) as connection:
            cache = ToolCache(connection=connection)

            def close_and_run() -> str:
                server.close()
                return "paid for"

            assert cache.get_or_call("t", {}, close_and_run) == "paid for"
    assert "store a result of the tool 't'" in caplog.text


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_fills_up_while_the_tool_runs(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for a result that was refused."""
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        cache = Face(ToolCache(connection=connection), is_async=is_async)

        def fill_up() -> str:
            send(connection, "CONFIG", "SET", "maxmemory", "1")
            return "paid for"

        assert cache.get_or_call("t", {}, fill_up) == "paid for"
        assert "store a result of the tool 't'" in caplog.text
        assert send(connection, "DBSIZE") == 0
        send(connection, "CONFIG", "SET", "maxmemory", "0")
        assert cache.get_or_call("t", {}, lambda: "again") == "again"
        assert cache.get_or_call("t", {}, lambda: "more") == "again"
        assert cache.store.stats() == CacheStats(hits=1, misses=2, stores=1)


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": None}, {"ttl": 0}, {"ttl": "1"}, {"lease": None}, {"lease": -1},
        {"on_error": "ignore"}, {"on_error": None},
    ],
    ids=repr,
)  # fmt: skip
def test_options_that_cannot_work(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options))):
        ToolCache(url="valkey://localhost:1", **options)


def test_a_ttl_that_cannot_work(make_cache: Any, tool: Tool) -> None:
    with pytest.raises(InvalidArgumentError, match="ttl of a result"):
        make_cache().get_or_call("t", {}, tool, ttl=0)
    with pytest.raises(ConfigurationError, match="braces"):
        make_cache(key_prefix="{t}")


def test_it_pickles(url: str, prefix: str) -> None:
    cache = ToolCache(url=url, key_prefix=prefix, ttl=5)
    assert cache.get_or_call("t", {}, lambda: 1) == 1
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301
    assert copy.get_or_call("t", {}, lambda: 2) == 1
    assert (copy.stats().hits, cache.stats().hits) == (1, 0)
