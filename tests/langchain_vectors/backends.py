"""The three ways a vector store can work, and the stores that the tests make on them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_valkey_glide import ValkeyVectorStore
from valkey_memory import ValkeyConnection

from ..search_server import BACKENDS


@dataclass
class Backend:
    """Makes stores of one kind, and drops their indexes and documents at the end."""

    name: str
    connection: ValkeyConnection
    stores: list[ValkeyVectorStore] = field(default_factory=list)

    def options(self) -> dict[str, Any]:
        """Arguments of the constructor for an index of its own."""
        own = {"connection": self.connection, "index_name": f"test-{uuid.uuid4().hex}"}
        return own | BACKENDS[self.name]

    def store(self, embedding: Embeddings, **options: Any) -> ValkeyVectorStore:
        return self.keep(ValkeyVectorStore(embedding, **(self.options() | options)))

    def keep(self, store: ValkeyVectorStore) -> ValkeyVectorStore:
        """Have ``store`` cleaned up too."""
        self.stores.append(store)
        return store

    def clean(self) -> None:
        for store in self.stores:
            store.index.drop(delete_documents=True)


@contextmanager
def opened(name: str, connection: ValkeyConnection) -> Iterator[Backend]:
    backend = Backend(name, connection)
    try:
        yield backend
    finally:
        backend.clean()
