"""Event loops that are closed while calls wait in them, and what forgets its connection."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import Any

import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection

from .test_failures import frozen, process_id

pytestmark = pytest.mark.timeout(60)

_HEAD = """
import asyncio, faulthandler, gc, os, random, sys, threading, time
faulthandler.enable()
from valkey_memory import *
store = MessageStore(connection=ValkeyConnection.from_url(sys.argv[1], request_timeout=5))
async def turn():
    await store.aappend("s", {"role": "user", "content": "x"})
"""


def run(url: str, program: str) -> subprocess.CompletedProcess[str]:
    """A program of its own, which may crash."""
    return subprocess.run(
        [sys.executable, "-c", _HEAD + program, url],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def alone() -> EmbeddedValkey:
    """A server of the test's own."""
    return EmbeddedValkey()


def test_loops_closed_under_their_calls_harm_nobody(alone: EmbeddedValkey) -> None:
    """They crashed the process, or took the replies of other loops with them."""
    program = """
done, stop = [0, 0], []
def innocent(number):
    async def go():
        while not stop:
            await turn()
            done[number] += 1
    asyncio.run(go())
threads = [threading.Thread(target=innocent, args=(n,), daemon=True) for n in range(2)]
for thread in threads:
    thread.start()
async def abandoned():
    tasks = [asyncio.ensure_future(turn()) for _ in range(5)]
    await asyncio.sleep(random.choice([0, 0.001, 0.003]))
for number in range(120):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(abandoned())
    loop.close()
before = list(done)
time.sleep(0.5)
stop.append(1)
for thread in threads:
    thread.join(20)
print([one > two for one, two in zip(done, before)], [one.is_alive() for one in threads])
sys.stdout.flush()
os._exit(0)
"""
    ended = run(alone.url, program)
    assert ended.stdout == "[True, True] [False, False]\n", ended.stderr[-3000:]


@pytest.mark.parametrize("depth", range(8))
def test_the_garbage_collector_may_close_an_inner_coroutine_first(
    alone: EmbeddedValkey, depth: int
) -> None:
    """Then the task's end must not close the outer ones in the middle of it."""
    program = f"""
loop = asyncio.new_event_loop()
loop.run_until_complete(turn())
client = store.connection._async_clients._of_loop[loop].client
task = loop.create_task(turn())
loop.call_soon(loop.stop)
loop.run_forever()  # a single step
task._fut_waiter.set_result(None)
inner = task.get_coro()
for _ in range({depth}):
    inner = inner.cr_await
loop.close()  # with the reply on its way to the task
client._pending_futures.clear()
del task
inner.close()  # as the collector does
print("closed")
del inner
gc.collect()
print("collected")
"""
    ended = run(alone.url, program)
    assert (ended.returncode, ended.stdout) == (0, "closed\ncollected\n"), ended.stderr
    assert "already executing" not in ended.stderr


def test_a_forgotten_connection_is_freed_once(alone: EmbeddedValkey) -> None:
    """GLIDE's client may be garbage together with what closes it."""
    closes: list[object] = []

    class Library:
        def __init__(self, library: Any) -> None:
            self._library = library

        def __getattr__(self, name: str) -> Any:
            return closes.append if name == "close_client" else getattr(self._library, name)

    async def forget() -> None:
        connection = ValkeyConnection.from_url(alone.url)
        await MessageStore(connection=connection).acount("s")
        client = connection._async_clients.opened()
        assert client is not None
        finalizer = client._core_client_finalizer
        assert finalizer is not None
        client._lib = Library(client._lib)
        del client, connection
        with pytest.warns(ResourceWarning, match="garbage-collected without close"):
            gc.collect()
        assert not finalizer.alive  # GLIDE freed it
        await asyncio.sleep(0.05)
        assert closes == []

    gc.disable()  # it shall run where it is waited for
    try:
        asyncio.run(forget())
    finally:
        gc.enable()


def test_a_loop_closed_while_its_client_is_made(alone: EmbeddedValkey) -> None:
    """The reply is dropped, and no other with it."""
    program = """
from valkey_memory._server import loops
async def abandon():
    task = asyncio.ensure_future(turn())
    while not loops._tasks:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # asks what the server is
    return task
loop = asyncio.new_event_loop()
task = loop.run_until_complete(abandon())
loop.close()
print("closed", flush=True)
sys.stdin.readline()
asyncio.run(turn())
print(len(loops._tasks))
del task, loop
gc.collect()
asyncio.run(turn())
"""
    url = alone.url
    with subprocess.Popen(
        [sys.executable, "-c", _HEAD + program, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        with frozen(process_id(alone)):
            assert process.stdout.readline() == "closed\n"
        output, errors = process.communicate("\n", timeout=40)
    assert (process.returncode, output) == (0, "0\n"), errors
    assert "_on_async_pipe_readable" not in errors


def test_a_first_call_ends_though_the_reply_is_lost(alone: EmbeddedValkey) -> None:
    program = """
store = MessageStore(connection=ValkeyConnection.from_url(sys.argv[1], request_timeout=0.1))
async def main():
    from valkey_memory._server import loops
    await loops._reader.ensure()
    from glide import glide_client
    reader = glide_client._async_pipe_loop
    reader.call_soon_threadsafe(reader.remove_reader, glide_client._async_pipe_read_fd)
    await asyncio.wait_for(turn(), 10)
try:
    asyncio.run(main())
except ValkeyMemoryError as error:
    print(error)
"""
    ended = run(alone.url, program)
    assert "no answer within 2.1 s" in ended.stdout, ended.stderr
