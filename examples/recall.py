"""Messages of several sessions, remembered by meaning and recalled for a question in other words.

python examples/recall.py

Runs exact search on a private plain valkey-server, and the same on a search server when one is
there: at VALKEY_URL, or in the modules of VALKEY_MODULES_DIR or /usr/local/lib/valkey/modules.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from langchain_valkey_glide import LocalEmbeddings, ValkeyVectorStore
from valkey_memory import EmbeddedValkey, SearchUnavailableError, ValkeyConnection

MODULE_FOLDERS = ("/usr/local/lib/valkey/modules", "/usr/lib/valkey/modules")

# What was said, by whom and in which session.
MESSAGES = [
    ("alice", "monday", "We deployed to ECS using a blue-green strategy."),
    ("alice", "tuesday", "HNSW makes vector search fast."),
    ("alice", "friday", "Our CodePipeline deploys the service to staging first."),
    ("bob", "monday", "The cat sleeps on the warm keyboard all day."),
]
QUESTION = "How do I deploy my service?"
FIELDS = {"user_id": "tag", "session_id": "tag", "role": "tag", "timestamp": "numeric"}

console = Console(highlight=False)


def find_modules() -> list[Path]:
    """valkey-json and valkey-search, in the order in which they load; empty if one is missing."""
    folders = [os.environ.get("VALKEY_MODULES_DIR"), *MODULE_FOLDERS]
    for folder in (Path(name) for name in folders if name):
        found = [
            next((folder / name for name in names if (folder / name).exists()), None)
            for names in (("libjson.so", "json.so"), ("libsearch.so", "search.so"))
        ]
        if all(found):
            return [path for path in found if path]
    return []


@contextmanager
def search_server() -> Iterator[ValkeyConnection | None]:
    """A server that may have valkey-search, or None."""
    if url := os.environ.get("VALKEY_URL"):
        with ValkeyConnection.from_url(url) as connection:
            yield connection
    elif modules := find_modules():
        with (
            EmbeddedValkey(modules=modules) as server,
            ValkeyConnection.from_url(server.url) as connection,
        ):
            yield connection
    else:
        yield None


def remember_and_recall(
    connection: ValkeyConnection, search: str, embedding: LocalEmbeddings
) -> None:
    store = ValkeyVectorStore(
        embedding,
        "demo-memories",
        connection=connection,
        search=search,
        metadata_fields=FIELDS,
        ttl=600,
    )
    now = int(time.time())
    store.add_texts(
        [text for _, _, text in MESSAGES],
        [
            {"user_id": user, "session_id": session, "role": "user", "timestamp": now}
            for user, session, _ in MESSAGES
        ],
        ids=[str(number) for number in range(len(MESSAGES))],
    )
    for user in ("alice", "bob"):
        console.print(f"  {user} asks: [cyan]{escape(QUESTION)}[/]")
        table = Table("similarity", "session", "what was said", box=None, padding=(0, 2))
        for document, score in store.similarity_search_with_score(
            QUESTION, k=2, filter={"user_id": user}
        ):
            session = document.metadata["session_id"]
            table.add_row(f"{score:.2f}", session, escape(document.page_content))
        console.print(table)
    store.index.drop(delete_documents=True)


def recall() -> None:
    embedding = LocalEmbeddings()
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        console.print("[bold]Exact search[/], in the client, on a plain valkey-server:")
        remember_and_recall(connection, "exact", embedding)
    with search_server() as found:
        if found is None:
            console.print("No search server here: set VALKEY_URL to one to see the same on it.")
            return
        console.print(f"[bold]Server search[/], valkey-search at {escape(found.address)}:")
        try:
            remember_and_recall(found, "server", embedding)
        except SearchUnavailableError as unavailable:
            console.print(f"  not there: {escape(str(unavailable))}")


if __name__ == "__main__":
    recall()
