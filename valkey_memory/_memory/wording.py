"""Numbers and names as people read them: in findings, and on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from .._arguments import shown

_EXAMPLES = 3


def amount(number: int, noun: str, plural: str | None = None) -> str:
    """``1 message``, ``2,000 messages``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: int | None) -> str:
    """Bytes for people: ``1.5 KB`` is 1,500 bytes."""
    if number is None:
        return "unknown"
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def examples(names: Sequence[str]) -> str:
    """``'a', 'b', 'c', ...``: the first three."""
    more = ", ..." if len(names) > _EXAMPLES else ""
    return ", ".join(map(shown, names[:_EXAMPLES])) + more
