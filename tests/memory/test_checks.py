"""What doctor and advice judge, by the functions that judge, from facts as servers give them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from valkey_memory import AuthenticationError, ConnectionFailedError
from valkey_memory._memory.checks import advise, check_wheels, diagnose
from valkey_memory._memory.findings import (
    Conversations,
    Facts,
    Finding,
    MemoryIndex,
    Waiting,
    module_version,
)
from valkey_memory._server.nodes import Node
from valkey_memory._vectors.discovery import FoundIndex

SEARCH_1_2_1, JSON_1_0_2 = 0x010201, 0x010002
GLIDE = {"valkey-glide": "2.6.0", "valkey-glide-sync": "2.6.0"}
NODE = Node(
    address="host:6379",
    version="9.1.2",
    modules={"search": SEARCH_1_2_1, "json": JSON_1_0_2},
    used_memory=10_000_000,
    maxmemory=100_000_000,
    maxmemory_policy="noeviction",
    evicted_keys=0,
    aof=True,
    save="3600 1",
)
INDEX = FoundIndex("memories", "server", "json", 256, 10, "cosine", "hnsw", {"user_id": "tag"})
HEALTHY = Facts(
    wheels=GLIDE,
    address="host:6379",
    nodes=(NODE,),
    search_commands=True,
    json_commands=True,
    conversations=Conversations(3),
    indexes=(INDEX,),
    index="memories",
    dimension=256,
)


def node(**changes: Any) -> Facts:
    return replace(HEALTHY, nodes=(replace(NODE, **changes),))


def bad(facts: Facts) -> list[Finding]:
    return [finding for finding in diagnose(facts) if finding.level != "ok"]


def test_all_is_well() -> None:
    assert bad(HEALTHY) == []
    assert {finding.check for finding in diagnose(HEALTHY)} == {
        "glide", "connection", "server", "search", "json", "eviction", "persistence", "ttl",
        "index",
    }  # fmt: skip


CASES: list[tuple[str, Facts, str, str, str, str]] = [
    # name, facts, level, what, cause, fix
    (
        "down",
        replace(HEALTHY, failure=ConnectionFailedError("refused")),
        "problem", "cannot be reached", "refused", "Start the server",
    ),
    (
        "password",
        replace(HEALTHY, failure=AuthenticationError("WRONGPASS")),
        "problem", "refuses user or password", "WRONGPASS", "valkey://user:password@host",
    ),
    (
        "no search",
        replace(HEALTHY, search_commands=False),
        "warning", "no search module", "in the client", "valkey-bundle",
    ),
    (
        "search too old",
        node(modules={"search": 0x010002}),
        "problem", "valkey-search 1.0.2 is too old", "Before 1.2", "1.2 or later",
    ),
    (
        "search on some nodes",
        replace(HEALTHY, nodes=(NODE, replace(NODE, modules={}))),
        "problem", "the nodes differ", "some have none", "every node",
    ),
    (
        "search of two versions",
        replace(HEALTHY, nodes=(NODE, replace(NODE, modules={"search": 0x010300}))),
        "problem", "the nodes differ", "1.2.1, valkey-search 1.3.0", "every node",
    ),
    (
        "no json",
        replace(HEALTHY, json_commands=False),
        "warning", "no JSON module", "storage", 'storage="hash"',
    ),
    (
        "allkeys-lru",
        node(maxmemory_policy="allkeys-lru", evicted_keys=7),
        "problem", "allkeys-lru throws memory away", "At 100.0 MB", "noeviction",
    ),
    (
        "allkeys without a limit",
        node(maxmemory_policy="allkeys-lfu", maxmemory=0),
        "problem", "allkeys-lfu", "no limit yet", "noeviction",
    ),
    (
        "volatile",
        node(maxmemory_policy="volatile-ttl"),
        "warning", "ends conversations early", "before their time", "noeviction",
    ),
    ("full", node(used_memory=95_000_000), "warning", "nearly full", "95.0 MB of 100", "Raise"),
    (
        "no persistence",
        node(aof=False, save=""),
        "warning", "persistence is off", "forgets everything", "appendonly yes",
    ),
    (
        "a disk that is full",
        node(failed_write="snapshot"),
        "problem", "cannot write its snapshot", "is lost", "log",
    ),
    (
        "some without ttl",
        replace(HEALTHY, conversations=Conversations(10, ["a", "b", "c", "d"])),
        "warning", "4 of 10 conversations never expire", "'a', 'b', 'c', ...", "ttl=",
    ),
    (
        "wrong dimension",
        replace(HEALTHY, dimension=1024),
        "problem", "vectors of 256 numbers, not 1024", "another embedding model", "another index",
    ),
    (
        "no such index",
        replace(HEALTHY, index="other"),
        "problem", "there is no index 'other'", "'memories'", "Check the name",
    ),
    (
        "documents that are not indexed",
        replace(HEALTHY, indexes=(replace(INDEX, failures=2),)),
        "problem", "2 documents of index 'memories'", "no search finds them", "memories:*",
    ),
    (
        "filling",
        replace(HEALTHY, indexes=(replace(INDEX, ready=False),)),
        "warning", "still being filled", "background", "Wait",
    ),
    (
        "facts that wait",
        replace(HEALTHY, waiting=Waiting(1000, ["a", "b\n", "c", "d"], more=True)),
        "warning", "facts of 4 of the first 1,000 ", "'a', 'b\\n', 'c', ...", "consolidate",
    ),
    ("old", node(version="7.0.5"), "problem", "Valkey 7.0.5 is too old", "7.2", "7.2 or later"),
    ("hangs", node(version="9.1.1"), "warning", "can hang", "pipeline", "9.1.2 or later"),
    ("redis", node(name="redis", version="7.4.0"), "warning", "redis 7.4.0", "Valkey", "7.2"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_what_is_wrong_is_named_with_cause_and_fix(case: Any) -> None:
    _, facts, level, what, cause, fix = case
    (finding,) = bad(facts)
    assert finding.level == level
    assert what in finding.what
    assert cause in finding.cause
    assert fix in finding.fix


@pytest.mark.parametrize(
    "facts",
    [
        node(
            version=None, modules=None, maxmemory_policy=None, aof=None, save=None, maxmemory=None
        ),
        node(modules={}),
        node(aof=False, save=None),  # CONFIG is not permitted
        replace(HEALTHY, indexes=None, index=None),
        replace(HEALTHY, conversations=Conversations()),
        replace(HEALTHY, nodes=()),
    ],
)
def test_what_is_not_told_is_unknown_and_not_wrong(facts: Facts) -> None:
    assert bad(facts) == []


@pytest.mark.parametrize(
    ("wheels", "what", "fix"),
    [
        (
            {"valkey-glide": "2.5.2", "valkey-glide-sync": "2.10.0"},
            "valkey-glide 2.5.2 and valkey-glide-sync 2.10.0 do not work together",
            "valkey-glide==2.10.0 valkey-glide-sync==2.10.0",
        ),
        (
            {"valkey-glide": "2.6.0", "valkey-glide-sync": None},
            "valkey-glide-sync is not installed",
            "pip install --force-reinstall valkey-glide valkey-glide-sync",
        ),
    ],
)
def test_wheels_that_differ(wheels: dict[str, str | None], what: str, fix: str) -> None:
    (finding,) = check_wheels(Facts(wheels=wheels))
    assert (finding.level, finding.what) == ("problem", what)
    assert "glide_shared" in finding.cause or "two wheels" in finding.cause
    assert fix in finding.fix


def test_module_versions_have_a_byte_for_each_part() -> None:
    assert module_version(65538) == (1, 0, 2)


def memory(**changes: Any) -> Facts:
    """What a memory asks that is well; with ``changes`` of it."""
    return replace(
        HEALTHY, memory=replace(MemoryIndex("memories", "auto", 20_000), **changes), index=None
    )


@pytest.mark.parametrize(
    "facts",
    [
        memory(),
        replace(memory(), json_commands=False, conversations=Conversations(2, ["a"])),
        replace(memory(search="exact"), search_commands=False),
        replace(memory(search="exact"), nodes=(replace(NODE, modules={"search": 0x010002}),)),
        replace(memory(), waiting=Waiting(5)),
    ],
)
def test_what_is_no_matter_of_a_memory_is_no_advice(facts: Facts) -> None:
    assert advise(facts) == ()


ADVICE: list[tuple[str, Facts, str, str, str, str]] = [
    (
        "no search",
        replace(memory(), search_commands=False),
        "warning", "no search module", "in the client", "valkey-bundle",
    ),
    (
        "no search, and it is needed",
        replace(memory(search="server"), search_commands=False),
        "problem", 'search is "server"', "every call of this memory fails", 'search="auto"',
    ),
    (
        "a misfit",
        memory(misfit="index 'memories' exists, but its dimension is 2, not 3"),
        "problem", "does not match this memory", "is 2, not 3.", "embedding model",
    ),
    (
        "no index",
        memory(documents=3),
        "warning", "no index has 3 documents of 'memories'", "dropped", "wait_until_ready",
    ),
    (
        "nearly too many",
        memory(search="exact", documents=16_001),
        "warning", "nearly too large", "16,001 memories of 20,000", "exact_limit=",
    ),
    (
        "too many",
        memory(search="exact", documents=20_001),
        "problem", "too large for exact search", "recall fails", "exact_limit=",
    ),
    (
        "evicts",
        replace(memory(), nodes=(replace(NODE, maxmemory_policy="allkeys-lru"),)),
        "problem", "throws memory away", "maxmemory", "noeviction",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", ADVICE, ids=lambda case: case[0])
def test_advice_names_cause_and_fix(case: Any) -> None:
    _, facts, level, what, cause, fix = case
    (finding,) = advise(facts)
    assert finding.level == level
    assert what in finding.what
    assert cause in finding.cause
    assert fix in finding.fix
