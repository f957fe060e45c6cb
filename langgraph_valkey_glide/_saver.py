"""``ValkeySaver``: LangGraph's checkpointer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from valkey_memory import ValkeyConnection
from valkey_memory.adapters import TTL, CheckpointStore, hide_url

from ._checkpoints import (
    checkpoint_tuple,
    histories,
    id_text,
    keeps_latest,
    named,
    new_checkpoint,
    pending_writes,
    place,
    query,
    run_ids_of,
    texts,
)


class ValkeySaver(BaseCheckpointSaver[str]):
    """LangGraph's checkpointer on Valkey, for sync and async graphs alike.

    It needs no extension of the server and no ``setup()``. A thread is two keys in one cluster
    slot, ``{graph:<thread id>}:index`` and ``:values``. The value of a channel is stored once per
    version, so a step costs what it changed, not the whole state. Every write is atomic: whatever
    is killed, a thread goes on from a whole checkpoint. A ``put`` whose thread expired or was
    deleted while the graph ran stores all of its state again.

    Every method has an async twin with the prefix ``a``, and runs natively in both forms. Safe to
    share between threads, event loops and forked workers; it can be pickled if its ``serde`` can.

    Examples:
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> from langgraph_valkey_glide import ValkeySaver
        >>> def answer(state: MessagesState):
        ...     return {"messages": [("ai", f"You wrote {len(state['messages'])} messages.")]}
        >>> saver = ValkeySaver(url="embedded://", ttl=86400)
        >>> graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
        >>> agent = graph.compile(checkpointer=saver)
        >>> config = {"configurable": {"thread_id": "alice-1"}}
        >>> _ = agent.invoke({"messages": [("user", "Hello")]}, config)
        >>> agent.invoke({"messages": [("user", "Again")]}, config)["messages"][-1].content
        'You wrote 3 messages.'

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What stands before the thread id in keys; no braces. Change it per application
            or tenant, so that none begins with another.
        ttl: Seconds (or a timedelta) after which a thread expires with all its checkpoints. Each
            write restarts it. None, the default, sets no expiry and keeps one that is there.
        refresh_ttl_on_read: Reading a thread restarts its TTL, too, in the same round trip.
        serde: How states become bytes and back. By default LangGraph's ``JsonPlusSerializer``,
            which loads what its allow-list allows; ``EncryptedSerializer`` encrypts them.

    Raises:
        ConfigurationError: From the constructor; an argument cannot work.
        InvalidArgumentError: A ``ttl`` out of its domain; from a method, an id that is no text and
            no number, or a config without a thread id. Nothing was sent.
        ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "graph:",
        ttl: TTL | None = None,
        refresh_ttl_on_read: bool = False,
        serde: SerializerProtocol | None = None,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        super().__init__(serde=serde)
        self._store = CheckpointStore(
            url=url,
            connection=connection,
            key_prefix=key_prefix,
            ttl=ttl,
            refresh_ttl_on_read=refresh_ttl_on_read,
        )

    @property
    def connection(self) -> ValkeyConnection:
        """The connection to the server."""
        return self._store.connection

    def __getstate__(self) -> dict[str, Any]:
        state = {**vars(self), "_store": self._store.options()}
        if self.serde is BaseCheckpointSaver.serde:
            state.pop("serde", None)  # it cannot be pickled, and every saver has it
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _store=CheckpointStore(**state["_store"]))

    def __repr__(self) -> str:
        return f"ValkeySaver({self.connection!r})"

    # One checkpoint

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that ``config`` names, or the newest of its namespace. One round trip.

        Args:
            config: With ``thread_id``, and where needed ``checkpoint_ns`` and ``checkpoint_id``.

        Returns:
            The checkpoint with its metadata and its pending writes in the order in which they are
            applied; None if there is none.
        """
        found = self._store.get(*place(config))
        return None if found is None else checkpoint_tuple(self.serde, found)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Async ``get_tuple``."""
        found = await self._store.aget(*place(config))
        return None if found is None else checkpoint_tuple(self.serde, found)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint, and the values of the channels in ``new_versions``. One round trip.

        Args:
            config: The thread and namespace; its ``checkpoint_id`` is the parent.
            checkpoint: The state.
            metadata: Stored with it; ``list`` can filter by it.
            new_versions: The channels that changed since the parent. The others are there already;
                where the thread lost them they are stored, too, in a second round trip.

        Returns:
            The config that names the new checkpoint.
        """
        thread_id, new = new_checkpoint(self.serde, config, checkpoint, metadata, new_versions)
        self._store.put(thread_id, new)
        return named(thread_id, new.namespace, new.checkpoint_id)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Async ``put``."""
        thread_id, new = new_checkpoint(self.serde, config, checkpoint, metadata, new_versions)
        await self._store.aput(thread_id, new)
        return named(thread_id, new.namespace, new.checkpoint_id)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Store what a task wrote, until the next checkpoint has it. One round trip.

        Args:
            config: The checkpoint that the task started from.
            writes: Channels and values.
            task_id: The task.
            task_path: Where it stands among the tasks of its step; writes are applied in its order.
        """
        packed = pending_writes(self.serde, writes, task_id, task_path)
        self._store.put_writes(*place(config), task_id, packed)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Async ``put_writes``."""
        packed = pending_writes(self.serde, writes, task_id, task_path)
        await self._store.aput_writes(*place(config), task_id, packed)

    # Many checkpoints

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name in LangGraph
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the newest first, a page at a time.

        Args:
            config: The thread; all its namespaces without ``checkpoint_ns``. None: all threads,
                which looks at every key of the server and sorts the ids of all checkpoints.
            filter: Only those whose metadata has these values.
            before: Only those older than the checkpoint that it names.
            limit: At most so many.

        Round trips: one to find them, one for each 20 or about 4 MB. With ``filter`` one more for
        each 200 that are looked at. Without ``config`` one more for each 1,000 keys of the server
        and for each 500 threads.
        """
        walk = self._store.walk(**query(self.serde, config, filter, before, limit))
        while not walk.finished:
            for found in self._store.page(walk):
                yield checkpoint_tuple(self.serde, found)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Async ``list``."""
        walk = self._store.walk(**query(self.serde, config, filter, before, limit))
        while not walk.finished:
            for found in await self._store.apage(walk):
                yield checkpoint_tuple(self.serde, found)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What the checkpoints before one wrote to channels, back to a stored value of each.

        Args:
            config: The checkpoint; its own pending writes are not among them.
            channels: Their names.

        Returns:
            For each channel the writes, oldest first, and as ``seed`` the value that they are
            applied to, if there is one.

        Round trips: one, however long the way is.
        """
        wanted = texts(channels, "channel")
        if not wanted:
            return {}
        return histories(self.serde, self._store.history(*place(config), wanted))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Async ``get_delta_channel_history``."""
        wanted = texts(channels, "channel")
        if not wanted:
            return {}
        return histories(self.serde, await self._store.ahistory(*place(config), wanted))

    # Threads

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread: checkpoints, values, writes. One round trip."""
        self._store.delete([id_text(thread_id, "thread_id")])

    async def adelete_thread(self, thread_id: str) -> None:
        """Async ``delete_thread``."""
        await self._store.adelete([id_text(thread_id, "thread_id")])

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that runs made, with their writes, in whatever threads they are.

        Values that other checkpoints have, too, stay. A channel that is rebuilt from writes
        (``DeltaChannel``) loses those of the runs.

        Args:
            run_ids: As in the checkpoints' metadata.

        Round trips: one for each 1,000 keys of the server, to find the threads, and one for each
        500 threads. The server looks at every checkpoint.
        """
        self._store.delete_runs(run_ids_of(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Async ``delete_for_runs``."""
        await self._store.adelete_runs(run_ids_of(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all of a thread: every namespace, checkpoint and write.

        What the target has already stays beside it. The copy has this saver's TTL.

        Round trips: two, and one more for each 16 MB. The copy is there with the last of them.
        """
        self._store.copy(
            id_text(source_thread_id, "source_thread_id"),
            id_text(target_thread_id, "target_thread_id"),
        )

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Async ``copy_thread``."""
        await self._store.acopy(
            id_text(source_thread_id, "source_thread_id"),
            id_text(target_thread_id, "target_thread_id"),
        )

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete what threads no longer need. One round trip for each 500 threads.

        Args:
            thread_ids: The threads.
            strategy: ``"keep_latest"`` keeps the newest checkpoint of each namespace and its
                writes. Of a graph with a ``DeltaChannel`` those before it stay, too, back to the
                last that holds the channel's value; only the newest can be resumed then.
                ``"delete"`` deletes the threads.

        Raises:
            InvalidArgumentError: An unknown strategy.
        """
        remove = self._store.prune if keeps_latest(strategy) else self._store.delete
        remove(texts(thread_ids, "thread_id"))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Async ``prune``."""
        remove = self._store.aprune if keeps_latest(strategy) else self._store.adelete
        await remove(texts(thread_ids, "thread_id"))

    # Versions

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The version of a channel after ``current``: a counter and a random part, as a text.

        Two branches of a thread count alike; the random part keeps their values apart. A thread
        that another saver began with numbers goes on with numbers, by steps of a random size.
        """
        if isinstance(current, (int, float)):
            return current + 1 + secrets.randbelow(2**32)
        count = int(current.partition(".")[0]) + 1 if current else 1
        return f"{count:032}.{secrets.randbelow(10**16):016}"
