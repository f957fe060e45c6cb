"""What is really in Valkey, seen past the stores under test."""

from __future__ import annotations

from typing import Any

import orjson

from valkey_memory import MessageStore, ValkeyConnection
from valkey_memory._plans import Plan, Request


def command(connection: ValkeyConnection, *arguments: str | bytes) -> Any:
    """The server's reply to one command, on either topology."""

    def plan() -> Plan[Any]:
        replies = yield Request(f"test {arguments[0]!r}", (arguments,))
        return replies[0]

    return connection.run(plan())


def elements(connection: ValkeyConnection, key: str) -> list[dict[str, Any]]:
    """The stored JSON of a list, oldest first."""
    return [orjson.loads(raw) for raw in command(connection, "LRANGE", key, "0", "-1")]


def bare(url: str, prefix: str, session_id: str) -> list[dict[str, Any]]:
    """A conversation as plain code without LlamaIndex reads it."""
    return [*map(dict, MessageStore(url=url, key_prefix=prefix).messages(session_id))]
