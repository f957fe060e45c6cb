"""What was found of a person, and what was erased, in numbers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCounts:
    """How much there is of a user, or was exported or imported.

    Attributes:
        conversations: With messages, or with a record alone.
        messages: In them, without archived ones.
        archived: Archived messages.
        summaries: Conversations that have a running summary.
        memories: Documents of the indexes: messages, facts, episodes.
    """

    conversations: int = 0
    messages: int = 0
    archived: int = 0
    summaries: int = 0
    memories: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(UserCounts):
    """What was erased of a user, after it was read back that nothing is left.

    The counts are those of all runs, where earlier ones were interrupted. What a run deleted right
    before it was interrupted may be missing from them.

    Attributes:
        user_id: Whose.
        key_prefix: Of the conversations that were looked through.
        indexes: Those that were looked through.
        cleared: How much the objects in ``also`` had: results of tools, logs of runs.
        started_at: When the first run began, in UTC.
        finished_at: When it was read back that nothing is left.
        resumed: Whether an earlier run was interrupted.
    """

    user_id: str
    key_prefix: str
    indexes: tuple[str, ...]
    cleared: int = 0
    started_at: dt.datetime
    finished_at: dt.datetime
    resumed: bool = False
