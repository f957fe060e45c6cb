"""What a store has written, seen from behind."""

from __future__ import annotations

from langchain_valkey_glide import ValkeyVectorStore
from valkey_memory._plans import Plan, Request


def keys_of(store: ValkeyVectorStore, index_name: str) -> list[bytes]:
    """Every key that has the index's name in it."""

    def look() -> Plan[list[bytes]]:
        (found,) = yield Request("look at keys", (("KEYS", f"*{index_name}*"),))
        return sorted(found)

    return store.connection.run(look())
