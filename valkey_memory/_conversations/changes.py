"""The changes of a conversation: what each operation on a message list sends, as a value.

Elements are bytes here; the store encodes and decodes them. What changes something is one script
(``scripts``), so it is whole wherever it is sent, together with other changes, too. With a
``token`` it is applied once, however often it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from .. import _keys
from .._messages.elements import readable
from .._plans import Change, Command, first_reply, nothing
from . import scripts, turn_scripts, windows
from .frame import number_of, script
from .scripts import LIST

Token: TypeAlias = str | bytes


def _trim(window: int | None) -> str:
    return "" if window is None else str(-window)


def _archived(key: str) -> str:
    return _keys.sidecar(key, _keys.ARCHIVED)


def _elements(replies: Sequence[Any]) -> list[bytes]:
    return replies[0] or []


def _any(replies: Sequence[Any]) -> bool:
    return bool(replies[0])


def _write(
    operation: str,
    key: str,
    command: Command,
    token: Token,
    read: Callable[[Sequence[Any]], Any] = nothing,
) -> Change[Any]:
    """A script that is applied once, if it has a token; else it must not be sent twice."""
    return Change(operation, key, (command,), read, repeatable=bool(token))


def append(
    key: str,
    elements: Sequence[bytes],
    *,
    ttl_ms: int | None,
    window: int | None,
    whole_turns: bool = False,
    archived: bool = False,
    token: Token = "",
) -> Change[None]:
    """Add ``elements`` at the end, trim to ``window``, restart the TTL.

    ``archived`` adds them to the archived list, which has no window.
    """
    if archived:
        source, does = scripts.APPEND_ARCHIVED, f"append to {_archived(key)}"
        command = script(source, key, *elements, ttl_ms=ttl_ms, token=token)
        return _write(does, key, command, token)
    source = turn_scripts.APPEND if whole_turns else scripts.APPEND
    command = script(source, key, _trim(window), *elements, ttl_ms=ttl_ms, token=token)
    return _write(f"append to {key!r}", key, command, token)


def replace(
    key: str,
    elements: Sequence[bytes],
    *,
    ttl_ms: int | None,
    window: int | None,
    whole_turns: bool = False,
    archived: bool = False,
    whole: bool = False,
    token: Token = "",
) -> Change[None]:
    """Put ``elements`` in place of all. ``whole`` deletes those of the other list."""
    numbers = LIST, number_of(_keys.ARCHIVED)
    target, other = numbers[::-1] if archived else numbers
    kept = elements
    if window is not None and not archived:
        start = windows.trim_start(readable(elements), window) if whole_turns else -window
        kept = elements[start:]
    does = f"replace {_archived(key) if archived else key!r}"
    arguments: tuple[str | bytes, ...] = (target, other if whole else "", *kept)
    command = script(scripts.REPLACE, key, *arguments, ttl_ms=ttl_ms, token=token)
    return _write(does, key, command, token)


def insert(
    key: str,
    index: int,
    element: bytes,
    *,
    ttl_ms: int | None,
    window: int | None,
    whole_turns: bool = False,
    token: Token = "",
) -> Change[None]:
    """Insert before ``index`` as ``list.insert`` does: clamped, negative from the end."""
    source = turn_scripts.INSERT if whole_turns else scripts.INSERT
    arguments = str(index), element, scripts.PLACEHOLDER, _trim(window)
    command = script(source, key, *arguments, ttl_ms=ttl_ms, token=token)
    return _write(f"insert into {key!r}", key, command, token)


def delete_at(
    key: str, index: int, *, ttl_ms: int | None, token: Token = ""
) -> Change[bytes | None]:
    """Delete the element at ``index`` and return it, or None when there is none."""
    arguments = str(index), scripts.PLACEHOLDER
    command = script(scripts.DELETE_AT, key, *arguments, ttl_ms=ttl_ms, token=token)
    return _write(f"delete message {index} of {key!r}", key, command, token, first_reply)


def delete_last(key: str, *, ttl_ms: int | None, token: Token = "") -> Change[bytes | None]:
    """Delete the newest element and return it, or None when the list is empty."""
    command = script(scripts.DELETE_LAST, key, ttl_ms=ttl_ms, token=token)
    return _write(f"delete the last message of {key!r}", key, command, token, first_reply)


def delete_oldest(
    key: str, n: int, *, ttl_ms: int | None, token: Token = ""
) -> Change[list[bytes]]:
    """Delete the oldest ``n`` elements and return them, oldest first."""
    command = script(scripts.DELETE_OLDEST, key, str(n), ttl_ms=ttl_ms, token=token)
    return _write(f"delete the oldest messages of {key!r}", key, command, token, _elements)


def archive_oldest(
    key: str, n: int, *, ttl_ms: int | None, token: Token = ""
) -> Change[list[bytes]]:
    """Move the oldest ``n`` elements to the end of the archived list and return them."""
    arguments = str(n), number_of(_keys.ARCHIVED)
    command = script(scripts.ARCHIVE_OLDEST, key, *arguments, ttl_ms=ttl_ms, token=token)
    return _write(f"archive the oldest messages of {key!r}", key, command, token, _elements)


def take(key: str, *, keep_sidecars: bool, token: Token = "") -> Change[list[bytes]]:
    """``delete``, returning the active elements; or the list alone."""
    command = script(scripts.TAKE, key, "list" if keep_sidecars else "", token=token)
    return _write(f"delete {key!r}", key, command, token, _elements)


def delete_archived(key: str, *, token: Token = "") -> Change[bool]:
    """Delete the archived elements; whether there were any."""
    command = script(scripts.DELETE, key, number_of(_keys.ARCHIVED), token=token)
    return _write(f"delete archived messages of {key!r}", key, command, token, _any)


def delete(key: str) -> Change[bool]:
    """Delete the conversation with its sidecars; whether there was anything."""
    return Change(f"delete {key!r}", key, (script(scripts.DELETE, key),), _any)


def expire(key: str, ttl_ms: int | None) -> Change[bool]:
    """Let the conversation expire in ``ttl_ms``, or never when None; False if there is none."""
    command = script(scripts.EXPIRE, key, "never" if ttl_ms is None else "", ttl_ms=ttl_ms)
    return Change(f"set the TTL of {key!r}", key, (command,), _any, repeatable=True)


# What only looks


def read(key: str, start: int, stop: int) -> Change[list[bytes]]:
    """The elements ``start`` to ``stop``, both inclusive as in LRANGE."""
    command = ("LRANGE", key, str(start), str(stop))
    return Change(f"read {key!r}", key, (command,), read_only=True)


def read_archived(key: str, *, and_active: bool) -> Change[tuple[list[bytes], list[bytes]]]:
    """The archived elements, and the active ones as of the same moment when asked."""
    commands: list[Command] = [("LRANGE", _archived(key), "0", "-1")]
    if and_active:
        commands.append(("LRANGE", key, "0", "-1"))
    return Change(
        f"read archived messages of {key!r}",
        key,
        tuple(commands),
        lambda replies: (replies[0], replies[1] if and_active else []),
        read_only=True,
    )


def read_newest(key: str, number: int) -> Change[list[bytes]]:
    """The newest ``number`` elements of the whole conversation, archived ones among them."""
    commands = tuple(("LRANGE", one, str(-number), "-1") for one in (_archived(key), key))
    return Change(
        f"read {key!r}",
        key,
        commands,
        lambda replies: [*replies[0], *replies[1]][-number:],
        read_only=True,
    )


def count(key: str) -> Change[int]:
    """How many elements are active."""
    return Change(f"count {key!r}", key, (("LLEN", key),), read_only=True)


def count_all(key: str) -> Change[tuple[int, int]]:
    """How many elements are active, and how many archived."""
    commands = ("LLEN", key), ("LLEN", _archived(key))
    return Change(
        f"count {key!r}", key, commands, lambda found: (found[0], found[1]), read_only=True
    )


def ttl_left(key: str) -> Change[int]:
    """PTTL: milliseconds left, -1 without an expiry, -2 without a conversation."""
    commands = tuple(("PTTL", one) for one in _keys.content_keys(key))
    return Change(
        f"read the TTL of {key!r}",
        key,
        commands,
        lambda found: next((left for left in found if left != -2), -2),
        read_only=True,
    )
