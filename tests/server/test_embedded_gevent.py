"""The embedded server under gevent, whose Popen forks as anybody does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(60)

_PATCH = "from gevent import monkey; monkey.patch_all()\n"
_HEAD = """
import asyncio, fcntl, os, sys, threading
from pathlib import Path
from valkey_memory import *
from valkey_memory._server import launch
place = Path(sys.argv[1])
message = {"role": "user", "content": "x"}

def turn(store):
    store.append("s", message)
    return store.count("s")

async def aturn(store):
    await store.aappend("s", message)
    return await store.acount("s")

def locked(directory):
    with open(directory / "valkey-memory.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
"""
_USES = {
    "sync": "print(turn(MessageStore(url=url)))",
    "async": "print(asyncio.run(aturn(MessageStore(url=url))))",
    "greenlets": """
import gevent
jobs = [gevent.spawn(turn, MessageStore(url=url)) for _ in range(3)]
gevent.joinall(jobs, timeout=20)
print(max(job.value for job in jobs) - 2)
""",
}


def run(place: Path, program: str, patch: str = _PATCH) -> str:
    """What a program of its own prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", patch + _HEAD + program, str(place)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("use", _USES)
def test_a_url(tmp_path: Path, use: str) -> None:
    program = f'url = f"embedded://{{place}}"\n{_USES[use]}\nprint(locked(place))'
    assert run(tmp_path, program) == "1\nTrue\n"


@pytest.mark.parametrize("use", ["sync", "async"])
def test_a_temporary_server(tmp_path: Path, use: str) -> None:
    assert run(tmp_path, f'url = "embedded://"\n{_USES[use]}') == "1\n"


@pytest.mark.parametrize("use", _USES)
def test_an_object(tmp_path: Path, use: str) -> None:
    program = f"""
with EmbeddedValkey(place) as server:
    url = server.url
{"".join(f"    {line}" for line in _USES[use].splitlines(keepends=True))}
    print(locked(place), server.alive)
print(locked(place), server.alive)
"""
    assert run(tmp_path, program) == "1\nTrue True\nFalse False\n"


def test_after_calls_on_another_server(tmp_path: Path) -> None:
    """GLIDE opens files in each forked child, which took the number of the lock that was closed."""
    program = """
with EmbeddedValkey() as first:
    print(turn(MessageStore(url=first.url)))
    with EmbeddedValkey(place) as server:
        print(turn(MessageStore(url=server.url)), locked(place))
"""
    assert run(tmp_path, program) == "1\n1 True\n"


def test_a_killed_server_comes_back(tmp_path: Path) -> None:
    program = """
with EmbeddedValkey(place) as server:
    os.kill(server._holder.server.pid, 9)
    print(server.revive(), locked(place), server.alive)
"""
    assert run(tmp_path, program) == "True True True\n"


@pytest.mark.parametrize("patch", [_PATCH, ""], ids=["greenlet", "thread"])
def test_a_child_that_is_forked_meanwhile_does_not_keep_the_lock(
    tmp_path: Path, patch: str
) -> None:
    program = """
server = EmbeddedValkey(place)
answers = launch._answers

def fork():
    if not (pid := os.fork()):
        print(server._place.lock, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)

def forked_meanwhile(*arguments):
    other = threading.Thread(target=fork)
    other.start()
    other.join()
    print(server._place.lock is not None)
    return answers(*arguments)

launch._answers = forked_meanwhile
with server:
    print(locked(place))
print(locked(place))
"""
    assert run(tmp_path, program, patch) == "None\nTrue\nTrue\nFalse\n"


def test_a_thread_that_is_no_greenlet(tmp_path: Path) -> None:
    """gevent's Popen cannot be used there; it leaves no server behind."""
    program = """
import gevent
def start():
    try:
        EmbeddedValkey(place).start()
    except EmbeddedServerError as error:
        return str(error)
print(gevent.get_hub().threadpool.apply(start), locked(place))
"""
    assert run(tmp_path, program) == (
        "gevent starts processes in its main thread only: start the embedded server there False\n"
    )
