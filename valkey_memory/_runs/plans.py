"""The plans of logs of runs: what they send, and in how many round trips."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _keys
from .._arguments import MAXIMUM, TTL, check_count, check_span, check_text, shown
from .._errors import InvalidArgumentError, KeyTypeError
from .._plans import (
    Now,
    Pause,
    Plan,
    Request,
    Scan,
    ScanPage,
    WriteToken,
    answered,
    change_plan,
    changes_plan,
)
from . import changes
from .events import RUN_ERROR, RunEvent, to_fields

_ID = re.compile(r"\d{1,20}(-\d{1,20})?")
_AT_ONCE = 1_000
_GRACE_SECONDS = 60
"""An entry without its log is dropped when it is older: the log may not be there yet."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, as the list of runs shows it.

    Attributes:
        run_id: Its id.
        name: What its first event calls it; None where that says nothing.
        events: How many events its log has.
        started_at: When the first of them was, in Unix seconds.
        last_active: When the last was.
        state: ``"ended"``, ``"failed"``, or ``"running"`` where no event says either: it goes on,
            or it was killed.
        user_id: Whose it is, as its last event says, or else its first.
    """

    run_id: str
    name: str | None
    events: int
    started_at: float
    last_active: float
    state: str
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunPlans:
    """The plans of the logs under one prefix.

    Args:
        key_prefix: Of their keys.
        ttl_ms: What each event restarts; None leaves the expiry as it is.
        max_events: So many a log keeps, or some more.
        max_chars: So much of a value of an event's details.
    """

    key_prefix: str
    ttl_ms: int | None
    max_events: int
    max_chars: int

    def key(self, run_id: str) -> str:
        """The key of a run's stream."""
        return _keys.run_key(self.key_prefix, run_id)

    def append_plan(
        self,
        run_id: str,
        action: str,
        details: Mapping[str, Any] | None,
        step: str | None,
        parent: str | None,
        user_id: str | None,
    ) -> Plan[None]:
        """Add an event. One round trip."""
        key = self.key(run_id)
        now: int = yield Now()
        fields = to_fields(action, details, now, step, parent, user_id, self.max_chars)
        token: bytes = yield WriteToken()
        yield from changes_plan(
            changes.enter(self.key_prefix, run_id, now, self.ttl_ms),
            changes.append(key, token, fields, self.max_events, self.ttl_ms),
        )

    def read_plan(
        self, run_id: str, after: RunEvent | str | None, limit: int | None
    ) -> Plan[list[RunEvent]]:
        """Events in order. One round trip for each 1,000."""
        key, last = self.key(run_id), check_after(after)
        check_count(limit, "limit", optional=True)
        found: list[RunEvent] = []
        while limit is None or len(found) < limit:
            wanted = _AT_ONCE if limit is None else min(_AT_ONCE, limit - len(found))
            page = yield from change_plan(changes.read(key, last, wanted))
            found += page
            if len(page) < wanted:
                break
            last = page[-1].id
        return found

    def runs_plan(self, limit: int) -> Plan[list[Run]]:
        """The last active runs. Two round trips for each 1,000; one more drops expired ones."""
        check_count(limit, "limit")
        found: list[Run] = []
        seen = 0
        while len(found) < limit:
            wanted = min(_AT_ONCE, limit - len(found))
            listed = yield from change_plan(changes.newest(self.key_prefix, seen, wanted))
            seen += len(listed)
            live, stale = yield from self._glances_plan([one for one in listed if one[0]])
            found += live
            if stale:
                yield from change_plan(changes.leave(self.key_prefix, stale))
                seen -= len(stale)
            if len(listed) < wanted:
                break
        return found

    def _glances_plan(
        self, listed: list[tuple[str, float]]
    ) -> Plan[tuple[list[Run], list[tuple[str, float]]]]:
        """The runs of entries of the list, and the entries of those that are gone."""
        runs = yield from self._looked_at_plan([run_id for run_id, _ in listed])
        now = (yield Now()) / 1000
        live = [runs[run_id] for run_id, _ in listed if run_id in runs]
        gone = [one for one in listed if one[0] not in runs]
        return live, [(run_id, score) for run_id, score in gone if score < now - _GRACE_SECONDS]

    def _looked_at_plan(self, run_ids: Sequence[str]) -> Plan[dict[str, Run]]:
        """Those of the runs that have a log. One round trip."""
        if not run_ids:
            return {}
        replies = yield Request(
            "look at runs",
            tuple(command for one in run_ids for command in changes.glance_commands(self.key(one))),
            errors_as_replies=True,
            read_only=True,
            repeatable=True,
        )
        found: dict[str, Run] = {}
        for number, run_id in enumerate(run_ids):
            of_run = replies[3 * number : 3 * number + 3]
            if any(isinstance(reply, KeyTypeError) for reply in of_run):
                continue  # a foreign key
            glance = changes.glance([answered(reply) for reply in of_run])
            if glance.first is not None and glance.last is not None:
                found[run_id] = _run(run_id, glance.events, glance.first, glance.last)
        return found

    def delete_plan(self, run_id: str) -> Plan[bool]:
        """Delete a log and its entry. One round trip."""
        deleted, _ = yield from changes_plan(
            changes.delete(self.key(run_id)),
            changes.leave(self.key_prefix, [(run_id, float(MAXIMUM))]),
        )
        return bool(deleted)

    def clear_plan(self, user_id: str) -> Plan[int]:
        """Delete the logs of a user's runs; how many. It walks the keyspace."""
        check_text(user_id, "user_id")
        operation = f"delete the logs of runs of {user_id!r}"
        scan = Scan(operation, _keys.runs_pattern(self.key_prefix), "stream")
        deleted = 0
        while True:
            page: ScanPage = yield scan
            ids = [one for key in page.keys if (one := _keys.run_of(self.key_prefix, key))]
            runs = yield from self._looked_at_plan(ids)
            theirs = [run.run_id for run in runs.values() if run.user_id == user_id]
            if theirs:
                gone = yield from changes_plan(*(changes.delete(self.key(one)) for one in theirs))
                deleted += sum(gone)
                listed = [(one, float(MAXIMUM)) for one in theirs]
                yield from change_plan(changes.leave(self.key_prefix, listed))
            if page.cursor is None:
                return deleted
            scan = replace(scan, cursor=page.cursor)


