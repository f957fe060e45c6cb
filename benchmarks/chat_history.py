"""How fast conversations are, against the frameworks' Redis stores and against raw GLIDE.

    python benchmarks/chat_history.py [--rounds N] [--json FILE]

One process and one embedded valkey-server; contenders take turns, so ratios mean something even
where the machine is noisy and absolute times do not. Exits with 1 when a requirement is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import glide
import glide_sync
from _measure import Contender, Timings, ameasure, measure
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from llama_index.core.llms import ChatMessage
from rich.console import Console
from rich.table import Table

from langchain_valkey_glide import ValkeyChatMessageHistory
from llama_index_valkey_glide import ValkeyChatStore
from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the package announces its end
    from langchain_community.chat_message_histories import RedisChatMessageHistory
from llama_index.storage.chat_store.redis import RedisChatStore

TTL = 3600
BULK = 1_000
TURN_WINDOW = 100
CONCURRENT = 20
SHORT = 8
"""Short jobs take so many times more rounds, of fewer calls, so that noise finds all alike."""
TIMEOUT_MS = 5_000

LANGCHAIN = "ours, LangChain"
LLAMA_INDEX = "ours, LlamaIndex"
PLAIN = "ours, MessageStore"
LANGCHAIN_PEER = "langchain-community"
LLAMA_INDEX_PEER = "RedisChatStore"
RAW = "raw GLIDE"
RAW_JSON = "raw + json.dumps"
OURS_OF_PEER = {LANGCHAIN_PEER: LANGCHAIN, LLAMA_INDEX_PEER: LLAMA_INDEX}

BULK_APPEND = f"append {BULK:,}"
READ = f"read {BULK:,}"
TURN = "turn"
TURN_SERIAL = "turn, async"
TURN_CONCURRENT = f"turn, async, {CONCURRENT} at once"

# Two or three sentences each, about 200 characters.
QUESTIONS = """\
Our checkout service in region {n} answers slowly since this morning; the dashboards show \
cache misses going up and the database at 80 % CPU. Where would you look first, and what can \
I rule out quickly?
I moved {n} sessions to the new cluster, and now two of them come back without their history. \
The logs say "key not found". Could it be the TTL, or does the client write to another slot?
Please write a short note for the team: release {n} goes out on Thursday, reads stay on the \
replicas, and nobody should change the window of the memory before we have compared both.\
""".splitlines()
ANSWERS = """\
Look at the hit rate per key prefix first: {n} new keys a second with no TTL would push the \
older ones out. If evictions are at zero, compare the slow log of the last hour with yesterday's.
Most likely the TTL: a list that is appended to without a new EXPIRE keeps its old one. Check \
PTTL of both keys; -2 means expired. Slots are not it, since all {n} others are found.
- Release {n} goes out on Thursday. - Reads stay on the replicas. - Please leave the window \
of the memory as it is until both runs have been compared; the numbers follow on Friday.\
""".splitlines()


class Messages:
    """The same conversation in the form each contender takes, oldest first."""

    def __init__(self, n: int) -> None:
        texts = [
            (QUESTIONS if i % 2 == 0 else ANSWERS)[i // 2 % len(QUESTIONS)].format(n=100 + i)
            for i in range(n)
        ]
        roles = [("user", "assistant")[i % 2] for i in range(n)]
        pairs = list(zip(roles, texts, strict=True))
        self.plain = [{"role": role, "content": text} for role, text in pairs]
        self.langchain: list[BaseMessage] = [
            HumanMessage(text) if role == "user" else AIMessage(text) for role, text in pairs
        ]
        self.llama_index = [ChatMessage(role=role, content=text) for role, text in pairs]
        self.encoded = [json.dumps(message).encode() for message in self.plain]


class Server:
    """The server with every contender's object on it, made once as an application would."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("valkey://").split(":")
        redis_url = f"redis://{host}:{port}"
        self.address = (host, int(port))
        self.connection = ValkeyConnection.from_url(url)
        self.raw = glide_sync.GlideClient.create(self.raw_configuration(glide_sync))
        self.langchain_peer = RedisChatMessageHistory("peer-langchain", url=redis_url, ttl=TTL)
        self.llama_index_peer = RedisChatStore(redis_url=redis_url, ttl=TTL)

    def raw_configuration(self, package: Any) -> Any:
        return package.GlideClientConfiguration(
            [package.NodeAddress(*self.address)], request_timeout=TIMEOUT_MS
        )

    def langchain(self, session_id: str, window: int) -> ValkeyChatMessageHistory:
        return ValkeyChatMessageHistory(
            session_id, connection=self.connection, ttl=TTL, max_messages=window
        )

    def llama_index(self, window: int) -> ValkeyChatStore:
        return ValkeyChatStore(connection=self.connection, ttl=TTL, max_messages=window)

    def plain(self, window: int) -> MessageStore:
        return MessageStore(connection=self.connection, ttl=TTL, max_messages=window)

    def delete(self, key: str) -> Callable[[], object]:
        return lambda: self.raw.delete([key])


