"""What becomes of conversations that are over: facts and episodes, for a worker or a cron job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from .. import _keys
from .._attempts import attempted_plan
from .._conversations import considered
from .._conversations.listing import Walk
from .._conversations.sessions import Session, of_user_plan, session_plan
from .._errors import ValkeyMemoryError
from .._plans import Now, Plan, change_plan
from .episodes import Teller, store_episode_plan
from .extraction import LEASE_MS, Extraction, Extractor, extract_plan
from .jobs import NewOwner

_log = logging.getLogger("valkey_memory")

_SESSIONS_AT_ONCE = 100

Progress = Callable[[str], None]
"""Called with each session id, before it is worked on."""


_NOTHING = Extraction()


@dataclass(frozen=True, slots=True)
class Consolidation:
    """What came of ``consolidate``.

    Attributes:
        done: The conversations that were worked on.
        episodes: Ids of their episodes.
        facts: What came of learning from them, all together.
        busy: Conversations that somebody else works on.
        failed: Those that failed, each with the error's text. The next call tries them again.
    """

    done: tuple[str, ...] = ()
    episodes: tuple[str, ...] = ()
    facts: Extraction = _NOTHING
    busy: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """Which conversations are worked on.

    Attributes:
        idle_ms: Those that have had no write for so long.
        user_id: Of this user; None for all.
        limit: At most so many; None for all.
    """

    idle_ms: int
    user_id: str | None
    limit: int | None


def consolidate_plan(teller: Teller, due: Due, progress: Progress | None) -> Plan[Consolidation]:
    """Learn facts from each conversation that is due, and store it as an episode.

    ``teller.user_id`` does not matter: each conversation's record says whose it is.
    """
    now: int = yield Now()
    found = Consolidation()
    sessions = _of_user(teller, due) if due.user_id is not None else _of_all(teller)
    more = True
    while more:
        page, more = yield from sessions.page_plan()
        for session in page:
            if due.limit is not None and len(found.done) + len(found.failed) >= due.limit:
                return found
            if is_due(session, now - due.idle_ms):
                found = yield from _one_plan(teller, session, found, progress)
    return found


def mark_of(session: Session) -> str:
    """What a conversation is marked with when it was worked on as it is."""
    return f"{session.message_count}@{session.last_active}"


def is_due(session: Session, before_ms: int) -> bool:
    """Whether the record says whose conversation it is, and that it was not written to since."""
    active = session.last_active
    return bool(session.user_id) and active is not None and active * 1000 <= before_ms


# Which there are


@dataclass(slots=True)
class _UsersSessions:
    key_prefix: str
    user_id: str
    last: Session | None = None

    def page_plan(self) -> Plan[tuple[list[Session], bool]]:
        page = yield from of_user_plan(self.key_prefix, self.user_id, _SESSIONS_AT_ONCE, self.last)
        if page:
            self.last = page[-1]
        return page, len(page) == _SESSIONS_AT_ONCE


@dataclass(slots=True)
class _AllSessions:
    key_prefix: str
    walk: Walk

    def page_plan(self) -> Plan[tuple[list[Session], bool]]:
        found: list[Session] = []
        for one in (yield from self.walk.page_plan()):
            session = yield from session_plan(self.key_prefix, one)
            if session is not None:
                found.append(session)
        return found, not self.walk.finished


def _of_user(teller: Teller, due: Due) -> _UsersSessions:
    return _UsersSessions(teller.key_prefix, due.user_id or "")


def _of_all(teller: Teller) -> _AllSessions:
    return _AllSessions(teller.key_prefix, Walk(teller.key_prefix))


# One of them


def _one_plan(
    teller: Teller, session: Session, found: Consolidation, progress: Progress | None
) -> Plan[Consolidation]:
    """``found`` with what became of a conversation, unless it was done since its last write."""
    one = session.session_id
    key = _keys.list_key(teller.key_prefix, one)
    mark = mark_of(session)
    if (yield from change_plan(considered.read_mark(key))) == mark:
        return found
    if progress is not None:
        progress(one)
    own = replace(teller, user_id=session.user_id or "")
    try:
        done = yield from attempted_plan(_worked_plan(own, one, key, mark))
    except Exception as error:  # noqa: BLE001 - models throw anything; it is told
        _log.warning("%r is not consolidated: %s: %s", one, type(error).__name__, error)
        return replace(found, failed=(*found.failed, (one, f"{type(error).__name__}: {error}")))
    if done is None:
        return replace(found, busy=(*found.busy, one))
    episode, learned = done
    return replace(
        found,
        done=(*found.done, one),
        episodes=(*found.episodes, *([] if episode is None else [episode])),
        facts=replace(found.facts.and_then(learned), waiting=found.facts.waiting + learned.waiting),
    )


def _worked_plan(
    teller: Teller, session_id: str, key: str, mark: str
) -> Plan[tuple[str | None, Extraction] | None]:
    """Facts, then the episode, then the mark; None where somebody else works on it."""
    user_id, model = teller.user_id, teller.model
    learned = yield from extract_plan(
        Extractor(teller.texts, teller.rules, key, session_id, user_id, model), None
    )
    owner: str = yield NewOwner()
    claim = considered.claim(key, owner, LEASE_MS, 0, anyhow=True)
    if learned.busy or (yield from change_plan(claim)) is None:
        return None
    try:
        episode = yield from store_episode_plan(teller, session_id)
        if not learned.waiting:
            yield from change_plan(considered.set_mark(key, owner, mark))
    except Exception:
        yield from _free_plan(key, owner)
        raise
    yield from _free_plan(key, owner)
    return episode, learned


def _free_plan(key: str, owner: str) -> Plan[None]:
    """Give the conversation back; where the server cannot be reached, the claim ends by itself."""
    try:
        yield from change_plan(considered.commit(key, owner, (), over=True))
    except ValkeyMemoryError as error:
        _log.info("the claim on %r ends by itself: %s", key, error)
