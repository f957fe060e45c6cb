"""Which index a long-term memory should have: flat or HNSW, by the memories of one user.

    python benchmarks/memory_index.py URL [MEMORIES_OF_THE_USER ...]

On a server with valkey-search, as many memories again are those of 300 other users. Half of all say
nearly the same ("thanks"), as messages do. A search is complete when it finds as many as there are.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import numpy as np

from valkey_memory import Document, Tag, ValkeyConnection, VectorIndex

DIMENSION = 128
OTHERS = 300
QUERIES = 60
K = 10


def vectors(count: int) -> Any:
    """Half around centers, as topics are; half nearly one and the same."""
    rng = np.random.default_rng(20_260)
    centers = rng.standard_normal((200, DIMENSION))
    found = centers[rng.integers(0, 200, count)] + 0.5 * rng.standard_normal((count, DIMENSION))
    same = rng.random(count) < 0.5
    found[same] = centers[0] + 0.01 * rng.standard_normal((int(same.sum()), DIMENSION))
    return found.astype(np.float32)


def measure(connection: ValkeyConnection, own: int, algorithm: Any) -> None:
    index = VectorIndex(
        "which", DIMENSION, fields={"user_id": "tag"}, connection=connection, search="server",
        storage="hash", algorithm=algorithm, ef_runtime=200,
    )  # fmt: skip
    stored = vectors(2 * own)
    owners = ["own" if n < own else f"user-{n % OTHERS}" for n in range(2 * own)]
    order = np.random.default_rng(1).permutation(2 * own).tolist()
    start = time.perf_counter()
    for first in range(0, len(order), 2_000):
        index.upsert(
            Document(f"d{n}", "", {"user_id": owners[n]}, stored[n].tolist())
            for n in order[first : first + 2_000]
        )
    index.wait_until_ready(600)
    written = (time.perf_counter() - start) / len(order) * 1e6
    mine = stored[:own] / np.linalg.norm(stored[:own], axis=1, keepdims=True)
    times, shares, complete = [], [], 0
    for query in vectors(10_000)[-QUERIES:]:
        best = np.argsort(-(mine @ (query / np.linalg.norm(query))))[:K]
        start = time.perf_counter()
        hits = index.search(query.tolist(), K, filter=Tag("user_id") == "own")
        times.append(time.perf_counter() - start)
        found = {hit.document.id for hit in hits}
        shares.append(len(found & {f"d{n}" for n in best}) / K)
        complete += len(found) == K
    few = 0
    for number in range(QUERIES):  # users with few memories, where a graph loses its way
        wanted = min(K, owners.count(f"user-{number}"))
        hits = index.search(stored[0].tolist(), K, filter=Tag("user_id") == f"user-{number}")
        few += len(hits) == wanted
    print(
        f"{own:>8,} {algorithm:5} {written:6.0f} us per write  "
        f"{1e3 * statistics.median(times):7.2f} ms per search  recall@10 {np.mean(shares):.2f}  "
        f"complete {complete} of {QUERIES}, of other users {few} of {QUERIES}"
    )
    index.drop(delete_documents=True)


def main() -> None:
    with ValkeyConnection.from_url(sys.argv[1], request_timeout=120) as connection:
        for own in map(int, sys.argv[2:] or ("1000", "10000", "100000")):
            for algorithm in ("flat", "hnsw"):
                measure(connection, own, algorithm)


if __name__ == "__main__":
    main()
