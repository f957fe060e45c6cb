"""What is really in Valkey, seen past the stores under test."""

from __future__ import annotations

from typing import Any

import orjson

from valkey_memory import MessageStore, ValkeyConnection

from ..servers import send


def elements(connection: ValkeyConnection, key: str) -> list[dict[str, Any]]:
    """The stored JSON of a list, oldest first."""
    return [orjson.loads(raw) for raw in send(connection, "LRANGE", key, "0", "-1")]


def bare(url: str, prefix: str, session_id: str) -> list[dict[str, Any]]:
    """A conversation as plain code without LlamaIndex reads it."""
    return [*map(dict, MessageStore(url=url, key_prefix=prefix).messages(session_id))]
