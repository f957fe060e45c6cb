"""How the local copy of exact search is filled from the server, and kept fresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._errors import CommandError, PermissionDeniedError
from .._keys import document_id, document_key, scan_pattern
from .._plans import (
    AskCluster,
    AskFacts,
    AskPrimaries,
    Command,
    Now,
    Plan,
    Request,
    Scan,
    ScanPage,
    answered,
    atomic,
)
from .._server.nodes import read_info
from . import limits, shape
from .changelog import (
    BEGINNING,
    last_change,
    last_version,
    note,
    open_changes_plan,
    since_plan,
)
from .copy import LocalCopy, Read
from .schema import IndexSchema

_GONE = -2
"""PEXPIRETIME of a key that is not there."""


def refresh_plan(copy: LocalCopy) -> Plan[None]:
    """Bring the copy up to date: one round trip when nothing changed.

    Raises:
        IndexMismatchError: What is stored has become another shape than the copy's.
    """
    cluster = yield AskCluster(f"refresh the copy of index {copy.schema.name!r}")
    while True:
        version = copy.version
        same = not cluster or (yield from _same_nodes_plan(copy))
        if same and version is not None and (yield from _catch_up_plan(copy, version)):
            return
        if (yield from _load_plan(copy, version, cluster)):
            return


def _same_nodes_plan(copy: LocalCopy) -> Plan[bool]:
    """Whether every process of a cluster that the copy was read from still runs.

    The log of changes is on one of them. Another that came back with older data, or whose replica
    took over without the last writes, leaves no trace in it. Looked at every few seconds.
    """
    now_ms: int = yield Now()
    if copy.nodes is not None and now_ms - copy.nodes_ms < limits.NODES_SECONDS * 1000:
        return True
    replies: dict[str, Any] = yield AskPrimaries(
        f"look for restarts below index {copy.schema.name!r}", ("INFO", "server")
    )
    running = {
        address: read_info(reply).get("run_id", "")
        for address, reply in replies.items()
        if not isinstance(reply, Exception)
    }
    before = copy.nodes
    copy.nodes, copy.nodes_ms = running, now_ms
    return before is None or before == running


def _catch_up_plan(copy: LocalCopy, version: str) -> Plan[bool]:
    """Take over what changed since ``version``; False when the log does not reach back to it."""
    while True:
        now_ms: int = yield Now()
        changes = yield from since_plan(copy.schema, version)
        if changes is None:
            return False
        ids = list(dict.fromkeys([*changes.ids, *copy.open_ids()]))
        if ids or changes.version != version:
            read = yield from _fetch_plan(copy.schema, ids)
            copy.update(read, changes, now_ms)
        if changes.complete:
            return copy.version is not None  # another search may have failed and emptied it
        version = changes.version


def _load_plan(copy: LocalCopy, replaces: str | None, cluster: bool) -> Plan[bool]:
    """Read every document. What changes meanwhile is in the log behind the version taken.

    False when another search changed the copy meanwhile, which was ``replaces`` before.
    """
    schema, operation = copy.schema, f"load index {copy.schema.name!r}"
    last, kept, server_time = yield atomic(
        operation, last_change(schema), shape.look(schema), ("TIME",), repeatable=True
    )
    shape.check(kept, schema)
    now_ms: int = yield Now()
    seconds, microseconds = (int(part) for part in server_time)
    server_ms = seconds * 1000 + microseconds // 1000
    coming: dict[str, list[str]] = {}
    if cluster:
        coming = yield from open_changes_plan(schema, server_ms - limits.CHANGE_SECONDS * 1000)
    ids = yield from _hashes_plan(operation, schema)
    version: str | None = last_version(last)
    if version == BEGINNING and ids:
        version = yield from _first_entry_plan(schema)
    if len(ids) > copy.limit:
        ids = set(sorted(ids)[: copy.limit + 1])  # enough to meet the limit, and no more traffic
    documents = yield from _fetch_plan(schema, sorted(ids))
    return copy.load(documents, version, server_ms - now_ms, replaces, coming)


def _first_entry_plan(schema: IndexSchema) -> Plan[str | None]:
    """Make an entry in the log of documents that have none, so that its loss will be noticed.

    The beginning where this user may not write; None where the server takes no entry, so that
    nothing tells of what is deleted meanwhile.
    """
    entry = ("XADD", *note(schema, [""])[0][1:-1], "[]")
    (reply,) = yield Request(
        f"load index {schema.name!r}", (entry,), errors_as_replies=True, repeatable=True
    )
    if isinstance(reply, PermissionDeniedError):
        return BEGINNING
    if isinstance(reply, CommandError):
        return None
    version: bytes = answered(reply)
    return version.decode()


def _hashes_plan(operation: str, schema: IndexSchema) -> Plan[set[str]]:
    """What may be a document's id: every hash under the prefix."""
    ids: set[str] = set()
    scan = Scan(operation, scan_pattern(schema.prefix), "hash")
    while True:
        page: ScanPage = yield scan
        ids.update(_ids(schema, page.keys))
        if page.cursor is None:
            return ids
        scan = replace(scan, cursor=page.cursor)


def _ids(schema: IndexSchema, keys: Sequence[bytes]) -> list[str]:
    found = []
    for key in keys:
        try:
            found.append(document_id(schema.name, key))
        except UnicodeDecodeError:
            continue  # no document of this library has such an id
    return found


_PARTS = ("_content", "_metadata", "_embedding")
_FETCH = """
local found = {}
for i, key in ipairs(KEYS) do
  local parts = redis.call('HMGET', key, unpack(ARGV))
  parts[#ARGV + 1] = redis.call('PEXPIRETIME', key)
  found[i] = parts
end
return found
"""
_SCRIPTED = "reads documents by script"


def _fetch_plan(schema: IndexSchema, ids: list[str]) -> Plan[list[Read]]:
    found: list[Read] = []
    for start in range(0, len(ids), limits.READ_DOCUMENTS):
        some = ids[start : start + limits.READ_DOCUMENTS]
        replies = yield from _replies_plan(schema, some)
        for one, (*parts, expires) in zip(some, replies, strict=True):
            # It may expire between the two.
            found.append(Read(one, None if expires == _GONE else parts, expires))
    return found


def _replies_plan(schema: IndexSchema, ids: list[str]) -> Plan[list[list[Any]]]:
    """The parts of each document, and its expiry."""
    operation = f"read documents of index {schema.name!r}"
    keys = [document_key(schema.name, one) for one in ids]
    if len(ids) >= limits.SCRIPTED_READ and not (yield AskCluster(operation)):
        # Many commands take a client longer than the server: one has to do.
        facts: dict[str, Any] = yield AskFacts(operation)
        if facts.get(_SCRIPTED, True):
            script = ("EVAL_RO", _FETCH, str(len(keys)), *keys, *_PARTS)
            (reply,) = yield Request(operation, (script,), errors_as_replies=True, repeatable=True)
            if not isinstance(reply, CommandError):
                return list(answered(reply))
            facts[_SCRIPTED] = not isinstance(reply, PermissionDeniedError)
    commands: list[Command] = []
    for key in keys:
        commands += [("HMGET", key, *_PARTS), ("PEXPIRETIME", key)]
    replies = yield Request(operation, tuple(commands), repeatable=True)
    return [[*parts, at] for parts, at in zip(replies[::2], replies[1::2], strict=True)]
