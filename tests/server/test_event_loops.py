"""One store used from threads, from event loops that come and go, and after a fork.

GLIDE alone hangs in most of these, so every test has a time limit of its own.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey, EventLoopError, MessageStore, ValkeyConnection
from valkey_memory._server.clients import load

from ..conversations.test_message_lists import said
from ..servers import admin

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store(url: str, prefix: str) -> Iterator[MessageStore]:
    with ValkeyConnection.from_url(url) as connection:
        yield MessageStore(connection=connection, key_prefix=prefix)


async def turn(store: MessageStore, text: str = "x") -> int:
    await store.aappend("s", said(text)[0])
    return await store.acount("s")


def in_new_loop(store: MessageStore) -> int:
    """As LlamaIndex does it: a loop that is closed without finishing its generators."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(turn(store))
    finally:
        loop.close()


def clients(server: EmbeddedValkey) -> int:
    return len(admin(server.port, "CLIENT", "LIST").splitlines())


def test_three_loops_in_a_row(store: MessageStore) -> None:
    assert [asyncio.run(turn(store)) for _ in range(3)] == [1, 2, 3]


def test_a_hundred_loops_leave_nothing_open(store: MessageStore, server: EmbeddedValkey) -> None:
    asyncio.run(turn(store))
    clients_before, files_before = clients(server), len(list(Path("/dev/fd").iterdir()))
    for _ in range(50):
        asyncio.run(turn(store))
        in_new_loop(store)
    asyncio.run(turn(store))
    gc.collect()
    assert clients(server) <= clients_before + 1
    assert len(list(Path("/dev/fd").iterdir())) <= files_before + 8


def test_sync_and_async_mixed(store: MessageStore) -> None:
    async def mixed() -> int:
        await turn(store)
        store.append("s", said("sync inside a loop")[0])
        return await turn(store)

    assert asyncio.run(mixed()) == 3
    assert store.count("s") == 3


def test_nested_loops_while_the_outer_one_is_blocked(store: MessageStore) -> None:
    async def outer() -> int:
        await turn(store)
        for _ in range(20):
            with ThreadPoolExecutor(1) as executor:
                executor.submit(in_new_loop, store).result()
        return await turn(store)

    assert asyncio.run(outer()) == 22


def test_loops_in_many_threads_at_once(store: MessageStore) -> None:
    async def many() -> None:
        await asyncio.gather(*(turn(store) for _ in range(20)))

    with ThreadPoolExecutor(8) as executor:
        for future in [executor.submit(asyncio.run, many()) for _ in range(16)]:
            future.result()
    assert store.count("s") == 320


def test_many_threads_share_the_sync_client(store: MessageStore) -> None:
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            store.append("s", said("x")[0])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("s") == 400


def test_concurrent_first_uses_open_one_client(url: str, server: EmbeddedValkey) -> None:
    before = clients(server)

    async def first_uses() -> int:
        async with ValkeyConnection.from_url(url) as connection:
            store = MessageStore(connection=connection, key_prefix="unused:")
            await asyncio.gather(*(store.acount("s") for _ in range(50)))
            return clients(server)

    assert asyncio.run(first_uses()) <= before + 1


def test_a_cancelled_call_leaves_the_client_usable(store: MessageStore) -> None:
    async def cancel_one() -> int:
        await turn(store)
        task = asyncio.create_task(turn(store, "maybe"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await turn(store)

    assert asyncio.run(cancel_one()) in (2, 3)


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_fork(store: MessageStore) -> None:
    store.append("s", said("parent")[0])
    asyncio.run(turn(store))
    child = multiprocessing.get_context("fork").Process(target=child_turns, args=(store,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert store.count("s") == 4
    assert asyncio.run(turn(store)) == 5


def child_turns(store: MessageStore) -> None:
    store.append("s", said("child")[0])
    asyncio.run(turn(store))
    os._exit(0 if store.count("s") == 4 else 1)


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_from_inside_a_running_loop(store: MessageStore) -> None:
    async def fork() -> int | None:
        await turn(store)
        child = multiprocessing.get_context("fork").Process(target=child_in_thread, args=(store,))
        child.start()
        await asyncio.to_thread(child.join, 30)
        await turn(store)
        return child.exitcode

    assert asyncio.run(fork()) == 0
    assert store.count("s") == 3


def child_in_thread(store: MessageStore) -> None:
    with ThreadPoolExecutor(1) as executor:
        executor.submit(in_new_loop, store).result()
    os._exit(0)


def test_spawned_processes_get_the_connection_by_url(url: str, store: MessageStore) -> None:
    connection = ValkeyConnection.from_url(url)
    again = pickle.loads(pickle.dumps(connection))  # noqa: S301 - our own bytes
    assert (again.address, again.url) == (connection.address, url)
    assert pickle.loads(pickle.dumps(connection)) is again  # noqa: S301 - one per process
    store.append("s", said("parent")[0])
    asyncio.run(turn(store))
    child = multiprocessing.get_context("spawn").Process(target=child_turns, args=(store,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert store.count("s") == 4


def test_given_clients(url: str, prefix: str) -> None:
    glide, glide_sync = load("glide"), load("glide_sync")
    host, port = url.removeprefix("valkey://").split(":")

    async def main() -> None:
        configuration = glide.GlideClientConfiguration([glide.NodeAddress(host, int(port))])
        async_client = await glide.GlideClient.create(configuration)
        sync_client = glide_sync.GlideClient.create(configuration)
        connection = ValkeyConnection.from_clients(sync_client, async_client)
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.append("s", said("sync")[0])
        assert await turn(store) == 2
        assert str(port) in connection.address
        with pytest.raises(EventLoopError, match="from_url"):
            await asyncio.to_thread(in_new_loop, store)
        connection.close()
        assert sync_client.custom_command(["PING"]) == b"PONG"  # still open: not ours to close
        assert await async_client.custom_command(["PING"]) == b"PONG"
        sync_client.close()
        await async_client.close()

    asyncio.run(main())


def test_a_given_cluster_client(cluster_ports: list[int], prefix: str) -> None:
    glide_sync = load("glide_sync")
    address = glide_sync.NodeAddress("127.0.0.1", cluster_ports[0])
    client = glide_sync.GlideClusterClient.create(
        glide_sync.GlideClusterClientConfiguration([address], request_timeout=5000)
    )
    store = MessageStore(
        connection=ValkeyConnection.from_clients(sync_client=client), key_prefix=prefix
    )
    for number in range(20):
        store.append(f"s{number}", said("x")[0])
    assert len(store.sessions()) == 20
    client.close()


@pytest.mark.parametrize("kind", ["GlideClient", "GlideClusterClient"])
def test_glides_own_configuration(kind: str, url: str, cluster_url: str, prefix: str) -> None:
    glide = load("glide")
    host, port = (url if kind == "GlideClient" else cluster_url)[9:].split(":")
    configuration = getattr(glide, f"{kind}Configuration")(
        [glide.NodeAddress(host, int(port))], request_timeout=5000
    )
    with ValkeyConnection.from_config(configuration) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.append("s", said("a")[0])
        assert asyncio.run(turn(store)) == 2
        assert connection.address == f"{host}:{port}"
