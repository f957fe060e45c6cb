"""A real model that needs no network: ``wordllama`` ships its weights and its tokenizer."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

DIMENSION = 256


@cache
def _model() -> Any:
    from wordllama import WordLlama  # type: ignore[import-untyped]

    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    # By default it looks for the tokenizer outside its own package.
    folder = Path(spec.origin).parent
    return WordLlama.load(cache_dir=folder, dim=DIMENSION, disable_download=True)


class WordLlamaEmbeddings(Embeddings):
    """``wordllama`` with LangChain's interface."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = _model().embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
