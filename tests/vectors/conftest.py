from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from valkey_memory import ValkeyConnection
from valkey_memory._vectors.index import VectorIndex

from ..conftest import Face
from ..search_server import RealServer, SearchSource, wipe
from .plugin import PROPERTY
from .recorder import RECORDINGS, RecordingConnection, ReplayConnection, Tape

INDEX = "vmtest"
OTHER_INDEX = "vmtest-other"
DIMENSION = 4
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw")
"""In names of indexes that are not recorded: with VALKEY_TEST_URL all workers share a server."""
FIELDS = {"user_id": "tag", "labels": "tag", "year": "numeric", "content": "text"}

BACKENDS: dict[str, dict[str, Any]] = {
    "json": {"search": "server", "storage": "json"},
    "hash": {"search": "server", "storage": "hash"},
    "flat-hash": {"search": "server", "storage": "hash", "algorithm": "flat"},
    "exact": {"search": "exact"},
}
_FACES = ("sync", "async")


_ALWAYS = ("hash", "exact")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Both faces run the same plans: on some backends the second is for the long tests."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and params.get("face") == "async" and params.get("backend", "exact") not in _ALWAYS:
            item.add_marker(pytest.mark.long)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_passed] = report.passed


_passed = pytest.StashKey[bool]()


def recording_path(node: pytest.Item) -> Path:
    """Where a test's recording is. Both faces have the same, as they must send the same."""
    name = getattr(node, "originalname", node.name)
    callspec = getattr(node, "callspec", None)
    if callspec is not None:
        if node.get_closest_marker("same_commands"):
            parts = [str(callspec.params["backend"])]
        else:
            parts = [part for part in callspec.id.split("-") if part not in _FACES]
        if parts:
            name += f"[{'-'.join(parts)}]"
    module = Path(str(node.path)).stem
    return RECORDINGS / module / (re.sub(r"[^\w\[\].-]", "_", name) + ".jsonl")


@contextmanager
def _alone(source: SearchSource) -> Iterator[None]:
    """Hold off the other test processes of this machine if they use the same server."""
    if source.url is None:
        yield
        return
    with (Path(tempfile.gettempdir()) / "valkey-memory-search-tests.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture
def search_connection(
    request: pytest.FixtureRequest, search_source: SearchSource, real_server: RealServer | None
) -> Iterator[ValkeyConnection]:
    """The real search server, recorded or compared with the recording; or the recording alone."""
    node = request.node
    tape = Tape(recording_path(node))
    if real_server is None:
        node.user_properties.append((PROPERTY, "replayed"))
        yield ReplayConnection(tape)
        if node.stash.get(_passed, False):
            tape.finish()
        return
    node.user_properties.append((PROPERTY, f"real valkey-search {real_server.version}"))
    real = real_server.connection
    with _alone(search_source):
        wipe(real, INDEX, OTHER_INDEX)
        if node.get_closest_marker("real_search"):
            yield real
        else:
            callspec = getattr(node, "callspec", None)
            is_async = callspec is not None and callspec.params.get("face") == "async"
            record = request.config.getoption("--record-search")
            yield RecordingConnection(real, tape, compare=not record)
            if node.stash.get(_passed, False):
                if not record:
                    tape.finish()
                elif not is_async:
                    tape.write()
        wipe(real, INDEX, OTHER_INDEX)


@pytest.fixture(autouse=True)
def _counted(request: pytest.FixtureRequest) -> None:
    """Count tests that reach the search server by other ways than ``search_connection``."""
    node = request.node
    if node.get_closest_marker("real_search") and "vector_connection" not in node.fixturenames:
        callspec = getattr(node, "callspec", None)
        if callspec is None or callspec.params.get("backend") != "exact":
            server: RealServer | None = request.getfixturevalue("real_server")
            assert server is not None
            node.user_properties.append((PROPERTY, f"real valkey-search {server.version}"))


@pytest.fixture
def plain_connection(standalone_connection: ValkeyConnection) -> Iterator[ValkeyConnection]:
    """A server without modules."""
    wipe(standalone_connection, INDEX, OTHER_INDEX)
    yield standalone_connection
    wipe(standalone_connection, INDEX, OTHER_INDEX)


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> str:
    """How documents are stored and searched."""
    name: str = request.param
    return name


@pytest.fixture(params=_FACES)
def face(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def vector_connection(request: pytest.FixtureRequest, backend: str) -> ValkeyConnection:
    """The server that ``backend`` needs."""
    name = "plain_connection" if backend == "exact" else "search_connection"
    found: ValkeyConnection = request.getfixturevalue(name)
    return found


@pytest.fixture
def make_index(vector_connection: ValkeyConnection, backend: str, face: str) -> Any:
    """Makes a VectorIndex of the backend, seen through its sync or its async face."""

    def make(name: str = INDEX, dimension: int | None = DIMENSION, **options: Any) -> Any:
        known: dict[str, Any] = {"fields": FIELDS, "connection": vector_connection}
        index = VectorIndex(name, dimension, **(known | BACKENDS[backend] | options))
        return Face(index, is_async=face == "async")

    return make


@pytest.fixture
def index(make_index: Any) -> Any:
    """An index that is not there yet."""
    return make_index()
