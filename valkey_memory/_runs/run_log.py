"""``RunLog``: what agents did, run by run, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypedDict, TypeVar

from .. import _keys
from .._arguments import TTL, check_count, ttl_to_milliseconds
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .events import RunEvent
from .plans import Follower, Run, RunPlans

T = TypeVar("T")


class RunLogOptions(TypedDict, total=False):
    """The options of ``RunLog``, for faces that pass them on."""

    url: str | None
    connection: ValkeyConnection | None
    key_prefix: str
    ttl: TTL | None
    max_events: int
    max_chars: int


class RunLog:
    """The log of what happened in each run of an agent: one stream per run, in order, bounded.

    Any process may write to a run, and any may read it, also while it goes on. Every method has an
    async twin with the prefix ``a``. Safe to share between threads and event loops.

    Examples:
        >>> from valkey_memory import RunLog
        >>> log = RunLog(url="embedded://")
        >>> log.append("run-1", "run_start", {"name": "support"})
        >>> log.append("run-1", "tool_start", {"name": "search", "input": {"query": "tea"}})
        >>> log.append("run-1", "run_end")
        >>> [(event.action, event.details.get("name")) for event in log.read("run-1")]
        [('run_start', 'support'), ('tool_start', 'search'), ('run_end', None)]
        >>> [(run.run_id, run.name, run.events, run.state) for run in log.runs()]
        [('run-1', 'support', 3, 'ended')]

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What every key starts with; no braces. Change it per application or tenant.
        ttl: Seconds (or a timedelta) after its last event until a log expires; a week by default.
            None sets no expiry, and keeps one that is there.
        max_events: So many events a log keeps, the newest; up to some hundred more, since the
            server cuts streams in portions.
        max_chars: Of a value of ``details`` that is longer as text or JSON, so many characters of
            it are kept, as a text.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.
        ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "agent:log:",
        ttl: TTL | None = 7 * 24 * 3600,
        max_events: int = 10_000,
        max_chars: int = 2_000,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        check_count(max_events, "max_events")
        check_count(max_chars, "max_chars")
        self._plans = RunPlans(
            _keys.check_prefix(key_prefix), ttl_to_milliseconds(ttl), max_events, max_chars
        )
        self.connection = choose_connection(url, connection)

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    def append(
        self,
        run_id: str,
        action: str,
        details: Mapping[str, Any] | None = None,
        *,
        step: str | None = None,
        parent: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """Add an event to a run, and restart the TTL of its log.

        Args:
            run_id: The run: any non-empty text.
            action: What happened. ``"run_start"``, ``"run_end"`` and ``"run_error"`` begin a run
                and end it.
            details: More about it. A ``"name"`` in the first event is that of the run. Values that
                JSON does not know are stored as their dict, list or text.
            step: The step of the run that it belongs to.
            parent: The step that this one stands in.
            user_id: Whose run it is, so that ``clear`` and ``UserData`` find it. Say it with each
                event: a log that is cut loses its first ones.

        Round trips: one.
        """
        self._run(self._plans.append_plan(run_id, action, details, step, parent, user_id))

    async def aappend(
        self,
        run_id: str,
        action: str,
        details: Mapping[str, Any] | None = None,
        *,
        step: str | None = None,
        parent: str | None = None,
        user_id: str | None = None,
    ) -> None:
        """Async ``append``."""
        await self._arun(self._plans.append_plan(run_id, action, details, step, parent, user_id))

    def read(
        self, run_id: str, after: RunEvent | str | None = None, limit: int | None = None
    ) -> list[RunEvent]:
        """The events of a run, the first one first; none where there is no such run.

        Args:
            run_id: The run.
            after: Only those after this event, or after an event's id.
            limit: At most so many; by default all.

        Round trips: one for each 1,000.
        """
        return self._run(self._plans.read_plan(run_id, after, limit))

    async def aread(
        self, run_id: str, after: RunEvent | str | None = None, limit: int | None = None
    ) -> list[RunEvent]:
        """Async ``read``."""
        return await self._arun(self._plans.read_plan(run_id, after, limit))

    def follow(
        self,
        run_id: str,
        after: RunEvent | str | None = None,
        *,
        interval: TTL = 0.5,
        until_end: bool = True,
    ) -> Iterator[RunEvent]:
        """The events of a run as they come, those that are there first.

        Args:
            run_id: The run; it need not have begun.
            after: Begin after this event, or after an event's id.
            interval: Seconds (or a timedelta) between two looks. The connection is shared, so
                nothing blocks on it.
            until_end: Stop after ``"run_end"`` or ``"run_error"``, where nothing follows. False
                goes on for ever.

        Round trips: one per look.
        """
        follower = Follower(self._plans, run_id, after, interval, until_end=until_end)
        return self._followed(follower)

    def _followed(self, follower: Follower) -> Iterator[RunEvent]:
        while not follower.ended:
            yield from self._run(follower.news_plan())

    def afollow(
        self,
        run_id: str,
        after: RunEvent | str | None = None,
        *,
        interval: TTL = 0.5,
        until_end: bool = True,
    ) -> AsyncIterator[RunEvent]:
        """Async ``follow``: ``async for event in log.afollow(run_id)``."""
        follower = Follower(self._plans, run_id, after, interval, until_end=until_end)
        return self._afollowed(follower)

    async def _afollowed(self, follower: Follower) -> AsyncIterator[RunEvent]:
        while not follower.ended:
            for event in await self._arun(follower.news_plan()):
                yield event

    def runs(self, limit: int = 20) -> list[Run]:
        """The runs that were active last, newest first. Expired ones are not among them.

        Args:
            limit: At most so many. The last 10,000 are listed; older ones can be read by their id.

        Round trips: two for each 1,000, whatever else the server holds; one more where some had
        expired.
        """
        return self._run(self._plans.runs_plan(limit))

    async def aruns(self, limit: int = 20) -> list[Run]:
        """Async ``runs``."""
        return await self._arun(self._plans.runs_plan(limit))

    def delete(self, run_id: str) -> bool:
        """Delete the log of a run. One round trip.

        Returns:
            Whether there was one.
        """
        return self._run(self._plans.delete_plan(run_id))

    async def adelete(self, run_id: str) -> bool:
        """Async ``delete``."""
        return await self._arun(self._plans.delete_plan(run_id))

    def clear(self, *, user_id: str) -> int:
        """Delete the logs of a user's runs: of those whose last or first event names the user.

        Args:
            user_id: Whose, exactly.

        Returns:
            How many there were.

        Round trips: it walks the whole keyspace with SCAN, one per 1,000 keys on each primary, and
        three where some of these are logs.
        """
        return self._run(self._plans.clear_plan(user_id))

    async def aclear(self, *, user_id: str) -> int:
        """Async ``clear``."""
        return await self._arun(self._plans.clear_plan(user_id))

    def __getstate__(self) -> dict[str, Any]:
        plans = self._plans
        return {
            "connection": self.connection,
            "key_prefix": plans.key_prefix,
            "ttl": None if plans.ttl_ms is None else plans.ttl_ms / 1000,
            "max_events": plans.max_events,
            "max_chars": plans.max_chars,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"RunLog({self.connection!r}, key_prefix={self._plans.key_prefix!r})"
