"""Between LangGraph's configs, checkpoints and writes, and those of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import History, New, Saved, Typed, Write, shown

# Configs and ids


def place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """The thread, namespace and checkpoint that a config names."""
    found = _configurable(config)
    if "thread_id" not in found:
        raise InvalidArgumentError(
            "the config names no thread: pass {'configurable': {'thread_id': ...}}"
        )
    return (
        id_text(found["thread_id"], "thread_id"),
        id_text(found.get("checkpoint_ns") or "", "checkpoint_ns"),
        _checkpoint_id(found),
    )


def _configurable(config: RunnableConfig) -> Mapping[str, Any]:
    found = config.get("configurable") or {} if isinstance(config, Mapping) else None
    if not isinstance(found, Mapping):
        raise InvalidArgumentError(
            "a config is a dict such as {'configurable': {'thread_id': ...}}, "
            f"not {shown(config)}"
        )
    return found


def _checkpoint_id(configurable: Mapping[str, Any]) -> str | None:
    found = configurable.get("checkpoint_id")
    return id_text(found, "checkpoint_id") if found else None


def named(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """The config that names a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def id_text(value: object, name: str) -> str:
    """An id as a text. LangGraph, too, makes texts of numbers and UUIDs.

    Raises:
        InvalidArgumentError: It is neither of these.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        return str(value)
    raise InvalidArgumentError(f"{name} must be a string, an integer or a UUID, not {shown(value)}")


def texts(values: Sequence[object], name: str) -> list[str]:
    """``id_text`` of several. One text is no list of them: its letters may be ids of others."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"give a list of {name}s, not {shown(values)}")
    return [id_text(value, name) for value in values]


def run_ids_of(values: Sequence[object]) -> list[str]:
    """Ids of runs as they are in metadata, from which LangGraph takes zero bytes."""
    return [run_id.replace("\0", "") for run_id in texts(values, "run id")]


def keeps_latest(strategy: str) -> bool:
    """Whether a strategy of pruning keeps the newest checkpoints; else it keeps none."""
    if strategy not in ("keep_latest", "delete"):
        raise InvalidArgumentError(
            f"strategy must be 'keep_latest' or 'delete', not {shown(strategy)}"
        )
    return strategy == "keep_latest"


def query(
    serde: SerializerProtocol,
    config: RunnableConfig | None,
    wanted: dict[str, Any] | None,
    before: RunnableConfig | None,
    limit: int | None,
) -> dict[str, Any]:
    """What a walk over checkpoints is asked for."""

    if wanted is not None and not isinstance(wanted, Mapping):
        raise InvalidArgumentError(f"filter must be a dict or None, not {shown(wanted)}")

    def matches(state: Typed) -> bool:
        _, metadata = serde.loads_typed(state)
        return all(metadata.get(key) == value for key, value in (wanted or {}).items())

    found: dict[str, Any] = {
        "before": _checkpoint_id(_configurable(before)) if before else None,
        "matches": matches if wanted else None,
        "limit": limit,
    }
    if config:
        thread_id, namespace, checkpoint_id = place(config)
        if _configurable(config).get("checkpoint_ns") is not None:
            found["namespace"] = namespace
        found |= {"thread_id": thread_id, "checkpoint_id": checkpoint_id}
    return found


# Checkpoints and writes


def new_checkpoint(
    serde: SerializerProtocol,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> tuple[str, New]:
    """A thread, and a checkpoint to write there."""
    thread_id, namespace, parent_id = place(config)
    values = checkpoint["channel_values"]
    versions = checkpoint["channel_versions"]
    state = {key: value for key, value in checkpoint.items() if key != "channel_values"}
    metadata = get_checkpoint_metadata(config, metadata)
    # What a DeltaChannel holds is counted there until it is stored as a value.
    counted = metadata.get("counters_since_delta_snapshot") or ()
    run_id = metadata.get("run_id")

    def value_of(channel: str) -> Typed:
        return serde.dumps_typed(values[channel])

    return thread_id, New(
        namespace,
        id_text(checkpoint["id"], "checkpoint id"),
        parent_id,
        run_id=None if run_id is None else str(run_id),
        state=serde.dumps_typed([state, metadata]),
        versions={
            channel: str(version)
            for channel, version in versions.items()
            if channel in values or channel not in new_versions
        },
        changed={
            channel: value_of(channel)
            for channel in values
            if channel in new_versions and channel in versions
        },
        kept=[one for one in values if one in versions and one not in new_versions],
        value_of=value_of,
        replayed=[one for one in counted if one in versions and one not in values],
    )


def checkpoint_tuple(serde: SerializerProtocol, found: Saved) -> CheckpointTuple:
    """A checkpoint that was read."""
    checkpoint, metadata = serde.loads_typed(found.state)
    checkpoint["channel_values"] = {
        channel: serde.loads_typed(value) for channel, value in found.values.items()
    }
    thread, parent_id = (found.thread_id, found.namespace), found.parent_id
    return CheckpointTuple(
        named(*thread, found.checkpoint_id),
        checkpoint,
        metadata,
        None if parent_id is None else named(*thread, parent_id),
        _pending(serde, found.writes),
    )


def pending_writes(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
) -> list[Write]:
    """The writes of a task, to store."""
    return [
        Write(
            task_path,
            task_id,
            WRITES_IDX_MAP.get(channel, number),
            channel,
            serde.dumps_typed(value),
        )
        for number, (channel, value) in enumerate(writes)
    ]


def histories(
    serde: SerializerProtocol, found: Mapping[str, History]
) -> dict[str, DeltaChannelHistory]:
    """What was written to channels."""
    result: dict[str, DeltaChannelHistory] = {}
    for channel, history in found.items():
        result[channel] = {"writes": _pending(serde, history.writes)}
        if history.seed is not None:
            result[channel]["seed"] = serde.loads_typed(history.seed)
    return result


def _pending(serde: SerializerProtocol, writes: Sequence[Write]) -> list[PendingWrite]:
    return [(one.task_id, one.channel, serde.loads_typed(one.value)) for one in writes]
