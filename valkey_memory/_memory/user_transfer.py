"""A user's conversations and documents, read into lines of a file and written back, as plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import IO, Any, Literal, TypeAlias

from .. import _keys
from .._conversations.erasing import entries_plan, owners_plan
from .._conversations.listing import Conversation, describe_plan
from .._conversations.transfer import (
    Whole,
    exported_user,
    first_line,
    last_line,
    lines_of,
    read_batches,
    read_whole_plan,
    write_batches,
    write_whole_plan,
)
from .._errors import ExportFileError, InvalidArgumentError
from .._keys import episode_key
from .._plans import Blocking, Plan, Request
from .._vectors import limits, storage
from .._vectors.engine import Engine, choose_plan
from .._vectors.matching import Matching, shape_plan, target_plan
from .._vectors.records import prepare
from .._vectors.schema import IndexSchema
from .._vectors.storage import Progress
from .erasure import batches, documents_plan
from .lines import Contents, Item, Stored, contents_of, index_line, read_items, stored_line
from .memories import EPISODE, FIELDS, TERMS
from .receipts import UserCounts

Existing: TypeAlias = Literal["refuse", "replace"]
"""What to do where something of the user that is imported exists."""

_DOCUMENTS = 200


class _Tally:
    """What is done so far."""

    def __init__(self, all_: int, progress: Progress | None) -> None:
        self._all = all_
        self._progress = progress
        self._counts: dict[str, int] = {}
        self._done = 0

    def add(self, items: Sequence[Whole | Stored], passed_over: int = 0) -> None:
        """Note ``items`` as done, and tell of it."""
        for item in items:
            if isinstance(item, Whole):
                self._add(
                    conversations=1,
                    messages=len(item.active),
                    archived=len(item.archived),
                    summaries=int(bool(item.summary)),
                )
            else:
                self._add(memories=1)
        self._done += len(items) + passed_over
        if self._progress is not None:
            self._progress(self._done, self._all)

    def _add(self, **counts: int) -> None:
        for name, number in counts.items():
            self._counts[name] = self._counts.get(name, 0) + number

    def counts(self) -> UserCounts:
        return UserCounts(**self._counts)


# Export


def export_plan(
    key_prefix: str,
    user_id: str,
    indexes: Sequence[str],
    file: IO[bytes],
    progress: Progress | None,
) -> Plan[UserCounts]:
    """Write what there is of a user to ``file``."""

    def write(lines: Iterable[bytes]) -> Blocking:
        return Blocking(partial(file.writelines, list(lines)))

    entries = yield from entries_plan(key_prefix, user_id)
    found = yield from documents_plan(indexes, user_id)
    ids = [one for entry in entries if (one := entry.session_id) is not None]
    tally = _Tally(len(ids) + sum(len(one.ids) for one in found), progress)
    yield write([first_line(user_id)])
    described = yield from describe_plan(key_prefix, ids)
    known = {one.id: one for one in described}
    # What has a record alone is not described.
    sized = (known.get(one) or Conversation(one, 0, 0, None) for one in ids)
    for some in read_batches(sized):
        wholes = yield from read_whole_plan(key_prefix, some)
        theirs = [one for one in wholes if one.record.get("user_id", user_id) == user_id]
        yield write(line for whole in theirs for line in lines_of(whole))
        tally.add(theirs, len(some) - len(theirs))
    shapes: set[str] = set()
    for matching in found:
        if matching.schema.name not in shapes:
            schema = yield from _memory_shape_plan(matching)
            yield write([index_line(schema)])
            shapes.add(schema.name)
        for part in batches(matching.ids, _DOCUMENTS):
            stored = yield from _stored_plan(part, matching.schema)
            yield write(map(stored_line, stored))
            tally.add(stored, len(part) - len(stored))
    counts = tally.counts()
    messages = counts.messages + counts.archived
    yield write(
        [last_line(counts.conversations, messages, index=len(shapes), memory=counts.memories)]
    )
    return counts


def _memory_shape_plan(found: Matching) -> Plan[IndexSchema]:
    """The shape of an index; that of memories in full, of whose fields few documents have all."""
    schema = yield from shape_plan(found)
    return replace(schema, fields={**FIELDS, **schema.fields}) if TERMS in schema.fields else schema


def _stored_plan(ids: Sequence[str], schema: IndexSchema) -> Plan[list[Stored]]:
    """Documents with their TTLs, and the conversations of episodes. Two round trips."""
    documents = yield from storage.read_plan(ids, schema, "raise", embeddings=True)
    episodes = [one.id for one in documents if one.metadata.get("kind") == EPISODE]
    if not documents:
        return []
    ttls = (("PTTL", _keys.document_key(schema.name, one.id)) for one in documents)
    lists = (("LRANGE", episode_key(schema.name, one), "0", "-1") for one in episodes)
    replies = yield Request(
        f"read documents of index {schema.name!r}", (*ttls, *lists), repeatable=True
    )
    conversations = dict(zip(episodes, replies[len(documents) :], strict=True))
    return [
        Stored(schema.name, one, ttl if ttl >= 0 else None, conversations.get(one.id, []))
        for one, ttl in zip(documents, replies, strict=False)
    ]


# Import


def import_plan(
    key_prefix: str,
    user_id: str | None,
    existing: Existing,
    file: IO[bytes],
    name: str,
    progress: Progress | None,
) -> Plan[UserCounts]:
    """Write a user's export back, once all of it is checked.

    Raises:
        ExportFileError: The file is damaged, no export of a user, or another's than ``user_id``.
        InvalidArgumentError: Something exists, and shall not be replaced; or is another user's.
    """
    contents: Contents = yield Blocking(partial(_check, file, name, user_id))
    engines: dict[str, Engine] = {}
    for shape in contents.shapes.values():
        target = yield from target_plan(shape)
        engines[shape.name] = yield from choose_plan(
            target, "auto", limits.EXACT_LIMIT, "raise", shape.dimension
        )
    yield from _agree_plan(key_prefix, contents, engines, existing)
    file.seek(0)
    tally = _Tally(contents.size, progress)
    pending = _batched(read_items(file, name))
    while some := (yield Blocking(partial(next, pending, None))):
        if isinstance(some[0], Whole):
            yield from _write_conversations_plan(key_prefix, some, existing)
        else:
            yield from _write_documents_plan(some, engines[some[0].index])
        tally.add(some)
    return tally.counts()


def _check(file: IO[bytes], name: str, user_id: str | None) -> Contents:
    file.seek(0)
    whose = exported_user(file.readline())
    if whose is None:
        raise ExportFileError(f"{name} is no export of a user: its first line names none")
    if user_id not in (None, whose):
        raise ExportFileError(f"{name} is the export of {whose!r}, not of {user_id!r}")
    file.seek(0)
    return contents_of(file, name, whose)


def _batched(items: Iterator[Item]) -> Iterator[list[Any]]:
    """What is written together: conversations, or documents of one index."""
    kept = (item for item in items if not isinstance(item, IndexSchema))
    for index, group in groupby(kept, lambda one: "" if isinstance(one, Whole) else one.index):
        if not index:
            yield from write_batches(one for one in group if isinstance(one, Whole))
            continue
        batch: list[Any] = []
        for one in group:
            batch.append(one)
            if len(batch) == _DOCUMENTS:
                yield batch
                batch = []
        if batch:
            yield batch


def _agree_plan(
    key_prefix: str, contents: Contents, engines: Mapping[str, Engine], existing: Existing
) -> Plan[None]:
    """Raise InvalidArgumentError where what exists must not be replaced."""
    owners = yield from owners_plan(key_prefix, list(contents.sessions))
    conversations, documents = len(owners), 0
    others = [f"the conversation {one!r}" for one, owner in owners.items()
              if owner not in (None, contents.user_id)]  # fmt: skip
    for name, ids in contents.documents.items():
        schema = engines[name].schema
        there = yield from storage.read_plan(list(ids), schema, "raise", embeddings=False)
        documents += len(there)
        others += [f"the memory {one.id!r}" for one in there
                   if one.metadata.get("user_id") != contents.user_id]  # fmt: skip
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InvalidArgumentError(
            f"{others[0]}{more} that the export of {contents.user_id!r} has is another user's now. "
            "Nothing was written"
        )
    if existing == "refuse" and (conversations or documents):
        raise InvalidArgumentError(
            f"{conversations} conversations and {documents} memories of {contents.user_id!r} that "
            'shall be imported exist. Nothing was written; existing="replace" puts those of the '
            "export in their place"
        )


def _write_conversations_plan(
    key_prefix: str, wholes: Sequence[Whole], existing: Existing
) -> Plan[None]:
    mode: Literal["new", "replace"] = "replace" if existing == "replace" else "new"
    refused = yield from write_whole_plan(key_prefix, wholes, mode)
    if refused:
        raise InvalidArgumentError(
            f"the conversation {refused[0]!r} came into being during the import, and was left as "
            'it is. What came before it is imported; existing="replace" goes on'
        )


def _write_documents_plan(stored: Sequence[Stored], engine: Engine) -> Plan[None]:
    """Write documents with their TTLs; conversations of episodes first, which these lead to."""
    schema = engine.schema
    commands: list[tuple[str | bytes, ...]] = []
    for one in stored:
        if one.conversation:
            key = episode_key(schema.name, one.document.id)
            commands += [("UNLINK", key), ("RPUSH", key, *one.conversation)]
            if one.ttl_ms is not None:
                commands.append(("PEXPIRE", key, str(max(one.ttl_ms, 1))))
    if commands:
        yield Request(f"write episodes of index {schema.name!r}", tuple(commands), repeatable=True)
    prepared = [
        prepare(one.document, schema, None if one.ttl_ms is None else max(one.ttl_ms, 1))
        for one in stored
    ]
    yield from storage.write_plan(prepared, schema, None, keeps_shape=engine.mode == "exact")