@contextmanager
def running_server() -> Iterator[Server]:
    with EmbeddedValkey() as embedded:
        server = Server(embedded.url)
        yield server
        server.connection.close()
        server.raw.close()


def raw_append(key: str, values: list[bytes], window: int) -> tuple[Any, bool]:
    """What GLIDE's ``exec`` takes: the commands that one append with window and TTL needs."""
    batch = glide.Batch(is_atomic=True)
    batch.rpush(key, values)
    batch.ltrim(key, -window, -1)
    batch.expire(key, TTL)
    return batch, True


def bulk_append(server: Server, messages: Messages) -> list[Contender[Any]]:
    """A whole conversation into an empty key, each by its own bulk method."""
    langchain = server.langchain("bulk-langchain", BULK)
    llama_index, plain = server.llama_index(BULK), server.plain(BULK)
    langchain_peer, llama_index_peer = server.langchain_peer, server.llama_index_peer
    return [
        Contender(LANGCHAIN, lambda: langchain.add_messages(messages.langchain), langchain.clear),
        Contender(
            LLAMA_INDEX,
            lambda: llama_index.set_messages("bulk-llama-index", messages.llama_index),
            server.delete("chat:bulk-llama-index"),
        ),
        Contender(
            PLAIN,
            lambda: plain.extend("bulk-plain", messages.plain),
            server.delete("chat:bulk-plain"),
        ),
        Contender(
            LANGCHAIN_PEER,
            lambda: langchain_peer.add_messages(messages.langchain),
            langchain_peer.clear,
        ),
        Contender(
            LLAMA_INDEX_PEER,
            lambda: llama_index_peer.set_messages("peer-llama-index", messages.llama_index),
            server.delete("peer-llama-index"),
        ),
        Contender(
            RAW,
            lambda: server.raw.exec(*raw_append("raw-bulk", messages.encoded, BULK)),
            server.delete("raw-bulk"),
        ),
    ]


def read(server: Server, messages: Messages) -> list[Contender[Any]]:
    """What ``bulk_append`` left there, as the framework's message objects."""
    langchain = server.langchain("bulk-langchain", BULK)
    llama_index, plain = server.llama_index(BULK), server.plain(BULK)
    langchain_peer, llama_index_peer = server.langchain_peer, server.llama_index_peer
    contenders = [
        Contender(LANGCHAIN, lambda: langchain.messages),
        Contender(LLAMA_INDEX, lambda: llama_index.get_messages("bulk-llama-index")),
        Contender(PLAIN, lambda: plain.messages("bulk-plain")),
        Contender(LANGCHAIN_PEER, lambda: langchain_peer.messages),
        Contender(LLAMA_INDEX_PEER, lambda: llama_index_peer.get_messages("peer-llama-index")),
        Contender(RAW, lambda: server.raw.lrange("raw-bulk", 0, -1)),
    ]
    expected = [messages.langchain, messages.llama_index, messages.plain]
    for contender, right in zip(
        contenders, (*expected, *expected[:2], messages.encoded), strict=True
    ):
        assert contender.call() == right, f"{contender.name} does not return what was stored"
    return contenders


def turn(server: Server, messages: Messages) -> list[Contender[Any]]:
    """A question and its answer into a conversation whose window is full."""
    langchain = server.langchain("turn-langchain", TURN_WINDOW)
    llama_index, plain = server.llama_index(TURN_WINDOW), server.plain(TURN_WINDOW)
    langchain.add_messages(messages.langchain)
    llama_index.set_messages("turn-llama-index", messages.llama_index)
    plain.extend("turn-plain", messages.plain)
    server.raw.exec(*raw_append("raw-turn", messages.encoded, TURN_WINDOW))
    two = Messages(2)

    def add_both(store: ValkeyChatStore | RedisChatStore, key: str) -> None:
        # The interface of LlamaIndex's chat stores has no call for two messages.
        for message in two.llama_index:
            store.add_message(key, message)

    def raw_json() -> None:
        encoded = [json.dumps(message).encode() for message in two.plain]
        server.raw.exec(*raw_append("raw-turn", encoded, TURN_WINDOW))

    return [
        Contender(LANGCHAIN, lambda: langchain.add_messages(two.langchain)),
        Contender(LLAMA_INDEX, lambda: add_both(llama_index, "turn-llama-index")),
        Contender(PLAIN, lambda: plain.extend("turn-plain", two.plain)),
        Contender(LANGCHAIN_PEER, lambda: server.langchain_peer.add_messages(two.langchain)),
        Contender(LLAMA_INDEX_PEER, lambda: add_both(server.llama_index_peer, "peer-llama-index")),
        Contender(RAW, lambda: server.raw.exec(*raw_append("raw-turn", two.encoded, TURN_WINDOW))),
        Contender(RAW_JSON, raw_json),
    ]


