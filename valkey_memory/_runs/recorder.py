"""Steps of runs as events: what begins and ends inside what, how long it took, and in which run.

For faces, whose frameworks tell of steps by their ids. It never raises what the log does: a log
that is down is no reason for an agent to stop, nor to wait for a timeout at each of its steps.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .._arguments import check_text
from .._errors import ConnectionFailedError, OperationTimeoutError, ValkeyMemoryError
from .events import RUN_END, RUN_ERROR, RUN_START
from .run_log import RunLog

Details: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = Literal["end", "error", "interrupt"]

CHAIN = "chain"
"""The kind of step that only holds others. What it is given and gives is theirs, and not logged but
for the outermost one."""

_log = logging.getLogger("valkey_memory")

_PAUSE_SECONDS = 30.0
"""After an event that reached no server none is tried for so long."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that has begun."""

    root: str
    """The id of the outermost step around it."""
    run: str
    shown: str
    """Its id; where it is hidden, that of the step it stands in."""
    name: str
    began: float
    hidden: bool
    user_id: str | None


class RunRecorder:
    """Logs steps as they begin and end, from any thread.

    Args:
        log: Where to.
        run_id: The run that all belongs to; None for the id of the outermost step.
        payloads: Whether contents are logged.
    """

    def __init__(self, log: RunLog, *, run_id: str | None, payloads: bool) -> None:
        self.log = log
        self._run_id = None if run_id is None else check_text(run_id, "run_id")
        self._payloads = payloads
        self._lock = threading.Lock()
        self._steps: dict[str, _Step] = {}
        self._lost, self._not_before = 0, float("-inf")

    def begin(
        self,
        kind: str,
        name: str,
        step_id: str,
        parent_id: str | None,
        details: Details,
        payload: Details,
        *,
        hidden: bool = False,
        user_id: str | None = None,
    ) -> None:
        """A step begins. The outermost one begins the run.

        Args:
            kind: ``CHAIN``, ``"model"``, ``"tool"``, ...; it names the events, ``{kind}_start``.
            name: What it is called.
            step_id: Its id.
            parent_id: The id of the step that it stands in.
            details: What is always logged; values of None are not.
            payload: What is logged unless there shall be no contents.
            hidden: It has no events; what stands in it is shown in the step around it.
            user_id: Whose run it is, where it is the outermost one.
        """
        with self._lock:
            parent = self._steps.get(parent_id or "")
            hidden = hidden and parent is not None
            step = _Step(
                step_id if parent is None else parent.root,
                self._run_id or step_id if parent is None else parent.run,
                parent.shown if parent is not None and hidden else step_id,
                name,
                time.monotonic(),
                hidden,
                user_id if parent is None else parent.user_id,
            )
            self._steps[step_id] = step
        about = {"name": name, **details}
        if parent is None:
            contents = payload if kind == CHAIN else {}
            self._add(step, RUN_START, about, contents)
        if not hidden and (parent is not None or kind != CHAIN):
            contents = {} if kind == CHAIN else payload
            above = parent.shown if parent is not None else None
            self._add(step, f"{kind}_start", about, contents, above)

    def end(
        self,
        kind: str,
        step_id: str,
        parent_id: str | None,
        details: Details,
        payload: Details,
        *,
        outcome: Outcome = "end",
    ) -> None:
        """A step ends, the outermost one with its run. A step that never began is none."""
        with self._lock:
            step = self._steps.pop(step_id, None)
            parent = self._steps.get(parent_id or "")
            if step is not None and step.root == step_id:  # what was cancelled in it never ended
                self._steps = {key: one for key, one in self._steps.items() if one.root != step_id}
        if step is None or step.hidden:
            return
        about = {"name": step.name, "seconds": round(time.monotonic() - step.began, 3), **details}
        if parent is not None or kind != CHAIN:
            contents = {} if kind == CHAIN and outcome == "end" else payload
            above = parent.shown if parent is not None else None
            self._add(step, f"{kind}_{outcome}", about, contents, above)
        if parent is None:
            action = RUN_ERROR if outcome == "error" else RUN_END
            self._add(step, action, about, payload if kind == CHAIN else {})

    def note(self, action: str, step_id: str, details: Details, payload: Details) -> None:
        """Something happens in a step that goes on."""
        with self._lock:
            step = self._steps.get(step_id)
        if step is not None:
            self._add(step, action, details, payload)

    def _add(
        self,
        step: _Step,
        action: str,
        details: Details,
        payload: Details,
        parent: str | None = None,
    ) -> None:
        with self._lock:
            if time.monotonic() < self._not_before:
                self._lost += 1
                return
        told = {**details, **(payload if self._payloads else {})}
        told = {name: value for name, value in told.items() if value is not None}
        try:
            self.log.append(
                step.run, action, told, step=step.shown, parent=parent, user_id=step.user_id
            )
        except ValkeyMemoryError as error:
            self._note_loss(step.run, error)
            return
        with self._lock:
            lost, self._lost = self._lost, 0
        if lost:
            _log.warning("the log of runs goes on; it lacks %d events", lost)

    def _note_loss(self, run: str, error: ValkeyMemoryError) -> None:
        away = isinstance(error, ConnectionFailedError | OperationTimeoutError)
        with self._lock:
            self._lost += 1
            if away:
                self._not_before = time.monotonic() + _PAUSE_SECONDS
        pause = f" The next one is tried in {_PAUSE_SECONDS:g} s." if away else ""
        _log.warning("an event of the run %r is not logged: %s%s", run, error, pause)
