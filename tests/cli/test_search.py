"""search: exact search on any server, valkey-search where it is, models by name."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from langchain_valkey_glide import LocalEmbeddings, ValkeyVectorStore
from valkey_memory import EmbeddedValkey, ValkeyConnection
from valkey_memory._models import local
from valkey_memory._vectors.discovery import server_index_plan

from ..search_server import find, wipe
from ..servers import send
from . import models
from .conftest import Run, rows

NAME = "cli-memories"
TEXTS = [
    "We deployed to ECS using a blue-green strategy.",
    "The cat sleeps on the [bold]sofa[/] \x1b[31m.",
    "Lunch was pasta with tomatoes.",
]
METADATA = [
    {"user_id": "alice", "year": 2025},
    {"user_id": "alice", "year": 2026},
    {"user_id": "bob", "year": 2026},
]
FIELDS: dict[str, Any] = {"user_id": "tag", "year": "numeric"}


def fill(connection: ValkeyConnection, embedding: Any, **options: Any) -> None:
    store = ValkeyVectorStore(
        embedding, NAME, connection=connection, metadata_fields=FIELDS, **options
    )
    store.add_texts(TEXTS, METADATA, ids=["ecs", "cat", "lunch"])
    while (info := connection.run(server_index_plan(NAME))) and not info.ready:
        time.sleep(0.05)


@pytest.fixture(scope="module")
def search_server() -> Iterator[str]:
    with EmbeddedValkey(modules=find().modules) as server:
        yield server.url


@pytest.fixture(
    params=[
        pytest.param({"search": "exact"}, id="exact"),
        *(
            pytest.param(
                {"search": "server", **options},
                id="-".join(options.values()),
                marks=pytest.mark.real_search(modules=True),
            )
            for options in (
                {"storage": "json"},
                {"storage": "hash"},
                {"storage": "hash", "algorithm": "flat"},
                {"storage": "json", "metric": "l2"},
            )
        ),
    ]
)
def filled(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a server with an index of 64 numbers."""
    kind = "url" if request.param["search"] == "exact" else "search_server"
    url: str = request.getfixturevalue(kind)
    with ValkeyConnection.from_url(url) as connection:
        wipe(connection, NAME)
        fill(connection, models.WORDS, **request.param)
        yield url
        wipe(connection, NAME)


def test_search_finds_the_nearest(run: Run, filled: str) -> None:
    options = ("--index", NAME, "--url", filled, "--embedding", "tests.cli.models:WORDS")
    found = rows(run("search", "the cat", *options, "--json"))
    assert found[0]["id"] == "cat"
    assert [row["score"] for row in found] == sorted((r["score"] for r in found), reverse=True)
    assert found[0].keys() == {"score", "id", "content", "metadata"}
    assert found[0]["content"] == TEXTS[1]
    assert found[0]["metadata"] == METADATA[1]
    text = run("search", "the cat", *options, "-k", "1").stdout
    assert "The cat sleeps on the [bold]sofa[/] \\u001b[31m." in text
    assert "user_id=alice  year=2026" in text


def test_search_with_a_filter(run: Run, filled: str) -> None:
    options = ("--index", NAME, "--url", filled, "--embedding", "tests.cli.models:make", "--json")

    def ids(condition: object, **more: Any) -> set[str]:
        return {
            row["id"]
            for row in rows(run("search", "x", *options, "--filter", json.dumps(condition), **more))
        }

    assert ids({"user_id": "alice"}) == {"ecs", "cat"}
    assert ids({"user_id": "alice", "year": {"$gte": 2026}}) == {"cat"}
    assert ids({"$or": [{"user_id": "bob"}, {"year": 2025}]}) == {"ecs", "lunch"}
    assert ids({"user_id": "nobody"}) == set()
    refused = run("search", "x", *options, "--filter", '{"colour": "red"}', status=2)
    assert "colour" in refused.stderr


