"""What a session record and a write token cost, and whether the length of a conversation matters.

    python benchmarks/sessions.py [--rounds N]

One process and one embedded valkey-server; contenders take turns. Exits with 1 when a promise is
not held: storing a turn of two messages with record takes at most 1.25 times one without, and one
that is made once, however often it is sent, at most 1.1 times one that is not; appending and
reading the last 20 messages takes the same, within 1.2 times, with 10 and with 1,000,000 messages
stored.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import orjson
from _measure import Contender, Timings, measure
from rich.console import Console
from rich.table import Table

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection
from valkey_memory._plans import Plan, Request

TURN = [
    {
        "role": "user",
        "content": "Our checkout answers slowly since this morning; the dashboards show cache "
        "misses going up and the database at 80 % CPU. Where would you look first, and why?",
    },
    {
        "role": "assistant",
        "content": "Look at the hit rate per key prefix first: new keys with no TTL would push the "
        "older ones out. If evictions are at zero, compare the slow log with yesterday's.",
    },
]
WINDOW = 100
SHORT, LONG = 10, 1_000_000
WITHOUT, WITH = "without record", "with record"
ONCE, EACH_TIME = "with a token", "without a token"


def turn(url: str, rounds: int) -> Timings:
    """A question and its answer, with TTL and window, with and without a record."""
    plain = MessageStore(url=url, ttl=3600, max_messages=WINDOW)
    kept = MessageStore(url=url, ttl=3600, max_messages=WINDOW, user_id="alice", model="sonnet")
    return take_turns({WITHOUT: plain, WITH: kept}, rounds)


def writes(url: str, rounds: int) -> Timings:
    """The same turn, with a token that the conversation remembers, and without."""
    connections = {
        name: ValkeyConnection.from_url(url, retry_writes=name == ONCE)
        for name in (ONCE, EACH_TIME)
    }
    try:
        stores = {
            name: MessageStore(connection=one, ttl=3600, max_messages=WINDOW)
            for name, one in connections.items()
        }
        return take_turns(stores, rounds)
    finally:
        for connection in connections.values():
            connection.close()


def take_turns(stores: dict[str, MessageStore], rounds: int) -> Timings:
    """A turn by each store in its own conversation, whose window is full."""
    for name, store in stores.items():
        store.extend(name, TURN * WINDOW)

    def take_turn(name: str) -> Callable[[], object]:
        return lambda: stores[name].extend(name, TURN)

    return measure([Contender(one, take_turn(one)) for one in stores], rounds=rounds, calls=50)


def lengths(url: str, rounds: int) -> dict[str, Timings]:
    """Appending one message, and reading the last 20, to a short and to a long conversation."""
    store = MessageStore(url=url, ttl=3600, user_id="alice")
    for length in (SHORT, LONG):
        fill(store, str(length), length)
    append = [
        Contender(f"{n:,} messages", lambda n=n: store.append(str(n), TURN[0]))  # type: ignore[misc]
        for n in (SHORT, LONG)
    ]
    read = [
        Contender(f"{n:,} messages", lambda n=n: store.messages(str(n), last=20))  # type: ignore[misc]
        for n in (SHORT, LONG)
    ]
    return {
        "append": measure(append, rounds=rounds, calls=50),
        "last 20": measure(read, rounds=rounds, calls=50),
    }


def fill(store: MessageStore, session_id: str, length: int) -> None:
    """Store ``length`` messages, behind the library: it takes seconds, not minutes."""
    element = orjson.dumps({**TURN[0], "ts": 1767225600000})
    at_once = 50_000

    def plan(number: int) -> Plan[None]:
        yield Request("fill", (("RPUSH", store.key(session_id), *[element] * number),))

    store.append(session_id, TURN[0])
    for start in range(1, length, at_once):
        store.connection.run(plan(min(at_once, length - start)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with EmbeddedValkey() as server:
        connection = ValkeyConnection.shared(server.url)
        turns = turn(server.url, rounds)
        by_token = writes(server.url, rounds)
        by_length = lengths(server.url, rounds)
        connection.close()
    promises = [
        ("a turn with record, to one without", turns[WITH].ratio(turns[WITHOUT]), 1.25),
        ("a turn made once, to one made each time", by_token[ONCE].ratio(by_token[EACH_TIME]), 1.1),
        *(
            (
                f"{what} at {LONG:,} messages, to {SHORT}",
                found[f"{LONG:,} messages"].ratio(found[f"{SHORT:,} messages"]),
                1.2,
            )
            for what, found in by_length.items()
        ),
    ]
    table = Table("times as long", "measured", "promised")
    for what, ratio, bound in promises:
        table.add_row(what, f"{ratio:.2f}", f"at most {bound:.2f}")
    Console().print(table)
    return int(any(ratio > bound for _, ratio, bound in promises))


if __name__ == "__main__":
    sys.exit(main())
