"""LangChain's embedding models for LlamaIndex, Bedrock's among them."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import (
    BATCH_SIZE,
    CONCURRENCY,
    Embeddings,
    aembed_documents,
    check_count,
    embed_documents,
    known_dimension,
)

_METHODS = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")


class LangChainEmbedding(BaseEmbedding):
    """Any LangChain ``Embeddings`` as a LlamaIndex embedding model.

    One object of ``langchain_aws.BedrockEmbeddings`` so serves both frameworks with the same
    vectors. It needs the package of that model, not ``langchain``.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from llama_index_valkey_glide import LangChainEmbedding
        >>> model = LangChainEmbedding(DeterministicFakeEmbedding(size=4))
        >>> len(model.get_text_embedding("hello"))
        4

    Args:
        embeddings: The LangChain model.
        embed_batch_size: Texts per call.
        embedding_concurrency: Calls at once in async methods.
        model_name: Shown in traces; by default the model's own name.
    """

    _embeddings: Embeddings = PrivateAttr()
    _concurrency: int = PrivateAttr()
    _limits: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = PrivateAttr(
        default_factory=WeakKeyDictionary
    )

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        embed_batch_size: int = BATCH_SIZE,
        embedding_concurrency: int = CONCURRENCY,
        model_name: str | None = None,
    ) -> None:
        if isinstance(embeddings, type):
            raise InvalidArgumentError("type is no LangChain Embeddings: pass an object of it")
        check_count(embedding_concurrency, "embedding_concurrency")
        missing = [name for name in _METHODS if not callable(getattr(embeddings, name, None))]
        if missing:
            raise InvalidArgumentError(
                f"{type(embeddings).__name__} is no LangChain Embeddings: it lacks "
                f"{', '.join(missing)}"
            )
        name = model_name or getattr(embeddings, "model_id", None) or type(embeddings).__name__
        super().__init__(model_name=str(name), embed_batch_size=embed_batch_size)
        self._embeddings = embeddings
        self._concurrency = embedding_concurrency

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyLangChainEmbedding"

    @property
    def dimension(self) -> int | None:
        """Numbers per vector, where the model tells; None where only a call would."""
        return known_dimension(self._embeddings)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embeddings.embed_query(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._embeddings.aembed_query(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return embed_documents(self._embeddings, texts, self.embed_batch_size)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        # BaseEmbedding starts all batches at once; this bounds them over the whole model.
        loop = asyncio.get_running_loop()
        limit = self._limits.setdefault(loop, asyncio.Semaphore(self._concurrency))
        async with limit:
            return await aembed_documents(
                self._embeddings, texts, self.embed_batch_size, concurrency=1
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            self._embeddings,
            self.embed_batch_size,
            self._concurrency,
            self.model_name,
        )


def _rebuild(
    embeddings: Embeddings, batch_size: int, concurrency: int, model_name: str
) -> LangChainEmbedding:
    return LangChainEmbedding(
        embeddings,
        embed_batch_size=batch_size,
        embedding_concurrency=concurrency,
        model_name=model_name,
    )
