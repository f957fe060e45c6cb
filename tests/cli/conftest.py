from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from valkey_memory import ValkeyConnection
from valkey_memory._cli.commands import app

Run = Callable[..., Result]

SCRIPT = [sys.executable, "-W", "error", "-m", "valkey_memory._cli"]
DEFAULT_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
INTERRUPTIBLE = [
    *SCRIPT[:3],
    "-c",
    f"{DEFAULT_SIGINT}; from valkey_memory._cli import main; main()",
]
"""The script, where the parent ignores Ctrl-C, too, as under nohup: a child inherits that."""


def rows(result: Result) -> list[dict[str, Any]]:
    """What ``--json`` printed: one object per line, and nothing else."""
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in this process; its exit status must be 0 unless said otherwise."""
    monkeypatch.delenv("VALKEY_URL", raising=False)

    def run(*arguments: str, status: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(app, list(arguments), **options)
        assert result.exit_code == status, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def server_url(connection: ValkeyConnection) -> str:
    """The URL of ``connection``: standalone and cluster in turn."""
    assert connection.url is not None
    return connection.url


@pytest.fixture
def at(run: Run, server_url: str, prefix: str) -> Run:
    """``run`` with the options that lead to this test's conversations."""

    def at(*arguments: str, session: str | None = None, **options: Any) -> Result:
        last = [] if session is None else ["--", session]  # may begin with a dash
        return run(*arguments, "--url", server_url, "--key-prefix", prefix, *last, **options)

    return at
