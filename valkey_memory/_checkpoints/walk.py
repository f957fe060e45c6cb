"""What goes over many checkpoints or threads: listing, copying, deleting runs wherever they are.

Threads are found with SCAN, which looks at every key of the server, a thousand in a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from .. import _keys
from .._arguments import check_count
from .._plans import Plan, Request, Scan, ScanPage, change_plan
from .changes import Page, Thread
from .names import LINKS, name, texts_of
from .records import Saved, Typed

_THREADS_AT_ONCE = 500
_CHECKPOINTS_AT_ONCE = 20
_STATES_AT_ONCE = 200
_PAGE_BYTES = 4_000_000
_COPY_BYTES = 16_000_000

MakeThread = Callable[[str], Thread]


class Place(NamedTuple):
    """Where a checkpoint is. They sort by checkpoint id first, which grows with time."""

    checkpoint_id: str
    thread_id: str
    namespace: str

    @property
    def name(self) -> bytes:
        return name(self.namespace, self.checkpoint_id)


def threads_plan(key_prefix: str) -> Plan[list[str]]:
    """The ids of all threads, sorted. A round trip for each 1,000 keys of the server."""
    pattern = _keys.threads_pattern(key_prefix)
    found: set[str] = set()
    cursor: Any = None
    while True:
        page: ScanPage = yield Scan(f"list threads under {key_prefix!r}", pattern, "hash", cursor)
        found |= {one for key in page.keys if (one := _keys.thread_of(key_prefix, key))}
        cursor = page.cursor
        if cursor is None:
            return sorted(found)


class Walk:
    """A walk over checkpoints, the newest first, a page at a time.

    Args:
        thread: Makes a ``Thread`` of an id.
        key_prefix: Of the threads.
        thread_id: Of one thread; None of all.
        namespace: Of one namespace; None of all.
        checkpoint_id: This one only.
        before: Only those with a smaller id.
        matches: Whether one with such a state is wanted; None: all are.
        limit: At most so many.

    Attributes:
        finished: Whether there are no more pages.
    """

    def __init__(
        self,
        thread: MakeThread,
        key_prefix: str,
        *,
        thread_id: str | None,
        namespace: str | None,
        checkpoint_id: str | None,
        before: str | None,
        matches: Callable[[Typed], bool] | None,
        limit: int | None,
    ) -> None:
        self._thread = thread
        self._key_prefix = key_prefix
        self._thread_id = thread_id
        self._namespace = namespace
        self._checkpoint_id = checkpoint_id
        self._before = before
        self._matches = matches
        check_count(limit, "limit", minimum=0, optional=True)
        self._left = limit
        self._unseen: list[Place] | None = None
        self._wanted: list[Place] = []
        self.finished = limit == 0

    def page_plan(self) -> Plan[list[Saved]]:
        """The next checkpoints, whole. One round trip, and one to find them before the first page.

        Where the states decide which are wanted, another for each 200 states.
        """
        if self._unseen is None:
            self._unseen = yield from self._places_plan()
        while self._unseen and not self._wanted:
            if self._matches is None:
                self._wanted, self._unseen = self._unseen, []
            else:
                some = self._unseen[:_STATES_AT_ONCE]
                states, looked_at = yield from self._read_plan(some, whole=False)
                self._unseen = self._unseen[looked_at:]
                self._wanted = [
                    Place(one.checkpoint_id, one.thread_id, one.namespace)
                    for one in states
                    if self._matches(one.state)
                ]
        some = self._wanted[: min(_CHECKPOINTS_AT_ONCE, self._left or _CHECKPOINTS_AT_ONCE)]
        found, looked_at = yield from self._read_plan(some, whole=True)
        self._wanted = self._wanted[looked_at:]
        if self._left is not None:
            self._left -= len(found)
        self.finished = self._left == 0 or not (self._wanted or self._unseen)
        return found

    def _places_plan(self) -> Plan[list[Place]]:
        if self._thread_id is not None:
            if self._namespace is not None and self._checkpoint_id:
                place = Place(self._checkpoint_id, self._thread_id, self._namespace)
                return [place] if self._is_asked(place) else []
            threads = [self._thread_id]
        else:
            threads = yield from threads_plan(self._key_prefix)
        # The server can cut the list where all in it are wanted, in its order.
        cut = not (self._namespace is None or self._matches or self._checkpoint_id)
        limit = self._left if cut else None
        found: list[Place] = []
        for start in range(0, len(threads), _THREADS_AT_ONCE):
            some = threads[start : start + _THREADS_AT_ONCE]
            listed = [self._thread(one).names(self._namespace, self._before, limit) for one in some]
            replies = yield Request(
                "list checkpoints",
                tuple(change.commands[0] for change in listed),
                read_only=True,
                repeatable=True,
                key=listed[0].key if len(listed) == 1 else "",
            )
            for one, change, reply in zip(some, listed, replies, strict=True):
                for each in change.read([reply]):
                    namespace, checkpoint_id = texts_of(each)
                    found.append(Place(checkpoint_id, one, namespace))
        return sorted(filter(self._is_asked, found), reverse=True)

    def _is_asked(self, place: Place) -> bool:
        wanted, before = self._checkpoint_id, self._before
        return (not wanted or place.checkpoint_id == wanted) and (
            before is None or place.checkpoint_id < before
        )

    def _read_plan(self, places: Sequence[Place], *, whole: bool) -> Plan[Page]:
        """Checkpoints in order, and how many of ``places`` were looked at. One round trip."""
        if not places:
            return Page([], 0)
        # Neighbours of one thread go together: what they share is sent once.
        reads = [
            (group, self._thread(thread_id).read(
                [one.name for one in group], whole=whole, limit=_PAGE_BYTES
            ))
            for thread_id, members in groupby(places, lambda one: one.thread_id)
            for group in [list(members)]
        ]  # fmt: skip
        replies = yield Request(
            "read checkpoints",
            tuple(change.commands[0] for _, change in reads),
            read_only=all(change.read_only for _, change in reads),
            repeatable=True,
            key=reads[0][1].key if len(reads) == 1 else "",
        )
        found: list[Saved] = []
        looked_at = 0
        for (group, change), reply in zip(reads, replies, strict=True):
            page = change.read([reply])
            found += page.checkpoints
            looked_at += page.looked_at
            if page.looked_at < len(group):
                break  # it was too much at once; the next page goes on here
        return Page(found, looked_at)


def delete_runs_plan(thread: MakeThread, key_prefix: str, run_ids: Sequence[str]) -> Plan[int]:
    """Delete the checkpoints of runs in all threads; how many that were.

    One round trip for each 500 threads, after those that find them.
    """
    if not run_ids:
        return 0
    threads = yield from threads_plan(key_prefix)
    changes = [thread(one).delete_runs(run_ids) for one in threads]
    return sum((yield from each_plan("delete runs", changes)))


def each_plan(operation: str, changes: Sequence[Any]) -> Plan[list[Any]]:
    """Changes of one command each, on several threads, in one round trip for each 500."""
    results: list[Any] = []
    for start in range(0, len(changes), _THREADS_AT_ONCE):
        some = changes[start : start + _THREADS_AT_ONCE]
        commands = tuple(change.commands[0] for change in some)
        replies = yield Request(operation, commands, repeatable=True)
        results += [change.read([reply]) for change, reply in zip(some, replies, strict=True)]
    return results


def copy_plan(source: Thread, target: Thread) -> Plan[None]:
    """Add all of a thread to another. Two round trips, and one more for each 16 MB.

    The copy begins to be there with the last of them: until then its checkpoints are not linked.
    """
    members, values = yield from change_plan(source.dump())
    if not members or source.id == target.id:
        return
    last = {field: values.pop(field) for field in list(values) if field.startswith(LINKS)}
    part: dict[bytes, bytes] = {}
    size = 0
    for field, value in values.items():
        if part and size + len(value) > _COPY_BYTES:
            yield from change_plan(target.fill([], part))
            part, size = {}, 0
        part[field] = value
        size += len(field) + len(value)
    yield from change_plan(target.fill(members, part | last))
