"""How fast documents are written over a cluster, and how long the first exact search takes.

    python benchmarks/documents.py [--quick]

Starts an embedded cluster of three nodes and an embedded server; contenders take turns. No modules
are needed. Exits with 1 when a requirement is missed: over a cluster documents are written at
least 5 times as fast as one by one, and the first search over 10,000 documents of 384 numbers takes
at most half a second, or on a slow or busy machine 2.5 times as long as the bare reading of them.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import glide_sync
from _measure import Contender, Timings, measure
from _vector_data import FIELDS, GROUPS, NOTE, clustered
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))  # the tests know how to start a cluster

from tests.servers import cluster
from valkey_memory import Document, EmbeddedValkey, ValkeyConnection, VectorIndex
from valkey_memory._plans import Plan, Request
from valkey_memory._vectors.records import prepare

DIMENSION = 384
DOCUMENTS = 10_000
READ_AT_ONCE = 500
PIPELINED, IN_LANES, ONE_BY_ONE = "pipelined", "one by one, all nodes at once", "one by one"
FIRST, BARE = "first search", "bare HMGET"


def documents(count: int) -> list[Document]:
    vectors = clustered(count, DIMENSION, 1).stored.tolist()
    return [
        Document(f"note-{n}", NOTE.format(n=n), {"group": f"g{n % GROUPS}", "year": n % 27}, vector)
        for n, vector in enumerate(vectors)
    ]


def index_of(connection: ValkeyConnection, name: str) -> VectorIndex:
    return VectorIndex(
        name,
        DIMENSION,
        connection=connection,
        search="exact",
        storage="hash",
        fields=dict(FIELDS),  # type: ignore[arg-type]
    )


# Writing over a cluster


def one_by_one_plan(index: VectorIndex, some: list[Document]) -> Plan[None]:
    """As the stores did before they had pipelines: a round trip for each command."""
    for document in some:
        for command in prepare(document, index.plans.schema, None).commands:
            yield Request("write", (command,), repeatable=True)


def writing(rounds: int, each: int) -> Timings:
    with (
        cluster() as ports,
        ValkeyConnection.from_url(f"valkey://127.0.0.1:{ports[0]}?cluster=true") as connection,
    ):
        facts = connection._factory.facts
        stored = itertools.cycle(documents(each * 4))
        index = index_of(connection, "written")
        index.create()

        def written(how: Callable[[list[Document]], object], **known: bool) -> Callable[[], object]:
            def write() -> None:
                facts.update(known)
                how(list(itertools.islice(stored, each)))

            return write

        ways = {
            PIPELINED: written(index.upsert, pipelines=True),
            IN_LANES: written(index.upsert, pipelines=False),
            ONE_BY_ONE: written(lambda some: index.run(one_by_one_plan(index, some))),
        }
        contenders = [Contender(name, way, times=each) for name, way in ways.items()]
        return measure(contenders, rounds=rounds, calls=1)


# The first exact search


def first_search(rounds: int) -> Timings:
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url) as connection,
        raw_client(server.port) as raw,
    ):
        stored = documents(DOCUMENTS)
        index_of(connection, "notes").upsert(stored)
        query = stored[0].embedding

        def first() -> None:
            assert len(index_of(connection, "notes").search(query, 10)) == 10

        contenders = [Contender(FIRST, first), Contender(BARE, lambda: read_all(raw))]
        return measure(contenders, rounds=rounds, calls=1)


def read_all(raw: Any) -> None:
    """The same data, with GLIDE alone: SCAN, and HMGET in batches."""
    cursor, found = b"0", 0
    keys: list[bytes] = []
    while True:
        cursor, page = raw.custom_command(
            ["SCAN", cursor, "MATCH", "notes:*", "COUNT", "1000", "TYPE", "hash"]
        )
        keys += page
        if cursor == b"0":
            break
    for start in range(0, len(keys), READ_AT_ONCE):
        batch = glide_sync.Batch(is_atomic=False)
        for key in keys[start : start + READ_AT_ONCE]:
            batch.custom_command(["HMGET", key, "_content", "_metadata", "_embedding"])
        found += len(raw.exec(batch, raise_on_error=True))
    assert found == DOCUMENTS


@contextmanager
def raw_client(port: int) -> Iterator[Any]:
    client = glide_sync.GlideClient.create(
        glide_sync.GlideClientConfiguration(
            [glide_sync.NodeAddress("127.0.0.1", port)], request_timeout=30_000
        )
    )
    try:
        yield client
    finally:
        client.close()


def show(console: Console, title: str, timings: Timings, reference: str) -> None:
    table = Table(title=title)
    for heading in ("contender", "median", f"x {reference}"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    for name, timing in timings.items():
        time = timing.median
        shown = f"{time:.3f} s" if time > 0.05 else f"{time * 1e6:,.0f} us"
        table.add_row(name, shown, f"{timing.ratio(timings[reference]):.2f}")
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    quick = parser.parse_args().quick
    console = Console()
    written = writing(4 if quick else 12, 600)
    show(console, f"A document of {DIMENSION} numbers, written to 3 nodes", written, ONE_BY_ONE)
    read = first_search(4 if quick else 12)
    title = f"The first exact search over {DOCUMENTS:,} documents of {DIMENSION} numbers"
    show(console, title, read, BARE)
    faster = written[ONE_BY_ONE].ratio(written[PIPELINED])
    ok_written = faster >= 5
    console.print(
        f"{'ok' if ok_written else 'MISSED'}: pipelined writes {faster:.1f} times as fast"
    )
    seconds, share = read[FIRST].median, read[FIRST].ratio(read[BARE])
    ok_read = seconds <= 0.5 or share <= 2.5
    console.print(
        f"{'ok' if ok_read else 'MISSED'}: the first search takes {seconds:.2f} s, "
        f"{share:.2f} times the bare reading"
    )
    return 0 if ok_written and ok_read else 1


if __name__ == "__main__":
    sys.exit(main())
