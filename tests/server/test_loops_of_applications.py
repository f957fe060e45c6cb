"""Event loops as applications treat them: full executors, forks, forgotten loops, gevent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection

from ..conversations.test_message_lists import said
from ..servers import admin
from .test_failures import frozen, process_id

pytestmark = pytest.mark.timeout(60)

_HEAD = """
import asyncio, os, sys, threading, time
from valkey_memory import *
connection = ValkeyConnection.from_url(sys.argv[1], request_timeout=5)
store = MessageStore(connection=connection)
async def turn():
    await store.aappend("s", {"role": "user", "content": "x"})
    return await store.acount("s")
"""


def run(url: str, program: str) -> str:
    """What a program of its own prints, in which ``turn()`` appends and counts."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _HEAD + program, url],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def alone() -> EmbeddedValkey:
    """A server of the test's own."""
    return EmbeddedValkey()


@pytest.mark.parametrize("threads", [1, 4])
def test_a_full_executor_delays_nothing(alone: EmbeddedValkey, threads: int) -> None:
    """The first call of a loop, and of the process."""
    program = f"""
from concurrent.futures import ThreadPoolExecutor
async def main():
    loop, ended = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor({threads}))
    waiting = [loop.run_in_executor(None, ended.wait) for _ in range(2 * {threads})]
    began = time.monotonic()
    print(await turn())
    assert time.monotonic() - began < 20
    await connection.aclose()
    ended.set()
    await asyncio.gather(*waiting)
asyncio.run(main())
"""
    assert run(alone.url, program) == "1\n"


def test_a_full_executor_and_an_embedded_server(tmp_path: Path) -> None:
    program = """
from concurrent.futures import ThreadPoolExecutor
async def main():
    loop, ended = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    waiting = loop.run_in_executor(None, ended.wait)
    print(await turn())
    await connection.aclose()
    ended.set()
    await waiting
asyncio.run(main())
"""
    assert run(f"embedded://{tmp_path}", program) == "1\n"


_FORK = """
def in_child(what):
    sys.stdout.flush()
    if not (pid := os.fork()):
        what()
        sys.stdout.flush()
        os._exit(0)
    return pid
loop = asyncio.new_event_loop()
"""


def test_a_forked_child_goes_on_with_the_inherited_loop(alone: EmbeddedValkey) -> None:
    """As workers of Celery do with a loop of their module."""
    program = """
print(loop.run_until_complete(turn()))
def child():
    for _ in range(20):
        began = time.monotonic()
        count = loop.run_until_complete(turn())
        assert time.monotonic() - began < 2
    print(count)
os.waitpid(in_child(child), 0)
print(loop.run_until_complete(turn()))
"""
    assert run(alone.url, _FORK + program) == "1\n21\n22\n"


def test_parent_and_children_go_on_with_one_loop_at_once(alone: EmbeddedValkey) -> None:
    program = """
loop.run_until_complete(turn())
def go_on():
    for _ in range(50):
        began = time.monotonic()
        loop.run_until_complete(turn())
        assert time.monotonic() - began < 2
pids = [in_child(go_on) for _ in range(3)]
go_on()
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
print(loop.run_until_complete(turn()))
"""
    assert run(alone.url, _FORK + program) == "[0, 0, 0]\n202\n"


def test_a_child_that_was_forked_inside_a_running_loop(alone: EmbeddedValkey) -> None:
    """What it starts afterwards is in threads and loops of its own."""
    program = """
async def main():
    print(await turn())
    def child():
        worker = threading.Thread(target=lambda: print(asyncio.run(turn())))
        worker.start()
        worker.join()
    pid = in_child(child)
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        await asyncio.sleep(0.01)
    print(await turn())
asyncio.run(main())
"""
    assert run(alone.url, _FORK + program) == "1\n2\n3\n"


@pytest.mark.parametrize("close", [True, False], ids=["closed", "only stopped"])
def test_forgotten_loops_are_bounded(alone: EmbeddedValkey, close: bool) -> None:
    """Loops that end without ``shutdown_asyncgens``, and such as nobody closes."""
    program = f"""
loops, files = [], []
for number in range(40):
    loops.append(asyncio.new_event_loop())
    loops[-1].run_until_complete(turn())
    if {close}:
        loops[-1].close()
    else:
        own = 3 * len(loops)  # an open loop's own files
    if number in (9, 39):
        files.append(len(os.listdir("/dev/fd")) - (0 if {close} else own))
        threads = threading.active_count()
print(files[1] - files[0], threads)
"""
    more, threads = map(int, run(alone.url, program).split())
    assert more <= 2
    assert threads <= 3


