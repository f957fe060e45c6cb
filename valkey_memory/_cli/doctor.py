"""``doctor``: the facts, gathered in one place, and what the checks of ``_memory`` make of them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from .._errors import ConfigurationError, ValkeyMemoryError
from .._keys import check_prefix
from .._memory.advice import permitted_plan, server_facts_plan
from .._memory.checks import diagnose
from .._memory.findings import Conversations, Facts, Finding, Level, Waiting
from .._memory.waiting import waiting_plan
from .._plans import Plan
from .._server.clients import WHEELS
from .._server.connection import ValkeyConnection
from .._vectors.discovery import FoundIndex, index_plan, indexes_plan
from . import output
from .app import FAILED, Json, KeyPrefix, Timeout, Url, own_version
from .models import embed_query
from .output import amount, out, say
from .walking import conversation_pages

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
    memory_index: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The index of the long-term memory: do conversations wait for extraction of "
            "facts?",
        ),
    ] = "memory",
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
        findings = diagnose(gather(connection, key_prefix, index, dimension, memory_index))
        address = connection.address
    levels = [finding.level for finding in findings]
    problems, warnings = levels.count("problem"), levels.count("warning")
    if json:
        output.print_json(
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
        (output.visible(finding.what), "" if finding.level == "ok" else "bold"),
    )
    for label, text in (("cause", finding.cause), ("fix", finding.fix)):
        if not text:
            continue
        shown = Text(output.visible(text))
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
    connection: ValkeyConnection,
    key_prefix: str,
    index: str | None,
    dimension: int | None,
    memory_index: str,
) -> Facts:
    """Ask for everything that the checks judge. Reads only."""
    wheels = installed_wheels()
    try:
        facts = connection.run(server_facts_plan())
        return replace(
            facts,
            wheels=wheels,
            address=connection.address,
            conversations=_conversations(connection, key_prefix),
            indexes=_indexes(connection, facts.listed, index),
            index=index,
            dimension=dimension,
            waiting=connection.run(permitted_plan(_waiting_plan(memory_index, key_prefix))),
        )
    except ValkeyMemoryError as error:
        return Facts(wheels=wheels, address=connection.address, failure=error)


def _conversations(connection: ValkeyConnection, key_prefix: str) -> Conversations:
    looked_at, endless = 0, []
    for page in conversation_pages(connection, key_prefix):
        looked_at += len(page)
        endless += [one.id for one in page if one.ttl_ms is None]
        if looked_at >= _LOOKED_AT:
            return Conversations(looked_at, endless, more=True)
    return Conversations(looked_at, endless)


def _indexes(
    connection: ValkeyConnection, listed: Sequence[str] | None, wanted: str | None
) -> list[FoundIndex] | None:
    """Every index of valkey-search, and the one asked about also when it is of exact search."""
    names = list(listed or ())
    if wanted and wanted not in names:
        names.append(wanted)
    found = connection.run(indexes_plan(names))
    return None if listed is None and not found else found


def _waiting_plan(memory_index: str, key_prefix: str) -> Plan[Waiting | None]:
    index = yield from index_plan(memory_index)
    return (yield from waiting_plan(index, key_prefix))
