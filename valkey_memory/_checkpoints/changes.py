"""What each operation on one thread sends, as a value. Each is one script, or one command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .. import _keys
from .._arguments import MAXIMUM
from .._plans import Change, Command, Plan, change_plan, nothing
from . import names, scripts
from .names import name, part, text_of
from .records import (
    History,
    New,
    Saved,
    Typed,
    Write,
    pack_links,
    pack_value,
    pack_writes,
    unpack_links,
    unpack_value,
    unpack_writes,
)


class Page(NamedTuple):
    """Checkpoints that were read of those asked for, and how many of these were looked at."""

    checkpoints: list[Saved]
    looked_at: int


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread, and how long it lives after what is done with it."""

    key_prefix: str
    id: str
    ttl_ms: int | None = None
    """What a write restarts; None leaves the expiry as it is."""
    read_ttl_ms: int | None = None
    """What reading restarts."""

    @property
    def keys(self) -> tuple[str, str]:
        """Its index and its values."""
        return _keys.thread_keys(self.key_prefix, self.id)

    def _script(
        self, source: str, *arguments: str | bytes, reads: bool = False, writes_ttl: bool = True
    ) -> Command:
        ttl = self.read_ttl_ms if reads else self.ttl_ms if writes_ttl else None
        only_reads = reads and ttl is None
        return (
            "EVAL_RO" if only_reads else "EVAL", source, "2", *self.keys,
            "" if ttl is None else str(ttl), *arguments,
        )  # fmt: skip

    def _change(self, what: str, command: Command, read: Any) -> Change[Any]:
        # All can be sent twice: what is there already is written again as it is.
        read_only = command[0] in ("EVAL_RO", "ZREVRANGEBYLEX")
        operation = f"{what} of thread {self.id!r}"
        return Change(operation, self.keys[0], (command,), read, read_only, repeatable=True)

    # Reading

    def read(
        self, wanted: Sequence[bytes], *, whole: bool = True, limit: int = MAXIMUM
    ) -> Change[Page]:
        """Checkpoints by name, until they have ``limit`` bytes, but one at least.

        Args:
            wanted: Their names. One with an empty checkpoint id is the newest of its namespace.
            whole: With values and writes; else their states and links alone.
            limit: Bytes.
        """
        command = self._script(
            scripts.READ, str(limit), "whole" if whole else "", *wanted, reads=True
        )
        return self._change("read checkpoints", command, self._page)

    def _page(self, replies: Sequence[Any]) -> Page:
        looked_at, found, blobs, contents = replies[0]
        values = dict(zip(blobs, contents, strict=True))
        return Page([self._saved(*entry, values=values) for entry in found], looked_at)

    def _saved(
        self,
        name: bytes,
        links: bytes,
        state: bytes,
        tasks: Sequence[bytes] = (),
        records: Sequence[bytes | None] = (),
        *,
        values: dict[bytes, bytes | None],
    ) -> Saved:
        space, _, checkpoint_id = name.partition(names.SEPARATOR)
        parent, channels = unpack_links(links)
        found = {}
        for channel, version in channels:
            blob = values.get(names.BLOB + names.SEPARATOR.join((space, channel, version)))
            if blob is not None:
                found[text_of(channel)] = unpack_value(blob)
        return Saved(
            self.id,
            text_of(space),
            text_of(checkpoint_id),
            parent,
            unpack_value(state),
            found,
            _writes(tasks, records),
        )

    def names(
        self, namespace: str | None, before: str | None, limit: int | None
    ) -> Change[list[bytes]]:
        """The names of the checkpoints of a namespace, or of all, the last first."""
        kind = names.CHECKPOINT
        first, last = kind, chr(kind[0] + 1).encode()
        if namespace is not None:
            space = kind + part(namespace)
            first = space + names.SEPARATOR
            last = space + b"\1" if before is None else first + part(before)
        command: Command = ("ZREVRANGEBYLEX", self.keys[0], b"(" + last, b"[" + first)
        if limit is not None:
            command = (*command, "LIMIT", "0", str(limit))
        return self._change(
            "list checkpoints", command, lambda replies: [member[1:] for member in replies[0]]
        )

    def history(
        self, namespace: str, checkpoint_id: str, channels: Sequence[str]
    ) -> Change[dict[str, History]]:
        """What the checkpoints before one, or before the newest, hold of channels."""
        start = name(namespace, checkpoint_id)
        command = self._script(scripts.HISTORY, start, *map(part, channels), reads=True)

        def read(replies: Sequence[Any]) -> dict[str, History]:
            found: dict[str, list[list[Write]]] = {channel: [] for channel in channels}
            seeds: dict[str, Typed] = {}
            for tasks, records, seeded in replies[0]:
                writes = _writes(tasks, records)
                for channel in found.keys() - seeds.keys():
                    found[channel].append([one for one in writes if one.channel == channel])
                pairs = zip(seeded[::2], seeded[1::2], strict=True)
                seeds |= {text_of(channel): unpack_value(value) for channel, value in pairs}
            return {
                channel: History(
                    [one for step in reversed(steps) for one in step], seeds.get(channel)
                )
                for channel, steps in found.items()
            }

        return self._change("read the history", command, read)

    # Writing

    def put_plan(self, new: New) -> Plan[None]:
        """Write a checkpoint, with the values that are new in it.

        The others are there already. Where the thread expired or was deleted meanwhile they are
        not, and go in a second round trip; nothing was written in the first.
        """
        kept, values = list(new.kept), dict(new.changed)
        missing = yield from change_plan(self._put(new, values, kept))
        if missing:
            values |= {kept[number - 1]: new.value_of(kept[number - 1]) for number in missing}
            yield from change_plan(self._put(new, values, []))

    def _put(self, new: New, values: dict[str, Any], expected: list[str]) -> Change[list[int]]:
        def blob(channel: str) -> bytes:
            return names.BLOB + name(new.namespace, channel, new.versions[channel])

        command = self._script(
            scripts.PUT,
            name(new.namespace, new.checkpoint_id),
            pack_links(new),
            pack_value(new.state),
            str(len(expected)),
            *map(blob, expected),
            *(
                each
                for channel, value in values.items()
                for each in (blob(channel), pack_value(value))
            ),
        )
        return self._change("write a checkpoint", command, lambda replies: replies[0] or [])

    def put_writes(
        self, namespace: str, checkpoint_id: str, task_id: str, writes: Iterable[Write]
    ) -> Change[None]:
        """Add writes of a task to those of a checkpoint, which need not be there yet.

        One with a negative index replaces the one that is there; of others the first stays.
        """
        command = self._script(
            scripts.PUT_WRITES, name(namespace, checkpoint_id, task_id), *pack_writes(writes)
        )
        return self._change("write pending writes", command, nothing)

    def delete(self) -> Change[None]:
        """Delete the thread."""
        return self._change("delete all", ("UNLINK", *self.keys), nothing)

    def prune(self) -> Change[int]:
        """Delete all checkpoints but the newest of each namespace, and how many that were.

        Those that one is rebuilt from stay, too.
        """
        command = self._script(scripts.PRUNE, writes_ttl=False)
        return self._change("prune checkpoints", command, lambda replies: int(replies[0]))

    def delete_runs(self, run_ids: Sequence[str]) -> Change[int]:
        """Delete the checkpoints of runs, and how many that were."""
        command = self._script(scripts.DELETE_RUNS, *map(part, run_ids), writes_ttl=False)
        return self._change("delete runs", command, lambda replies: int(replies[0]))

    # Copying

    def dump(self) -> Change[tuple[list[bytes], dict[bytes, bytes]]]:
        """The members of the index, and all values, as of one moment."""
        index, values = self.keys
        return Change(
            f"read all of thread {self.id!r}",
            index,
            (("ZRANGE", index, "0", "-1"), ("HGETALL", values)),
            lambda replies: (replies[0], replies[1]),
            read_only=True,
        )

    def fill(self, members: Sequence[bytes], values: dict[bytes, bytes]) -> Change[None]:
        """Add to the index and to the values."""
        pairs = (each for pair in values.items() for each in pair)
        command = self._script(scripts.FILL, str(len(members)), *members, *pairs)
        return self._change("write a copy", command, nothing)


def _writes(tasks: Sequence[bytes], records: Sequence[bytes | None]) -> list[Write]:
    """Writes of tasks, by the names of their records, in the order in which they are applied."""
    found: list[Write] = []
    for task, record in zip(tasks, records, strict=True):
        if record is not None:
            task_id = text_of(task.rpartition(names.SEPARATOR)[2])
            found += unpack_writes(task_id, record)
    return sorted(found, key=lambda one: one[:3])
