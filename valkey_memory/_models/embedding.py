"""Embedding texts with any LangChain ``Embeddings``, known here by its four methods only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Protocol

from .._errors import DocumentError


class Embeddings(Protocol):
    """What LangChain's ``Embeddings`` can do."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]: ...

    def embed_query(self, text: str) -> list[float]: ...

    def aembed_documents(self, texts: list[str]) -> Awaitable[list[list[float]]]: ...

    def aembed_query(self, text: str) -> Awaitable[list[float]]: ...


# Numbers per vector of Amazon Bedrock's text embedding models, unless the call asks for another
# size. Source: the models' parameter pages in the Amazon Bedrock User Guide.
_DIMENSIONS = {
    "amazon.titan-embed-text-v1": 1536,
    "amazon.titan-embed-text-v2": 1024,
    "amazon.titan-embed-image-v1": 1024,
    "amazon.nova-2-multimodal-embeddings": 3072,
    "cohere.embed-english-v3": 1024,
    "cohere.embed-multilingual-v3": 1024,
    "cohere.embed-v4": 1536,
}
# These have one size, whatever is asked for.
_FIXED = ("amazon.titan-embed-text-v1", "cohere.embed-english-v3", "cohere.embed-multilingual-v3")
_SIZE_PARAMETERS = ("dimensions", "output_dimension", "outputEmbeddingLength")

BATCH_SIZE = 64
"""Texts per call by default. Cohere on Bedrock takes 96."""

CONCURRENCY = 4
"""Calls at once in async code by default."""


def known_dimension(embeddings: Any) -> int | None:
    """Numbers per vector, where the model or its settings tell; None where only a call would."""
    model = getattr(embeddings, "model_id", None)
    # Inference profiles put a region before the name: us.cohere.embed-v4:0.
    name = next((name for name in _DIMENSIONS if name in model), "") if type(model) is str else ""
    if name not in _FIXED and (size := _chosen_size(embeddings)) is not None:
        return size
    return _DIMENSIONS.get(name)


def _chosen_size(embeddings: Any) -> int | None:
    """The size that the model's settings ask for."""
    parameters = getattr(embeddings, "model_kwargs", None) or {}
    # Titan's multimodal model takes it one level down.
    nested = parameters.get("embeddingConfig") or {}
    for name in _SIZE_PARAMETERS:
        for size in (parameters.get(name), nested.get(name), getattr(embeddings, name, None)):
            if isinstance(size, int) and not isinstance(size, bool) and size > 0:
                return size
    return None


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])


def _checked(vectors: Sequence[Any], texts: Sequence[str]) -> list[Any]:
    if len(vectors) != len(texts):
        raise DocumentError(
            f"the embedding model returned {len(vectors)} vectors for {len(texts)} texts"
        )
    return list(vectors)


def embed_documents(
    embeddings: Embeddings, texts: Sequence[str], batch_size: int = BATCH_SIZE
) -> list[list[float]]:
    """The vectors of ``texts``, in order, in calls of ``batch_size`` texts."""
    vectors: list[list[float]] = []
    for batch in _batches(texts, batch_size):
        vectors += _checked(embeddings.embed_documents(batch), batch)
    return vectors


async def aembed_documents(
    embeddings: Embeddings,
    texts: Sequence[str],
    batch_size: int = BATCH_SIZE,
    concurrency: int = CONCURRENCY,
) -> list[list[float]]:
    """The vectors of ``texts``, in order, with at most ``concurrency`` calls at once.

    The first error cancels the calls that have not begun.
    """
    limit = asyncio.Semaphore(concurrency)

    async def embed(batch: list[str]) -> list[list[float]]:
        async with limit:
            if _async_embeds_queries(embeddings):
                return _checked(await asyncio.to_thread(embeddings.embed_documents, batch), batch)
            return _checked(await embeddings.aembed_documents(batch), batch)

    tasks: list[asyncio.Task[list[list[float]]]] = []
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embed(batch)) for batch in _batches(texts, batch_size)]
    except BaseExceptionGroup as errors:
        failure = errors.exceptions[0]
    if failure is not None:
        raise failure  # out here, so that its own cause stays
    return [vector for task in tasks for vector in task.result()]


def _async_embeds_queries(embeddings: object) -> bool:
    """Whether the async method embeds documents as if they were queries.

    ``langchain_aws.BedrockEmbeddings`` does: one call per text, all at once. In langchain-aws 1.0
    also for Cohere, with the input type of queries, so that what was stored in async code would
    not be found again. Its sync method, in a thread, is right; boto3 knows no async anyway.
    """
    return any(
        cls.__name__ == "BedrockEmbeddings" and cls.__module__.startswith("langchain_aws")
        for cls in type(embeddings).__mro__
    )
