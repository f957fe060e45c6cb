"""A small real embedding model that needs no network: ``wordllama`` ships its weights."""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings


class LocalEmbeddings(Embeddings):
    """256 numbers per text, of word vectors averaged; half a second to load."""

    dimensions = 256

    @cached_property
    def _model(self) -> Any:
        from wordllama import WordLlama

        spec = find_spec("wordllama")
        assert spec is not None
        assert spec.origin is not None
        # By default it looks for its tokenizer outside its own package.
        folder = Path(spec.origin).parent
        return WordLlama.load(cache_dir=folder, dim=self.dimensions, disable_download=True)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._model.embed(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]
