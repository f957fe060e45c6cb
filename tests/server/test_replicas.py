"""``read_from``: which node answers, on a primary with a replica and on a cluster with one."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import (
    ConnectionClosedError,
    ConnectionFailedError,
    Document,
    KeyTypeError,
    MessageStore,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._server.clients import ClientFactory, load
from valkey_memory._server.settings import READ_FROM, parse

from ..conftest import Face
from ..conversations.test_message_lists import said
from ..servers import SLOTS, admin, command_counts, replicated, replicated_cluster, told

Pair = tuple[int, int]

# A key of slot 0 to 5460, which the first node of the cluster has.
SESSION = next(
    name
    for name in map("s{}".format, range(100))
    if binascii.crc_hqx(f"chat:{name}".encode(), 0) % SLOTS < SLOTS // 3
)


@pytest.fixture(scope="module")
def standalone() -> Iterator[Pair]:
    with replicated() as ports:
        yield ports


@pytest.fixture(scope="module")
def in_cluster() -> Iterator[Pair]:
    with replicated_cluster() as ports:
        yield ports


@pytest.fixture(params=["standalone", "in_cluster"])
def ports(request: pytest.FixtureRequest) -> Pair:
    """Of a primary and its replica, in each topology in turn."""
    found: Pair = request.getfixturevalue(request.param)
    told(found[0], "DEL", f"chat:{SESSION}")
    return found


def url(ports: Pair, read_from: str) -> str:
    return f"valkey://127.0.0.1:{ports[0]}?read_from={read_from}&client_az=a"


def read(store: MessageStore, *, is_async: bool) -> list[Any]:
    """What each read gives, ten times."""
    found: list[Any] = []

    async def reads() -> None:
        for _ in range(10):
            found.append(await store.amessages(SESSION))
            found.append(await store.apage(SESSION, 0, 5))
            found.append(await store.acount(SESSION))

    if is_async:
        asyncio.run(reads())
    else:
        for _ in range(10):
            found += [store.messages(SESSION), store.page(SESSION, 0, 5), store.count(SESSION)]
    return found


def caught_up(ports: Pair) -> None:
    """Wait until the replica has all that the primary has."""
    deadline = time.monotonic() + 10
    while True:
        one, other = (_offset(port) for port in ports)
        if one == other or time.monotonic() > deadline:
            return
        time.sleep(0.01)


def _offset(port: int) -> bytes:
    name = b"slave_repl_offset:" if b"role:slave" in told(port, "INFO") else b"master_repl_offset:"
    return told(port, "INFO", "replication").partition(name)[2].split()[0]


def reads_at(port: int) -> int:
    counts = command_counts(port)
    return counts.get("lrange", 0) + counts.get("llen", 0)


# The servers have no availability zone, so affinity falls back to what follows it.
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("read_from", READ_FROM)
def test_reads_go_where_read_from_says(ports: Pair, read_from: str, is_async: bool) -> None:
    with ValkeyConnection.from_url(url(ports, read_from)) as connection:
        store = MessageStore(connection=connection, ttl=60)
        store.extend(SESSION, said("a", "b"))
        asyncio.run(store.aappend(SESSION, said("c")[0]))
        caught_up(ports)
        for port in ports:
            told(port, "CONFIG", "RESETSTAT")
        assert read(store, is_async=is_async) == [said(*"abc"), said(*"abc"), 3] * 10
        primary, replica = map(reads_at, ports)
    assert primary + replica == 30
    if read_from == "primary":
        assert replica == 0
    elif read_from == "prefer_replica":
        assert primary == 0
    elif read_from == "all_nodes":
        assert primary > 0
        assert replica > 0


def test_windows_are_read_from_replicas(ports: Pair) -> None:
    with ValkeyConnection.from_url(url(ports, "prefer_replica")) as connection:
        store = MessageStore(connection=connection)
        store.extend(SESSION, said("a", "b"))
        caught_up(ports)
        for port in ports:
            told(port, "CONFIG", "RESETSTAT")
        for _ in range(5):
            assert store.messages(SESSION, max_tokens=100) == said("a", "b")
            assert asyncio.run(store.amessages(SESSION, max_tokens=100)) == said("a", "b")
        asked = [command_counts(port).get("eval_ro", 0) for port in ports]
        assert asked == [0, 10]


def test_writes_go_to_the_primary_and_are_read_there_until_the_replica_has_them(
    ports: Pair,
) -> None:
    with ValkeyConnection.from_url(url(ports, "prefer_replica")) as connection:
        store = MessageStore(connection=connection, ttl=60, max_messages=10)
        for number in range(20):
            store.append(SESSION, said(str(number))[0])
        store.insert(SESSION, 0, said("first")[0])
        store.delete_last(SESSION)
        store.archive_oldest(SESSION, 2)
        caught_up(ports)
        assert store.messages(SESSION) == said(*map(str, range(12, 19)))
        assert store.archived(SESSION) == said("10", "11")
        assert 50 < store.ttl_left(SESSION) <= 60  # type: ignore[operator]


def test_what_a_read_writes_is_written_on_the_primary(ports: Pair) -> None:
    with ValkeyConnection.from_url(url(ports, "prefer_replica")) as connection:
        store = MessageStore(connection=connection, ttl=60, refresh_ttl_on_read=True)
        store.append(SESSION, said("a")[0])
        store.set_ttl(SESSION, 5)
        assert store.messages(SESSION) == said("a")
        assert store.ttl_left(SESSION) > 50  # type: ignore[operator]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_error_of_a_replica_is_one_of_ours(ports: Pair, is_async: bool) -> None:
    key = f"chat:{SESSION}"
    told(ports[0], "SET", key, "x")
    caught_up(ports)
    with ValkeyConnection.from_url(url(ports, "prefer_replica")) as connection:
        store = MessageStore(connection=connection)
        with pytest.raises(KeyTypeError, match=key):
            read(store, is_async=is_async)


def test_a_replica_that_is_gone_is_not_missed() -> None:
    with replicated() as (primary, replica):
        timeouts = "&request_timeout=1&connection_timeout=1"
        with ValkeyConnection.from_url(url((primary, replica), "prefer_replica") + timeouts) as c:
            store = MessageStore(connection=c)
            store.append(SESSION, said("a")[0])
            caught_up((primary, replica))
            assert store.messages(SESSION) == said("a")
            told(replica, "SHUTDOWN", "NOSAVE")
            deadline = time.monotonic() + 20
            while True:
                try:
                    assert store.messages(SESSION) == said("a")
                    break
                except (ConnectionError, TimeoutError):
                    assert time.monotonic() < deadline
            assert admin(primary, "LLEN", f"chat:{SESSION}") == 1


def test_glides_own_configuration_says_where_to_read(standalone: Pair) -> None:
    glide = load("glide_sync")
    told(standalone[0], "DEL", f"chat:{SESSION}")
    configuration = glide.GlideClientConfiguration(
        [glide.NodeAddress("127.0.0.1", port) for port in standalone],
        read_from=glide.ReadFrom.PREFER_REPLICA,
        request_timeout=5000,
    )
    client = glide.GlideClient.create(configuration)
    for connection in (
        ValkeyConnection.from_config(configuration),
        ValkeyConnection.from_clients(sync_client=client),
    ):
        told(standalone[1], "CONFIG", "RESETSTAT")
        assert MessageStore(connection=connection).messages(SESSION) == []
        assert command_counts(standalone[1])["lrange"] == 1
        connection.close()
    client.close()


# Documents whose keys are in slots of the first node, and so on its replica.
INDEX = "vectors"
IDS = [
    name
    for name in map("d{}".format, range(100))
    if binascii.crc_hqx(f"{INDEX}:{name}".encode(), 0) % SLOTS < SLOTS // 3
][:20]


def document(name: str, year: int) -> Document:
    return Document(name, f"{name} {year}", {"year": year}, [1.0, float(year)])


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_vector_index_never_asks_a_replica(ports: Pair, is_async: bool) -> None:
    """A copy for exact search that was filled from a replica behind its primary stays wrong."""
    for name in IDS:
        told(ports[0], "UNLINK", f"{INDEX}:{name}")
    with ValkeyConnection.from_url(url(ports, "prefer_replica")) as connection:

        def made() -> Any:
            fields: Any = {"year": "numeric"}
            index = VectorIndex(INDEX, 2, search="exact", fields=fields, connection=connection)
            return Face(index, is_async=is_async)

        index = made()
        index.upsert([document(name, 2025) for name in IDS[1:]])
        assert index.count() == 19
        caught_up(ports)
        told(ports[1], "CONFIG", "RESETSTAT")
        # The replica gets no more of what is written.
        told(ports[1], "CLIENT", "PAUSE", "60000", "WRITE")
        try:
            index.upsert([document(name, 2026) for name in IDS])
            for one in (index, made()):
                assert one.count({"year": 2026}) == 20
                found = one.search([1.0, 2026.0], 20)
                assert {hit.document.content for hit in found} == {f"{n} 2026" for n in IDS}
                assert [got.content for got in one.get(IDS[:2])] == [f"{n} 2026" for n in IDS[:2]]
            assert index.delete_where({"year": 2026}) == 20
            assert (index.count(), made().count()) == (0, 0)
        finally:
            told(ports[1], "CLIENT", "UNPAUSE")
        asked = command_counts(ports[1]).keys()
        assert not asked & {"hmget", "pexpiretime", "scan", "xrange", "xrevrange"}


def test_closing_closes_the_client_of_a_vector_index_too(standalone: Pair) -> None:
    connection = ValkeyConnection.from_url(url(standalone, "prefer_replica"))
    index = VectorIndex(INDEX, 2, search="exact", connection=connection)
    assert index.count() == 0
    beside = connection.for_primaries()
    assert beside is connection.for_primaries()
    assert beside is not connection
    connection.close()
    for one in (connection, beside):
        with pytest.raises(ConnectionClosedError):
            MessageStore(connection=one).count("s")
    with pytest.raises(ConnectionClosedError):
        index.count()


@pytest.mark.parametrize("read_from", ["PRIMARY", "PREFER_REPLICA"])
def test_a_vector_index_with_glides_own_configuration(read_from: str) -> None:
    glide = load("glide_sync")
    address = [glide.NodeAddress("127.0.0.1", 1)]
    configuration = glide.GlideClusterClientConfiguration(
        address, read_from=glide.ReadFrom[read_from]
    )
    with ValkeyConnection.from_config(configuration) as connection:
        beside = connection.for_primaries()
        assert (beside is connection) is (read_from == "PRIMARY")
        assert beside._factory.configuration(glide).read_from is glide.ReadFrom.PRIMARY
        assert configuration.read_from is glide.ReadFrom[read_from]
        assert beside.address == connection.address == "127.0.0.1:1"


@pytest.mark.parametrize("package", ["glide", "glide_sync"])
@pytest.mark.parametrize("read_from", READ_FROM)
@pytest.mark.parametrize("cluster", ["true", "false"])
def test_every_strategy_reaches_glide(package: str, read_from: str, cluster: str) -> None:
    glide = load(package)
    settings = parse(f"valkey://h?read_from={read_from}&client_az=eu-1a&cluster={cluster}")
    configuration = ClientFactory(settings).configuration(glide)
    assert configuration.read_from is glide.ReadFrom[read_from.upper()]
    assert configuration.client_az == "eu-1a"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_address_of_a_clusters_replica_leads_to_the_cluster(
    in_cluster: Pair, prefix: str, is_async: bool
) -> None:
    """As the endpoint of a cluster may, whose name stands for any of its nodes."""
    with ValkeyConnection.from_url(f"valkey://127.0.0.1:{in_cluster[1]}") as connection:
        store = Face(MessageStore(connection=connection, key_prefix=prefix), is_async=is_async)
        for name in "abcdefgh":
            store.append(name, said(name)[0])
        assert store.sessions() == list("abcdefgh")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_address_of_a_replica_alone_is_refused(standalone: Pair, is_async: bool) -> None:
    url = f"valkey://127.0.0.1:{standalone[1]}?connection_timeout=0.5"
    with ValkeyConnection.from_url(url) as connection:
        store = Face(MessageStore(connection=connection), is_async=is_async)
        for _ in range(2):
            with pytest.raises(ConnectionFailedError, match="No primary"):
                store.count("s")
