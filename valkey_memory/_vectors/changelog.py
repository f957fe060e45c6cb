"""The log of changes: a stream beside each index of hashes, which keeps exact searches fresh.

Every writer of this library notes the ids that it changes. On a standalone server the note is in
the transaction that changes them. In a cluster the stream is in another slot than most documents:
there a note goes before the change, and one behind it. A writer that is killed or cancelled in
between leaves the first, and who reads it looks at these documents again and again until so much
time is over that nothing can come any more. Ids that did not change after all do no harm.

An entry has the field ``ids``, a JSON list; ``begin`` in a note that goes before; and ``done`` with
the entries that it ends in one that goes behind.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson

from .._errors import ValkeyMemoryError
from .._keys import changes_key, shape_key
from .._plans import Command, Plan, atomic
from . import limits
from .schema import IndexSchema

T = TypeVar("T")
BEGINNING = "0-0"
"""The version before the first change."""

_log = logging.getLogger("valkey_memory")


class Changes(NamedTuple):
    """What changed up to ``version``."""

    ids: list[str]
    version: str
    complete: bool
    """Whether there is nothing behind them."""
    begun: dict[str, list[str]]
    """Changes that were still to come when their entry was written: its version, and the ids."""
    done: set[str]
    """Versions of entries whose change is over."""


def note(schema: IndexSchema, ids: Sequence[str], *extra: str | bytes) -> tuple[Command, ...]:
    """The commands that note a change of ``ids``; none for JSON, which exact search never reads."""
    if schema.storage != "hash":
        return ()
    trim = ("MAXLEN", "~", str(limits.CHANGES_KEPT))
    step = limits.NOTED_IDS
    return tuple(
        (
            "XADD", changes_key(schema.name), *trim, "*",
            "ids", orjson.dumps(list(ids[start : start + step])), *extra,
        )
        for start in range(0, len(ids), step)
    )  # fmt: skip


def begin(schema: IndexSchema, ids: Sequence[str]) -> tuple[Command, ...]:
    """``note`` of a change that is to come. The replies are what ``end`` takes."""
    return note(schema, ids, "begin", "[]")


def end(schema: IndexSchema, ids: Sequence[str], begun: Sequence[bytes]) -> tuple[Command, ...]:
    """``note`` of a change that is over, which ``begun`` noted."""
    return note(schema, ids, "done", orjson.dumps([version.decode() for version in begun]))


def ended_plan(schema: IndexSchema, commands: tuple[Command, ...]) -> Plan[None]:
    """Send the notes of ``end``. The change is made, and who saw it begin will look once more; so
    an error here is no reason to call it failed."""
    if not commands:
        return
    try:
        yield atomic(f"note changes of index {schema.name!r}", *commands, repeatable=True)
    except ValkeyMemoryError as error:
        _log.warning("other searches see this change later: %s", error)


def forget_plan(schema: IndexSchema) -> Plan[None]:
    """Delete the log and the shape. A copy that read them finds that, and loads anew."""
    keys = (changes_key(schema.name), shape_key(schema.name))
    yield atomic(f"drop index {schema.name!r}", ("UNLINK", *keys), repeatable=True)


def restart(schema: IndexSchema) -> Command:
    """The command that has every copy load anew, on a server without memory for a note."""
    return ("UNLINK", changes_key(schema.name))


def last_change(schema: IndexSchema) -> Command:
    """The command that reads the last entry; ``last_version`` reads its reply."""
    return ("XREVRANGE", changes_key(schema.name), "+", "-", "COUNT", "1")


def last_version(reply: Mapping[bytes, Any] | None) -> str:
    """The version of the last entry, or the beginning."""
    return (_versions(reply) or [BEGINNING])[0]


def open_changes_plan(schema: IndexSchema, since_ms: int) -> Plan[dict[str, list[str]]]:
    """Changes that began since the Unix milliseconds ``since_ms`` and are not over."""
    first = str(max(0, since_ms))
    (entries,) = yield atomic(
        f"refresh the copy of index {schema.name!r}",
        ("XRANGE", changes_key(schema.name), first, "+", "COUNT", str(limits.CHANGES_READ)),
        repeatable=True,
    )
    changes = _changes(list((entries or {}).items()), BEGINNING, complete=True)
    return {version: ids for version, ids in changes.begun.items() if version not in changes.done}


def since_plan(schema: IndexSchema, version: str) -> Plan[Changes | None]:
    """What changed since ``version``; None when the log does not reach back to it.

    One round trip, and at most 5,000 entries.
    """
    # The entry of our version has to be there still: from a log without it, because it is trimmed,
    # deleted, or that of a server that came back with older data, nobody can tell. Of a log that
    # was empty there is no such entry, so its first ones have everything read again.
    stream, operation = changes_key(schema.name), f"refresh the copy of index {schema.name!r}"
    if version == BEGINNING:
        (entries,) = yield atomic(
            operation, ("XRANGE", stream, "-", "+", "COUNT", "1"), repeatable=True
        )
        return None if entries else Changes([], version, True, {}, set())
    count = str(limits.CHANGES_READ + 1)
    (entries,) = yield atomic(
        operation, ("XRANGE", stream, version, "+", "COUNT", count), repeatable=True
    )
    # GLIDE gives entries as a dict of id to field pairs.
    found = list((entries or {}).items())
    if not found or found[0][0].decode() != version:
        return None
    return _changes(found[1:], version, complete=len(found) <= limits.CHANGES_READ)


def _changes(found: Iterable[tuple[bytes, Any]], version: str, *, complete: bool) -> Changes:
    changed: dict[str, None] = {}
    begun: dict[str, list[str]] = {}
    done: set[str] = set()
    for entry, pairs in found:
        version = entry.decode()
        fields = {name: orjson.loads(value) for name, value in pairs}
        ids = fields.get(b"ids", [])
        changed.update(dict.fromkeys(ids))
        if b"begin" in fields:
            begun[version] = ids
        done.update(fields.get(b"done", ()))
    return Changes(list(changed), version, complete, begun, done)


def milliseconds_of(version: str) -> int:
    """When an entry was written, by the server's clock."""
    return version_key(version)[0]


def version_key(version: str) -> tuple[int, int]:
    """A version's order."""
    milliseconds, _, sequence = version.partition("-")
    return int(milliseconds), int(sequence)


def _versions(entries: Mapping[bytes, Any] | None) -> list[str]:
    return [entry_id.decode() for entry_id in entries or ()]
