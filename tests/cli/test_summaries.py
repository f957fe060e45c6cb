"""summarize, and the summary that show prints."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from valkey_memory import MessageStore, Summary, ValkeyConnection

from ..memory.scripted import ScriptedModel
from .conftest import Run, rows


@pytest.fixture
def store(connection: ValkeyConnection, prefix: str) -> MessageStore:
    store = MessageStore(connection=connection, key_prefix=prefix)
    for number in range(4):
        store.append("s", {"role": "user", "content": f"question {number}"})
        store.append("s", {"role": "assistant", "content": f"answer {number}"})
    return store


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    model = ScriptedModel("They talk.\x1b[31m")
    monkeypatch.setitem(sys.modules, "scripted_models", SimpleNamespace(model=model))
    return model


def test_summarising_and_showing(at: Run, store: MessageStore, model: ScriptedModel) -> None:
    chosen = ("--model", "scripted_models:model", "--keep-last", "2")
    result = at("summarize", *chosen, session="s")
    assert result.stdout == "They talk.\\u001b[31m\n"
    assert "6 messages summarised" in result.stderr
    assert store.count_all("s") == (2, 6)
    shown = at("show", session="s").stdout
    assert shown.startswith("summary  of the messages before\n  They talk.\\u001b[31m\nuser")
    assert "question 2" not in shown
    found = rows(at("show", "--json", session="s"))
    assert found[0] == {"summary": "They talk.\x1b[31m"}
    assert len(found) == 3
    assert "They talk" not in at("show", "--raw", session="s").stdout
    assert "Nothing to summarise" in at("summarize", *chosen, session="s").stderr
    (row,) = rows(at("summarize", *chosen, "--json", session="s"))
    assert row == {"session_id": "s", "summarised": 0, "summary": "They talk.\x1b[31m"}
    assert len(model.prompts) == 1


def test_summarising_and_deleting(at: Run, store: MessageStore, model: ScriptedModel) -> None:
    chosen = ("--model", "scripted_models:model", "--keep-last", "2")
    at("summarize", *chosen, "--delete", "--max-tokens", "7", session="s")
    assert store.count_all("s") == (2, 0)
    assert "at most 7 tokens" in model.prompts[0]


def test_what_goes_wrong_is_said(at: Run, store: MessageStore, model: ScriptedModel) -> None:
    chosen = ("--model", "scripted_models:model")
    assert "no conversation 'x'" in at("summarize", *chosen, session="x", status=1).stderr
    model.answer = ZeroDivisionError("too many requests")
    result = at("summarize", *chosen, "--keep-last", "0", session="s", status=1)
    assert result.stderr == (
        "valkey-memory: the model failed: ZeroDivisionError: too many requests\n"
    )
    assert store.count("s") == 8
    for name in ("gpt", "no_module:model", "scripted_models:other"):
        assert name in at("summarize", "--model", name, session="s", status=2).stderr


def test_an_export_carries_the_summary(
    at: Run, store: MessageStore, connection: ValkeyConnection, prefix: str, tmp_path: object
) -> None:
    summary = Summary(ScriptedModel("They talk."), keep_last=2, when_over=4)
    own = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
    own.append("s", {"role": "user", "content": "more"})
    file = f"{tmp_path}/export.jsonl"
    at("export", "--output", file)
    before = own.messages("s"), own.archived("s")
    store.delete("s")
    at("import", file)
    assert (own.messages("s"), own.archived("s")) == before
    assert own.summary("s") == "They talk."
