"""Plans side by side: one round trip for what they ask at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from valkey_memory import CommandError, KeyTypeError, ValkeyConnection, ValkeyMemoryError
from valkey_memory._plans import Lanes, Now, Plan, Request, Step, atomic
from valkey_memory._together import together_plan

from ..servers import send


def asks_plan(*keys: str, closed: list[str] | None = None) -> Plan[list[Any]]:
    """One request for each of ``keys``, one after the other, with work between them."""
    try:
        found = []
        for key in keys:
            yield Now()
            (reply,) = yield Request(f"read {key}", (("GET", key),), read_only=True, key=key)
            found.append(reply)
        return found
    finally:
        if closed is not None:
            closed.append(keys[0])


def whole_plan(key: str) -> Plan[Any]:
    return (yield atomic("both", ("SET", key, "1"), ("INCR", key)))


class Wire:
    """A connection that counts what reaches it, in sync or async code."""

    def __init__(self, connection: ValkeyConnection, *, is_async: bool) -> None:
        self.connection = connection
        self.is_async = is_async
        self.steps: list[Step] = []

    def run(self, plan: Plan[Any]) -> Any:
        watched = self._watched_plan(plan)
        if self.is_async:
            return asyncio.run(self.connection.arun(watched))
        return self.connection.run(watched)

    def _watched_plan(self, plan: Plan[Any]) -> Plan[Any]:
        step = next(plan)
        while True:
            self.steps += [step] if isinstance(step, Request | Lanes) else []
            failed: ValkeyMemoryError | None = None
            reply: Any = None
            try:
                reply = yield step
            except ValkeyMemoryError as error:
                failed = error
            try:
                step = plan.send(reply) if failed is None else plan.throw(failed)
            except StopIteration as done:
                return done.value


@pytest.fixture(params=["sync", "async"])
def wire(request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str) -> Wire:
    for name in "abcd":
        send(connection, "SET", prefix + name, name)
    return Wire(connection, is_async=request.param == "async")


def test_plans_share_their_round_trips(wire: Wire, prefix: str) -> None:
    a, b, c, d = (prefix + name for name in "abcd")
    found = wire.run(together_plan(asks_plan(a, b), asks_plan(c), asks_plan(d, a, b)))
    assert found == [[b"a", b"b"], [b"c"], [b"d", b"a", b"b"]]
    sizes = [len(step.commands) for step in wire.steps if isinstance(step, Request)]
    assert sizes == [3, 2, 1]


def test_a_transaction_stays_whole_beside_the_others(wire: Wire, prefix: str) -> None:
    key, a, b = f"{{{prefix}}}n", prefix + "a", prefix + "b"
    found = wire.run(together_plan(asks_plan(a), whole_plan(key), asks_plan(b)))
    assert found == [[b"a"], ["OK", 2], [b"b"]]
    (step,) = wire.steps
    assert isinstance(step, Lanes)
    assert [len(lane[0].commands) for lane in step.lanes] == [2, 2]
    assert wire.run(together_plan(whole_plan(key), whole_plan(key))) == [["OK", 2], ["OK", 2]]


def test_nothing_and_one(wire: Wire, prefix: str) -> None:
    assert wire.run(together_plan(asks_plan(prefix + "a"))) == [[b"a"]]

    def both_plan() -> Plan[Any]:
        nothing = yield from together_plan()
        yield Now()
        return nothing

    assert wire.run(both_plan()) == []


def test_an_error_ends_all_and_closes_them(wire: Wire, prefix: str) -> None:
    send(wire.connection, "RPUSH", prefix + "list", "x")
    closed: list[str] = []
    a, wrong = prefix + "a", prefix + "list"
    with pytest.raises(KeyTypeError):
        wire.run(together_plan(asks_plan(a, a, closed=closed), asks_plan(wrong, closed=closed)))
    assert sorted(closed) == sorted([a, wrong])


def test_an_error_is_the_plans_own(wire: Wire, prefix: str) -> None:
    send(wire.connection, "RPUSH", prefix + "list", "x")

    def careful_plan() -> Plan[Any]:
        try:
            yield Request("read", (("GET", prefix + "list"),), repeatable=True)
        except KeyTypeError:
            (reply,) = yield Request("read", (("LLEN", prefix + "list"),), read_only=True)
            return reply

    def as_reply_plan() -> Plan[Any]:
        return (yield Request("read", (("GET", prefix + "list"),), errors_as_replies=True))

    one, (two,), (three,) = wire.run(
        together_plan(careful_plan(), as_reply_plan(), asks_plan(prefix + "c"))
    )
    assert (one, three) == (1, b"c")
    assert isinstance(two, KeyTypeError)


def test_what_may_not_be_repeated_is_not(wire: Wire, prefix: str) -> None:
    def writing_plan() -> Plan[Any]:
        try:
            yield Request("write", (("INCR", prefix + "n"), ("INCR", prefix + "a")))
        except CommandError:
            return "failed"

    found = wire.run(together_plan(writing_plan(), asks_plan(prefix + "c")))
    assert found == ["failed", [b"c"]]
    assert send(wire.connection, "GET", prefix + "n") == b"1"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_lost_connection_reaches_every_plan(is_async: bool) -> None:
    connection = ValkeyConnection.from_url("valkey://localhost:1?connection_timeout=0.2")
    seen: list[str] = []

    def seeing_plan(name: str) -> Plan[None]:
        try:
            yield from asks_plan(name)
        except ValkeyMemoryError:
            seen.append(name)

    Wire(connection, is_async=is_async).run(together_plan(seeing_plan("a"), seeing_plan("b")))
    assert seen == ["a", "b"]


def test_closing_it_closes_its_plans() -> None:
    closed: list[str] = []
    plan = together_plan(asks_plan("a", closed=closed), asks_plan("b", closed=closed))
    next(plan)
    plan.close()
    assert sorted(closed) == ["a", "b"]
