"""A graph's thread has two keys in one slot: names of what there is, in order, and the values."""

from __future__ import annotations

from .._arguments import check_text
from .names import decode, encode, scan_pattern, sidecar


def thread_keys(key_prefix: str, thread_id: str) -> tuple[str, str]:
    """The index and the values of a thread: ``{graph:t1}:index`` and ``{graph:t1}:values``.

    Raises:
        InvalidArgumentError: ``thread_id`` is no text, or an empty one.
    """
    thread = key_prefix + encode(check_text(thread_id, "thread_id"))
    return sidecar(thread, "index"), sidecar(thread, "values")


def threads_pattern(key_prefix: str) -> str:
    """A SCAN pattern for the values of every thread. ``thread_of`` tells which are."""
    return f"{{{scan_pattern(key_prefix)}}}:values"


def thread_of(key_prefix: str, key: bytes) -> str | None:
    """Whose values these are; None for a key that holds no thread's."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    before, after = f"{{{key_prefix}", "}:values"
    if not text.startswith(before) or not text.endswith(after):
        return None
    thread_id = decode(text[len(before) : -len(after)])
    return thread_id if thread_id and thread_keys(key_prefix, thread_id)[1] == text else None
