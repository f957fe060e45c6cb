"""``make demo``, offline: one conversation, two processes, two frameworks, then what is stored."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .search_server import find

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_demo_shows_one_conversation_across_processes_and_frameworks() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BEDROCK_", "VALKEY_"))
    }
    done = subprocess.run(
        [sys.executable, DEMO],
        capture_output=True,
        text=True,
        env=environment | {"COLUMNS": "100"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout
    assert "the scripted offline model" in shown
    first, second = re.findall(r"^LangChain, process (\d+)", shown, re.MULTILINE)
    assert first != second
    _, began, continued, in_llama_index, stored, recalled = re.split(
        r"^(?:LangChain|LlamaIndex|What is in Valkey|Recalled).* ─+$", shown, flags=re.MULTILINE
    )
    assert "Hello, I am Alice" in began
    assert "how many regions does our shop run" in continued  # asked in the first process
    assert "Your name is Alice" in in_llama_index  # said in LangChain
    assert "10 messages were added, the newest 8 kept" in stored
    assert re.search(r"TTL +3[0-9.]+ of 3600 seconds left", stored)
    elements = [json.loads(line) for line in stored.splitlines() if line.startswith('{"role"')]
    assert [element["role"] for element in elements] == ["user", "assistant"] * 4
    # By meaning, for a question in other words: exactly, and on a search server where one is there.
    searches = ["Exact search, in the client"]
    if find({}).modules:
        searches.append("Server search, valkey-search at")
    parts = re.split(r"^(?=\w+ search, )", recalled, flags=re.MULTILINE)[1:]
    assert len(parts) == len(searches)
    for part, search in zip(parts, searches, strict=True):
        assert part.startswith(search)
        of_alice, of_bob = part.split("bob asks")
        assert "ECS" in of_alice
        assert "CodePipeline" in of_alice
        assert "HNSW" not in of_alice  # the two nearest of three are asked for
        assert "cat sleeps" in of_bob
        assert not re.search("ECS|CodePipeline|HNSW", of_bob)
    assert shown.rstrip().endswith("stopped.")
