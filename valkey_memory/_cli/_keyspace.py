"""What the commands ask the server: conversations in pages and batches, and every node's word.

A page of SCAN is one round trip, and so is what is asked about each 500 conversations in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any, Literal, TypeVar

from .. import _keys
from .._conversations import plans as _conversation
from .._errors import ValkeyMemoryError
from .._plans import AskPrimaries, Command, Plan, Reply, Request, Scan, ScanPage
from .._server.connection import ValkeyConnection

T = TypeVar("T")
_PER_BATCH = 500


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation without its messages."""

    id: str
    messages: int
    archived: int
    ttl_ms: int | None
    """Milliseconds left; None for never."""
    bytes: int | None = None
    """Memory of both lists as MEMORY USAGE estimates it, where it was asked."""

    @property
    def ttl(self) -> float | None:
        """Seconds left; None for never."""
        return None if self.ttl_ms is None else self.ttl_ms / 1000


def pieces(items: Sequence[T], size: int = _PER_BATCH) -> Iterator[Sequence[T]]:
    """``items`` in portions of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def ask(operation: str, *commands: Command) -> Plan[list[Reply]]:
    """Commands in one round trip, an error in place of the reply of each that failed."""
    replies: list[Reply] = yield Request(operation, commands, errors_as_replies=True)
    return replies


def answered(reply: Reply) -> Any:
    """The reply; raised if it is an error."""
    if isinstance(reply, ValkeyMemoryError):
        raise reply
    return reply


def scan_pages(
    connection: ValkeyConnection,
    operation: str,
    pattern: str,
    kind: Literal["list", "hash", "stream"],
) -> Iterator[list[bytes]]:
    """The keys of a type that fit a pattern, a page at a time, on every primary of a cluster.

    A key may come twice.
    """

    def one(scan: Scan) -> Plan[ScanPage]:
        page: ScanPage = yield scan
        return page

    scan = Scan(operation, pattern, kind)
    while True:
        page = connection.run(one(scan))
        yield page.keys
        if page.cursor is None:
            return
        scan = replace_fields(scan, cursor=page.cursor)


def walk(
    connection: ValkeyConnection,
    key_prefix: str,
    beginning: str = "",
    wanted: Callable[[str], bool] = bool,
) -> Iterator[list[str]]:
    """The session ids under ``key_prefix`` that begin with ``beginning``, each once, in pages.

    Pages come in no order; each is sorted.
    """
    seen: set[str] = set()
    cursor = None
    while True:
        found, cursor = connection.run(_conversation.session_page(key_prefix, beginning, cursor))
        fresh = sorted(one for one in found - seen if wanted(one))
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor is None:
            return


def keys_of(key_prefix: str, session_id: str) -> tuple[str, str]:
    """A conversation's list and its archived list."""
    key = _keys.list_key(key_prefix, session_id)
    return key, _keys.sidecar(key, _keys.ARCHIVED)


def describe(
    connection: ValkeyConnection, key_prefix: str, ids: Sequence[str], *, memory: bool = False
) -> Iterator[Conversation]:
    """Count and TTL of conversations, in the order of ``ids``; those that are gone are left out.

    Args:
        connection: The server.
        key_prefix: Of the conversations.
        ids: Their session ids.
        memory: Ask how much memory they take, too.
    """
    for some in pieces(ids):
        commands: list[Command] = []
        for one in some:
            for key in keys_of(key_prefix, one):
                commands += [("LLEN", key), ("PTTL", key)]
                if memory:
                    commands.append(("MEMORY", "USAGE", key))
        replies = connection.run(ask("look at conversations", *commands))
        width = len(commands) // len(some)
        for number, one in enumerate(some):
            found = _described(one, replies[number * width : (number + 1) * width])
            if found is not None:
                yield found


def _described(session_id: str, replies: Sequence[Reply]) -> Conversation | None:
    half = len(replies) // 2
    (messages, ttl, *used), (archived, archived_ttl, *also_used) = replies[:half], replies[half:]
    messages, archived = answered(messages), answered(archived)
    if not messages and not archived:
        return None
    left = answered(ttl) if messages else answered(archived_ttl)
    memory: int | None = None
    if used and all(not isinstance(reply, ValkeyMemoryError) for reply in (*used, *also_used)):
        memory = sum(reply or 0 for reply in (*used, *also_used))
    return Conversation(session_id, messages, archived, left if left >= 0 else None, memory)


def ask_every_node(connection: ValkeyConnection, operation: str, *command: str) -> dict[str, Reply]:
    """The reply of each primary by address; one that failed has an error in place of its reply."""

    def plan() -> Plan[dict[str, Reply]]:
        replies: dict[str, Reply] = yield AskPrimaries(operation, command)
        return replies

    try:
        return connection.run(plan())
    except ValkeyMemoryError as error:
        return {connection.address: error}
