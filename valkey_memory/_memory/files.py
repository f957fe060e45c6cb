"""Files that are given by path, or open: written whole or not at all, and read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

from .._arguments import shown
from .._errors import InvalidArgumentError

File: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""A path, or a file that is open in binary mode."""


@contextmanager
def writing(target: File) -> Iterator[IO[bytes]]:
    """A file to write to. One that is given by path appears there when it is complete, readable for
    its owner alone; what is there before is replaced."""
    if not isinstance(target, (str, os.PathLike)):
        yield _checked(target, "write")
        return
    path = Path(target)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def reading(source: File) -> Iterator[tuple[IO[bytes], str]]:
    """A file to read from, more than once, and its name for errors."""
    if not isinstance(source, (str, os.PathLike)):
        file = _checked(source, "read")
        if not file.seekable():
            raise InvalidArgumentError(
                "the file cannot be read twice, and it is checked before anything is written: "
                "give a path, or io.BytesIO of what is in it"
            )
        name = getattr(source, "name", None)
        yield file, name if isinstance(name, str) else "the file"  # a temporary file's is a number
        return
    path = Path(source)
    with path.open("rb") as file:
        yield file, str(path)


def _checked(file: IO[bytes], method: str) -> IO[bytes]:
    if not hasattr(file, method):
        raise InvalidArgumentError(f"give a path or a binary file, not {shown(file)}")
    return file
