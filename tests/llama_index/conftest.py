from __future__ import annotations

import asyncio
from collections.abc import Iterator

import llama_index.core
import pytest
from llama_index.core import set_global_tokenizer


@pytest.fixture(autouse=True, scope="session")
def words_as_tokens() -> Iterator[None]:
    """LlamaIndex counts words, with no vocabulary to load or download."""
    before = llama_index.core.global_tokenizer
    set_global_tokenizer(str.split)
    yield
    llama_index.core.global_tokenizer = before


@pytest.fixture(autouse=True)
def no_loop_left_behind() -> Iterator[None]:
    """LlamaIndex's sync wrappers make a loop where none is set, and leave it open and set."""
    asyncio.set_event_loop(None)
    yield
    asyncio.set_event_loop(None)
