"""``export`` and ``import``: conversations, or all of a user, as lines of a file, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from .._conversations.listing import Conversation, describe_plan
from .._conversations.transfer import (
    Mode,
    Whole,
    check_lines,
    exported_user,
    first_line,
    last_line,
    lines_of,
    read_batches,
    read_lines,
    read_whole_plan,
    write_batches,
    write_whole_plan,
)
from .._errors import ConfigurationError, ExportFileError, ValkeyMemoryError
from .._keys import list_key
from .._server.connection import ValkeyConnection
from .app import (
    FAILED,
    CliError,
    Json,
    KeyPrefix,
    MemoryIndexes,
    Timeout,
    Url,
    Yes,
    confirm,
    connected,
    fail,
)
from .files import STDIO, progress, reading_from, writing_to
from .output import amount, print_json, tell
from .users import counted, export_of, import_of
from .walking import conversation_pages

# Export


def export(
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]...", help="Only these. Default: all.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A file; - is stdout.")
    ] = STDIO,
    begins: Annotated[str, typer.Option(help="Only session ids that begin so.")] = "",
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="All of a user: conversations, and memories with vectors."),
    ] = None,
    memory_index: MemoryIndexes = None,
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Write conversations as JSON lines, with archived messages and the TTL that is left.

    Each conversation is as of one moment; those that come or go meanwhile may be in it or not.
    """
    if memory_index and user is None:
        raise ConfigurationError("--memory-index belongs to --user")
    if user is not None and (sessions or begins):
        raise ConfigurationError("give --user, or session ids or --begins")
    path = None if output == STDIO else Path(output)
    if path is not None and path.exists():
        confirm(f"Write over {output}?", yes=yes)
    if sessions and begins:
        raise ConfigurationError("give session ids or --begins, not both")
    for one in sessions or ():
        list_key(key_prefix, one)
    if user is not None:
        with connected(url, timeout, key_prefix) as connection:
            export_of(user, connection, key_prefix, memory_index, path, json=json)
        return
    number = messages = 0
    with (
        connected(url, timeout, key_prefix) as connection,
        writing_to(path) as file,
        progress(None) as bar,
    ):
        task = bar.add_task("exporting", total=None)
        found = _read_all(connection, key_prefix, sessions, begins)
        first = list(islice(found, 1))  # nothing is written if this fails
        file.write(first_line())
        for whole in chain(first, found):
            file.writelines(lines_of(whole))
            number += 1
            messages += len(whole.active) + len(whole.archived)
            bar.update(task, description=counted(number, messages), advance=1)
        file.write(last_line(number, messages))
    if json and path is not None:
        print_json({"file": output, "conversations": number, "messages": messages})
    elif not json:
        tell(f"Exported {counted(number, messages)}.")


def _read_all(
    connection: ValkeyConnection, key_prefix: str, sessions: Sequence[str] | None, begins: str
) -> Iterator[Whole]:
    """Every conversation, or those of ``sessions``, which must all be there."""
    pages: Iterable[Sequence[Conversation]]
    if sessions:
        ids = list(dict.fromkeys(sessions))
        known = connection.run(describe_plan(key_prefix, ids))
        if missing := set(ids) - {one.id for one in known}:
            raise CliError(f"there is no conversation {', '.join(map(repr, sorted(missing)))}")
        pages = [known]
    else:
        pages = conversation_pages(connection, key_prefix, begins)
    for page in pages:
        for some in read_batches(page):
            yield from connection.run(read_whole_plan(key_prefix, some))


# Import


def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export; - is stdin.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Put these in place of conversations that exist.")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="Add to conversations that exist; their TTL stays.")
    ] = False,
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Write exported conversations back, byte by byte, and begin their TTL again.

    The whole file is checked first. Conversations that exist are refused, all of them, before
    anything is written, unless --replace or --append says otherwise, which asks. Each conversation
    is written at once or not at all.
    """
    if replace and append:
        raise ConfigurationError("give --replace or --append, not both")
    mode: Mode = "replace" if replace else "append" if append else "new"
    with reading_from(file) as lines, connected(url, timeout, key_prefix) as connection:
        whose = exported_user(lines.readline())
        lines.seek(0)
        if whose is not None:
            if append:
                raise ConfigurationError(
                    f"{file} is the export of a user: --replace puts it in place of what exists"
                )
            if replace:
                if file == STDIO and not yes:
                    raise CliError("an import from stdin cannot ask: give --yes")
                confirm(f"Replace what exists of {whose!r} at {connection.address}?", yes=yes)
            import_of(connection, key_prefix, lines, file, whose, replace=replace, json=json)
            return
        try:
            ids, messages = check_lines(lines, file)
        except ExportFileError as error:
            raise CliError(f"{error}. Nothing was written") from error
        existing = [one.id for one in connection.run(describe_plan(key_prefix, ids))]
        if existing:
            _agree(existing, len(ids), mode, connection.address, yes=yes, stdin=file == STDIO)
        lines.seek(0)
        written = 0
        refused: list[str] = []
        with progress(messages) as bar:
            task = bar.add_task("importing", total=messages)
            for some in write_batches(read_lines(lines, file)):
                try:
                    taken = connection.run(write_whole_plan(key_prefix, some, mode))
                except ValkeyMemoryError as error:
                    raise CliError(
                        f"{written:,} of {amount(len(ids), 'conversation')} written, "
                        f"{len(some):,} may have been. {error}"
                    ) from error
                written += len(some) - len(taken)
                refused += taken
                bar.update(task, advance=sum(len(o.active) + len(o.archived) for o in some))
    if json:
        print_json(
            {
                "file": file,
                "conversations": written,
                "messages": messages,
                "existing": len(existing),
                "refused": refused,
            }
        )
    else:
        tell(f"Imported {counted(written, messages)}.")
    if refused:
        fail(
            f"{_some(refused)} came into being meanwhile, and nothing was written to them; "
            "use --replace or --append",
            FAILED,
        )


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 3:,} more" if len(ids) > 3 else ""
    return ", ".join(map(repr, ids[:3])) + more


def _agree(
    existing: Sequence[str], number: int, mode: Mode, address: str, *, yes: bool, stdin: bool
) -> None:
    exist = f"{len(existing):,} of {amount(number, 'conversation')}"
    if mode == "new":
        raise CliError(
            f"{exist} to import exist at {address}: {_some(existing)}. Nothing was written. "
            "Use --replace or --append, or another --key-prefix"
        )
    if stdin and not yes:
        raise CliError(f"{exist} exist, and an import from stdin cannot ask: give --yes")
    verb = "replaced" if mode == "replace" else "added to"
    confirm(f"{exist} exist at {address} and will be {verb}: {_some(existing)}. Go on?", yes=yes)
