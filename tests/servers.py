"""Real servers for the tests, all from the binary that the embedded server uses."""

from __future__ import annotations

import binascii
import contextlib
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from valkey_memory import EmbeddedValkey, ValkeyConnection
from valkey_memory._plans import Command, Plan, Reply, Request
from valkey_memory._server import embedded as _embedded
from valkey_memory._server.clients import load
from valkey_memory._server.embedded import _free_port

SLOTS = 16384
COORDINATOR = 20_294
_SYNC_AT_ONCE = {"repl-diskless-sync-delay": "0"}


def admin(port: int, *command: str) -> Any:
    """Send one command with a client of its own; for tests that look behind the library."""
    glide = load("glide_sync")
    configuration = glide.GlideClientConfiguration(
        [glide.NodeAddress("127.0.0.1", port)], request_timeout=5000
    )
    client = glide.GlideClient.create(configuration)
    try:
        return client.custom_command(list(command))
    finally:
        client.close()


def send_all(
    connection: ValkeyConnection, *commands: Command, errors_as_replies: bool = False
) -> list[Reply]:
    """Send commands over a connection, behind the library."""

    def plan() -> Plan[list[Reply]]:
        replies: list[Reply] = yield Request("test", commands, errors_as_replies=errors_as_replies)
        return replies

    return connection.run(plan())


def send(
    connection: ValkeyConnection, *command: str | bytes, errors_as_replies: bool = False
) -> Reply:
    """``send_all`` for one command."""
    return send_all(connection, command, errors_as_replies=errors_as_replies)[0]


@contextmanager
def cluster(modules: Sequence[str] = (), node_timeout_ms: int = 5000) -> Iterator[list[int]]:
    """A three-node cluster without replicas; the ports of its nodes."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                EmbeddedValkey(
                    config={
                        "cluster-enabled": "yes",
                        "cluster-port": str(_free_port()),
                        "cluster-node-timeout": str(node_timeout_ms),
                    },
                    modules=modules,
                )
            )
            for _ in range(3)
        ]
        ports = [node.port for node in nodes]
        buses = [node._config["cluster-port"] for node in nodes]
        share = SLOTS // 3
        bounds = [0, share, 2 * share, SLOTS]
        for index, port in enumerate(ports):
            admin(port, "CLUSTER", "SET-CONFIG-EPOCH", str(index + 1))
            first, last = bounds[index], bounds[index + 1] - 1
            admin(port, "CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for port, bus in zip(ports[1:], buses[1:], strict=True):
            admin(ports[0], "CLUSTER", "MEET", "127.0.0.1", str(port), bus)
        deadline = time.monotonic() + 30
        while not all(_agreed(port) for port in ports):
            if time.monotonic() > deadline:
                raise TimeoutError("the cluster did not form")
            time.sleep(0.1)
        yield ports


@contextmanager
def replicated() -> Iterator[tuple[int, int]]:
    """A primary and its replica, not in a cluster; their ports."""
    with EmbeddedValkey(config=_SYNC_AT_ONCE) as primary, EmbeddedValkey() as replica:
        told(replica.port, "REPLICAOF", "127.0.0.1", str(primary.port))
        _wait(lambda: b"master_link_status:up" in told(replica.port, "INFO", "replication"))
        yield primary.port, replica.port


@contextmanager
def replicated_cluster(
    *, replicas: int = 1, node_timeout_ms: int = 5000
) -> Iterator[tuple[int, int]]:
    """``cluster()`` and replicas of its first nodes; the ports of node and replica of slot 0."""
    with cluster(node_timeout_ms=node_timeout_ms) as primaries, ExitStack() as stack:
        ports = []
        for primary in primaries[:replicas]:
            config = {
                "cluster-enabled": "yes",
                "cluster-port": str(_free_port()),
                "cluster-node-timeout": str(node_timeout_ms),
            }
            replica = stack.enter_context(EmbeddedValkey(config=config)).port
            told(primary, "CONFIG", "SET", *next(iter(_SYNC_AT_ONCE.items())))
            told(replica, "CLUSTER", "MEET", "127.0.0.1", str(primary), _bus(primary))
            name = told(primary, "CLUSTER", "MYID").decode()
            _wait_until_told(replica, name, "CLUSTER", "NODES")
            told(replica, "CLUSTER", "REPLICATE", name)
            ports.append(replica)
        for primary, replica in zip(primaries, ports, strict=False):
            # It is shown with its slots once it has caught up.
            _wait_until_told(primary, str(replica), "CLUSTER", "SLOTS")
        yield primaries[0], ports[0]


def _bus(port: int) -> str:
    """The cluster bus port of the node at ``port``."""
    nodes = told(port, "CLUSTER", "NODES").decode()
    return nodes.partition(f":{port}@")[2].split()[0]


def _wait_until_told(port: int, text: str, *command: str) -> None:
    _wait(lambda: text.encode() in told(port, *command))


def _wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError("the replica did not join")
        time.sleep(0.05)


def told(port: int, *command: str) -> bytes:
    """``admin`` without GLIDE, which refuses to talk to a replica alone; lists as they come."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(" ".join(command).encode() + b"\r\nQUIT\r\n")
        reply = connection.makefile("rb").read().removesuffix(b"+OK\r\n")
    if reply.startswith(b"-"):
        raise RuntimeError(reply.decode())
    return reply.partition(b"\r\n")[2][:-2] if reply.startswith(b"$") else reply


