from __future__ import annotations

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
