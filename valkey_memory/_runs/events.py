"""What happens in a run, as an entry of its stream and back.

The fields are those of Valkey's cookbook: ``action``, ``details`` as JSON and ``ts`` in Unix
seconds; ``step`` and ``parent`` say which step of the run it belongs to, and in which that stands;
``user_id`` says whose run it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from .._arguments import check_text, shown
from .._errors import InvalidArgumentError
from .._messages.objects import open_to_json
from .._messages.values import TAG, loads, with_tagged_text

Pairs: TypeAlias = Sequence[tuple[bytes, bytes]]

RUN_START, RUN_END, RUN_ERROR = "run_start", "run_end", "run_error"
"""The actions that begin a run and end it. All others are whatever the application calls them."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened in a run.

    Attributes:
        id: Its place in the log, which the server gave: ``"1795275207260-0"``. Later is greater.
        action: What happened: ``"tool_start"``.
        details: More about it.
        ts: When, by the clock of who wrote it, in Unix seconds.
        step: The step of the run that it belongs to.
        parent: The step that this one stands in.
        user_id: Whose run it is.
    """

    id: str
    action: str
    details: Mapping[str, Any] = field(default_factory=dict)
    ts: float = 0.0
    step: str | None = None
    parent: str | None = None
    user_id: str | None = None

    @property
    def ends_run(self) -> bool:
        """Whether it is the end of the run: ``"run_end"`` or ``"run_error"``."""
        return self.action in (RUN_END, RUN_ERROR)


def to_fields(
    action: str,
    details: Mapping[str, Any] | None,
    ts_ms: int,
    step: str | None,
    parent: str | None,
    user_id: str | None,
    max_chars: int,
) -> list[str | bytes]:
    """Names and values of an entry, in a row.

    Raises:
        InvalidArgumentError: ``action``, ``step``, ``parent`` or ``user_id`` is no text.
    """
    if not isinstance(details, Mapping | None):
        raise InvalidArgumentError(f"details must be a dict, not {shown(details)}")
    found: list[str | bytes] = ["action", check_text(action, "action")]
    found += [
        "details",
        _dumps(_shortened(open_to_json(dict(details or {}), "details"), max_chars)),
    ]
    found += ["ts", f"{ts_ms / 1000:.3f}"]
    for name, value in (("step", step), ("parent", parent), ("user_id", user_id)):
        if value is not None:
            found += [name, check_text(value, name)]
    return found


def _shortened(details: Any, max_chars: int) -> Any:
    """What JSON holds of details, with the beginning of the text in place of a long value."""
    if isinstance(details, dict) and TAG not in details:
        return {name: _fitted(value, max_chars) for name, value in details.items()}
    return _fitted(details, max_chars)


def _fitted(value: Any, max_chars: int) -> Any:
    text = value if isinstance(value, str) else _dumps(value).decode()
    return value if len(text) <= max_chars else f"{text[:max_chars]}..."


def _dumps(value: Any) -> bytes:
    return orjson.dumps(with_tagged_text(value))


def from_entry(entry_id: bytes, pairs: Pairs) -> RunEvent:
    """An entry of a stream; what a foreign program wrote there is read as far as it can be."""
    fields = {_text(name): _text(value) for name, value in pairs}
    found_id = _text(entry_id)
    return RunEvent(
        found_id,
        fields.get("action", ""),
        _details(fields.get("details")),
        _seconds(fields.get("ts"), found_id),
        fields.get("step"),
        fields.get("parent"),
        fields.get("user_id"),
    )


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _details(text: str | None) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        found = loads(text)
    except ValueError:
        return {"text": text}
    return found if isinstance(found, dict) else {"value": found}


def _seconds(text: str | None, entry_id: str) -> float:
    try:
        found = float(text or "")
    except ValueError:
        found = math.nan
    return found if math.isfinite(found) else int(entry_id.partition("-")[0]) / 1000
