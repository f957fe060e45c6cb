"""The embedded server ends with its owner, however that ends, and leaves its signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection
from valkey_memory._server import keeper
from valkey_memory._server.embedded import _free_port

from ..conversations.test_message_lists import said
from ..servers import admin, told
from .test_failures import faces, process_id

pytestmark = pytest.mark.timeout(120)

_OWNER = """
import asyncio, os, signal, sys
from valkey_memory import MessageStore
how, url, face, *ignored = sys.argv[1:]
for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT"):  # as a shell in the background may have it
    signal.signal(getattr(signal, name), signal.SIG_IGN if name in ignored else signal.SIG_DFL)
store = MessageStore(url=url)
message = {"role": "user", "content": "by the owner"}

def ready():
    lease = store.connection._factory._lease
    print(lease.port, lease._server._place.path, flush=True)

async def main():
    await store.aappend("s", message)
    if face == "async":
        ready()
        await asyncio.to_thread(end)

def end():
    sys.stdin.readline()
    if how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
        signal.pause()
    elif how == "_exit":
        os._exit(7)
    elif how == "raise":
        raise RuntimeError("a mistake")
    elif how == "abort":
        os.abort()

if face == "async":
    asyncio.run(main())
else:
    store.append("s", message)
    ready()
    end()
"""


@contextlib.contextmanager
def owner(
    how: str, url: str, face: str = "sync", *ignored: str
) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    command = [sys.executable, "-c", _OWNER, how, url, face, *ignored]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            port, _, directory = process.stdout.readline().rstrip("\n").partition(" ")
            yield process, int(port), Path(directory)
        finally:
            process.kill()


def tell_to_end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    process.wait(30)


def eventually(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False


def relatives(pid: int) -> list[psutil.Process]:
    """The keeper and the server of an owner."""
    return psutil.Process(pid).children(recursive=True)


ENDS = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "_exit", "abort", "raise", "return"]


@pytest.mark.parametrize("face", ["sync", pytest.param("async", marks=pytest.mark.long)])
@pytest.mark.parametrize("how", ENDS)
def test_it_ends_with_its_owner(tmp_path: Path, how: str, face: str) -> None:
    # Every end with either face and with either kind of directory, and these with each other.
    persistent = (ENDS.index(how) + (face == "async")) % 2 == 0
    url = f"embedded://{tmp_path}" if persistent else "embedded://"
    with owner(how, url, face) as (process, port, directory):
        assert listens(port)
        family = relatives(process.pid)
        assert len(family) == 2
        tell_to_end(process)
        eventually(lambda: not listens(port))
        eventually(lambda: not any(one.is_running() for one in family))
    if not persistent:
        eventually(lambda: not directory.exists())
        return
    with ValkeyConnection.from_url(url) as connection:
        assert MessageStore(connection=connection).messages("s") == said("by the owner")


@pytest.mark.parametrize("how", ["SIGKILL", "return"])
def test_an_owner_that_ignores_signals(tmp_path: Path, how: str) -> None:
    """As under nohup, or in the background of a shell: what is ignored is inherited."""
    ignored = ("SIGTERM", "SIGHUP", "SIGINT")
    with owner(how, f"embedded://{tmp_path}", "sync", *ignored) as (process, port, _):
        tell_to_end(process)
        eventually(lambda: not listens(port))


def test_signals_to_the_whole_group_are_for_the_owner(tmp_path: Path) -> None:
    """Ctrl-C in a terminal goes to every process there; an owner that goes on has its server."""
    with owner("return", f"embedded://{tmp_path}", "sync", "SIGINT", "SIGHUP") as found:
        process, port, _ = found
        family = relatives(process.pid)
        for number in (signal.SIGINT, signal.SIGHUP):
            os.killpg(process.pid, number)
        for one in family:
            if "keeper.py" in " ".join(one.cmdline()):
                one.send_signal(signal.SIGTERM)  # a supervisor may find it all the same
        time.sleep(0.3)
        assert listens(port)
        tell_to_end(process)
        eventually(lambda: not listens(port))


def test_where_the_kernel_does_not_tell_of_an_end(tmp_path: Path) -> None:
    """The keeper then looks by itself."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    waiting = threading.Thread(target=keeper.poll_for_end, args=(child.pid,))
    waiting.start()
    time.sleep(0.2)
    assert waiting.is_alive()
    child.kill()
    waiting.join(10)
    assert not waiting.is_alive()
    child.communicate()
    keeper.poll_for_end(child.pid)  # it has ended already
    keeper.wait_for_end(child.pid)


def handlers() -> dict[Any, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


@faces
def test_the_applications_signals_are_its_own(tmp_path: Path, is_async: bool) -> None:
    async def use(connection: ValkeyConnection) -> None:
        store = MessageStore(connection=connection)
        if is_async:
            await store.aappend("s", said("a")[0])
        else:
            store.append("s", said("a")[0])

    async def main() -> None:
        before, mask = handlers(), signal.pthread_sigmask(signal.SIG_BLOCK, ())
        async with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
            await use(connection)
            assert handlers() == before
        assert handlers() == before
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
        assert not child_signals

    # An application may count its children's ends, and must not be disturbed by ours.
    child_signals: list[int] = []
    old = signal.signal(signal.SIGTERM, lambda number, _: child_signals.append(number))
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, old)


@pytest.mark.parametrize("ignored", [signal.SIGCHLD, signal.SIGTERM])
def test_an_application_that_ignores_a_signal(tmp_path: Path, ignored: signal.Signals) -> None:
    """With SIGCHLD ignored the kernel reaps children itself, and nobody can wait for them."""
    old = signal.signal(ignored, signal.SIG_IGN)
    try:
        with EmbeddedValkey(tmp_path) as server:
            assert told(server.port, "PING") == b"+PONG\r\n"
            os.kill(process_id(server), signal.SIGKILL)
            assert server.revive()
            port = server.port
        assert not listens(port)
    finally:
        signal.signal(ignored, old)


def test_an_owner_may_be_a_thread(tmp_path: Path) -> None:
    """The end of the thread that started it is not the end of the process."""
    server = EmbeddedValkey(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert told(server.port, "PING") == b"+PONG\r\n"
    server.close()


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    # The default port of a cluster's bus, 10,000 above, may be beyond the last.
    in_cluster = {"cluster-enabled": "yes", "cluster-port": str(_free_port())}
    for config in ({}, in_cluster):
        with EmbeddedValkey(tmp_path / str(len(config)), config=config) as server:
            sockets = psutil.Process(process_id(server)).net_connections("all")
            listening = [one for one in sockets if one.status == psutil.CONN_LISTEN]
            assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
            assert not [one for one in sockets if one.family == socket.AF_UNIX and one.laddr]
            settings = admin(server.port, "CONFIG", "GET", "bind", "protected-mode", "unixsocket")
            assert settings == {
                b"bind": b"127.0.0.1",
                b"protected-mode": b"yes",
                b"unixsocket": b"",
            }


def test_what_the_page_says_of_who_can_reach_it() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "server-settings.md"
    section = page.read_text().partition("## The embedded server")[2]
    for word in ("127.0.0.1", "no password", "every user", "SIGKILL", "chmod"):
        assert word in section
    assert "127.0.0.1" in textwrap.dedent(EmbeddedValkey.__doc__ or "")