def test_a_model_that_does_not_fit(run: Run, filled: str) -> None:
    options = ("--index", NAME, "--url", filled, "--embedding", "tests.cli.models:TWO")
    said = run("search", "x", *options, status=1).stderr
    assert "gives 2 numbers" in said
    assert "vectors of 64" in said


def test_stats_of_an_index(run: Run, filled: str) -> None:
    (report,) = rows(run("stats", "--url", filled, "--key-prefix", "none:", "--json"))
    (index,) = [one for one in report["indexes"] if one["name"] == NAME]
    assert (index["documents"], index["dimension"], index["failures"]) == (3, 64, 0)
    assert index["fields"] == FIELDS
    assert index["ready"]
    assert 200 < index["bytes_per_document"] < 3000
    assert index["bytes"] == 3 * index["bytes_per_document"]
    text = run("stats", "--url", filled, "--key-prefix", "none:").stdout
    assert f"{NAME}  healthy" in text


def test_the_local_model(run: Run, url: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        wipe(connection, NAME)
        fill(connection, LocalEmbeddings(), search="exact")
        found = rows(
            run("search", "How do I deploy my service?", "-i", NAME, "--url", url, "--json")
        )
        wipe(connection, NAME)
    assert found[0]["id"] == "ecs"
    assert found[0]["score"] > 0.3


def test_exact_search_in_a_cluster(run: Run, cluster_url: str) -> None:
    with ValkeyConnection.from_url(cluster_url) as connection:
        fill(connection, models.WORDS, search="exact")
    options = ("--url", cluster_url, "--embedding", "tests.cli.models:llama", "--json")
    found = rows(run("search", "lunch", "--index", NAME, "-k", "1", *options))
    assert [row["id"] for row in found] == ["lunch"]


def test_an_index_that_is_not_there(run: Run, url: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        send(connection, "HSET", "cli-foreign:1", "x", "y")
    for name in ("cli-nothing", "cli-foreign"):
        said = run("search", "x", "--index", name, "--url", url, status=1).stderr
        assert f"there is no index '{name}'" in said


@pytest.mark.real_search(modules=True)
def test_an_index_of_somebody_else(run: Run, search_server: str) -> None:
    with ValkeyConnection.from_url(search_server) as connection:
        send(connection, "FT.CREATE", "foreign", "ON", "HASH", "SCHEMA", "a", "TAG")
        said = run("search", "x", "--index", "foreign", "--url", search_server, status=1).stderr
        assert "not made by this library" in said
        run("stats", "--url", search_server)
        run("doctor", "--url", search_server)
        run("doctor", "--index", "foreign", "--url", search_server, status=1)
        send(connection, "FT.DROPINDEX", "foreign")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nonsense", "is unknown"),
        ("no.such.module:x", "No module named 'no'"),
        ("tests.cli.models:missing", "missing"),
        ("tests.cli.models:NOTHING", "neither embed_query"),
        ("bedrock:", "is unknown"),
    ],
)
def test_models_that_are_none(run: Run, filled_exact: str, model: str, said: str) -> None:
    options = ("--index", NAME, "--url", filled_exact, "--embedding", model)
    assert said in run("search", "x", *options, status=2).stderr


@pytest.fixture
def filled_exact(url: str) -> Iterator[str]:
    with ValkeyConnection.from_url(url) as connection:
        fill(connection, models.WORDS, search="exact")
        yield url
        wipe(connection, NAME)


def test_a_model_whose_extra_is_missing(
    run: Run, filled_exact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    # Another test of this process may have loaded the model.
    monkeypatch.setattr(local, "_load", local._load.__wrapped__)
    for module, model, extra in (
        ("wordllama", "local", "local"),
        ("langchain_aws", "bedrock:amazon.titan-embed-text-v2:0", "bedrock"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        options = ("--index", NAME, "--url", filled_exact, "--embedding", model)
        said = run("search", "x", *options, status=2).stderr
        assert f"pip install 'valkey-glide-memory[{extra}]'" in said
