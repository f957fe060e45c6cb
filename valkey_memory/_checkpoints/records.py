"""What is stored of a checkpoint, as bytes and back: its links, its values, its pending writes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .names import SEPARATOR, part, text_of

Typed: TypeAlias = tuple[str, bytes]
"""A value as a serializer gives it: the name of its form, and its bytes."""


class Write(NamedTuple):
    """A pending write of a task, in the order in which writes are applied."""

    task_path: str
    task_id: str
    idx: int
    channel: str
    value: Typed


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint as it was read."""

    thread_id: str
    namespace: str
    checkpoint_id: str
    parent_id: str | None
    state: Typed
    values: dict[str, Typed] = field(default_factory=dict)
    """Of its channels that have one."""
    writes: list[Write] = field(default_factory=list)
    """Its pending writes, sorted."""


@dataclass(frozen=True, slots=True)
class New:
    """A checkpoint to write."""

    namespace: str
    checkpoint_id: str
    parent_id: str | None
    run_id: str | None
    """The run that made it, if one is known."""
    state: Typed
    versions: Mapping[str, str]
    """The versions of the channels that have, or may have, a value."""
    changed: Mapping[str, Typed]
    """The values that are new in this checkpoint."""
    kept: Iterable[str]
    """The channels whose value was stored with a checkpoint before."""
    value_of: Callable[[str], Typed]
    """Gives the value of one of ``kept``, which is asked where the thread has lost it."""
    replayed: Iterable[str] = ()
    """The channels that are rebuilt from writes of the checkpoints before this one."""


class History(NamedTuple):
    """What the checkpoints before one hold of a channel."""

    writes: list[Write]
    """Oldest first."""
    seed: Typed | None
    """The nearest value that is stored, to which the writes are applied."""


def pack_value(value: Typed) -> bytes:
    form, data = value
    return part(form) + SEPARATOR + bytes(data)


def unpack_value(stored: bytes) -> Typed:
    form, _, data = stored.partition(SEPARATOR)
    return text_of(form), data


# Links: the parent, the run, how many channels are replayed, these, and channels with versions.


def pack_links(new: New) -> bytes:
    replayed = sorted(new.replayed)
    texts = [new.parent_id or "", new.run_id or "", str(len(replayed)), *replayed]
    for channel, version in new.versions.items():
        texts += channel, version
    return SEPARATOR.join(map(part, texts))


def unpack_links(links: bytes) -> tuple[str | None, Iterator[tuple[bytes, bytes]]]:
    """The parent, and the channels with their versions, encoded as in names."""
    parent, _, replayed, *rest = links.split(SEPARATOR)
    channels = iter(rest[int(replayed) :])
    return text_of(parent) or None, zip(channels, channels, strict=True)


# Writes: for each its length, index, path, channel and value. The scripts read length and index.

_LENGTH = struct.Struct(">I")


def pack_writes(writes: Iterable[Write]) -> list[bytes]:
    """A record of each."""
    records = []
    for one in writes:
        head = SEPARATOR.join((b"%d" % one.idx, part(one.task_path), part(one.channel)))
        record = head + SEPARATOR + pack_value(one.value)
        records.append(_LENGTH.pack(len(record)) + record)
    return records


def unpack_writes(task_id: str, records: bytes) -> Iterator[Write]:
    at = 0
    while at < len(records):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(records, at)[0]
        idx, path, channel, value = records[start:at].split(SEPARATOR, 3)
        yield Write(text_of(path), task_id, int(idx), text_of(channel), unpack_value(value))
