"""The erasing of a user, as a plan: what is found is deleted, until nothing is found.

A marker, ``{user:alice}:erasing``, is set first and goes last. It counts what was deleted so far.
Where the plan stops at any step, another run finds what is left, and goes on. What other objects
keep of a user they clear themselves, until they find nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from .. import _keys
from .._conversations.erasing import BATCH, Entry, entries_plan, erase_plan, owners_plan
from .._conversations.sessions import read_fields, read_number
from .._errors import ErasureIncompleteError, NotPrimaryError, ValkeyMemoryError, WriteRefusedError
from .._keys import episode_key
from .._plans import Now, Pause, Plan, Request, Scan, ScanPage, Work, atomic
from .._vectors import storage
from .._vectors.matching import Matching, find_plan
from .._vectors.storage import Progress
from .memories import moment
from .receipts import Receipt
from .scope import scope

T = TypeVar("T")

_log = logging.getLogger("valkey_memory")

ATTEMPTS = 10
"""So often what is left is deleted. The first finds nearly all; the others what was written while
it ran, and in a cluster what an index still shows."""
_PAUSES = (0.0, 0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds before each attempt; the last before all others, too."""
_DOCUMENTS = 500
_COUNTS = ("conversations", "messages", "archived", "summaries", "memories", "cleared")


class KeepsOfUsers(Protocol):
    """What keeps something of users, and can clear it: a ``ToolCache``, a ``RunLog``, or yours."""

    def clear(self, *, user_id: str) -> int:
        """Delete what is a user's; how much it was. Again it finds nothing."""
        ...

    async def aclear(self, *, user_id: str) -> int:
        """Async ``clear``."""
        ...


@dataclass(frozen=True, slots=True)
class _Clear(Work):
    """Have what is a user's cleared. The reply is how much it was."""

    keeper: KeepsOfUsers
    user_id: str

    def serve(self) -> int:
        return self.keeper.clear(user_id=self.user_id)

    async def aserve(self) -> int:
        return await self.keeper.aclear(user_id=self.user_id)


@dataclass(slots=True)
class Left:
    """What there is of a user."""

    entries: list[Entry] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    """Conversations that are the user's and not in their list: they were written meanwhile."""
    documents: list[Matching] = field(default_factory=list)

    @property
    def conversations(self) -> int:
        return len(self.entries) + len(self.unlisted)

    @property
    def memories(self) -> int:
        return sum(len(found.ids) for found in self.documents)

    def __bool__(self) -> bool:
        return bool(self.conversations or self.memories)


def documents_plan(indexes: Sequence[str], user_id: str) -> Plan[list[Matching]]:
    """The user's documents in all indexes."""
    condition = scope(user_id, ended=True).condition()
    found: list[Matching] = []
    for name in indexes:
        found += yield from find_plan(name, condition, {"user_id": "tag"})
    return found


def left_plan(
    key_prefix: str, user_id: str, indexes: Sequence[str], seen: Sequence[str] = ()
) -> Plan[Left]:
    """What there is of a user.

    Args:
        key_prefix: Of the conversations.
        user_id: Whose.
        indexes: By name.
        seen: Session ids that were in the user's list before.
    """
    entries = yield from entries_plan(key_prefix, user_id)
    listed = {entry.session_id for entry in entries}
    owners = yield from owners_plan(key_prefix, [one for one in seen if one not in listed])
    unlisted = [one for one, owner in owners.items() if owner == user_id]
    return Left(entries, unlisted, (yield from documents_plan(indexes, user_id)))


