from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from langchain_aws import BedrockEmbeddings
from pydantic import SecretStr

from ..langchain_vectors.conftest import backend, backend_name, face, search_connection
from ..search_server import deselect_without_server
from .bedrock import ACCESS_KEY, Endpoint, serve

__all__ = ["backend", "backend_name", "face", "search_connection"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    deselect_without_server(Path(__file__).parent, config, items)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Bedrock, as far as the tests need it."""
    with serve() as endpoint:
        yield endpoint


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that boto3 made before it tried again; here they take no time."""
    found: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=found.append))
    return found


@pytest.fixture
def bedrock(
    endpoint: Endpoint, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., BedrockEmbeddings]]:
    """Makes models of the endpoint; nothing of the user's own AWS settings is used."""
    del waits
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made: list[BedrockEmbeddings] = []

    def make(
        model_id: str, *, kind: type[BedrockEmbeddings] = BedrockEmbeddings, **options: Any
    ) -> BedrockEmbeddings:
        settings = {
            "endpoint_url": endpoint.url,
            "region_name": "us-east-1",
            "aws_access_key_id": SecretStr(ACCESS_KEY),
            "aws_secret_access_key": SecretStr("secret"),
            "config": Config(retries={"mode": "standard", "total_max_attempts": 3}),
        }
        model = kind(model_id=model_id, **(settings | options))
        made.append(model)
        return model

    yield make
    for model in made:
        model.client.close()
