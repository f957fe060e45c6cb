"""consolidate: facts and episodes, as a cron job makes them."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from valkey_memory import LocalEmbedding, LongTermMemory, MessageStore, ValkeyConnection

from ..memory.scripted import ScriptedModel
from .conftest import Run, rows


@pytest.fixture
def memory(connection: ValkeyConnection, prefix: str) -> Iterator[LongTermMemory]:
    name = f"test-{uuid.uuid4().hex}"
    memory = LongTermMemory(
        LocalEmbedding(), connection=connection, index_name=name, key_prefix=prefix
    )
    yield memory
    memory.index.drop(delete_documents=True)


@pytest.fixture
def store(connection: ValkeyConnection, prefix: str) -> MessageStore:
    store = MessageStore(connection=connection, key_prefix=prefix, user_id="alice")
    store.append("s", {"role": "user", "content": "I like tea."})
    time.sleep(0.05)
    return store


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    def said(prompt: str) -> str:
        if "Known facts:" in prompt:
            return '[{"action": "new", "text": "Alice likes tea.", "from": [1]}]'
        return json.dumps({"title": "Tea", "summary": "Alice likes tea."})

    model = ScriptedModel(said)
    monkeypatch.setitem(sys.modules, "scripted_models", SimpleNamespace(model=model))
    return model


def test_facts_and_episodes(
    at: Run, store: MessageStore, memory: LongTermMemory, model: ScriptedModel
) -> None:
    chosen = ("--model", "scripted_models:model", "--index", memory.index.name, "--idle", "0.01")
    result = at("consolidate", *chosen)
    assert "1 conversation: 1 episode, 1 new fact, 0 changed, 0 ended" in result.stderr
    assert [one.text for one in memory.facts("alice")] == ["Alice likes tea."]
    (row,) = rows(at("consolidate", *chosen, "--json", "--user", "alice", "--limit", "5"))
    assert (row["conversations"], row["failed"], row["errors"]) == (0, 0, {})
    assert len(model.prompts) == 2


def test_a_failure_is_told_and_the_exit_code_is_1(
    at: Run, store: MessageStore, memory: LongTermMemory, model: ScriptedModel
) -> None:
    model.answer = RuntimeError("no credit")
    chosen = ("--model", "scripted_models:model", "--index", memory.index.name, "--idle", "0.01")
    assert "s: RuntimeError: no credit" in at("consolidate", *chosen, status=1).stderr
    assert at("consolidate", "--model", "nothing", status=2).stderr
    assert at("consolidate", *chosen, "--embedding", "nothing", status=2).stderr
