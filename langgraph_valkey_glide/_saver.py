"""``ValkeySaver``: LangGraph's checkpointer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from valkey_memory import InvalidArgumentError, ValkeyConnection
from valkey_memory.adapters import TTL, CheckpointStore, New, Saved, Typed, Write, hide_url, shown


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
            or tenant.
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
        found = self._store.get(*_place(config))
        return None if found is None else self._tuple(found)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Async ``get_tuple``."""
        found = await self._store.aget(*_place(config))
        return None if found is None else self._tuple(found)

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
        thread_id, namespace, parent_id = _place(config)
        new = self._new(namespace, parent_id, config, checkpoint, metadata, new_versions)
        self._store.put(thread_id, new)
        return _config(thread_id, namespace, new.checkpoint_id)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Async ``put``."""
        thread_id, namespace, parent_id = _place(config)
        new = self._new(namespace, parent_id, config, checkpoint, metadata, new_versions)
        await self._store.aput(thread_id, new)
        return _config(thread_id, namespace, new.checkpoint_id)

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
        thread_id, namespace, checkpoint_id = _place(config)
        packed = self._writes(writes, task_id, task_path)
        self._store.put_writes(thread_id, namespace, checkpoint_id or "", task_id, packed)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Async ``put_writes``."""
        thread_id, namespace, checkpoint_id = _place(config)
        packed = self._writes(writes, task_id, task_path)
        await self._store.aput_writes(thread_id, namespace, checkpoint_id or "", task_id, packed)

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
        walk = self._store.walk(**self._query(config, filter, before, limit))
        while not walk.finished:
            yield from map(self._tuple, self._store.page(walk))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Async ``list``."""
        walk = self._store.walk(**self._query(config, filter, before, limit))
        while not walk.finished:
            for found in await self._store.apage(walk):
                yield self._tuple(found)

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
        if not channels:
            return {}
        return self._histories(self._store.history(*_place(config), channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Async ``get_delta_channel_history``."""
        if not channels:
            return {}
        return self._histories(await self._store.ahistory(*_place(config), channels))

    # Threads

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread: checkpoints, values, writes. One round trip."""
        self._store.delete([_id(thread_id, "thread_id")])

    async def adelete_thread(self, thread_id: str) -> None:
        """Async ``delete_thread``."""
        await self._store.adelete([_id(thread_id, "thread_id")])

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that runs made, with their writes, in whatever threads they are.

        Values that other checkpoints have, too, stay. A channel that is rebuilt from writes
        (``DeltaChannel``) loses those of the runs.

        Args:
            run_ids: As in the checkpoints' metadata.

        Round trips: one for each 1,000 keys of the server, to find the threads, and one for each
        500 threads. The server looks at every checkpoint.
        """
        self._store.delete_runs(_run_ids(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Async ``delete_for_runs``."""
        await self._store.adelete_runs(_run_ids(run_ids))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all of a thread: every namespace, checkpoint and write.

        What the target has already stays beside it. The copy has this saver's TTL.

        Round trips: two, and one more for each 16 MB. The copy is there with the last of them.
        """
        self._store.copy(
            _id(source_thread_id, "source_thread_id"), _id(target_thread_id, "target_thread_id")
        )

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Async ``copy_thread``."""
        await self._store.acopy(
            _id(source_thread_id, "source_thread_id"), _id(target_thread_id, "target_thread_id")
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
        remove = self._store.prune if _keeps_latest(strategy) else self._store.delete
        remove(_ids(thread_ids, "thread_id"))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Async ``prune``."""
        remove = self._store.aprune if _keeps_latest(strategy) else self._store.adelete
        await remove(_ids(thread_ids, "thread_id"))

    # Versions

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The version of a channel after ``current``: a counter and a random part, as a text.

        Two branches of a thread count alike; the random part keeps their values apart. A thread
        that another saver began with numbers goes on with numbers.
        """
        if isinstance(current, (int, float)):
            return current + 1
        count = int(current.partition(".")[0]) + 1 if current else 1
        return f"{count:032}.{secrets.randbelow(10**16):016}"

    # Between LangGraph's objects and bytes

    def _new(
        self,
        namespace: str,
        parent_id: str | None,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> New:
        values = checkpoint["channel_values"]
        versions = checkpoint["channel_versions"]
        state = {key: value for key, value in checkpoint.items() if key != "channel_values"}
        metadata = get_checkpoint_metadata(config, metadata)
        # What DeltaChannels hold is counted there until it is stored as a value.
        counted = metadata.get("counters_since_delta_snapshot") or ()
        run_id = metadata.get("run_id")

        def value_of(channel: str) -> Typed:
            return self.serde.dumps_typed(values[channel])

        return New(
            namespace,
            _id(checkpoint["id"], "checkpoint id"),
            parent_id,
            None if run_id is None else str(run_id),
            self.serde.dumps_typed([state, metadata]),
            {
                channel: str(version)
                for channel, version in versions.items()
                if channel in values or channel not in new_versions
            },
            {
                channel: value_of(channel)
                for channel in values
                if channel in new_versions and channel in versions
            },
            [channel for channel in values if channel not in new_versions],
            value_of,
            [channel for channel in counted if channel in versions and channel not in values],
        )

    def _tuple(self, found: Saved) -> CheckpointTuple:
        checkpoint, metadata = self.serde.loads_typed(found.state)
        checkpoint["channel_values"] = {
            channel: self.serde.loads_typed(value) for channel, value in found.values.items()
        }
        parent_id = found.parent_id
        return CheckpointTuple(
            _config(found.thread_id, found.namespace, found.checkpoint_id),
            checkpoint,
            metadata,
            None if parent_id is None else _config(found.thread_id, found.namespace, parent_id),
            self._pending(found.writes),
        )

    def _writes(
        self, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Sequence[Write]:
        return [
            Write(
                task_path,
                task_id,
                WRITES_IDX_MAP.get(channel, number),
                channel,
                self.serde.dumps_typed(value),
            )
            for number, (channel, value) in enumerate(writes)
        ]

    def _pending(self, writes: Sequence[Write]) -> Any:
        return [(one.task_id, one.channel, self.serde.loads_typed(one.value)) for one in writes]

    def _histories(self, found: Mapping[str, Any]) -> dict[str, DeltaChannelHistory]:
        result: dict[str, DeltaChannelHistory] = {}
        for channel, history in found.items():
            result[channel] = {"writes": self._pending(history.writes)}
            if history.seed is not None:
                result[channel]["seed"] = self.serde.loads_typed(history.seed)
        return result

    def _query(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> dict[str, Any]:
        def matches(state: Typed) -> bool:
            _, metadata = self.serde.loads_typed(state)
            return all(metadata.get(key) == value for key, value in (wanted or {}).items())

        query: dict[str, Any] = {
            "before": (get_checkpoint_id(before) or None) if before else None,
            "matches": matches if wanted else None,
            "limit": limit,
        }
        if config:
            thread_id, namespace, checkpoint_id = _place(config)
            if config["configurable"].get("checkpoint_ns") is not None:
                query["namespace"] = namespace
            query |= {"thread_id": thread_id, "checkpoint_id": checkpoint_id}
        return query


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, namespace and checkpoint that a config names."""
    found: dict[str, Any] = config.get("configurable") or {}
    if "thread_id" not in found:
        raise InvalidArgumentError(
            "the config names no thread: pass {'configurable': {'thread_id': ...}}"
        )
    checkpoint_id = found.get("checkpoint_id")
    return (
        _id(found["thread_id"], "thread_id"),
        _id(found.get("checkpoint_ns") or "", "checkpoint_ns"),
        _id(checkpoint_id, "checkpoint_id") if checkpoint_id else None,
    )


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def _id(value: object, name: str) -> str:
    """An id as a text; LangGraph makes texts of numbers and UUIDs, too."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        return str(value)
    raise InvalidArgumentError(f"{name} must be a string, an integer or a UUID, not {shown(value)}")


def _ids(values: Sequence[object], name: str) -> Sequence[str]:
    return [_id(value, name) for value in values]


def _run_ids(values: Sequence[object]) -> Sequence[str]:
    """As they are in metadata, from which LangGraph takes zero bytes."""
    return [run_id.replace("\0", "") for run_id in _ids(values, "run id")]


def _keeps_latest(strategy: str) -> bool:
    if strategy not in ("keep_latest", "delete"):
        raise InvalidArgumentError(
            f"strategy must be 'keep_latest' or 'delete', not {shown(strategy)}"
        )
    return strategy == "keep_latest"
