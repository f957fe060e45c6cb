"""``forget``, and what ``export`` and ``import`` do for a user: all that is kept of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Annotated

import typer

from .. import RunLog, ToolCache
from .._errors import ExportFileError, InvalidArgumentError
from .._memory.erasure import KeepsOfUsers
from .._memory.receipts import UserCounts
from .._memory.user_data import UserData
from .._server.connection import ValkeyConnection
from .app import CliError, Json, KeyPrefix, MemoryIndexes, Timeout, Url, Yes, confirm, connected
from .files import progress, told_by, writing_to
from .output import amount, print_json, say, tell, visible


def forget(
    user: Annotated[str, typer.Option(metavar="ID", help="The user, exactly.")],
    memory_index: MemoryIndexes = None,
    tool_prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="What the keys of tools' results begin with.")
    ] = "tool:cache:",
    run_prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="What the keys of runs begin with.")
    ] = "agent:log:",
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Erase all that is kept of a user: conversations, records, memories, results of tools, runs.

    Asks.

    It says that it is done when it has read back that nothing is left. Where it was interrupted,
    run it again.
    """
    with connected(url, timeout, key_prefix) as connection:
        tools = ToolCache(connection=connection, key_prefix=tool_prefix)
        runs = RunLog(connection=connection, key_prefix=run_prefix)
        data = _user_data(connection, key_prefix, memory_index, [tools, runs])
        there = data.count(user)
        if there != UserCounts():
            what = f"{amount(there.conversations, 'conversation')} and {_memories(there)}"
            confirm(f"Erase {what} of {user!r} at {connection.address} for good?", yes=yes)
        with progress(0) as bar:
            receipt = data.forget_user(user, progress=told_by(bar, "erasing"))
    if there == UserCounts() and not (receipt.resumed or receipt.conversations or receipt.cleared):
        raise _nothing(user)
    if json:
        print_json(asdict(receipt))
    else:
        cleared = amount(receipt.cleared, "result or run", "results and runs")
        also = f", {cleared}" if receipt.cleared else ""
        say(f"Erased {_all_of(receipt)}{also} of {visible(user)}.")


def export_of(
    user: str,
    connection: ValkeyConnection,
    key_prefix: str,
    indexes: Sequence[str] | None,
    path: Path | None,
    *,
    json: bool,
) -> None:
    """Write all of a user to a file, or to stdout."""
    data = _user_data(connection, key_prefix, indexes)
    if data.count(user) == UserCounts():
        raise _nothing(user)
    with writing_to(path) as file, progress(0) as bar:
        counts = data.export_user(user, file, progress=told_by(bar, "exporting"))
    if json and path is not None:
        print_json({"file": str(path), "user_id": user, **asdict(counts)})
    elif not json:
        tell(f"Exported {_all_of(counts)} of {user!r}.")


def import_of(
    connection: ValkeyConnection,
    key_prefix: str,
    lines: IO[bytes],
    file: str,
    user: str,
    *,
    replace: bool,
    json: bool,
) -> None:
    """Write the export of a user back."""
    with progress(0) as bar:
        try:
            counts = _user_data(connection, key_prefix, None).import_user(
                lines,
                user_id=user,
                existing="replace" if replace else "refuse",
                progress=told_by(bar, "importing"),
            )
        except ExportFileError as error:
            raise CliError(f"{error}. Nothing was written") from error
        except InvalidArgumentError as error:
            raise CliError(str(error).replace('existing="replace"', "--replace")) from error
    if json:
        print_json({"file": file, "user_id": user, **asdict(counts)})
    else:
        tell(f"Imported {_all_of(counts)} of {user!r}.")


def counted(conversations: int, messages: int) -> str:
    return f"{amount(conversations, 'conversation')} with {amount(messages, 'message')}"


def _all_of(counts: UserCounts) -> str:
    """``2 conversations with 5 messages, and 3 memories``."""
    conversations = counted(counts.conversations, counts.messages + counts.archived)
    return f"{conversations}, and {_memories(counts)}"


def _memories(counts: UserCounts) -> str:
    return amount(counts.memories, "memory", "memories")


def _user_data(
    connection: ValkeyConnection,
    key_prefix: str,
    indexes: Sequence[str] | None,
    also: Sequence[KeepsOfUsers] = (),
) -> UserData:
    known = list(indexes or ["memory"])
    return UserData(connection=connection, key_prefix=key_prefix, indexes=known, also=also)


def _nothing(user: str) -> CliError:
    return CliError(
        f"nothing is kept of {user!r}. Only stores that are given a user_id keep track of users; "
        "are --key-prefix and --memory-index right?"
    )
