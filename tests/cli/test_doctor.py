"""doctor on real servers that are ill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import (
    Document,
    EmbeddedValkey,
    LongTermMemory,
    MessageStore,
    ValkeyConnection,
    VectorIndex,
)

from ..models.words import Words
from ..search_server import SearchSource, find
from ..servers import admin, send
from .conftest import Run, rows
from .test_conversations import user

MODULES = find().modules
PREFIX = "doctor:"


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedValkey]:
    """A server whose settings these tests change."""
    with EmbeddedValkey(config={"appendonly": "yes"}) as server:
        yield server


def findings(result: Any) -> dict[str, dict[str, str]]:
    """What is not ok, by check."""
    (report,) = rows(result)
    found = [one for one in report["findings"] if one["level"] != "ok"]
    assert all(one["cause"] and one["fix"] for one in found)
    assert report["problems"] == sum(one["level"] == "problem" for one in found)
    return {one["check"]: one for one in found}


def test_a_plain_server(run: Run, own_server: EmbeddedValkey) -> None:
    options = ("doctor", "--url", own_server.url)
    found = findings(run(*options, "--json"))
    assert found.keys() == {"search"}
    assert found["search"]["what"] == "no search module"
    run(*options, "--strict", status=1)
    text = run(*options).stdout
    assert "cause  The server has no FT commands" in text
    assert "fix    For larger memories load valkey-search" in text
    assert "0 problems, 1 warning" in text


def test_a_cluster(run: Run, cluster_url: str) -> None:
    text = run("doctor", "--url", cluster_url, "--key-prefix", "none:").stdout
    assert "a cluster of 3 primaries" in text


def test_one_node_of_a_cluster_that_evicts(
    run: Run, cluster_url: str, cluster_ports: list[int]
) -> None:
    admin(cluster_ports[2], "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    try:
        found = findings(run("doctor", "--url", cluster_url, "--json", status=1))
    finally:
        admin(cluster_ports[2], "CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "allkeys-random" in found["eviction"]["what"]


def test_glide_wheels_that_differ(tmp_path: Path) -> None:
    """As pip leaves them when it updates one: the metadata on the path has another version."""
    wheel = tmp_path / "valkey_glide_sync-2.0.0.dist-info"
    wheel.mkdir()
    (wheel / "METADATA").write_text("Name: valkey-glide-sync\nVersion: 2.0.0\n")
    code = "from valkey_memory._cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}["glide"]
    assert found["what"].endswith("and valkey-glide-sync 2.0.0 do not work together")
    assert "two versions one half is wrong" in found["cause"]
    assert found["fix"].startswith("pip install --force-reinstall valkey-glide==")


def test_server_down(run: Run) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"valkey://127.0.0.1:{free.getsockname()[1]}"
    found = findings(run("doctor", "--url", url, "--json", status=1))
    assert found.keys() == {"connection"}
    assert "cannot be reached" in found["connection"]["what"]


def test_wrong_password(run: Run, own_server: EmbeddedValkey) -> None:
    address = own_server.url.removeprefix("valkey://")
    admin(own_server.port, "CONFIG", "SET", "requirepass", "right")
    try:
        for credentials in (":wr0ng@", ""):
            result = run("doctor", "--url", f"valkey://{credentials}{address}", "--json", status=1)
            assert "refuses user or password" in findings(result)["connection"]["what"]
            assert "wr0ng" not in result.output
        result = run("doctor", "--url", f"valkey://:right@{address}", "--json")
        assert "right" not in result.output
    finally:
        with ValkeyConnection.from_url(f"valkey://:right@{address}") as connection:
            send(connection, "CONFIG", "SET", "requirepass", "")


@pytest.mark.parametrize("limit", ["0", "100mb"])
def test_allkeys_lru(run: Run, own_server: EmbeddedValkey, limit: str) -> None:
    admin(own_server.port, "CONFIG", "SET", "maxmemory", limit)
    admin(own_server.port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        found = findings(run("doctor", "--url", own_server.url, "--json", status=1))
    finally:
        admin(own_server.port, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        admin(own_server.port, "CONFIG", "SET", "maxmemory", "0")
    assert "allkeys-lru throws memory away" in found["eviction"]["what"]


def test_persistence_off(run: Run) -> None:
    with EmbeddedValkey(config={"appendonly": "no", "save": '""'}) as server:
        found = findings(run("doctor", "--url", server.url, "--json"))
    assert found["persistence"]["what"] == "persistence is off"


def test_some_conversations_never_expire(run: Run, own_server: EmbeddedValkey) -> None:
    options = ("doctor", "--url", own_server.url, "--key-prefix", PREFIX, "--json")
    with ValkeyConnection.from_url(own_server.url) as connection:
        store = MessageStore(connection=connection, key_prefix=PREFIX)
        store.append("endless", user("x"))
        assert "ttl" not in findings(run(*options))
        store.append("other", user("x"))
        store.set_ttl("other", 600)
        found = findings(run(*options))
    assert found["ttl"]["what"] == "1 of 2 conversations never expire, the others do"
    assert "'endless'" in found["ttl"]["cause"]


def test_facts_that_wait_for_extraction(run: Run, own_server: EmbeddedValkey) -> None:
    options = ("doctor", "--url", own_server.url, "--key-prefix", "waiting:", "--json")
    with ValkeyConnection.from_url(own_server.url) as connection:
        memory = LongTermMemory(
            Words(), connection=connection, index_name="waiting", search="exact"
        )
        store = MessageStore(connection=connection, key_prefix="waiting:", user_id="alice")
        store.append("s", user("I like tea."))
        send(connection, "HSET", "{waiting:s}:meta", "last_active", "1000")
        assert "facts" not in findings(run(*options, "--memory-index", "waiting"))
        memory.remember("Alice likes tea.", user_id="alice")
        assert "facts" not in findings(run(*options))
        found = findings(run(*options, "--memory-index", "waiting"))["facts"]
        assert found["what"] == "facts of 1 of 1 conversation wait for extraction"
        assert "'s'" in found["cause"]
        memory.extract_facts("s", user_id="alice", model=lambda _: "[]")
        MessageStore(connection=connection, key_prefix="waiting:").delete("s")
        (report,) = rows(run(*options, "--memory-index", "waiting"))
        memory.index.drop(delete_documents=True)
    (found,) = [one for one in report["findings"] if one["check"] == "facts"]
    assert (found["level"], found["what"]) == (
        "ok",
        "0 conversations, facts of none wait for extraction",
    )


def test_a_service_that_permits_no_config(run: Run, own_server: EmbeddedValkey) -> None:
    """As managed services do, with CONFIG, and with FT._LIST, which is for administrators."""
    admin(own_server.port, "CONFIG", "SET", "appendonly", "no")
    admin(own_server.port, "ACL", "SETUSER", "alice", "on", ">pw", "~*", "+@all", "-config")
    url = own_server.url.replace("valkey://", "valkey://alice:pw@")
    try:
        (report,) = rows(run("doctor", "--url", url, "--json"))
    finally:
        admin(own_server.port, "CONFIG", "SET", "appendonly", "yes")
    (found,) = [one for one in report["findings"] if one["check"] == "persistence"]
    assert found["level"] == "ok"
    assert "unknown: CONFIG is not permitted" in found["what"]


def test_a_user_who_may_not_even_ask(run: Run, own_server: EmbeddedValkey) -> None:
    admin(own_server.port, "ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-config", "-info")
    url = own_server.url.replace("valkey://", "valkey://bob:pw@")
    found = findings(run("doctor", "--url", url, "--json", status=1))
    assert "refuses what this user needs" in found["connection"]["what"]
    assert "+info" in found["connection"]["fix"]


@pytest.mark.parametrize(
    ("dimension", "status"), [(("--dimension", "3"), 0), (("--dimension", "4"), 1)]
)
def test_the_dimension_of_exact_search(
    run: Run, url: str, dimension: tuple[str, str], status: int
) -> None:
    with ValkeyConnection.from_url(url) as connection:
        index = VectorIndex("doctor-exact", 3, connection=connection, search="exact")
        index.upsert([Document("1", "text", {}, [1, 0, 0])])
        options = ("doctor", "--url", url, "--key-prefix", "none:", "--index", "doctor-exact")
        found = findings(run(*options, *dimension, "--json", status=status))
        index.drop(delete_documents=True)
    assert ("index" in found) == bool(status)
    if status:
        assert "vectors of 3 numbers, not 4" in found["index"]["what"]


def test_an_index_that_is_not_there(run: Run, url: str) -> None:
    found = findings(run("doctor", "--url", url, "--index", "nothing", "--json", status=1))
    assert "there is no index 'nothing'" in found["index"]["what"]


@pytest.fixture(scope="module")
def search_url(search_source: SearchSource) -> Iterator[str]:
    with EmbeddedValkey(modules=search_source.modules, config={"appendonly": "yes"}) as server:
        yield server.url


@pytest.fixture(scope="module")
def search_source() -> SearchSource:
    return find()


@pytest.mark.real_search(modules=True)
@pytest.mark.parametrize("storage", ["json", "hash"])
def test_a_search_server(run: Run, search_url: str, storage: Any) -> None:
    with ValkeyConnection.from_url(search_url) as connection:
        name = f"doctor-{storage}"
        index = VectorIndex(name, 3, connection=connection, search="server", storage=storage)
        index.upsert([Document("1", "text", {}, [1, 0, 0])])
        assert index.wait_until_ready()  # a new index is being filled for a moment
        options = ("doctor", "--url", search_url, "--index", name, "--json")
        assert findings(run(*options, "--dimension", "3")) == {}
        found = findings(run(*options, "--dimension", "256", status=1))
        assert "vectors of 3 numbers, not 256" in found["index"]["what"]
        # The same, told by a model.
        found = findings(run(*options, "--embedding", "tests.cli.models:TWO", status=1))
        assert "not 2" in found["index"]["what"]
        if storage == "hash":
            send(connection, "HSET", f"{name}:2", "_embedding", b"short")
            found = findings(run(*options, status=1))
            assert "could not be indexed" in found["index"]["what"]
        index.drop(delete_documents=True)


@pytest.mark.real_search(modules=True)
def test_a_server_with_search_and_without_json(run: Run) -> None:
    search = next(module for module in MODULES if "search" in module.name)
    with EmbeddedValkey(modules=[search], config={"appendonly": "yes"}) as server:
        found = findings(run("doctor", "--url", server.url, "--json"))
    assert found.keys() == {"json"}
