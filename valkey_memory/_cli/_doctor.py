"""``doctor``: the facts, gathered in one place, and what ``_checks`` makes of them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._errors import CommandError, ConfigurationError, UnknownCommandError, ValkeyMemoryError
from .._keys import check_prefix
from .._plans import Reply
from .._server.clients import WHEELS
from .._server.connection import ValkeyConnection
from . import _indexes, _output
from ._app import FAILED, Json, KeyPrefix, Timeout, Url, own_version
from ._checks import Conversations, Facts, Finding, Level, Node, diagnose
from ._indexes import Found
from ._keyspace import ask, ask_every_node, describe, walk
from ._models import embed_query
from ._output import amount, out, say

_LOOKED_AT = 10_000
_MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok      ", "green"),
    "warning": ("warning ", "bold yellow"),
    "problem": ("PROBLEM ", "bold red"),
}


def doctor(
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="Look at this index, too.")
    ] = None,
    dimension: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Numbers per vector that the index should have."),
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model that the index should fit, instead of --dimension: local, "
            "bedrock:MODEL_ID or module:attribute. It embeds one word.",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 on warnings, too.")] = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Say what is wrong or risky, why, and what to do about it.

    Exit status: 0 no problem, 1 at least one, 2 wrong use. It changes nothing.
    """
    check_prefix(key_prefix)
    if index is None and (dimension is not None or embedding is not None):
        raise ConfigurationError("--dimension and --embedding need --index")
    if dimension is not None and embedding is not None:
        raise ConfigurationError("give --dimension or --embedding, not both")
    if embedding is not None:
        dimension = len(embed_query(embedding)("test"))
    with ValkeyConnection.from_url(
        url, request_timeout=timeout, client_name="valkey-memory-cli"
    ) as connection:
        findings = diagnose(gather(connection, key_prefix, index, dimension))
        address = connection.address
    levels = [finding.level for finding in findings]
    problems, warnings = levels.count("problem"), levels.count("warning")
    if json:
        _output.print_json(
            {
                "address": address,
                "versions": _versions(),
                "problems": problems,
                "warnings": warnings,
                "findings": [asdict(finding) for finding in findings],
            }
        )
    else:
        say(("  ".join(f"{name} {number}" for name, number in _versions().items()), "dim"))
        for finding in findings:
            _print(finding)
        say()
        counted = f"{amount(problems, 'problem')}, {amount(warnings, 'warning')}"
        say((counted, "bold red" if problems else "bold yellow" if warnings else "bold green"))
    if problems or (strict and warnings):
        raise typer.Exit(FAILED)


def _print(finding: Finding) -> None:
    mark, style = _MARKS[finding.level]
    # The colour may be missing; so the level is a word.
    say(
        (mark, style),
        (f"{finding.check:<12}", "dim"),
        (_output.visible(finding.what), "" if finding.level == "ok" else "bold"),
    )
    for label, text in (("cause", finding.cause), ("fix", finding.fix)):
        if not text:
            continue
        shown = Text(_output.visible(text))
        if out.is_terminal:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(width=5)
            grid.add_row(Text(label, "dim"), shown)
            out.print(Padding(grid, (0, 0, 0, 8), expand=False))
        else:  # whole lines for grep
            out.print(Text(f"        {label:<7}") + shown, soft_wrap=True)


def _versions() -> dict[str, str]:
    return {
        "valkey-glide-memory": own_version(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


# Facts


def installed_wheels() -> dict[str, str | None]:
    """GLIDE's wheels with their versions; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for wheel in WHEELS:
        try:
            found[wheel] = importlib.metadata.version(wheel)
        except importlib.metadata.PackageNotFoundError:
            found[wheel] = None
    return found


def gather(
    connection: ValkeyConnection, key_prefix: str, index: str | None, dimension: int | None
) -> Facts:
    """Ask for everything that the checks judge. Reads only."""
    wheels = installed_wheels()
    try:
        nodes, cluster = _nodes(connection)
        search, has_json = connection.run(
            ask("look for modules", ("FT._LIST",), ("JSON.GET", "valkey-memory:probe", "$"))
        )
        return Facts(
            wheels=wheels,
            address=connection.address,
            cluster=cluster,
            nodes=nodes,
            search_commands=_indexes.has_search(search),
            json_commands=not isinstance(has_json, UnknownCommandError),
            conversations=_conversations(connection, key_prefix),
            indexes=_all_indexes(connection, search, index),
            index=index,
            dimension=dimension,
        )
    except ValkeyMemoryError as error:
        return Facts(wheels=wheels, address=connection.address, failure=error)


def _nodes(connection: ValkeyConnection) -> tuple[list[Node], bool]:
    infos = ask_every_node(connection, "read the server's state", "INFO", "everything")
    settings = ask_every_node(connection, "read the server's settings", "CONFIG", "GET", "save")
    cluster = False
    nodes = []
    for address, reply in infos.items():
        if isinstance(reply, ValkeyMemoryError):
            if not isinstance(reply, CommandError):
                raise reply
            nodes.append(Node(address))  # INFO is not permitted: everything is unknown
            continue
        info = read_info(reply)
        cluster = cluster or info.get("cluster_enabled") == "1"
        nodes.append(node_from(address, info, settings.get(address)))
    return nodes, cluster


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
        modules=modules,
        used_memory=number("used_memory"),
        maxmemory=number("maxmemory"),
        maxmemory_policy=info.get("maxmemory_policy"),
        evicted_keys=number("evicted_keys"),
        aof=None if aof is None else aof == "1",
        save=None if save is None else save.decode(),
        failed_write=next((kind for kind, state in failed.items() if state == "err"), ""),
    )


def _conversations(connection: ValkeyConnection, key_prefix: str) -> Conversations:
    looked_at, endless = 0, []
    for page in walk(connection, key_prefix):
        for one in describe(connection, key_prefix, page):
            looked_at += 1
            if one.ttl_ms is None:
                endless.append(one.id)
        if looked_at >= _LOOKED_AT:
            return Conversations(looked_at, endless, more=True)
    return Conversations(looked_at, endless)


def _all_indexes(
    connection: ValkeyConnection, listed: Reply, wanted: str | None
) -> list[Found] | None:
    """Every index of valkey-search, and the one asked about also when it is of exact search."""
    found: dict[str, Found] = {}
    refused = isinstance(listed, ValkeyMemoryError) and _indexes.has_search(listed)
    names = [] if isinstance(listed, ValkeyMemoryError) else {name.decode() for name in listed}
    for name in sorted({*names, *([wanted] if wanted else [])}):
        if (info := _indexes.on_server(connection, name)) is not None:
            found[name] = _indexes.found_on_server(connection, info, memory=False)
    if wanted and wanted not in found and (one := _indexes.exact(connection, wanted)) is not None:
        found[wanted] = one
    return None if refused and not found else list(found.values())
