"""The core's local embedding model for LlamaIndex."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from pydantic import Field

from valkey_memory import LocalEmbedding as Model
from valkey_memory.adapters import BATCH_SIZE


class LocalEmbedding(BaseEmbedding):
    """``valkey_memory.LocalEmbedding`` as a LlamaIndex embedding model, with the same vectors.

    Examples:
        >>> from llama_index_valkey_glide import LocalEmbedding
        >>> model = LocalEmbedding()
        >>> len(model.get_text_embedding("hello"))
        256

    Args:
        dimension: Numbers per vector: 256, the default, 128 or 64.
        model_name: Shown in traces; ``"wordllama"`` by default.
        embed_batch_size: Texts per call, 64 by default.
        num_workers: See ``BaseEmbedding``, as for the other options.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.LocalEmbedding``.
    """

    dimension: int = Field(default=256, description="Numbers per vector.")

    def __init__(
        self,
        dimension: int = 256,
        *,
        model_name: str = "wordllama",
        embed_batch_size: int = BATCH_SIZE,
        num_workers: int | None = None,
        callback_manager: CallbackManager | None = None,
        embeddings_cache: Any = None,
        rate_limiter: Any = None,
    ) -> None:
        super().__init__(
            dimension=Model(dimension).dimension,  # a wrong one fails as in the core
            model_name=model_name,
            embed_batch_size=embed_batch_size,
            num_workers=num_workers,
            callback_manager=callback_manager or CallbackManager([]),
            embeddings_cache=embeddings_cache,
            rate_limiter=rate_limiter,
        )

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyLocalEmbedding"

    @property
    def dimensions(self) -> int:
        """``dimension``, by the name that stores look for, so that they need not ask the model."""
        return self.dimension

    def _get_query_embedding(self, query: str) -> list[float]:
        return Model(self.dimension).embed_query(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await Model(self.dimension).aembed_query(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return Model(self.dimension).embed_query(text)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await Model(self.dimension).aembed_query(text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return Model(self.dimension).embed_documents(texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await Model(self.dimension).aembed_documents(texts)