class Follower:
    """Who reads a log from an event on, and waits for more.

    Args:
        plans: Of the log.
        run_id: The run.
        after: The event after which it begins.
        interval: Seconds between two looks where nothing is new.
        until_end: It stops at the end of the run.
    """

    def __init__(
        self,
        plans: RunPlans,
        run_id: str,
        after: RunEvent | str | None,
        interval: TTL,
        *,
        until_end: bool,
    ) -> None:
        plans.key(run_id)
        check_after(after)
        self._plans, self._run_id, self._after = plans, run_id, after
        self._interval = check_span(interval, "interval") / 1000
        self._until_end = until_end
        self._looked = self._at_end = self._ended = False

    def news_plan(self) -> Plan[list[RunEvent]]:
        """The next events; an empty list for none yet, and after the end.

        One round trip, after a pause where the look before found nothing.
        """
        if self._looked:
            yield Pause(self._interval)
        events = yield from self._plans.read_plan(self._run_id, self._after, _AT_ONCE)
        self._looked = len(events) < _AT_ONCE
        if events:
            self._after = events[-1].id
            self._at_end = self._until_end and events[-1].ends_run
        self._ended = self._at_end and len(events) < _AT_ONCE
        return events

    @property
    def ended(self) -> bool:
        """Whether the end of the run was read."""
        return self._ended


def check_after(after: RunEvent | str | None) -> str | None:
    """The id of an event, or of an event's place in a log.

    Raises:
        InvalidArgumentError: It is none.
    """
    found = after.id if isinstance(after, RunEvent) else after
    if found is None or (isinstance(found, str) and _ID.fullmatch(found)):
        return found
    raise InvalidArgumentError(f"after must be an event or its id, not {shown(after)}")


def _run(run_id: str, events: int, first: RunEvent, last: RunEvent) -> Run:
    name = first.details.get("name")
    state = "running"
    if last.ends_run:
        state = "failed" if last.action == RUN_ERROR else "ended"
    return Run(
        run_id,
        name if isinstance(name, str) else None,
        events,
        first.ts,
        last.ts,
        state,
        last.user_id or first.user_id,
    )