def _agreed(port: int) -> bool:
    info = admin(port, "CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info


def command_counts(port: int) -> dict[str, int]:
    """``exact_counts``, where a script counts alike by its text and by its hash."""
    counts = exact_counts(port)
    for by_text, by_hash in (("eval", "evalsha"), ("eval_ro", "evalsha_ro")):
        if by_hash in counts:
            counts[by_text] = counts.get(by_text, 0) + counts.pop(by_hash)
    return counts


def exact_counts(port: int) -> dict[str, int]:
    """Calls per command since the last ``CONFIG RESETSTAT``, as INFO commandstats has them."""
    lines = told(port, "INFO", "commandstats").decode().splitlines()
    counts = {}
    for line in lines:
        if line.startswith("cmdstat_"):
            name, _, rest = line.removeprefix("cmdstat_").partition(":")
            counts[name] = int(rest.split(",")[0].removeprefix("calls="))
    return counts


def _low_port() -> int:
    """A free port whose neighbour 20,294 above, where valkey-search's coordinator is, is free."""
    while True:
        port = random.randint(21_000, 32_000)
        with socket.socket() as one, socket.socket() as other, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + COORDINATOR))
            return port


@contextmanager
def search_cluster(modules: Sequence[Path]) -> Iterator[list[int]]:
    """``cluster()`` with valkey-json and valkey-search, ready to make indexes."""
    loads = [
        f"{file} --use-coordinator" if "search" in file.name else str(file) for file in modules
    ]
    with mock.patch.object(_embedded, "_free_port", _low_port), cluster(loads) as ports:
        for port in ports:
            _wait_for_coordinator(port)
        yield ports


def _wait_for_coordinator(port: int) -> None:
    """Make and drop an index at a node until it reaches the others.

    In the first moment of a cluster FT.CREATE says that it cannot, after five seconds.
    """
    glide = load("glide_sync")
    errors = (glide.RequestError, glide.TimeoutError)
    slots = admin(port, "CLUSTER", "SLOTS")
    first, last = next((one, end) for one, end, node in slots if node[1] == port)
    name = next(
        n
        for n in map(str, range(SLOTS))
        if first <= binascii.crc_hqx(n.encode(), 0) % SLOTS <= last
    )
    deadline = time.monotonic() + 60
    while True:
        try:
            admin(port, "FT.CREATE", name, "SCHEMA", "a", "TAG")
            break
        except errors:
            if time.monotonic() > deadline:
                raise
        finally:
            with contextlib.suppress(*errors):
                admin(port, "FT.DROPINDEX", name)
