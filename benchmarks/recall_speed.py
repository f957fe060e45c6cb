"""What recall takes beside a bare FT.SEARCH, for one user's memories among those of many others.

    python benchmarks/recall_speed.py URL [OWN] [OTHERS]

On a server with valkey-search: 10,000 memories of one user among 200,000 of others by default. The
embedding of the question is left aside: a function looks it up.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from valkey_memory import Document, LongTermMemory, ValkeyConnection
from valkey_memory._memory.memories import MESSAGE, new_document
from valkey_memory._memory.recall import MODES, Mode
from valkey_memory._memory.scope import scope
from valkey_memory._plans import Request
from valkey_memory._vectors.questions import Nearest
from valkey_memory._vectors.searching import command

DATA = Path(__file__).parent.parent / "tests" / "data" / "recall.json"
DIMENSION = 256
USERS = 200
ROUNDS = 60


def vectors(count: int) -> Any:
    """Around centers, as those of topics are."""
    rng = np.random.default_rng(20_260)
    centers = rng.standard_normal((500, DIMENSION))
    return (
        centers[rng.integers(0, 500, count)] + 0.5 * rng.standard_normal((count, DIMENSION))
    ).astype(np.float32)


def documents(own: int, others: int) -> Iterator[Document]:
    """Turns of the labelled set, each with words of its own, since real ones are as rare."""
    users = json.loads(DATA.read_text())["users"]
    texts = [t["text"] for u in users for s in u["sessions"] for t in s["turns"]]
    chance = random.Random(20_260)  # noqa: S311
    words = [
        f"{a}{b}{c}"
        for a in "bdfklmnprst"
        for b in ("a", "e", "i", "o", "u")
        for c in ("lam", "rin", "tok", "vez")
    ]
    for number, vector in enumerate(vectors(own + others)):
        user = "own" if number < own else f"user-{number % USERS}"
        text = f"{chance.choice(texts)} {' '.join(chance.choices(words, k=3))}"
        document = new_document(
            f"d{number}", MESSAGE, text, user, 1_760_000_000_000 + number, "english",
            session_id=f"s{number // 50}", role="user", seq=number % 50,
        )  # fmt: skip
        yield replace(document, embedding=vector)


def median_ms(action: Callable[[int], object]) -> float:
    action(0)
    times = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        action(number)
        times.append(time.perf_counter() - start)
    return 1_000 * statistics.median(times)


def main() -> None:
    url, own, others = sys.argv[1], *map(int, (*sys.argv[2:4], 10_000, 200_000)[:2])
    questions = [
        q["question"] for u in json.loads(DATA.read_text())["users"] for q in u["questions"]
    ]
    asked = vectors(len(questions)).tolist()
    of = dict(zip(questions, asked, strict=True))
    memory = LongTermMemory(
        lambda texts: [of.get(text, asked[0]) for text in texts],
        connection=ValkeyConnection.from_url(url, request_timeout=60),
        index_name="speed",
        dimension=DIMENSION,
        search="server",
    )
    start = time.perf_counter()
    batch: list[Document] = []
    for document in documents(own, others):
        batch.append(document)
        if len(batch) == 2_000:
            memory.index.upsert(batch)
            batch = []
    memory.index.upsert(batch)
    memory.index.wait_until_ready()
    print(f"{own + others:,} memories written in {time.perf_counter() - start:.0f} s")
    plans = memory.index.plans

    def bare(number: int) -> object:
        nearest = Nearest(plans.packed(asked[number]), 10, scope("own").condition())
        return memory.connection._execute(Request("bare", (command(nearest, plans.schema),)))

    found = {"bare FT.SEARCH, KNN 10 of the user's": median_ms(bare)}

    def recalled(mode: Mode) -> Callable[[int], object]:
        return lambda number: memory.recall(questions[number], user_id="own", k=10, mode=mode)

    found |= {f"recall, {mode}": median_ms(recalled(mode)) for mode in MODES}
    first = next(iter(found.values()))
    for name, taken in found.items():
        print(f"{name:40} {taken:7.2f} ms  {taken / first:5.2f}x")
    memory.index.drop(delete_documents=True)


if __name__ == "__main__":
    main()
