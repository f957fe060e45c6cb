"""LangGraph's own conformance suite for checkpointers: each capability, each of its tests."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

from langgraph_valkey_glide import ValkeySaver
from valkey_memory import ValkeyConnection

TESTS = {
    "put": 17,
    "put_writes": 10,
    "get_tuple": 10,
    "list": 16,
    "delete_thread": 5,
    "delete_for_runs": 7,
    "copy_thread": 8,
    "prune": 8,
}
"""How many tests a capability has at least."""


def test_every_known_capability_is_tried() -> None:
    assert {one.value for one in Capability} >= TESTS.keys()


@pytest.mark.parametrize("capability", [one.value for one in Capability])
async def test_conformance(connection: ValkeyConnection, capability: str) -> None:
    @checkpointer_test(name="ValkeySaver")
    async def valkey_saver() -> AsyncIterator[ValkeySaver]:
        yield ValkeySaver(connection=connection, key_prefix=f"test-{uuid.uuid4().hex}:")

    report = await validate(valkey_saver, capabilities={capability})
    found = report.results[capability]
    assert found.failures == []
    assert found.passed
    assert found.tests_passed >= TESTS.get(capability, 1)
