"""What each process of a server says of itself, in INFO and in one of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import CommandError
from .._plans import AskPrimaries, Command, Plan, Reply, answered


@dataclass(frozen=True, slots=True)
class Node:
    """What one server process says of itself; a cluster has several. None is what it does not."""

    address: str
    version: str | None = None
    name: str = "valkey"
    cluster: bool = False
    modules: Mapping[str, int] | None = None
    """Name to version number, as INFO modules has it."""
    used_memory: int | None = None
    maxmemory: int | None = None
    maxmemory_policy: str | None = None
    evicted_keys: int | None = None
    aof: bool | None = None
    save: str | None = None
    """CONFIG GET save; None where CONFIG is not permitted."""
    failed_write: str = ""
    """The kind of persistence whose last write failed."""


def nodes_plan() -> Plan[list[Node]]:
    """Every primary. One that does not permit INFO has its address alone.

    Two round trips.
    """
    infos = yield from _ask_plan("read the server's state", ("INFO", "everything"))
    settings = yield from _ask_plan("read the server's settings", ("CONFIG", "GET", "save"))
    return [
        Node(address)
        if isinstance(reply, CommandError)
        else node_from(address, read_info(answered(reply)), settings.get(address))
        for address, reply in infos.items()
    ]


def _ask_plan(operation: str, command: Command) -> Plan[dict[str, Reply]]:
    """Replies by address; none where the command is refused as a whole."""
    try:
        replies: dict[str, Reply] = yield AskPrimaries(operation, command)
    except CommandError:
        return {}
    return replies


def read_info(reply: Reply) -> dict[str, str]:
    """INFO's text as names and values. Modules keep their lines, under ``module:NAME``."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    found: dict[str, str] = {"modules": ""}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if name == "module" and colon:
            module = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
            found[f"module:{module.get('name', '')}"] = module.get("ver", "")
        elif colon:
            found[name] = value.strip()
    return found


def node_from(address: str, info: Mapping[str, str], settings: Any) -> Node:
    """What a node's INFO and CONFIG GET save say."""

    def number(name: str) -> int | None:
        text = info.get(name, "")
        return int(text) if text.isdigit() else None

    # GLIDE gives CONFIG GET's reply as a dict; where it is refused, as an error.
    save = settings.get(b"save") if isinstance(settings, dict) else None
    aof = info.get("aof_enabled")
    failed = {
        "snapshot": info.get("rdb_last_bgsave_status"),
        "append-only file": info.get("aof_last_write_status"),
    }
    modules = {
        name.removeprefix("module:"): int(ver)
        for name, ver in info.items()
        if name.startswith("module:") and ver.isdigit()
    }
    return Node(
        address=address,
        version=info.get("valkey_version") or info.get("redis_version"),
        name=info.get("server_name", "redis" if "valkey_version" not in info else "valkey"),
        cluster=info.get("cluster_enabled") == "1",
        modules=modules,
        used_memory=number("used_memory"),
        maxmemory=number("maxmemory"),
        maxmemory_policy=info.get("maxmemory_policy"),
        evicted_keys=number("evicted_keys"),
        aof=None if aof is None else aof == "1",
        save=None if save is None else save.decode(),
        failed_write=next((kind for kind, state in failed.items() if state == "err"), ""),
    )
