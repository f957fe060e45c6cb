"""What a ``LongTermMemory`` reads: recall, and memories by id and in pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .._arguments import TTL, check_text
from .._plans import Plan
from .._vectors.text_index import TextIndex
from .memories import FACT, ORDER, Memory, Time, memories_of
from .recall import Mode, recall_plan, wanted
from .remembering import Rules
from .scope import scope

Memories: TypeAlias = list[Memory]
"""Beside a method that is called ``list``, the type needs another name."""


class Reading:
    """The part of ``LongTermMemory`` that changes nothing."""

    _texts: TextIndex
    _rules: Rules

    def recall(
        self,
        query: str,
        *,
        user_id: str,
        k: int = 5,
        kinds: Iterable[str] | None = None,
        session_id: str | None = None,
        exclude_session: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        min_score: float | None = None,
        neighbours: int = 0,
        mode: Mode = "hybrid",
        half_life: TTL | None = None,
        ended: bool = False,
    ) -> Memories:
        """The user's memories that answer ``query`` best, by meaning and by words.

        Args:
            query: A question, as a person asks it: with names, days and months.
            user_id: Whose memories.
            k: At most so many, and 10,000.
            kinds: Of these kinds only.
            session_id: Of this conversation only.
            exclude_session: Not of this one, as it is in the prompt already.
            since: Said or learned then or later: a datetime with a time zone, or Unix seconds.
            until: Said or learned before that.
            min_score: Leave out what scores less. Hybrid scores are from 0 to 1 and tell places
                only; a limit on meaning needs ``mode="dense"``.
            neighbours: So many messages right before and after each message, as ``neighbours``.
            mode: ``"hybrid"``, or ``"dense"`` by vectors alone, or ``"text"`` by words alone.
            half_life: Seconds, or a timedelta, in which half of the part of the score that ages
                fades; the other half does not age. By default nothing fades.
            ended: Also what holds no more.

        Returns:
            The best first. ``parts`` of each say why.

        Round trips: hybrid and text two, dense one; with ``neighbours`` one more.
        """
        plan = self._recall_plan(
            query, user_id, k, kinds, session_id, exclude_session, since, until, min_score,
            neighbours, mode, half_life, ended,
        )  # fmt: skip
        return self._texts.index.run(plan)

    async def arecall(
        self,
        query: str,
        *,
        user_id: str,
        k: int = 5,
        kinds: Iterable[str] | None = None,
        session_id: str | None = None,
        exclude_session: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        min_score: float | None = None,
        neighbours: int = 0,
        mode: Mode = "hybrid",
        half_life: TTL | None = None,
        ended: bool = False,
    ) -> Memories:
        """Async ``recall``."""
        plan = self._recall_plan(
            query, user_id, k, kinds, session_id, exclude_session, since, until, min_score,
            neighbours, mode, half_life, ended,
        )  # fmt: skip
        return await self._texts.index.arun(plan)

    def _recall_plan(
        self, query: str, user_id: str, k: int, kinds: Iterable[str] | None,
        session_id: str | None, exclude_session: str | None, since: Time | None,
        until: Time | None, min_score: float | None, neighbours: int, mode: Mode,
        half_life: TTL | None, ended: bool,
    ) -> Plan[Memories]:  # fmt: skip
        seen = scope(user_id, kinds, session_id, exclude_session, since, until, ended=ended)
        asked = wanted(query, seen, k, mode, min_score, neighbours, half_life)
        return (
            yield from recall_plan(
                self._texts.index.plans, self._texts.embedder, asked, self._rules.language
            )
        )

    def get(self, ids: Iterable[str], *, user_id: str) -> Memories:
        """The user's memories of these ids, in order. Unknown ones, and others', are left out.

        Round trips: one per 200.
        """
        return self._texts.index.run(self._get_plan(ids, user_id))

    async def aget(self, ids: Iterable[str], *, user_id: str) -> Memories:
        """Async ``get``."""
        return await self._texts.index.arun(self._get_plan(ids, user_id))

    def _get_plan(self, ids: Iterable[str], user_id: str) -> Plan[Memories]:
        check_text(user_id, "user_id")
        found = yield from self._texts.index.plans.get_plan(ids, False)
        return [one for one in memories_of(found) if one.user_id == user_id]

    def list(
        self,
        user_id: str,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
        ended: bool = False,
    ) -> Memories:
        """The user's memories, the newest first.

        Args:
            user_id: Whose.
            kind: Of this kind only.
            session_id: Of this conversation only.
            limit: At most so many.
            offset: Leave out so many of the newest: the next page.
            ended: Also what holds no more.

        Round trips: one; on a server with valkey-search one more where there are other pages.
        """
        return self._texts.index.run(
            self._list_plan(user_id, kind, session_id, limit, offset, ended)
        )

    async def alist(
        self,
        user_id: str,
        *,
        kind: str | None = None,
        session_id: str | None = None,
        limit: int = 100,
        offset: int = 0,
        ended: bool = False,
    ) -> Memories:
        """Async ``list``."""
        return await self._texts.index.arun(
            self._list_plan(user_id, kind, session_id, limit, offset, ended)
        )

    def _list_plan(
        self,
        user_id: str,
        kind: str | None,
        session_id: str | None,
        limit: int,
        offset: int,
        ended: bool,
    ) -> Plan[Memories]:
        kinds = None if kind is None else (check_text(kind, "kind"),)
        condition = scope(user_id, kinds, session_id, ended=ended).condition()
        plans = self._texts.index.plans
        found = yield from plans.page_plan(condition, offset, limit, ORDER, True, False)
        return memories_of(found)

    def facts(
        self, user_id: str, *, limit: int = 100, offset: int = 0, ended: bool = False
    ) -> Memories:
        """``list(user_id, kind="fact")``: what is known of the user, the newest first."""
        plan = self._list_plan(user_id, FACT, None, limit, offset, ended)
        return self._texts.index.run(plan)

    async def afacts(
        self, user_id: str, *, limit: int = 100, offset: int = 0, ended: bool = False
    ) -> Memories:
        """Async ``facts``."""
        plan = self._list_plan(user_id, FACT, None, limit, offset, ended)
        return await self._texts.index.arun(plan)
