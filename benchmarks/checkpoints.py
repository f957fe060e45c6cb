"""What a step of a graph costs, in time and in bytes, with each checkpointer.

    python benchmarks/checkpoints.py [--rounds N]

One process and one embedded valkey-server; contenders take turns. Three graphs of 20 steps: with
100 messages to which each step adds one, with 100 messages that stay, and with a channel of 1 MB
that never changes. What a checkpointer adds to a step is the time beyond that of the graph without
one. Then reading the newest checkpoint beside what cannot be less: one round trip for the same
bytes, and LangGraph's serializer.

Exits with 1 when a promise is not held: langgraph-checkpoint-aws on the same server adds at least
twice as much to a step, in the geometric mean of the graphs; it stores at least 5 times the bytes
for the 1 MB; reading takes at most 1.5 times the raw round trip and the serializer.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _measure import Contender, Timings, measure
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_checkpoint_aws.checkpoint.valkey import ValkeySaver as AwsSaver
from rich.console import Console
from rich.table import Table
from valkey import Valkey

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import EmbeddedValkey
from valkey_memory._plans import Plan, Request

STEPS, MESSAGES, LARGE = 20, 100, 1_000_000
OWN, AWS, MEMORY, SQLITE = "ValkeySaver", "checkpoint-aws", "InMemorySaver", "SqliteSaver"
NONE = "no checkpointer"
TEXT = "Look at the hit rate per key prefix first: new keys with no TTL push the older ones out. "


class State(MessagesState):
    steps: int
    large: bytes


def add_message(state: State) -> Any:
    return {"steps": state["steps"] + 1, "messages": [AIMessage(TEXT, id=str(uuid.uuid4()))]}


def only_count(state: State) -> Any:
    return {"steps": state["steps"] + 1}


def messages() -> list[Any]:
    kinds = (HumanMessage, AIMessage)
    return [kinds[number % 2](TEXT * 2, id=str(uuid.uuid4())) for number in range(MESSAGES)]


GRAPHS: dict[str, tuple[Callable[[State], Any], dict[str, Any]]] = {
    "each step adds a message": (add_message, {"messages": messages(), "steps": 0}),
    "the messages stay": (only_count, {"messages": messages(), "steps": 0}),
    "1 MB that never changes": (
        only_count,
        {"steps": 0, "large": bytes(range(250)) * (LARGE // 250)},
    ),
}


def graph(node: Callable[[State], Any], saver: Any) -> Any:
    builder = StateGraph(State)
    last = START
    for number in range(STEPS):
        builder.add_node(f"step{number}", node)
        builder.add_edge(last, f"step{number}")
        last = f"step{number}"
    return builder.compile(checkpointer=saver)


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def steps(savers: dict[str, Any], name: str, rounds: int) -> Timings:
    """Seconds per step, every write waited for."""
    node, given = GRAPHS[name]

    def run(saver: Any) -> Callable[[], object]:
        made = graph(node, saver)
        waits = {"durability": "sync"} if saver else {}
        return lambda: made.invoke(given, config(uuid.uuid4().hex), **waits)

    contenders = [Contender(one, run(saver), times=STEPS) for one, saver in savers.items()]
    return measure(contenders, rounds=rounds, calls=1)


def added(timings: Timings, name: str) -> float:
    """Seconds that a checkpointer adds to a step: the median over the rounds."""
    pairs = zip(timings[name].rounds, timings[NONE].rounds, strict=True)
    return statistics.median(saved - bare for saved, bare in pairs)


def stored(savers: dict[str, Any], name: str, client: Valkey, folder: Path) -> dict[str, int]:
    """Bytes that one run of a graph leaves behind."""
    node, given = GRAPHS[name]
    found = {}
    for one in (OWN, AWS):
        client.flushall()
        graph(node, savers[one]).invoke(given, config("t"), durability="sync")
        found[one] = sum(client.memory_usage(key, samples=0) or 0 for key in client.scan_iter("*"))
    path = folder / f"{uuid.uuid4().hex}.db"
    with SqliteSaver.from_conn_string(str(path)) as saver:
        graph(node, saver).invoke(given, config("t"), durability="sync")
        saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found[SQLITE] = path.stat().st_size
    client.flushall()
    return found


def reading(saver: ValkeySaver, rounds: int) -> Timings:
    """The newest checkpoint of a thread with 100 messages; and the same bytes and values bare."""
    node, given = GRAPHS["each step adds a message"]
    graph(node, saver).invoke(given, config("t"), durability="sync")
    found = saver._store.get("t", "", None)
    assert found is not None
    every = [found.state, *found.values.values(), *(write.value for write in found.writes)]
    raw = b"".join(data for _, data in every)
    primaries = saver.connection.for_primaries()

    def plan(*command: str | bytes) -> Plan[Any]:
        return (yield Request("benchmark", (command,), read_only=True))

    primaries.run(plan("SET", "raw", raw))

    def bare() -> None:
        primaries.run(plan("GET", "raw"))
        for typed in every:
            saver.serde.loads_typed(typed)

    contenders = [
        Contender("get_tuple", lambda: saver.get_tuple(config("t"))),
        Contender("raw and serializer", bare),
    ]
    return measure(contenders, rounds=20 * rounds, calls=1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as name, EmbeddedValkey() as server:
        folder = Path(name)
        client = Valkey(host="127.0.0.1", port=server.port)
        with SqliteSaver.from_conn_string(str(folder / "time.db")) as sqlite:
            savers: dict[str, Any] = {
                NONE: None,
                OWN: ValkeySaver(url=server.url),
                AWS: AwsSaver(client),
                MEMORY: InMemorySaver(),
                SQLITE: sqlite,
            }
            table = Table(
                "graph", "checkpointer", "ms per step", "adds ms", "times", "bytes stored", "times"
            )
            ratios = []
            for one in GRAPHS:
                timings = steps(savers, one, rounds)
                sizes = stored(savers, one, client, folder)
                ratios.append(added(timings, AWS) / added(timings, OWN))
                for saver, timing in timings.items():
                    size = sizes.get(saver)
                    table.add_row(
                        one,
                        saver,
                        f"{timing.median * 1e3:.2f}",
                        f"{added(timings, saver) * 1e3:.2f}",
                        f"{added(timings, saver) / added(timings, OWN):.2f}",
                        "-" if size is None else f"{size:,}",
                        "-" if size is None else f"{size / sizes[OWN]:.2f}",
                    )
            saved = sizes[AWS] / sizes[OWN]
            read = reading(savers[OWN], rounds)
        overhead = read["get_tuple"].ratio(read["raw and serializer"])
    console.print(table)
    for what, timing in read.items():
        console.print(f"{what}: {timing.median * 1e6:.0f} us")
    faster = statistics.geometric_mean(ratios)
    console.print(f"{AWS} adds {faster:.2f} times as much to a step (at least 2)")
    console.print(
        f"{AWS} takes {saved:.1f} times the bytes for 1 MB that never changes (at least 5)"
    )
    console.print(
        f"get_tuple takes {overhead:.2f} times the raw round trip and serializer (at most 1.5)"
    )
    return int(not (faster >= 2 and saved >= 5 and overhead <= 1.5))


if __name__ == "__main__":
    sys.exit(main())
