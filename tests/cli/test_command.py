"""The console script itself, in a process of its own; and what all commands have in common."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from valkey_memory import EmbeddedValkey, MessageStore, ValkeyConnection

from ..servers import admin
from .conftest import INTERRUPTIBLE, SCRIPT, Run, rows
from .test_conversations import user

COMMANDS = ["sessions", "show", "search", "stats", "doctor", "export", "import", "delete", "demo"]
NOWHERE = "valkey://alice:s3cret@127.0.0.1:1?connection_timeout=0.5"


def script(*arguments: str, url: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VALKEY_URL": url}
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*SCRIPT, *arguments], capture_output=True, text=True, env=environment, **options
    )


def test_the_script(server_url: str, prefix: str) -> None:
    """Each topology, through the environment variable."""
    with ValkeyConnection.from_url(server_url) as connection:
        MessageStore(connection=connection, key_prefix=prefix).append("s", user("hello [b]x[/b]"))
    done = script("show", "s", "--key-prefix", prefix, url=server_url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hello [b]x[/b]" in done.stdout
    done = script("sessions", "--json", "--key-prefix", prefix, url=server_url)
    assert json.loads(done.stdout)["session_id"] == "s"


def test_help_names_every_command() -> None:
    done = script("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(run: Run, command: str) -> None:
    said = run(command, "--help", env={"COLUMNS": "80"}).stdout
    assert "--json" in said
    assert max(map(len, said.splitlines())) <= 80


def test_the_version(run: Run) -> None:
    assert run("--version").stdout.strip()[0].isdigit()


def test_an_embedded_server(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path}/data"
    with ValkeyConnection.from_url(url) as connection:
        MessageStore(connection=connection).append("s", user("hello"))
    done = script("sessions", "--json", "--url", url)
    assert json.loads(done.stdout)["session_id"] == "s"
    assert done.stderr == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions"], ["show", "s"], ["search", "x", "--index", "i"], ["stats"], ["export"],
        ["delete", "s"], ["doctor"],
    ],
)  # fmt: skip
def test_a_server_that_is_down(run: Run, arguments: Sequence[str]) -> None:
    result = run(*arguments, "--url", NOWHERE, "--timeout", "1", status=1)
    said = result.stdout + result.stderr
    assert "127.0.0.1:1" in said
    assert "s3cret" not in said
    assert "Traceback" not in said
    if arguments != ["doctor"]:
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["sessions", "--url", "http://alice:s3cret@host"],
        ["sessions", "--url", "valkey://alice:s3cret@host:port"],
        ["sessions", "--key-prefix", "{"],
        ["sessions", "--timeout", "0"],
        ["sessions", "--timeout", "nan"],
        ["sessions", "--timeout", "inf"],
        ["sessions", "--timeout", "1e30"],
        ["sessions", "--key-prefix", "not-\udcff-utf8"],
        ["show", "not-\udcff-utf8"],
        ["sessions", "--url", f"valkey://alice:s3cret@host/{10**20}"],
        ["sessions", "--url", "valkey://alice:s3cret@host:99999"],
        ["sessions", "--url", "valkey://host?auth=s3cret"],
        ["sessions", "--url", "alice:s3cret@host"],
        ["sessions", "--no-such-option"],
        ["show"],
        ["show", ""],
        ["search", "x", "--index", "i", "--filter", "{"],
        ["search", "x", "--index", "i", "--filter", "[]"],
        ["doctor", "--dimension", "3"],
        ["no-such-command"],
    ],
)
def test_wrong_use(run: Run, arguments: Sequence[str]) -> None:
    result = run(*arguments, status=2)
    assert result.stdout == ""
    assert result.stderr
    assert "s3cret" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["typer", "rich"])
def test_without_the_extra(name: str) -> None:
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        f"u.find_spec = lambda n, *a: None if n == {name!r} else find(n, *a)\n"
        "from valkey_memory._cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"valkey-memory needs {name}: pip install 'valkey-glide-memory[cli]'"
    ]


def test_the_library_does_not_import_it() -> None:
    code = (
        "import sys, valkey_memory, valkey_memory.adapters\n"
        "assert not {'typer', 'rich', 'click', 'valkey_memory._cli'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_demo() -> None:
    done = script("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "LRANGE chat:alice-1 0 -1" in done.stdout
    assert "6 messages were added, the newest 4 are kept" in done.stdout
    found = json.loads(script("demo", "--json").stdout)
    assert (found["added"], found["kept"]) == (6, 4)
    assert [json.loads(one)["role"] for one in found["elements"]] == ["user", "assistant"] * 2


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or text not in lines[-1]:
        line = process.stdout.readline()
        assert line, lines
        lines.append(line)
    return lines


def test_follow_until_ctrl_c(server_url: str, prefix: str) -> None:
    """New messages, at the window and without one; then a conversation that is replaced."""
    with ValkeyConnection.from_url(server_url) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix, max_messages=12)
        store.extend("s", [user(f"old {number}") for number in range(10)])
        command = [*INTERRUPTIBLE, "show", "s", "--follow", "--interval", "0.05"]
        command += ["--last", "3", "--url", server_url, "--key-prefix", prefix]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert "old 6" not in "".join(lines_until(process, "old 9"))
                for number in range(5):  # past the window
                    store.append("s", user(f"new {number}"))
                    seen = lines_until(process, f"new {number}")
                    assert len(seen) == 2, seen
                store.extend("s", [user(f"many {number}") for number in range(11)])
                seen = lines_until(process, "many 10")
                assert sum("many" in line for line in seen) == 11
                store.delete("s")
                lines_until(process, "deleted")
                store.append("s", user("again"))
                lines_until(process, "again")
                time.sleep(0.2)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
            finally:
                process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_a_pipe_that_closes(url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.extend("s", [user("x" * 200) for _ in range(5000)])
    line = f"{' '.join(SCRIPT)} show s --url {url} --key-prefix {prefix} | head -1"
    done = subprocess.run(  # noqa: S602
        line, shell=True, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("user")
    assert "Traceback" not in done.stderr


def test_stats(run: Run, at: Run, server_url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(server_url) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.extend("large", [user("x" * 1000) for _ in range(100)])
        store.extend("small", [user("x"), user("y")])
        store.archive_oldest("small", 1)
        store.set_ttl("small", 600)
    (found,) = rows(at("stats", "--json"))
    assert (found["conversations"], found["messages"], found["archived"]) == (2, 101, 1)
    assert found["without_ttl"] == 1
    large, small = found["largest"]
    assert (large["session_id"], small["session_id"]) == ("large", "small")
    assert large["bytes"] > 100_000 > small["bytes"] > 0
    assert found["bytes"] == large["bytes"] + small["bytes"]
    assert len(rows(at("stats", "--top", "1", "--json"))[0]["largest"]) == 1
    assert "2 conversations under" in at("stats").stdout


def test_stats_where_memory_usage_is_not_permitted(run: Run, server: EmbeddedValkey) -> None:
    with ValkeyConnection.from_url(server.url) as connection:
        store = MessageStore(connection=connection, key_prefix="stats-refused:")
        store.append("s", user("x"))
        admin(server.port, "ACL", "SETUSER", "carol", "on", ">pw", "~*", "+@all", "-memory")
        url = server.url.replace("valkey://", "valkey://carol:pw@")
        options = ("stats", "--url", url, "--key-prefix", "stats-refused:")
        assert rows(run(*options, "--json"))[0]["bytes"] is None
        assert "memory unknown" in run(*options).stdout
        store.delete("s")
        admin(server.port, "ACL", "DELUSER", "carol")


def test_nothing_but_json_on_stdout_when_a_command_asks(url: str, prefix: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        MessageStore(connection=connection, key_prefix=prefix).append("s", user("x"))
    options = ("delete", "s", "--json", "--url", url, "--key-prefix", prefix)
    done = script(*options, input="n\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Delete 's' with 1 message" in done.stderr
    done = script(*options, input="y\n")
    assert done.returncode == 0
    assert json.loads(done.stdout)["deleted"] is True
