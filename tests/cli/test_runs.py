"""``valkey-memory runs``: the list of runs, and the log of one."""

from __future__ import annotations

import signal
import subprocess
import threading
import time

import pytest

from valkey_memory import RunLog, ValkeyConnection

from .conftest import INTERRUPTIBLE, Run, rows


@pytest.fixture
def log(connection: ValkeyConnection, prefix: str) -> RunLog:
    found = RunLog(connection=connection, key_prefix=prefix)
    found.append("r-1", "run_start", {"name": "support", "input": {"q": [1]}}, step="1")
    found.append("r-1", "tool_start", {"name": "search", "input": "tea"}, step="2", parent="1")
    found.append("r-1", "tool_error", {"name": "search", "error": "KeyError", "seconds": 0.25})
    found.append("r-1", "run_end", {"name": "support", "seconds": 1.5})
    return found


def test_the_list(at: Run, log: RunLog) -> None:
    log.append("r-2", "run_start", {"name": "other\x1b[31m"})
    result = at("runs")
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["LAST", "ACTIVE", "STATE", "EVENTS", "RUN"]
    assert first.split()[2:] == ["running", "1", "r-2", "other\\u001b[31m"]
    assert second.split()[2:] == ["ended", "4", "r-1", "support"]
    assert result.stderr == "2 runs\n"
    assert len(at("runs", "--limit", "1").stdout.splitlines()) == 2
    listed = rows(at("runs", "--json"))
    assert [(one["run_id"], one["events"], one["state"]) for one in listed] == [
        ("r-2", 1, "running"),
        ("r-1", 4, "ended"),
    ]


def test_one_run(at: Run, log: RunLog) -> None:
    lines = at("runs", "r-1").stdout.splitlines()
    assert [line.split(maxsplit=2)[-1].split() for line in lines if line[0] == "2"] == [
        ["run_start", "support"],
        ["tool_start", "search"],
        ["tool_error", "search", "0.25", "s"],
        ["run_end", "support", "1.5", "s"],
    ]
    assert [line for line in lines if line[0] == " "] == [
        '  input: {"q":[1]}', "  input: tea", "  error: KeyError",
    ]  # fmt: skip
    first, second, *_ = rows(at("runs", "r-1", "--json"))
    assert (first["action"], first["details"]) == (
        "run_start", {"name": "support", "input": {"q": [1]}},
    )  # fmt: skip
    assert (second["step"], second["parent"]) == ("2", "1")


def test_hostile_content(at: Run, log: RunLog) -> None:
    run = "*\n\x1b[2J{}"
    log.append(run, "a\nb", {"na\x1bme": "\ud800\x1b", "name": "\nx", "t": (1,)}, step="\n")
    text = at("runs", session=run).stdout
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3
    (event,) = rows(at("runs", "--json", session=run))
    assert event["action"] == "a\nb"
    assert event["details"]["t"] == {"~": "tuple", "v": [1]}


def test_what_is_not_there(at: Run, prefix: str) -> None:
    assert "No run under" in at("runs").stderr
    assert rows(at("runs", "--json")) == []
    assert "there is no log of a run 'r-9'" in at("runs", "r-9", status=1).stderr
    at("runs", "--follow", status=2)
    at("runs", "--limit", "0", status=2)


def test_follow_until_the_run_ends(at: Run, log: RunLog) -> None:
    log.append("live", "run_start")

    def work() -> None:
        for _ in range(3):
            time.sleep(0.1)
            log.append("live", "thought")
        log.append("live", "run_end")

    worker = threading.Thread(target=work)
    worker.start()
    seen = rows(at("runs", "live", "--follow", "--interval", "0.05", "--json"))
    worker.join()
    assert [one["action"] for one in seen] == ["run_start", *["thought"] * 3, "run_end"]


@pytest.mark.slow
def test_an_interrupt_ends_it_in_peace(log: RunLog, prefix: str, server_url: str) -> None:
    log.append("live", "run_start")
    command = [*INTERRUPTIBLE, "runs", "live", "--follow", "--url", server_url]
    with subprocess.Popen(
        [*command, "--key-prefix", prefix],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            assert "run_start" in child.stdout.readline()
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (0, "", "")
