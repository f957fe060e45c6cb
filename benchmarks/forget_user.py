"""How long it takes to erase a user among many, to export them before, and to import them again.

    python benchmarks/forget_user.py [--conversations N] [--memories N] [--others N] [--modules DIR]

One embedded valkey-server; with --modules it has valkey-search, without it documents are found by
their keys. The user has conversations of 20 messages, and memories with vectors of 256 numbers; a
thousand others have the rest. Exits with 1 when anything of the user is left, or when a key of the
others is not what it was, byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from valkey_memory import (
    Document,
    EmbeddedValkey,
    MessageStore,
    UserData,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._memory.memories import FIELDS, new_document
from valkey_memory._plans import Plan, Request, Scan, ScanPage

T = TypeVar("T")

DIMENSION = 256
MESSAGES = 20
USER = "alice"
TURN = [
    {"role": "user", "content": "Our checkout answers slowly since this morning. Where to look?"},
    {"role": "assistant", "content": "At the hit rate per key prefix, then at the slow log."},
]
LOG_AND_SHAPE = (b"{memory}:changes", b"{memory}:shape")


def documents(user_id: str, number: int, per_session: int) -> Iterator[Document]:
    """Memories as a ``LongTermMemory`` stores them, with vectors of no meaning."""
    random = np.random.default_rng(len(user_id))
    for n in range(number):
        text = f"{TURN[n % 2]['content']} {n}"
        made = new_document(
            hashlib.blake2b(f"{user_id} {n}".encode(), digest_size=16).hexdigest(),
            "message",
            text,
            user_id,
            1_767_225_600_000 + n,
            "english",
            session_id=f"{user_id}-{n // per_session}",
            role=TURN[n % 2]["role"],
        )
        vector = random.standard_normal(DIMENSION, dtype=np.float32).tolist()
        yield Document(made.id, made.content, made.metadata, vector)


def fill(store: MessageStore, index: VectorIndex, user_id: str, n: int, memories: int) -> None:
    for number in range(n):
        store.extend(f"{user_id}-{number}", TURN * (MESSAGES // 2), user_id=user_id)
    index.upsert(documents(user_id, memories, max(1, memories // max(n, 1))))


def digest(connection: ValkeyConnection) -> tuple[int, int]:
    """How many keys there are, and a sum of what is in them, without the index's own."""

    def plan() -> Plan[tuple[int, int]]:
        cursor, seen, total = None, set[bytes](), 0
        while True:
            page: ScanPage = yield Scan("look", "*", None, cursor)
            fresh = [key for key in page.keys if key not in seen and key not in LOG_AND_SHAPE]
            seen.update(fresh)
            dumps = yield Request("look", tuple(("DUMP", key) for key in fresh))
            for key, dump in zip(fresh, dumps, strict=True):
                whole = hashlib.blake2b(key + dump, digest_size=16).digest()
                total = (total + int.from_bytes(whole)) % 2**128
            if (cursor := page.cursor) is None:
                return len(seen), total

    return connection.run(plan())


def timed(call: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--memories", type=int, default=20_000)
    parser.add_argument("--others", type=int, default=100_000, help="memories of 1,000 others")
    parser.add_argument("--modules", type=Path, help="where libjson.so and libsearch.so are")
    given = parser.parse_args()
    folders = [given.modules] if given.modules else []
    modules = [each / f"lib{name}.so" for each in folders for name in ("json", "search")]
    table = Table("", "seconds", "conversations", "messages", "memories")
    with (
        EmbeddedValkey(modules=modules) as server,
        ValkeyConnection.from_url(server.url, request_timeout=60) as connection,
        tempfile.TemporaryDirectory() as folder,
    ):
        store = MessageStore(connection=connection)
        index = VectorIndex(
            "memory", DIMENSION, fields=FIELDS, storage="hash", algorithm="flat",
            connection=connection, search="server" if modules else "exact",
        )  # fmt: skip
        others = min(1_000, given.others)
        for number in range(others):
            fill(store, index, f"other-{number}", 5, given.others // others)
        before = digest(connection)
        fill(store, index, USER, given.conversations, given.memories)
        data, file = UserData(connection=connection), Path(folder) / "user.jsonl"
        actions = [
            ("export", lambda: data.export_user(USER, file)),
            ("forget", lambda: data.forget_user(USER)),
            ("import", lambda: data.import_user(file)),
            ("forget again", lambda: data.forget_user(USER)),
        ]
        for name, action in actions:
            seconds, counts = timed(action)
            counted = (counts.conversations, counts.messages, counts.memories)
            table.add_row(name, f"{seconds:.2f}", *(f"{each:,}" for each in counted))
        after = digest(connection)
        size = file.stat().st_size
    console = Console()
    console.print(table)
    console.print(f"{before[0]:,} keys of others, {'untouched' if after == before else 'CHANGED'}")
    console.print(f"the export has {size / 1e6:.1f} MB")
    return int(after != before)


if __name__ == "__main__":
    sys.exit(main())