def forget_plan(
    key_prefix: str,
    user_id: str,
    indexes: Sequence[str],
    progress: Progress | None,
    also: Sequence[KeepsOfUsers] = (),
) -> Plan[Receipt]:
    """Erase a user.

    Raises:
        ErasureIncompleteError: Something is left after all attempts.
        ValkeyMemoryError: Why something could not be deleted, after all else was.
    """
    erasure = _Erasure(key_prefix, user_id, progress)
    yield from erasure.begin_plan()
    left = yield from left_plan(key_prefix, user_id, indexes)
    attempt = 0
    while left:
        if attempt == ATTEMPTS:
            raise _incomplete(user_id, left)
        yield Pause(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        yield from erasure.delete_plan(left)
        attempt += 1
        left = yield from left_plan(key_prefix, user_id, indexes, list(erasure.seen))
    for keeper in also:
        yield from erasure.clear_plan(keeper)
    yield from erasure.end_plan()
    finished_ms = yield Now()
    return Receipt(
        user_id=user_id,
        key_prefix=key_prefix,
        indexes=tuple(indexes),
        started_at=moment(erasure.started_ms),
        finished_at=moment(finished_ms),
        resumed=erasure.resumed,
        **erasure.counts,
    )


def _incomplete(user_id: str, left: Left) -> ErasureIncompleteError:
    return ErasureIncompleteError(
        f"{left.conversations} conversations and {left.memories} memories of {user_id!r} are left "
        f"after {ATTEMPTS} attempts: somebody writes them anew. Stop who writes for this user, and "
        "erase again",
        {"conversations": left.conversations, "memories": left.memories},
    )


class _Erasure:
    """One run: what it deleted so far, and its marker."""

    def __init__(self, key_prefix: str, user_id: str, progress: Progress | None) -> None:
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.seen: dict[str, None] = {}
        self.started_ms = 0
        self.resumed = False
        self._prefix = key_prefix
        self._user = user_id
        self._progress = progress
        self._marker = _keys.user_key(key_prefix, user_id, _keys.ERASING)
        self._done = 0

    def begin_plan(self) -> Plan[None]:
        """Set the marker, or go on from one that is there."""
        self.started_ms = yield Now()
        operation = f"begin to erase {self._user!r}"
        (reply,) = yield atomic(operation, ("HGETALL", self._marker), repeatable=True)
        if known := read_fields(reply):
            self.resumed = True
            self.started_ms = int(read_number(known.get("started_ms")) or self.started_ms)
            self.counts = {name: int(read_number(known.get(name)) or 0) for name in _COUNTS}
        yield from self._note_plan()

    def _note_plan(self) -> Plan[None]:
        """Write the marker. A full server takes none, but it deletes; so it goes without."""
        values = {"started_ms": self.started_ms, **self.counts}
        pairs = [part for name, value in values.items() for part in (name, str(value))]
        operation = f"note the erasing of {self._user!r}"
        try:
            yield atomic(operation, ("HSET", self._marker, *pairs), repeatable=True)
        except NotPrimaryError:
            raise
        except WriteRefusedError as error:
            _log.warning("%r is erased without a note of it: %s", self._user, error)

    def end_plan(self) -> Plan[None]:
        """Delete the marker."""
        yield atomic(f"end erasing {self._user!r}", ("UNLINK", self._marker), repeatable=True)

    def delete_plan(self, left: Left) -> Plan[None]:
        """Delete what was found. What cannot be deleted is told when all else is."""
        all_ = self._done + left.conversations + left.memories
        # What is unlisted was entered again in the meantime, or never will be.
        unlisted = [Entry(one.encode(), "") for one in left.unlisted]
        failures: list[ValkeyMemoryError] = []
        for entries in batches([*left.entries, *unlisted], BATCH):
            self.seen |= {one: None for entry in entries if (one := entry.session_id) is not None}
            erased, failed = yield from erase_plan(self._prefix, self._user, entries)
            failures += failed
            for name, number in erased._asdict().items():
                self.counts[name] += number
            yield from self._tell_plan(len(entries), all_)
        for schema, ids in left.documents:
            for some in batches(ids, _DOCUMENTS):
                # An episode's conversation goes first: it is found by the episode.
                yield Request(
                    f"delete episodes of index {schema.name!r}",
                    tuple(("UNLINK", episode_key(schema.name, one)) for one in some),
                    repeatable=True,
                )
                self.counts["memories"] += yield from storage.delete_plan(some, schema)
                yield from self._tell_plan(len(some), all_)
        for failure in failures:
            raise failure

    def clear_plan(self, keeper: KeepsOfUsers) -> Plan[None]:
        """Have ``keeper`` clear what it has, until it finds nothing."""
        for pause in (0.0, *_PAUSES):
            yield Pause(pause)
            found: int = yield _Clear(keeper, self._user)
            if not found:
                return
            self.counts["cleared"] += found
            yield from self._note_plan()
        raise ErasureIncompleteError(
            f"{keeper!r} still finds something of {self._user!r}: somebody writes it anew. Stop "
            "who writes for this user, and erase again",
            {"cleared": self.counts["cleared"]},
        )

    def _tell_plan(self, done: int, all_: int) -> Plan[None]:
        self._done += done
        yield from self._note_plan()
        if self._progress is not None:
            self._progress(self._done, all_)


def batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


def unfinished_plan(key_prefix: str) -> Plan[list[str]]:
    """Users whose erasing was interrupted, sorted. It walks the keyspace."""
    found: set[str] = set()
    pattern = _keys.users_pattern(key_prefix, _keys.ERASING)
    scan = Scan("look for interrupted erasures", pattern, "hash")
    while True:
        page: ScanPage = yield scan
        users = (_keys.user_of(key_prefix, key, _keys.ERASING) for key in page.keys)
        found.update(user for user in users if user is not None)
        if page.cursor is None:
            return sorted(found)
        scan = Scan(scan.operation, pattern, "hash", page.cursor)
