"""Which memories a call may see: always those of one user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .._arguments import check_text, shown
from .._errors import InvalidArgumentError, NotOwnerError
from .._filters.expressions import And, Filter, Not, NumberIn, TagIn
from .memories import CURRENT, Time, check_kinds, milliseconds


@dataclass(frozen=True, slots=True)
class Scope:
    """A user's memories, or some of them. ``scope`` checks the arguments.

    Attributes:
        user_id: Whose.
        kinds: Of one of these kinds; None for all.
        session_id: Of this conversation only.
        exclude_session: Of every other one.
        since_ms: Of this time or later.
        until_ms: Of an earlier time.
        ended: Those that hold no more, too.
    """

    user_id: str
    kinds: tuple[str, ...] | None = None
    session_id: str | None = None
    exclude_session: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    ended: bool = False

    def condition(self, *more: Filter) -> Filter:
        """The filter that finds them, and of them those that satisfy ``more``."""
        found: list[Filter] = [TagIn("user_id", (self.user_id,))]
        if self.kinds is not None:
            found.append(TagIn("kind", self.kinds))
        if self.session_id is not None:
            found.append(TagIn("session_id", (self.session_id,)))
        if self.exclude_session is not None:
            found.append(Not(TagIn("session_id", (self.exclude_session,))))
        if self.since_ms is not None or self.until_ms is not None:
            found.append(NumberIn("created_at", self.since_ms, self.until_ms, below=True))
        if not self.ended:
            found.append(TagIn("state", (CURRENT,)))
        return And((*found, *more))


def scope(
    user_id: str,
    kinds: Iterable[str] | None = None,
    session_id: str | None = None,
    exclude_session: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
    *,
    ended: bool = False,
) -> Scope:
    """The scope of a call's arguments.

    Raises:
        InvalidArgumentError: One of them cannot be; above all, no ``user_id``.
    """
    if not isinstance(ended, bool):
        raise InvalidArgumentError(f"ended must be True or False, not {shown(ended)}")
    for name, value in (("session_id", session_id), ("exclude_session", exclude_session)):
        if value is not None:
            check_text(value, name)
    return Scope(
        check_text(user_id, "user_id"),
        check_kinds(kinds),
        session_id,
        exclude_session,
        None if since is None else milliseconds(since, "since"),
        None if until is None else milliseconds(until, "until"),
        ended,
    )


def check_owner(session_id: str, owner: str | None, user_id: str) -> None:
    """Raise NotOwnerError where a conversation's record says that it is somebody else's."""
    if owner and owner != user_id:
        raise NotOwnerError(
            f"conversation {shown(session_id)} is not of user {shown(user_id)}: its record names "
            "another. SessionStore.update(session_id, user_id=...) gives it to somebody"
        )
