"""Conversations a page at a time, so that a command can print while it walks the keyspace."""

from __future__ import annotations

from collections.abc import Iterator

from .._conversations.listing import Conversation, Walk, describe_plan
from .._server.connection import ValkeyConnection


def session_pages(
    connection: ValkeyConnection, key_prefix: str, beginning: str = ""
) -> Iterator[list[str]]:
    """The session ids under ``key_prefix`` that begin with ``beginning``, each once."""
    walk = Walk(key_prefix, beginning)
    while not walk.finished:
        yield connection.run(walk.page_plan())


def conversation_pages(
    connection: ValkeyConnection, key_prefix: str, beginning: str = "", *, memory: bool = False
) -> Iterator[list[Conversation]]:
    """``session_pages`` with the count and TTL of each, and its memory when asked."""
    for ids in session_pages(connection, key_prefix, beginning):
        yield connection.run(describe_plan(key_prefix, ids, memory=memory))
