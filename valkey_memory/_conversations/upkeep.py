"""What a store does with a conversation as a whole: its expiry, its summary."""

from __future__ import annotations

from typing import Any, TypeVar

from .._arguments import TTL
from .._plans import Plan
from .._server.connection import ValkeyConnection
from .plans import ConversationPlans

T = TypeVar("T")


class Upkeep:
    """The methods of a store that take no messages, whatever its framework."""

    connection: ValkeyConnection
    _plans: ConversationPlans[Any]

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    # Expiry

    def set_ttl(self, session_id: str, ttl: TTL | None) -> bool:
        """Let the conversation expire in ``ttl``, or never when None; False if there is none.

        The next write with this store's own ``ttl`` starts that one again.
        """
        return self._run(self._plans.set_ttl_plan(session_id, ttl))

    async def aset_ttl(self, session_id: str, ttl: TTL | None) -> bool:
        """Async ``set_ttl``."""
        return await self._arun(self._plans.set_ttl_plan(session_id, ttl))

    def refresh_ttl(self, session_id: str) -> bool:
        """Restart the store's TTL without writing; False if there is no such conversation."""
        return self._run(self._plans.refresh_ttl_plan(session_id))

    async def arefresh_ttl(self, session_id: str) -> bool:
        """Async ``refresh_ttl``."""
        return await self._arun(self._plans.refresh_ttl_plan(session_id))

    def ttl_left(self, session_id: str) -> float | None:
        """Seconds until the conversation expires; None: never; 0.0: there is none."""
        return self._run(self._plans.ttl_left_plan(session_id))

    async def attl_left(self, session_id: str) -> float | None:
        """Async ``ttl_left``."""
        return await self._arun(self._plans.ttl_left_plan(session_id))

    # Summary

    def summary(self, session_id: str) -> str | None:
        """The text of the conversation's summary; None before the first."""
        return self._run(self._plans.summary_plan(session_id))

    async def asummary(self, session_id: str) -> str | None:
        """Async ``summary``."""
        return await self._arun(self._plans.summary_plan(session_id))

    def summarize_now(self, session_id: str) -> bool:
        """Summarise all but the newest ``keep_last`` messages, without waiting for ``when_over``.

        Nor for the pause after a failure; but what another process summarises is left to it.

        Returns:
            Whether there is a new summary.

        Raises:
            InvalidArgumentError: The store has no ``summary=``.
            Exception: Whatever the model throws; the messages stay.
        """
        return self._run(self._plans.summarize_plan(session_id))

    async def asummarize_now(self, session_id: str) -> bool:
        """Async ``summarize_now``."""
        return await self._arun(self._plans.summarize_plan(session_id))

    def last_error(self, session_id: str) -> str | None:
        """Why the conversation could not be summarised; None once it could."""
        return self._run(self._plans.summary_error_plan(session_id))

    async def alast_error(self, session_id: str) -> str | None:
        """Async ``last_error``."""
        return await self._arun(self._plans.summary_error_plan(session_id))
