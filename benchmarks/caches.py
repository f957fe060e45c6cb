"""What a hit costs beside a raw GET of the same value, and what a miss adds.

    python benchmarks/caches.py [--rounds N]

One process and one embedded valkey-server; contenders take turns. Exits with 1 when a promise is
not held: a hit of an exact cache takes at most 3 times GLIDE's own GET and the JSON's decoding.
"""

from __future__ import annotations

import argparse
import sys

import orjson
from _measure import Contender, Timings, measure
from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from rich.console import Console
from rich.table import Table

from langchain_valkey_glide import LocalEmbeddings, ValkeyCache, ValkeySemanticCache
from langgraph_valkey_glide import ValkeyCache as NodeCache
from valkey_memory import EmbeddedValkey

LIMIT = 3.0
QUESTION = "What is the capital of France?"
SIMILAR = "What's the capital of France?"
MODEL = "model"
ANSWER = [
    ChatGeneration(
        message=AIMessage(
            "Paris is the capital of France. " * 20,
            usage_metadata={"input_tokens": 20, "output_tokens": 140, "total_tokens": 160},
            response_metadata={"model_name": "model", "finish_reason": "stop"},
            id="run-1",
        )
    )
]
RAW = "raw GET and orjson.loads"
EXACT = "ValkeyCache.lookup, hit"
MISS = "ValkeyCache.lookup, miss"
NODE = "LangGraph's ValkeyCache.get, hit"
SAME = "ValkeySemanticCache.lookup, same prompt"
NEAR = "ValkeySemanticCache.lookup, similar question"
FAR = "ValkeySemanticCache.lookup, miss"
STORED = 1_000


def time_all(server: EmbeddedValkey, rounds: int) -> Timings:
    address = NodeAddress("127.0.0.1", server.port)
    client = GlideClient.create(GlideClientConfiguration([address]))
    cache = ValkeyCache(url=server.url, ttl=3600)
    nodes: NodeCache[list[object]] = NodeCache(url=server.url, ttl=3600)
    semantic = ValkeySemanticCache(LocalEmbeddings(), url=server.url, threshold=0.8, ttl=3600)
    for number in range(STORED):
        semantic.update(f"Question number {number} about something else", MODEL, ANSWER)
    for one in (cache, semantic):
        one.update(QUESTION, MODEL, ANSWER)
    key = (("node",), "key")
    nodes.set({key: ([("answer", ANSWER[0].text)], None)})
    (stored,) = client.scan(b"0", match="llm:cache:*", count=100_000)[1]
    contenders = [
        Contender(RAW, lambda: orjson.loads(client.get(stored))),
        Contender(EXACT, lambda: cache.lookup(QUESTION, MODEL)),
        Contender(MISS, lambda: cache.lookup("another", MODEL)),
        Contender(NODE, lambda: nodes.get([key])),
        Contender(SAME, lambda: semantic.lookup(QUESTION, MODEL)),
        Contender(NEAR, lambda: semantic.lookup(SIMILAR, MODEL)),
        Contender(FAR, lambda: semantic.lookup("How do I bake bread?", MODEL)),
    ]
    assert cache.lookup(QUESTION, MODEL) == ANSWER
    assert semantic.lookup(SIMILAR, MODEL) is not None
    timings = measure(contenders, rounds=rounds, calls=100)
    client.close()
    return timings


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    with EmbeddedValkey() as server:
        timings = time_all(server, parser.parse_args().rounds)
    table = Table("look-up", "microseconds", "times a raw GET", title="Caches")
    for name, timing in timings.items():
        ratio = timing.ratio(timings[RAW])
        table.add_row(name, f"{timing.median * 1e6:.0f}", f"{ratio:.2f}")
    Console().print(table)
    worst = max(timings[name].ratio(timings[RAW]) for name in (EXACT, NODE))
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
