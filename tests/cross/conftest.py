from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import MessageStore, ValkeyConnection

from ..langchain.conftest import make_history, raw, raw_client_of
from .faces import LLAMA_FACES, LlamaFace

__all__ = ["make_history", "raw", "raw_client_of"]


@pytest.fixture(params=LLAMA_FACES)
def llama(request: pytest.FixtureRequest, connection: ValkeyConnection, prefix: str) -> LlamaFace:
    """LlamaIndex's conversation ``s1``, through each of its stores and faces in turn."""
    make: Callable[..., LlamaFace] = LLAMA_FACES[request.param]
    return make(connection, prefix)


@pytest.fixture
def langchain(make_history: Callable[..., Any]) -> Any:
    """LangChain's conversation ``s1``."""
    return make_history("s1")


@pytest.fixture
def plain(connection: ValkeyConnection, prefix: str) -> MessageStore:
    """Conversations without a framework."""
    return MessageStore(connection=connection, key_prefix=prefix)
