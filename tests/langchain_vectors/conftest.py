from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings

from valkey_memory import ValkeyConnection
from valkey_memory._filters.expressions import FieldType

from ..conftest import Face
from ..models.words import Words
from ..search_server import BACKENDS, deselect_without_server
from .backends import Backend, opened

FIELDS: dict[str, FieldType] = {
    "user_id": "tag",
    "role": "tag",
    "session_id": "tag",
    "year": "numeric",
    "content": "text",
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


@pytest.fixture(scope="session")
def search_connection(search_url: str) -> Iterator[ValkeyConnection]:
    with ValkeyConnection.from_url(search_url) as connection:
        yield connection


@pytest.fixture(params=list(BACKENDS))
def backend_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def backend(request: pytest.FixtureRequest, backend_name: str) -> Iterator[Backend]:
    """Each backend in turn: JSON and HASH on the search server, exact on a plain one."""
    kind = "standalone" if backend_name == "exact" else "search"
    with opened(backend_name, request.getfixturevalue(f"{kind}_connection")) as backend:
        yield backend


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """LangChain's own tests may not be skipped, nor be expected to fail."""
    report = yield
    if item.path.name == "test_standard_suite.py" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped or xfailed: {report.longrepr}"
    return report


@pytest.fixture(params=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Gives an object's sync methods, or its async ones, under the sync names."""
    is_async = request.param == "async"
    return lambda target: Face(target, is_async=is_async)


@pytest.fixture
def make(backend: Backend, face: Callable[[Any], Any]) -> Callable[..., Any]:
    """Makes a store, seen through its sync and its async face, on each backend."""

    def made(embedding: Embeddings | None = None, **options: Any) -> Any:
        options = {"metadata_fields": FIELDS} | options
        return face(backend.store(embedding or Words(), **options))

    return made


@pytest.fixture
def store(make: Callable[..., Any]) -> Any:
    return make()
