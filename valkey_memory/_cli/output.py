"""What is printed, and how. Everything stored is text to show, never markup or terminal codes."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text

from .._memory.wording import amount as amount
from .._memory.wording import size as size

# Control characters of ASCII and Latin 1, marks that turn the direction of text, and lone
# surrogates. All of them may stand in JSON strings, and their escapes mean the same there.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNSAFE_IN_LINE = re.compile(_UNSAFE.pattern[:-1] + "\t\n]")

ROLE_STYLES = {
    "system": "bold magenta",
    "developer": "bold magenta",
    "user": "bold cyan",
    "assistant": "bold green",
    "tool": "bold yellow",
}


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


out = _console()
err = _console(stderr=True)


def visible(text: str) -> str:
    """``text`` in one line with every character shown that a terminal would obey."""
    return _UNSAFE_IN_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def visible_lines(text: str) -> str:
    """``visible``, with line breaks and tabs left as they are."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text.replace("\r\n", "\n"))


def say(*parts: str | tuple[str, str]) -> None:
    """A line to stdout, of texts and (text, style) pairs. Never broken where nobody looks on."""
    out.print(Text.assemble(*parts), soft_wrap=True)


def tell(message: str, *, style: str = "") -> None:
    """A line to stderr."""
    err.print(Text(visible(message), style), soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object in one line to stdout."""
    sys.stdout.write(visible(orjson.dumps(value).decode()) + "\n")


def duration(seconds: float | None) -> str:
    """A TTL for people, two units at most; None is ``never``."""
    if seconds is None:
        return "never"
    left = int(seconds)
    if left < 1:
        return "< 1s"
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, length)
        if amount:
            parts.append(f"{amount}{unit}")
        if len(parts) == 2 or (parts and not amount):
            break
    return " ".join(parts)


def moment(milliseconds: object) -> str:
    """Unix milliseconds as local time; nothing for what is no time."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        return ""
    try:
        when = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    except (OverflowError, ValueError, OSError):
        return ""
    return when.strftime("%Y-%m-%d %H:%M:%S")