async def async_turn(server: Server, rounds: int) -> dict[str, Timings]:
    """``turn`` in one event loop: one after the other, and on many conversations at once."""
    two = Messages(2)
    # Ours first: GLIDE ties its reader to the first loop with a client, and ours keeps one alive.
    histories = [server.langchain(f"async-{i}", TURN_WINDOW) for i in range(CONCURRENT)]
    await histories[0].aadd_messages(two.langchain)
    raw = await glide.GlideClient.create(server.raw_configuration(glide))

    async def ours_serial() -> None:
        await histories[0].aadd_messages(two.langchain)

    async def raw_serial() -> None:
        await raw.exec(*raw_append("raw-async-0", two.encoded, TURN_WINDOW))

    async def ours_concurrent() -> None:
        await asyncio.gather(*(history.aadd_messages(two.langchain) for history in histories))

    async def raw_concurrent() -> None:
        batches = [
            raw_append(f"raw-async-{i}", two.encoded, TURN_WINDOW) for i in range(CONCURRENT)
        ]
        await asyncio.gather(*(raw.exec(*batch) for batch in batches))

    serial = [Contender(LANGCHAIN, ours_serial), Contender(RAW, raw_serial)]
    concurrent = [
        Contender(LANGCHAIN, ours_concurrent, times=CONCURRENT),
        Contender(RAW, raw_concurrent, times=CONCURRENT),
    ]
    try:
        return {
            TURN_SERIAL: await ameasure(serial, rounds=rounds * SHORT, calls=15),
            TURN_CONCURRENT: await ameasure(concurrent, rounds=rounds * SHORT, calls=3),
        }
    finally:
        await raw.close()


@dataclass(frozen=True)
class Requirement:
    """A ratio of two times and its bound."""

    text: str
    ratio: float
    bound: float
    at_least: bool = True

    @property
    def ok(self) -> bool:
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound


def requirements(results: dict[str, Timings]) -> list[Requirement]:
    """The four promises, each against everybody it names."""

    def ratio(job: str, one: str, other: str) -> float:
        return results[job][one].ratio(results[job][other])

    against_peers = [
        Requirement(f"{text} than {peer}", ratio(job, peer, ours), bound)
        for job, text, bound in (
            (BULK_APPEND, "1. bulk append at least 15x faster", 15),
            (READ, f"2. read of {BULK:,} at least 2x faster", 2),
            (TURN, "3. one turn no slower", 1),
        )
        for peer, ours in OURS_OF_PEER.items()
    ]
    against_raw = [
        Requirement(
            f"4. one turn, {ours}, within 1.3x of raw GLIDE", ratio(TURN, ours, RAW), 1.3, False
        )
        for ours in (LANGCHAIN, PLAIN)
    ]
    return against_peers + against_raw


def as_text(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.0f} us"


def show(console: Console, results: dict[str, Timings], found: Sequence[Requirement]) -> None:
    table = Table(title="Median of the rounds")
    table.add_column("job")
    table.add_column("contender")
    for heading in ("time", "x raw", "ours faster"):
        table.add_column(heading, justify="right")
    for job, timings in results.items():
        table.add_section()
        for row, (name, timing) in enumerate(timings.items()):
            ours = OURS_OF_PEER.get(name)
            table.add_row(
                "" if row else job,
                name,
                as_text(timing.median),
                f"{timing.ratio(timings[RAW]):.2f}",
                f"{timing.ratio(timings[ours]):.1f}x" if ours else "",
            )
    console.print(table)
    for requirement in found:
        verdict = "[green]ok    [/]" if requirement.ok else "[bold red]MISSED[/]"
        console.print(f"{verdict} {requirement.ratio:6.2f}x  {requirement.text}", highlight=False)


def environment() -> str:
    names = (
        "valkey-glide", "langchain-core", "langchain-community", "llama-index-core",
        "llama-index-storage-chat-store-redis", "redis",
    )  # fmt: skip
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {versions}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds per job (default: 9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()

    started = time.perf_counter()
    messages = Messages(BULK)
    rounds = options.rounds
    with running_server() as server:
        results = {
            BULK_APPEND: measure(bulk_append(server, messages), rounds=rounds, calls=1),
            READ: measure(read(server, messages), rounds=rounds * 2, calls=10),
            TURN: measure(turn(server, messages), rounds=rounds * SHORT, calls=15),
            **asyncio.run(async_turn(server, rounds)),
        }
    found = requirements(results)

    console = Console()
    show(console, results, found)
    console.print(f"{environment()}; {time.perf_counter() - started:.0f} s", style="dim")
    if options.json:
        report = {
            "environment": environment(),
            "seconds": {
                job: {name: timing.rounds for name, timing in timings.items()}
                for job, timings in results.items()
            },
            "requirements": [asdict(item) | {"ok": item.ok} for item in found],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if all(item.ok for item in found) else 1


if __name__ == "__main__":
    sys.exit(main())
