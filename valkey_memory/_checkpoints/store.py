"""``CheckpointStore``: states of graphs as bytes, sync and async, each method over one plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .. import _keys
from .._arguments import TTL, check_text, ttl_to_milliseconds
from .._plans import Plan, change_plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .changes import Thread
from .names import name
from .records import History, New, Saved, Typed, Write
from .walk import Walk, copy_plan, delete_runs_plan, each_plan

T = TypeVar("T")


class CheckpointStore:
    """Threads of checkpoints, of any framework's serializer.

    Every method has an async twin with the prefix ``a``. What one thread is asked or told is one
    round trip and atomic. It is read from primaries: a graph that went on from a state before its
    last would do a step twice.

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What stands before a thread's id in its keys; no braces.
        ttl: Seconds (or a timedelta) after which a thread expires. Each write restarts it.
        refresh_ttl_on_read: Reading restarts it, too.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "graph:",
        ttl: TTL | None = None,
        refresh_ttl_on_read: bool = False,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._key_prefix = _keys.check_prefix(key_prefix)
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None
        self.connection = choose_connection(url, connection)
        self._primaries = self.connection.for_primaries()
        self._options = key_prefix, ttl, refresh_ttl_on_read

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal store, over the same connection."""
        key_prefix, ttl, refresh = self._options
        return {
            "connection": self.connection,
            "key_prefix": key_prefix,
            "ttl": ttl,
            "refresh_ttl_on_read": refresh,
        }

    def __repr__(self) -> str:
        return f"CheckpointStore({self.connection!r}, key_prefix={self._key_prefix!r})"

    def _thread(self, thread_id: str) -> Thread:
        return Thread(self._key_prefix, thread_id, self._ttl_ms, self._read_ttl_ms)

    def _run(self, plan: Plan[T]) -> T:
        return self._primaries.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self._primaries.arun(plan)

    # One checkpoint

    def get(self, thread_id: str, namespace: str, checkpoint_id: str | None) -> Saved | None:
        """A checkpoint with its values and writes; the newest of the namespace without an id."""
        return self._run(self._get_plan(thread_id, namespace, checkpoint_id))

    async def aget(self, thread_id: str, namespace: str, checkpoint_id: str | None) -> Saved | None:
        """Async ``get``."""
        return await self._arun(self._get_plan(thread_id, namespace, checkpoint_id))

    def _get_plan(
        self, thread_id: str, namespace: str, checkpoint_id: str | None
    ) -> Plan[Saved | None]:
        wanted = [name(namespace, checkpoint_id or "")]
        page = yield from change_plan(self._thread(thread_id).read(wanted))
        return next(iter(page.checkpoints), None)

    def put(self, thread_id: str, new: New) -> None:
        """Write a checkpoint. A second round trip only where values that it builds on are lost."""
        self._run(self._put_plan(thread_id, new))

    async def aput(self, thread_id: str, new: New) -> None:
        """Async ``put``."""
        await self._arun(self._put_plan(thread_id, new))

    def _put_plan(self, thread_id: str, new: New) -> Plan[None]:
        check_text(new.checkpoint_id, "checkpoint id")
        return self._thread(thread_id).put_plan(new)

    def put_writes(
        self,
        thread_id: str,
        namespace: str,
        checkpoint_id: str | None,
        task_id: str,
        writes: Sequence[Write],
    ) -> None:
        """Add pending writes of a task. A negative index overwrites, of others the first stays."""
        self._run(self._put_writes_plan(thread_id, namespace, checkpoint_id, task_id, writes))

    async def aput_writes(
        self,
        thread_id: str,
        namespace: str,
        checkpoint_id: str | None,
        task_id: str,
        writes: Sequence[Write],
    ) -> None:
        """Async ``put_writes``."""
        await self._arun(
            self._put_writes_plan(thread_id, namespace, checkpoint_id, task_id, writes)
        )

    def _put_writes_plan(
        self,
        thread_id: str,
        namespace: str,
        checkpoint_id: str | None,
        task_id: str,
        writes: Sequence[Write],
    ) -> Plan[None]:
        thread, of = self._thread(thread_id), check_text(checkpoint_id, "checkpoint id")
        if writes:
            yield from change_plan(thread.put_writes(namespace, of, task_id, writes))

    # Many checkpoints

    def walk(
        self,
        *,
        thread_id: str | None = None,
        namespace: str | None = None,
        checkpoint_id: str | None = None,
        before: str | None = None,
        matches: Callable[[Typed], bool] | None = None,
        limit: int | None = None,
    ) -> Walk:
        """A walk over checkpoints, for ``page``. Nothing is sent. See ``Walk``."""
        return Walk(
            self._thread,
            self._key_prefix,
            thread_id=thread_id,
            namespace=namespace,
            checkpoint_id=checkpoint_id,
            before=before,
            matches=matches,
            limit=limit,
        )

    def page(self, walk: Walk) -> list[Saved]:
        """The next checkpoints of a walk."""
        return self._run(walk.page_plan())

    async def apage(self, walk: Walk) -> list[Saved]:
        """Async ``page``."""
        return await self._arun(walk.page_plan())

    def history(
        self, thread_id: str, namespace: str, checkpoint_id: str | None, channels: Sequence[str]
    ) -> dict[str, History]:
        """What the checkpoints before one hold of channels, back to where each has a value."""
        return self._run(self._history_plan(thread_id, namespace, checkpoint_id, channels))

    async def ahistory(
        self, thread_id: str, namespace: str, checkpoint_id: str | None, channels: Sequence[str]
    ) -> dict[str, History]:
        """Async ``history``."""
        return await self._arun(self._history_plan(thread_id, namespace, checkpoint_id, channels))

    def _history_plan(
        self, thread_id: str, namespace: str, checkpoint_id: str | None, channels: Sequence[str]
    ) -> Plan[dict[str, History]]:
        wanted = list(dict.fromkeys(channels))
        return change_plan(self._thread(thread_id).history(namespace, checkpoint_id or "", wanted))

    # Threads

    def delete(self, thread_ids: Iterable[str]) -> None:
        """Delete threads."""
        self._run(self._delete_plan(thread_ids))

    async def adelete(self, thread_ids: Iterable[str]) -> None:
        """Async ``delete``."""
        await self._arun(self._delete_plan(thread_ids))

    def _delete_plan(self, thread_ids: Iterable[str]) -> Plan[list[Any]]:
        changes = [self._thread(one).delete() for one in thread_ids]
        return each_plan("delete threads", changes)

    def prune(self, thread_ids: Iterable[str]) -> None:
        """Keep the newest checkpoint of each namespace of threads, and what it is rebuilt from."""
        self._run(self._prune_plan(thread_ids))

    async def aprune(self, thread_ids: Iterable[str]) -> None:
        """Async ``prune``."""
        await self._arun(self._prune_plan(thread_ids))

    def _prune_plan(self, thread_ids: Iterable[str]) -> Plan[list[Any]]:
        return each_plan("prune threads", [self._thread(one).prune() for one in thread_ids])

    def delete_runs(self, run_ids: Iterable[str]) -> None:
        """Delete the checkpoints that runs made, in whatever threads. It walks all of them."""
        self._run(self._delete_runs_plan(run_ids))

    async def adelete_runs(self, run_ids: Iterable[str]) -> None:
        """Async ``delete_runs``."""
        await self._arun(self._delete_runs_plan(run_ids))

    def _delete_runs_plan(self, run_ids: Iterable[str]) -> Plan[int]:
        checked = [check_text(one, "run id") for one in run_ids]
        return delete_runs_plan(self._thread, self._key_prefix, checked)

    def copy(self, source_id: str, target_id: str) -> None:
        """Add all of a thread to another."""
        self._run(self._copy_plan(source_id, target_id))

    async def acopy(self, source_id: str, target_id: str) -> None:
        """Async ``copy``."""
        await self._arun(self._copy_plan(source_id, target_id))

    def _copy_plan(self, source_id: str, target_id: str) -> Plan[None]:
        target = self._thread(check_text(target_id, "thread_id"))
        return copy_plan(self._thread(source_id), target)
