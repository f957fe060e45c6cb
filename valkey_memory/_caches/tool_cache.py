"""``ToolCache``: results of tools that were paid for once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypedDict, TypeVar, overload

from .. import _keys
from .._arguments import TTL, OnError, check_on_error, check_span, shown
from .._errors import InvalidArgumentError
from .._models.calls import of_function
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .counts import CacheStats, Counts
from .tool_calls import CallPlans
from .tool_results import PLAIN, ResultForm

T = TypeVar("T")


class ToolCacheOptions(TypedDict, total=False):
    """The options of ``ToolCache``, for faces that pass them on."""

    url: str | None
    connection: ValkeyConnection | None
    key_prefix: str
    ttl: TTL
    lease: TTL
    on_error: OnError


class ToolCache:
    """Results of tools, by name and arguments: what was asked before is not run again.

    Equal calls at the same time are one, in threads, tasks and processes alike: the first runs the
    tool, the others wait for its result. What a tool raises is not stored: whoever waited tries in
    its turn. Every method has an async twin with the prefix ``a``. Safe to share between threads,
    event loops and forked processes.

    Arguments are equal when they are equal as JSON: in any order, and 1 is 1.0. Text is compared
    character by character. Results may be whatever JSON and this library's tags hold (texts,
    numbers, lists, dicts, tuples, bytes, dates); another one is returned, not stored, and logged.

    Examples:
        >>> from valkey_memory import ToolCache
        >>> cache = ToolCache(url="embedded://", ttl=3600)
        >>> def search(query):
        ...     print("searching")
        ...     return [f"about {query}"]
        >>> cache.get_or_call("search", {"query": "tea"}, lambda: search("tea"))
        searching
        ['about tea']
        >>> cache.get_or_call("search", {"query": "tea"}, lambda: search("tea"))
        ['about tea']
        >>> cache.stats()
        CacheStats(hits=1, misses=1, stores=1, semantic_hits=0, waits=0)

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What every key starts with; no braces. Change it per application or tenant, and
            when a tool's results mean something else from now on.
        ttl: Seconds (or a timedelta) until a result is made anew; one hour by default. A hit does
            not prolong it.
        lease: Seconds for which a call claims the making of a result, one minute by default. Longer
            than the slowest tool: after it the next caller runs the tool, too, and the first one's
            result is not stored. A process that dies delays others for so long at most.
        on_error: ``"raise"`` errors of the cache before the tool is run; ``"warn"`` logs them in
            ``valkey_memory`` and runs the tool. A result that cannot be stored is always returned,
            and logged.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "tool:cache:",
        ttl: TTL = 3600,
        lease: TTL = 60,
        on_error: OnError = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._ttl_ms, lease_ms = check_span(ttl, "ttl of results"), check_span(lease, "lease")
        self._plans = CallPlans(
            _keys.check_prefix(key_prefix), lease_ms, check_on_error(on_error), Counts()
        )
        self.connection = choose_connection(url, connection)

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    def _get_or_call_plan(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Any],
        user_id: str | None,
        ttl: TTL | None,
        form: ResultForm[Any] | None,
    ) -> Plan[Any]:
        if not callable(call):
            raise InvalidArgumentError(
                f"call must be a function that runs the tool, not what it gave: {shown(call)}"
            )
        return self._plans.get_or_call_plan(
            tool,
            arguments,
            of_function(call),
            user_id=user_id,
            ttl_ms=self._ttl_ms if ttl is None else check_span(ttl, "ttl of a result"),
            form=form or PLAIN,
        )

    @overload
    def get_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Awaitable[T]],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[T] | None = None,
    ) -> T: ...

    @overload
    def get_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], T],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[T] | None = None,
    ) -> T: ...

    def get_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Any],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[Any] | None = None,
    ) -> Any:
        """The result of a call: the one that is stored, or what ``call`` returns.

        Args:
            tool: The tool's name.
            arguments: What it is called with: all that its result depends on.
            call: Runs it; sync or async.
            user_id: Whose result it is, where the tool answers each user differently. None shares
                it with all.
            ttl: Seconds for this result, in place of the cache's own.
            form: How results that are no plain values are stored; the faces use it.

        Raises:
            InvalidArgumentError: An argument cannot work; whatever ``on_error`` says.
            MessageEncodeError: Arguments that JSON cannot hold without loss.
            ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: As
                ``on_error`` says.
            Exception: Whatever ``call`` raises.

        Round trips: one for a hit, two for a miss. Who waits looks four to a hundred times a
        second.
        """
        return self._run(self._get_or_call_plan(tool, arguments, call, user_id, ttl, form))

    @overload
    async def aget_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Awaitable[T]],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[T] | None = None,
    ) -> T: ...

    @overload
    async def aget_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], T],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[T] | None = None,
    ) -> T: ...

    async def aget_or_call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Callable[[], Any],
        *,
        user_id: str | None = None,
        ttl: TTL | None = None,
        form: ResultForm[Any] | None = None,
    ) -> Any:
        """Async ``get_or_call``; a sync ``call`` runs in a thread."""
        plan = self._get_or_call_plan(tool, arguments, call, user_id, ttl, form)
        return await self._arun(plan)

    def delete(
        self, tool: str, arguments: Mapping[str, Any], *, user_id: str | None = None
    ) -> bool:
        """Delete one result, and have that of a call that runs now not stored. One round trip.

        Returns:
            Whether there was one.
        """
        return self._run(self._plans.delete_plan(tool, arguments, user_id))

    async def adelete(
        self, tool: str, arguments: Mapping[str, Any], *, user_id: str | None = None
    ) -> bool:
        """Async ``delete``."""
        return await self._arun(self._plans.delete_plan(tool, arguments, user_id))

    def clear(self, tool: str | None = None, user_id: str | None = None) -> int:
        """Delete the results of a tool, of a user, of both together, or all under the prefix.

        Those of calls that run now are not stored, either.

        Args:
            tool: Its results only, of every user.
            user_id: Only what was stored for this user. None: for everybody.

        Returns:
            How many results there were.

        Round trips: it walks the whole keyspace with SCAN, one per 1,000 keys on each primary, and
        one for each 500 results.
        """
        return self._run(self._plans.clear_plan(tool, user_id))

    async def aclear(self, tool: str | None = None, user_id: str | None = None) -> int:
        """Async ``clear``."""
        return await self._arun(self._plans.clear_plan(tool, user_id))

    def stats(self) -> CacheStats:
        """How many calls hit, missed and waited, of this object in this process. Sends nothing."""
        return self._plans.counts.stats()

    def __getstate__(self) -> dict[str, Any]:
        plans = self._plans
        return {
            "connection": self.connection,
            "key_prefix": plans.key_prefix,
            "ttl": self._ttl_ms / 1000,
            "lease": plans.lease_ms / 1000,
            "on_error": plans.on_error,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"ToolCache({self.connection!r}, key_prefix={self._plans.key_prefix!r})"
