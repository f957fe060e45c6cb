"""Processes killed while their agents run: turns are stored whole, and once when they go on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from langchain_valkey_glide import ValkeyChatMessageHistory, ValkeyMemoryMiddleware
from langgraph_valkey_glide import ValkeySaver

from .memory_agents import Asking, ScriptedAgent, calling, create_agent

ROOT = Path(__file__).parent.parent.parent
TURNS = 40


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def say(messages: list[Any]) -> Any:
    return "3." if messages[-1].type == "tool" else calling(("add", {"a": 1, "b": 2}))


def agent(url: str, prefix: str) -> Any:
    memory = ValkeyMemoryMiddleware(None, url=url, key_prefix=prefix)
    saver = ValkeySaver(url=url, key_prefix=f"graph-{prefix}")
    return create_agent(ScriptedAgent(say), [add], middleware=[memory], checkpointer=saver)


def run(url: str, prefix: str, thread: str) -> None:
    """What the process does that is killed."""
    asked = agent(url, prefix)
    print("ready", flush=True)
    for number in range(TURNS):
        Asking(is_async=False)(asked, f"question {number}", thread, durability="sync")


def questions(url: str, prefix: str, thread: str) -> list[str]:
    """The questions that are stored, after a look at their answers."""
    history = ValkeyChatMessageHistory(thread, url=url, key_prefix=prefix)
    said = [str(one.text) for one in history.get_messages()]
    assert said[1::2] == ["3."] * (len(said) // 2)
    assert len(said) % 2 == 0
    return said[::2]


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(8))
def test_kills(url: str, prefix: str, attempt: int) -> None:
    thread = f"t{attempt}"
    command = f"from {__name__} import run; run({url!r}, {prefix!r}, {thread!r})"
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(random.Random(attempt).uniform(0.02, 1))
        child.kill()
    assert child.returncode in (-signal.SIGKILL, 0)
    before = questions(url, prefix, thread)
    assert before == [f"question {number}" for number in range(len(before))]
    resumed = agent(url, prefix)
    state = resumed.get_state({"configurable": {"thread_id": thread}})
    if state.created_at is None:
        return  # killed before the first step
    Asking(is_async=False)(resumed, None, thread)
    state = resumed.get_state({"configurable": {"thread_id": thread}})
    asked = [one.text for one in state.values["messages"] if one.type == "human"]
    assert questions(url, prefix, thread) == asked
    assert len(asked) - len(before) <= 1
