"""All of a user on the command line: forget, export --user, and import of what that wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from valkey_memory import RunLog, ToolCache, UserData, ValkeyConnection
from valkey_memory._keys import ERASING, user_key

from ..memory.persons import Place
from ..memory.test_long_term import HOSTILE_IDS
from ..servers import send
from .conftest import Run, rows


@pytest.fixture
def place(connection: ValkeyConnection, prefix: str) -> Iterator[Place]:
    found = Place(connection, prefix, prefix.removesuffix(":"))
    yield found
    found.memory().index.drop(delete_documents=True)


def test_forget_asks_and_says_what_goes(at: Run, place: Place) -> None:
    place.fill("alice", "alice")
    place.fill("bob", "bob")
    options = ("forget", "--user", "alice", "--memory-index", place.index)
    for answer in ("", "n\n", "\n", "no\n"):
        said = at(*options, input=answer, status=1).stderr
        assert "Erase 3 conversations and 5 memories of 'alice' at " in said
        assert "nothing was changed" in said
    assert place.data().count("alice").memories == 5
    said = at(*options, input="y\n").stdout
    assert said == "Erased 3 conversations with 6 messages, and 5 memories of alice.\n"
    assert place.data().count("alice").conversations == 0
    assert place.data().count("bob").conversations == 3
    assert "nothing is kept of 'alice'" in at(*options, "--yes", status=1).stderr


def test_forget_as_json(at: Run, place: Place) -> None:
    place.fill("alice", "alice")
    result = at("forget", "--user", "alice", "--memory-index", place.index, "--yes", "--json")
    (receipt,) = rows(result)
    times = {name: receipt.pop(name) for name in ("started_at", "finished_at")}
    assert receipt == {
        "conversations": 3, "messages": 5, "archived": 1, "summaries": 1, "memories": 5,
        "user_id": "alice", "key_prefix": place.prefix, "indexes": [place.index],
        "resumed": False, "cleared": 0,
    }  # fmt: skip
    assert times["started_at"] <= times["finished_at"]


def test_forget_clears_results_of_tools_and_runs(at: Run, place: Place) -> None:
    names = {"--tool-prefix": f"t-{place.prefix}", "--run-prefix": f"r-{place.prefix}"}
    tools = ToolCache(connection=place.connection, key_prefix=names["--tool-prefix"])
    runs = RunLog(connection=place.connection, key_prefix=names["--run-prefix"])
    for user in ("alice", "bob"):
        tools.get_or_call("t", {}, lambda: 1, user_id=user)
        runs.append(f"of {user}", "run_start", user_id=user)
    options = ("forget", "--user", "alice", *(part for pair in names.items() for part in pair))
    said = at(*options, "--yes").stdout
    assert said == (
        "Erased 0 conversations with 0 messages, and 0 memories, 2 results and runs of alice.\n"
    )
    assert [run.run_id for run in runs.runs()] == ["of bob"]
    assert tools.clear() == 1
    at(*options, "--yes", status=1)


def test_forget_goes_on_where_it_was_interrupted(at: Run, place: Place) -> None:
    send(place.connection, "HSET", user_key(place.prefix, "alice", ERASING), "started_ms", "1")
    assert "Erased 0 conversations" in at("forget", "--user", "alice").stdout
    at("forget", "--user", "alice", status=1)
    at("forget", "--user", "", status=2)
    at("forget", status=2)


def test_a_user_in_a_file_and_back(at: Run, place: Place, tmp_path: Path) -> None:
    place.fill("bob", "bob")
    place.fill("alice", "alice")
    before = place.content()
    file = str(tmp_path / "alice.jsonl")
    index = ("--memory-index", place.index)
    said = at("export", "--user", "alice", *index, "-o", file)
    assert said.stdout == ""
    assert "3 conversations with 6 messages, and 5 memories of 'alice'" in said.stderr
    at("forget", "--user", "alice", *index, "--yes")
    at("import", file)
    assert place.content() == before

    refused = at("import", file, status=1).stderr
    assert "3 conversations and 5 memories of 'alice'" in refused
    assert "--replace" in refused
    at("import", file, "--append", status=2)
    at("import", file, "--replace", input="n\n", status=1)
    assert "Imported 3" in at("import", file, "--replace", input="y\n").stderr
    assert place.content() == before


def test_through_a_pipe(at: Run, place: Place) -> None:
    place.fill("alice", "alice")
    index = ("--memory-index", place.index)
    lines = at("export", "--user", "alice", *index, "--json").stdout_bytes
    assert json.loads(lines.splitlines()[0])["user_id"] == "alice"
    assert "cannot ask" in at("import", "-", "--replace", input=lines, status=1).stderr
    (counts,) = rows(at("import", "-", "--replace", "--yes", "--json", input=lines))
    assert (counts["user_id"], counts["conversations"], counts["memories"]) == ("alice", 3, 5)
    cut = b"".join(lines.splitlines(keepends=True)[:-1])
    said = at("import", "-", "--replace", "--yes", input=cut, status=1).stderr
    assert "cut off" in said
    assert "Nothing was written" in said


def test_what_cannot_be(at: Run, place: Place, tmp_path: Path) -> None:
    file = tmp_path / "nobody.jsonl"
    assert "nothing is kept" in at("export", "--user", "x", "-o", str(file), status=1).stderr
    assert not file.exists()
    at("export", "session", "--user", "alice", status=2)
    at("export", "--begins", "s", "--user", "alice", status=2)
    at("export", "--memory-index", "memory", status=2)
    at("forget", "--user", "alice", "--memory-index", "a:b", "--yes", status=2)
    place.fill("alice", "alice")
    nowhere = str(tmp_path / "no" / "where")
    assert "cannot write" in at("export", "--user", "alice", "-o", nowhere, status=1).stderr


def test_hostile_users(at: Run, place: Place) -> None:
    data = UserData(connection=place.connection, key_prefix=place.prefix, indexes=[])
    for user in HOSTILE_IDS:
        place.store(user).append(f"of {user}", {"role": "user", "content": "Hi"})
    for user in HOSTILE_IDS[::4]:
        at("forget", f"--user={user}", "--yes")
    left = [user for user in HOSTILE_IDS if data.count(user).conversations]
    assert left == [user for n, user in enumerate(HOSTILE_IDS) if n % 4]
