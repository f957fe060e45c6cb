"""The recorder itself: what it keeps, and that a replay fails when the library changes."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import CommandError, OperationTimeoutError, ValkeyConnection
from valkey_memory._plans import (
    AskCluster,
    Pause,
    Plan,
    Reply,
    Request,
    Scan,
    ScanPage,
    Step,
    atomic,
)

from ..search_server import find
from .plugin import SearchReport
from .recorder import (
    ADDRESS,
    RECORDINGS,
    RecordingConnection,
    RecordingMismatchError,
    ReplayConnection,
    Tape,
    decode,
    describe,
    encode,
)

ROOT = Path(__file__).parents[2]
VECTOR = b"\x00\x00\x80?"


@pytest.mark.parametrize(
    "reply",
    [
        b"text", b"", VECTOR, b"\xff", "OK", 5, -1.5, True, None, [], [b"a", [b"b", 1]],
        {b"z": b"1", b"a": {b"x": VECTOR}}, {}, [2, {b"k": {b"_score": b"0.5"}}],
        "é\n".encode(), ScanPage([b"a", VECTOR], None), ScanPage([], b"17"),
    ],
    ids=repr,
)  # fmt: skip
def test_replies_come_back_as_they_were(reply: Any) -> None:
    again = decode(encode(reply))
    assert again == reply
    assert type(again) is type(reply)
    if isinstance(reply, dict):
        assert list(again) == list(reply)


def test_errors_come_back_as_they_were() -> None:
    again = decode(encode([CommandError("no such index")]))[0]
    assert (type(again), str(again)) == (CommandError, "no such index")


def test_what_cannot_be_recorded_is_an_error() -> None:
    with pytest.raises(TypeError, match="cannot be recorded"):
        encode({1, 2})


def test_a_string_and_its_bytes_are_one_command() -> None:
    one, other = (Request("x", (("SET", key),)) for key in ("é", "é".encode()))
    assert describe(one) == describe(other)


def test_every_part_of_a_step_is_compared() -> None:
    steps: list[Step] = [
        Request("x", (("GET", "a"),)),
        Request("y", (("GET", "a"),)),
        Request("x", (("GET", "b"),)),
        Request("x", (("GET", "a"), ("GET", "a"))),
        Request("x", (("GET", "a"),), atomic=True),
        Request("x", (("GET", "a"),), errors_as_replies=True),
        Scan("x", "a*"),
        Scan("x", "b*"),
        Scan("x", "a*", "hash"),
        AskCluster("x"),
    ]
    described = [describe(step) for step in steps]
    assert all(one not in described[:at] for at, one in enumerate(described))


# On a real, plain server


def dialogue(key: str, value: str) -> Plan[list[Reply]]:
    cluster = yield AskCluster("ask")
    found: list[Reply] = [cluster]
    found += yield atomic("write", ("SET", key, value), ("GET", key))
    found += yield Request("wrong", (("LPUSH", key, "a"),), errors_as_replies=True)
    yield Pause(0.001)
    found += yield Request("remove", (("UNLINK", key),))
    try:
        yield Request("wrong again", (("NOSUCHCOMMAND",),))
    except CommandError as error:
        found.append(str(error))
    return found


@pytest.fixture
def tape_path(tmp_path: Path, standalone_connection: ValkeyConnection) -> Path:
    """A recording of ``dialogue("recorded", "value")``."""
    tape = Tape(tmp_path / "dialogue.jsonl")
    recorder = RecordingConnection(standalone_connection, tape, compare=False)
    found = recorder.run(dialogue("recorded", "value"))
    assert found[:3] == [False, "OK", b"value"]
    tape.write()
    return tape.path


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_replay_gives_the_same(tape_path: Path, is_async: bool) -> None:
    tape = Tape(tape_path)
    replay = ReplayConnection(tape)
    plan = dialogue("recorded", "value")
    found = asyncio.run(replay.arun(plan)) if is_async else replay.run(plan)
    assert found[:3] == [False, "OK", b"value"]
    assert isinstance(found[3], Exception)
    assert "WRONGTYPE" in str(found[3])
    assert found[4] == 1
    assert f"failed at {ADDRESS}" in found[5]
    tape.finish()


def test_recordings_name_no_port(tape_path: Path, standalone_connection: ValkeyConnection) -> None:
    text = tape_path.read_text()
    assert standalone_connection.address not in text
    assert ADDRESS in text
    assert len(text.splitlines()) == 5


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_other_commands_fail_with_a_diff(tape_path: Path, is_async: bool) -> None:
    replay = ReplayConnection(Tape(tape_path))
    run = (lambda plan: asyncio.run(replay.arun(plan))) if is_async else replay.run
    with pytest.raises(RecordingMismatchError) as caught:
        run(dialogue("recorded", "other"))
    message = str(caught.value)
    assert "step 2 is not that of the recording dialogue.jsonl" in message
    assert '-["SET", "recorded", "value"]' in message
    assert '+["SET", "recorded", "other"]' in message
    assert "--record-search" in message


def test_a_real_run_is_compared_too(
    tape_path: Path, standalone_connection: ValkeyConnection
) -> None:
    tape = Tape(tape_path)
    same = RecordingConnection(standalone_connection, tape, compare=True)
    same.run(dialogue("recorded", "value"))
    tape.finish()
    other = RecordingConnection(standalone_connection, Tape(tape_path), compare=True)
    with pytest.raises(RecordingMismatchError, match="step 2"):
        other.run(dialogue("recorded", "other"))


def test_steps_left_over_fail(tape_path: Path) -> None:
    tape = Tape(tape_path)

    def short() -> Plan[None]:
        yield AskCluster("ask")

    ReplayConnection(tape).run(short())
    with pytest.raises(RecordingMismatchError, match=r"step 2.*\n(.*\n)*\+nothing"):
        tape.finish()


def test_steps_too_many_fail(tape_path: Path) -> None:
    replay = ReplayConnection(Tape(tape_path))
    replay.run(dialogue("recorded", "value"))
    with pytest.raises(RecordingMismatchError, match=r"step 6.*\n(.*\n)*-nothing"):
        replay.run(dialogue("recorded", "value"))


def test_a_missing_recording_fails(tmp_path: Path) -> None:
    replay = ReplayConnection(Tape(tmp_path / "none.jsonl"))
    with pytest.raises(RecordingMismatchError, match=r"there is no recording none\.jsonl"):
        replay.run(dialogue("recorded", "value"))


def test_an_error_that_was_raised_is_raised_again(
    tmp_path: Path, standalone_connection: ValkeyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(step: Any) -> None:
        raise OperationTimeoutError(f"no answer at {standalone_connection.address}")

    monkeypatch.setattr(standalone_connection, "_execute", fail)
    tape = Tape(tmp_path / "timeout.jsonl")
    plan = dialogue("recorded", "value")
    with pytest.raises(OperationTimeoutError):
        RecordingConnection(standalone_connection, tape, compare=False).run(plan)
    tape.write()
    with pytest.raises(OperationTimeoutError, match=f"no answer at {ADDRESS}"):
        ReplayConnection(Tape(tape.path)).run(dialogue("recorded", "value"))


# Where the server comes from


def test_a_url_comes_first(tmp_path: Path) -> None:
    _modules(tmp_path, "lib")
    source = find({"VALKEY_TEST_URL": "valkey://x:1", "VALKEY_MODULES_DIR": str(tmp_path)})
    assert source.url == "valkey://x:1"
    assert source.found


@pytest.mark.parametrize("prefix", ["lib", ""])
def test_modules_are_found_by_either_name(tmp_path: Path, prefix: str) -> None:
    _modules(tmp_path, prefix)
    source = find({"VALKEY_MODULES_DIR": str(tmp_path)})
    assert source.url is None
    assert source.modules == (tmp_path / f"{prefix}json.so", tmp_path / f"{prefix}search.so")


def test_nothing_is_found_when_told_so(tmp_path: Path) -> None:
    _modules(tmp_path, "lib")
    environment = {"VALKEY_MODULES_DIR": str(tmp_path), "VALKEY_TEST_URL": "valkey://x:1"}
    assert not find({**environment, "VALKEY_TEST_NO_MODULES": "1"}).found
    assert find({**environment, "VALKEY_TEST_NO_MODULES": "0"}).found


def _modules(directory: Path, prefix: str) -> None:
    for name in ("json", "search"):
        (directory / f"{prefix}{name}.so").touch()


# The recordings and the summary


def test_every_recording_belongs_to_a_test() -> None:
    found = sorted(RECORDINGS.rglob("*.jsonl"))
    assert len(found) > 100
    for path in found:
        module = importlib.import_module(f"tests.vectors.{path.parent.name}")
        assert hasattr(module, path.stem.partition("[")[0]), f"{path} has no test: delete it"


def test_recordings_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in RECORDINGS.rglob("*.jsonl")}
    assert max(sizes.values()) < 60_000
    assert sum(sizes.values()) < 3_000_000


def test_the_summary_says_what_was_replayed() -> None:
    """By the controller of a worker, which collects none of the tests itself."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST")}
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "1",
        "-m", "", "-k", "(test_count or beyond) and not exact",
        "tests/vectors/test_vector_index.py",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**environment, "VALKEY_TEST_NO_MODULES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if "vector search:" in line]
    assert len(lines) == 1
    expected = (
        r"vector search: no module found, replayed 6 tests from recordings, "
        r"deselected (\d+) that need a real server"
    )
    match = re.fullmatch(expected, lines[0])
    assert match is not None
    assert int(match[1]) >= 6


@pytest.mark.parametrize(
    ("ran", "deselected", "line"),
    [
        ({"real valkey-search 1.2.1": 57}, 0, "real valkey-search 1.2.1 (57 tests), replayed 0"),
        ({"replayed": 57}, 0, "no module found, replayed 57 tests from recordings"),
    ],
    ids=["real", "replayed"],
)
def test_the_summary_line(ran: dict[str, int], deselected: int, line: str) -> None:
    report = SearchReport.__new__(SearchReport)
    report.ran, report.deselected = Counter(ran), deselected
    assert report.summary() == f"vector search: {line}"
