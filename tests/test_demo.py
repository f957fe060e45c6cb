"""``make demo``, offline: one conversation, two processes, two frameworks, then what is stored."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    _, began, continued, in_llama_index, stored = re.split(
        r"^(?:LangChain|LlamaIndex|What is in Valkey).* ─+$", shown, flags=re.MULTILINE
    )[:5]
    assert "Hello, I am Alice" in began
    assert "how many regions does our shop run" in continued  # asked in the first process
    assert "Your name is Alice" in in_llama_index  # said in LangChain
    assert "10 messages were added, the newest 8 kept" in stored
    assert re.search(r"TTL +3[0-9.]+ of 3600 seconds left", stored)
    elements = [json.loads(line) for line in stored.splitlines() if line.startswith('{"role"')]
    assert [element["role"] for element in elements] == ["user", "assistant"] * 4
    assert shown.rstrip().endswith("stopped.")