def test_connections_of_forgotten_loops_are_bounded(alone: EmbeddedValkey) -> None:
    connection = ValkeyConnection.from_url(alone.url)
    store = MessageStore(connection=connection)
    for _ in range(30):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(store.aappend("s", said("x")[0]))
        loop.close()
    assert len(admin(alone.port, "CLIENT", "LIST").splitlines()) <= 8
    assert store.count("s") == 30
    connection.close()


def test_a_loop_that_is_closed_under_a_call_takes_no_other_with_it() -> None:
    """A reply for a closed loop used to raise in GLIDE's reader, in calls of other loops."""
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url, request_timeout=20) as connection,
    ):
        store = MessageStore(connection=connection)

        async def innocent(number: int) -> int:
            await store.aappend("s", said(str(number))[0])
            return await store.acount("s")

        with asyncio.Runner() as runner:
            assert runner.run(innocent(0)) == 1
            for _ in range(10):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(store.acount("s"))
                with frozen(process_id(server)):
                    asking = loop.create_task(store.acount("s"))
                    loop.run_until_complete(asyncio.sleep(0.05))
                    asking.cancel()
                    loop.run_until_complete(asyncio.sleep(0))
                    loop.close()
                runner.run(innocent(1))
        assert store.count("s") == 11


def test_many_loops_at_once_with_a_timeout_each(alone: EmbeddedValkey) -> None:
    connection = ValkeyConnection.from_url(alone.url)
    store = MessageStore(connection=connection)

    def work(number: int) -> float:
        began = time.monotonic()
        asyncio.run(store.aappend("s", said(str(number))[0]))
        return time.monotonic() - began

    with ThreadPoolExecutor(20) as executor:
        slowest = max(executor.map(work, range(200)))
    assert slowest < 10
    assert store.count("s") == 200
    connection.close()


def test_gevent(alone: EmbeddedValkey) -> None:
    """Under ``monkey.patch_all()`` threads are greenlets: sync and async calls work."""
    program = """
async def main():
    return [await turn() for _ in range(3)]
print(asyncio.run(main()))
print(asyncio.run(turn()))
store.append("s", {"role": "user", "content": "x"})
import gevent
jobs = [gevent.spawn(store.count, "s") for _ in range(3)]
gevent.joinall(jobs, timeout=10)
print([job.value for job in jobs])
"""
    patched = f"from gevent import monkey; monkey.patch_all()\n{_HEAD}{program}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", patched, alone.url],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stdout == "[1, 2, 3]\n4\n[5, 5, 5]\n", done.stderr


def test_uvloop(alone: EmbeddedValkey) -> None:
    program = """
import uvloop
for _ in range(3):
    print(uvloop.run(turn()))
"""
    assert run(alone.url, program) == "1\n2\n3\n"


def test_every_wait_ends(alone: EmbeddedValkey) -> None:
    """A frozen server: first calls, too, end within their timeouts, in every loop."""
    connection = ValkeyConnection.from_url(alone.url, request_timeout=1)
    store = MessageStore(connection=connection)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(store.acount("s"))
        except Exception as error:
            failures.append(error)

    alone.url  # noqa: B018 - starts it
    with frozen(process_id(alone)):
        began = time.monotonic()
        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert time.monotonic() - began < 20
    assert len(failures) == 5
    assert {type(error).__module__ for error in failures} == {"valkey_memory"}
    connection.close()


def test_a_task_that_nobody_holds_comes_to_its_end(alone: EmbeddedValkey) -> None:
    """A loop holds its tasks weakly; LangGraph makes some, and lets go of them."""
    program = """
import gc
ended = []
async def forgotten():
    ended.append(await turn())
async def main(number):
    gc.freeze()  # what was imported takes long to look through
    asyncio.get_running_loop().create_task(forgotten())
    last = time.monotonic() + 10
    while len(ended) < number and time.monotonic() < last:
        gc.collect()
        await asyncio.sleep(0.001)  # without a pause no other thread gets on
for number in range(1, 4):
    asyncio.run(main(number))
print(ended)
"""
    assert run(alone.url, program) == "[1, 2, 3]\n"
