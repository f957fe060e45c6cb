"""An embedded server whose process was killed starts again: for whom, where, and with what."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from valkey_memory import EmbeddedServerError, EmbeddedValkey, MessageStore, ValkeyConnection
from valkey_memory._server import keeper
from valkey_memory._server.directory import Process
from valkey_memory._server.embedded import Lease

from ..conversations.test_message_lists import said
from ..servers import admin, told
from .test_failures import faces, process_id


def kill(server: EmbeddedValkey) -> int:
    """Kill the server's process as the operating system may; its process id."""
    pid = int(told(server.port, "INFO", "server").partition(b"process_id:")[2].split()[0])
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)
    assert not server.alive
    return pid


def texts(server: EmbeddedValkey) -> list[str]:
    return [message["content"] for message in MessageStore(url=server.url).messages("s")]


def test_a_killed_server_comes_back_where_it_was(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path, config={"appendfsync": "always"}) as server:
        MessageStore(url=server.url).append("s", said("a")[0])
        url, first = server.url, server
        kill(server)
        assert server.revive()
        assert first is server.start()
        assert server.url == url
        assert server.alive
        assert MessageStore(url=url).messages("s") == said("a")
        assert not server.revive()


@pytest.mark.parametrize("kernel_tells", [True, False])
def test_it_was_killed_a_moment_ago(
    tmp_path: Path, kernel_tells: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is still there, and the kernel of some systems does not say that it will end."""
    if not kernel_tells:
        monkeypatch.setattr(keeper, "_EXITING", 0)
        monkeypatch.setattr(keeper, "_KILLED", 0)
    with EmbeddedValkey(tmp_path) as server:
        for _ in range(10):
            os.kill(process_id(server), signal.SIGKILL)
            assert server.revive()
            assert told(server.port, "PING") == b"+PONG\r\n"


@faces
def test_a_store_whose_server_was_killed_a_moment_ago(tmp_path: Path, is_async: bool) -> None:
    async def main() -> None:
        async with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
            store = MessageStore(connection=connection)
            lease = Lease.acquire(tmp_path)
            for number in range(1, 4):
                message = said(str(number))[0]
                if is_async:
                    await store.aappend("s", message)
                else:
                    store.append("s", message)
                admin(lease.port, "CONFIG", "SET", "appendfsync", "always")
                os.kill(process_id(lease._server), signal.SIGKILL)
                if is_async:
                    assert await store.acount("s") == number
                else:
                    assert store.count("s") == number
            lease.release()

    asyncio.run(main())


def test_who_is_not_to_be_asked_is_alive(tmp_path: Path) -> None:
    """A full server refuses the question, a busy one lets it wait; neither is started again."""
    with EmbeddedValkey(tmp_path) as server:
        pid = process_id(server)
        told(server.port, "CONFIG", "SET", "maxclients", "1")
        with socket.create_connection(("127.0.0.1", server.port)) as only:
            only.sendall(b"PING\r\n")
            assert only.recv(7) == b"+PONG\r\n"
            assert not server.revive()
            only.sendall(b"CONFIG SET maxclients 100\r\n")
            assert only.recv(5) == b"+OK\r\n"
            only.sendall(b"CLIENT PAUSE 500 ALL\r\n")
            time.sleep(0.1)
            assert not server.revive()
        time.sleep(1)
        assert process_id(server) == pid


def test_a_temporary_server_comes_back_empty() -> None:
    with EmbeddedValkey() as server:
        url = server.url
        kill(server)
        assert server.revive()
        assert server.url == url
        assert told(server.port, "DBSIZE") == b":0\r\n"


def test_the_temporary_directory_was_cleaned_up_meanwhile() -> None:
    import shutil

    with EmbeddedValkey() as server:
        directory = told(server.port, "CONFIG", "GET", "dir").decode().split("\r\n")[-2]
        kill(server)
        shutil.rmtree(directory)
        assert server.revive()
        assert told(server.port, "DBSIZE") == b":0\r\n"


def test_another_port_where_its_own_was_taken(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        port = server.port
        kill(server)
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
            assert server.revive()
        assert server.port != port
        assert told(server.port, "PING") == b"+PONG\r\n"


def test_what_never_ran_or_was_closed_stays_so(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "data")
    assert not server.revive()
    assert not (tmp_path / "data").exists()
    server.start()
    server.close()
    assert not server.revive()
    assert not server.alive


def test_many_threads_revive_it_once(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        for _ in range(3):
            kill(server)
            revived: list[bool] = []
            threads = [
                threading.Thread(target=lambda: revived.append(server.revive()))  # noqa: B023
                for _ in range(16)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            assert sorted(revived) == [False] * 15 + [True]
        assert told(server.port, "PING") == b"+PONG\r\n"


def test_every_lease_hears_of_it_once(tmp_path: Path) -> None:
    first, second = Lease.acquire(tmp_path), Lease.acquire(tmp_path)
    try:
        assert not first.revive()
        kill(first._server)
        assert not second.alive
        assert first.revive()
        assert second.revive()
        assert not first.revive()
        assert not second.revive()
        assert first.port == second.port
    finally:
        first.release()
        second.release()
    assert not first.revive()


def test_it_does_not_start_again(tmp_path: Path) -> None:
    """It says why each time, and comes back once it can."""
    with EmbeddedValkey(tmp_path) as server:
        MessageStore(url=server.url).append("s", said("a")[0])
        kill(server)
        (manifest,) = tmp_path.glob("appendonlydir/*.manifest")
        right = manifest.read_text()
        manifest.write_text("nonsense")
        for _ in range(2):
            with pytest.raises(EmbeddedServerError, match="did not start in"):
                server.revive()
            assert not server.alive
        manifest.write_text(right)
        assert server.revive()
        assert texts(server) == ["a"]


def test_the_keeper_was_killed(tmp_path: Path) -> None:
    """The server goes on, its owner ends it, and the next has a keeper again."""
    server = EmbeddedValkey(tmp_path).start()
    assert server._keeper is not None
    server._keeper.kill()
    assert server.alive
    assert not server.revive()
    MessageStore(url=server.url).append("s", said("a")[0])
    kill(server)
    assert server.revive()
    assert texts(server) == ["a"]
    server.close()
    assert not server.alive


def revive_in_child(server: EmbeddedValkey) -> None:
    assert server.revive()
    assert not server.revive()
    server.close()
    os._exit(0)


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("persistent", [True, False])
def test_a_forked_child_revives_it_for_its_owner(tmp_path: Path, persistent: bool) -> None:
    """The server outlives the child, and ends with its owner."""
    server = EmbeddedValkey(tmp_path if persistent else None).start()
    kill(server)
    child = multiprocessing.get_context("fork").Process(target=revive_in_child, args=(server,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert told(server.port, "PING") == b"+PONG\r\n"
    assert server.revive()  # another process than it knew
    assert server.alive
    port = server.port
    server.close()
    with pytest.raises(OSError, match="refused"):
        told(port, "PING")


def revive_what_was_closed(server: EmbeddedValkey, wait: object) -> None:
    wait.acquire()  # type: ignore[attr-defined]
    try:
        server.revive()
    except EmbeddedServerError as error:
        os._exit(0 if "was closed there" in str(error) else 2)
    os._exit(3)


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_revive_what_its_owner_closed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    server, wait = EmbeddedValkey(tmp_path).start(), context.Semaphore(0)
    child = context.Process(target=revive_what_was_closed, args=(server, wait))
    child.start()
    server.close()
    wait.release()
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's states of a process are Linux's")
def test_a_process_is_there_until_its_last_thread_has_ended() -> None:
    """Its port is taken as long, though its first thread is a zombie."""
    code = "import threading, time, ctypes; threading.Thread(target=input).start(); "
    code += "ctypes.CDLL(None).pthread_exit(None)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        before = Process.of(process.pid)
        assert before.is_there
        assert not before.alive
        process.kill()
        while psutil.Process(process.pid).num_threads() > 1:
            time.sleep(0.01)
        assert not before.is_there


def test_a_frozen_server_is_alive(tmp_path: Path) -> None:
    """It has its data in memory; whoever wants another one has to kill it first."""
    server = EmbeddedValkey(tmp_path).start()
    pid = int(told(server.port, "INFO", "server").partition(b"process_id:")[2].split()[0])
    os.kill(pid, signal.SIGSTOP)
    assert server.alive
    assert not server.revive()
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 10
