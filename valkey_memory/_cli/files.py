"""Files and pipes that commands write and read, and the bar that shows how far they are."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from .._errors import ValkeyMemoryError
from .._memory.files import writing
from .app import CliError
from .output import err

STDIO = "-"


@contextmanager
def writing_to(path: Path | None) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is complete, readable for its owner alone."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with writing(path) as file:
            yield file
    except OSError as error:
        if isinstance(error, ValkeyMemoryError):
            raise  # of the server
        raise CliError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def reading_from(name: str) -> Iterator[IO[bytes]]:
    """The file, or a copy of stdin, which is read twice too."""
    if name == STDIO:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.seek(0)
            yield copy
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise CliError(f"cannot read {name}: {error.strerror}") from error
    with file:
        yield file


def progress(total: int | None) -> Progress:
    """A bar on stderr; none where nobody looks on."""
    columns: list[Any] = [TextColumn("{task.description}", markup=False)]
    if total is None:
        columns.insert(0, SpinnerColumn())
    else:
        columns += [BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def told_by(bar: Progress, what: str) -> Callable[[int, int], None]:
    """What the library calls with how much is done, and of how much."""
    task = bar.add_task(what, total=None)
    return lambda done, all_: bar.update(task, completed=done, total=all_)
