"""The log of changes: a stream beside each index of hashes, which keeps exact searches fresh.

Every writer of this library notes the ids that it changes, in the transaction that changes them.
In a cluster the stream is in another slot than most documents, so there the note comes right
behind. Ids that did not change after all do no harm in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import orjson

from .._errors import ValkeyMemoryError
from .._keys import changes_key
from .._plans import Command, Plan, atomic
from . import limits
from .schema import IndexSchema

T = TypeVar("T")
BEGINNING = "0-0"
"""The version before the first change."""


class Changes(NamedTuple):
    """What changed up to ``version``."""

    ids: list[str]
    version: str
    complete: bool
    """Whether there is nothing behind them."""


def note(schema: IndexSchema, ids: Sequence[str]) -> tuple[Command, ...]:
    """The command that notes a change of ``ids``; none for JSON, which exact search never reads."""
    if schema.storage != "hash":
        return ()
    trim = ("MAXLEN", "~", str(limits.CHANGES_KEPT))
    return (("XADD", changes_key(schema.name), *trim, "*", "ids", orjson.dumps(list(ids))),)


def noted_plan(plan: Plan[T], schema: IndexSchema, ids: Sequence[str], cluster: bool) -> Plan[T]:
    """Run ``plan``, which changes ``ids``; in a cluster, note it behind it in one round trip more.

    On a standalone server the plan notes it itself.
    """
    step = limits.READ_DOCUMENTS
    notes = tuple(
        command
        for start in range(0, len(ids) if cluster else 0, step)
        for command in note(schema, ids[start : start + step])
    )
    request = atomic(f"note changes of index {schema.name!r}", *notes)
    try:
        result = yield from plan
    except Exception:
        if notes:
            with contextlib.suppress(ValkeyMemoryError):  # the first error is the one to raise
                yield request
        raise
    if notes:
        yield request
    return result


def forget_plan(schema: IndexSchema) -> Plan[None]:
    """Delete the log. A copy that read it finds it shorter, and loads anew."""
    yield atomic(f"drop index {schema.name!r}", ("UNLINK", changes_key(schema.name)))


def last_change(schema: IndexSchema) -> Command:
    """The command that reads the last entry; ``last_version`` reads its reply."""
    return ("XREVRANGE", changes_key(schema.name), "+", "-", "COUNT", "1")


def last_version(reply: Mapping[bytes, Any] | None) -> str:
    """The version of the last entry, or the beginning."""
    return (_versions(reply) or [BEGINNING])[0]


def since_plan(schema: IndexSchema, version: str) -> Plan[Changes | None]:
    """What changed since ``version``; None when the log does not reach back to it.

    One round trip, and at most 5,000 entries.
    """
    # The oldest entry tells whether the log still reaches back to our version. From a log that was
    # empty nobody can tell, so its first entries have everything read again.
    stream = changes_key(schema.name)
    oldest, entries = yield atomic(
        f"refresh the copy of index {schema.name!r}",
        ("XRANGE", stream, "-", "+", "COUNT", "1"),
        ("XRANGE", stream, f"({version}", "+", "COUNT", str(limits.CHANGES_READ)),
    )
    first = _versions(oldest)
    if version_key(first[0] if first else BEGINNING) > version_key(version):
        return None
    if not first and version != BEGINNING:
        return None
    versions = _versions(entries)
    # GLIDE gives entries as a dict of id to field pairs.
    noted = (ids for pairs in (entries or {}).values() for _, ids in pairs)
    changed = dict.fromkeys(one for ids in noted for one in orjson.loads(ids))
    return Changes(
        list(changed),
        versions[-1] if versions else version,
        complete=len(versions) < limits.CHANGES_READ,
    )


def version_key(version: str) -> tuple[int, int]:
    """A version's order."""
    milliseconds, _, sequence = version.partition("-")
    return int(milliseconds), int(sequence)


def _versions(entries: Mapping[bytes, Any] | None) -> list[str]:
    return [entry_id.decode() for entry_id in entries or ()]
