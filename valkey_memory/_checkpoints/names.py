r"""Names of what a thread consists of, as its index and its values know them.

A name is a letter and the parts behind it, with a zero byte between them: ``c``, namespace,
``\0``, checkpoint id. Parts are any text. A zero byte in one is written as ``\1\1`` and a one byte
as ``\1\2``, so names are unambiguous, and in the order of their parts: the newest checkpoint of a
namespace is the last of a range.

| letter | of | in | holds |
|---|---|---|---|
| ``c`` | namespace, checkpoint | index | |
| ``l`` | namespace, checkpoint | values | what the scripts read of a checkpoint: its links |
| ``s`` | namespace, checkpoint | values | its state, as it was given |
| ``b`` | namespace, channel, version | values | a channel's value |
| ``w`` | namespace, checkpoint, task | both | the writes of a task |
"""

from __future__ import annotations

import re
from functools import lru_cache

from .._arguments import shown
from .._errors import InvalidArgumentError

SEPARATOR = b"\0"
CHECKPOINT, LINKS, STATE, BLOB, WRITES = b"c", b"l", b"s", b"b", b"w"

_ESCAPED = re.compile("\1([\1\2])")


@lru_cache(maxsize=4096)
def part(text: str) -> bytes:
    """A part of a name.

    Raises:
        InvalidArgumentError: It is no text, or not valid Unicode.
    """
    if not isinstance(text, str):
        raise InvalidArgumentError(f"a name must be a string, not {shown(text)}")
    if "\0" in text or "\1" in text:
        text = text.replace("\1", "\1\2").replace("\0", "\1\1")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"{shown(text)} is not valid Unicode: {error.reason}") from error


@lru_cache(maxsize=4096)
def text_of(encoded: bytes) -> str:
    """The text of a part."""
    text = encoded.decode()
    return _ESCAPED.sub(lambda found: chr(ord(found[1]) - 1), text) if "\1" in text else text


def name(*texts: str) -> bytes:
    """A name without its letter."""
    return SEPARATOR.join(map(part, texts))


def texts_of(encoded: bytes) -> list[str]:
    """The parts of a name without its letter."""
    return list(map(text_of, encoded.split(SEPARATOR)))
