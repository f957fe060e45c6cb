"""Real servers for the tests, all from the binary that the embedded server uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from valkey_memory import EmbeddedValkey
from valkey_memory._embedded import _free_port
from valkey_memory._glide import load

SLOTS = 16384


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


@contextmanager
def cluster() -> Iterator[list[int]]:
    """A three-node cluster without replicas; the ports of its nodes."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                EmbeddedValkey(
                    config={
                        "cluster-enabled": "yes",
                        "cluster-port": str(_free_port()),
                        "cluster-node-timeout": "5000",
                    }
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


def _agreed(port: int) -> bool:
    info = admin(port, "CLUSTER", "INFO")
    return b"cluster_state:ok" in info and b"cluster_known_nodes:3" in info


def command_counts(port: int) -> dict[str, int]:
    """Calls per command since the last ``CONFIG RESETSTAT``, as INFO commandstats has them."""
    lines = admin(port, "INFO", "commandstats").decode().splitlines()
    counts = {}
    for line in lines:
        if line.startswith("cmdstat_"):
            name, _, rest = line.removeprefix("cmdstat_").partition(":")
            counts[name] = int(rest.split(",")[0].removeprefix("calls="))
    return counts
