"""Embedding texts with a model of any framework, or a plain callable; and the steps that embed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from .._errors import DocumentError, InvalidArgumentError
from .._plans import Work
from .calls import Call, check_object, of_function, of_methods


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


def _checked(vectors: Any, texts: Sequence[str]) -> list[Any]:
    try:
        found = list(vectors)
    except TypeError as error:
        raise DocumentError(
            f"the embedding model returned {type(vectors).__name__}, no list of vectors"
        ) from error
    if len(found) != len(texts):
        raise DocumentError(
            f"the embedding model returned {len(found)} vectors for {len(texts)} texts"
        )
    return found


class Embedder(NamedTuple):
    """How an embedding model is called."""

    documents: Call
    """A list of texts to a list of vectors."""
    query: Call | None
    """A text to its vector; None where texts and queries are embedded alike."""


def embedder(model: Any) -> Embedder:
    """How ``model`` is called. Steps take this in place of the model, which saves finding it out.

    Raises:
        InvalidArgumentError: It is no embedding model.
    """
    if isinstance(model, Embedder):
        return model
    check_object(model, "embedding model")
    for names in (
        ("embed_documents", "embed_query"),  # LangChain
        ("get_text_embedding_batch", "get_query_embedding"),  # LlamaIndex
    ):
        documents, query = (of_methods(model, name, f"a{name}") for name in names)
        if documents is not None and query is not None:
            if _async_embeds_queries(model):
                documents = Call(documents.sync)
            return Embedder(documents, query)
    if callable(model):
        return Embedder(of_function(model), None)
    raise InvalidArgumentError(
        f"{type(model).__name__} is no embedding model: pass one of LangChain (embed_documents, "
        "embed_query) or LlamaIndex (get_text_embedding_batch, get_query_embedding), or a function "
        "from a list of texts to their vectors"
    )


def embed_documents(
    model: Any, texts: Sequence[str], batch_size: int = BATCH_SIZE
) -> list[list[float]]:
    """The vectors of ``texts``, in order, in calls of ``batch_size`` texts."""
    call = embedder(model).documents
    vectors: list[list[float]] = []
    for batch in _batches(texts, batch_size):
        vectors += _checked(call(batch), batch)
    return vectors


async def aembed_documents(
    model: Any,
    texts: Sequence[str],
    batch_size: int = BATCH_SIZE,
    concurrency: int = CONCURRENCY,
) -> list[list[float]]:
    """The vectors of ``texts``, in order, with at most ``concurrency`` calls at once.

    The first error cancels the calls that have not begun.
    """
    call = embedder(model).documents
    limit = asyncio.Semaphore(concurrency)

    async def embed(batch: list[str]) -> list[list[float]]:
        async with limit:
            return _checked(await call.acall(batch), batch)

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


@dataclass(frozen=True, slots=True)
class Embed(Work):
    """A step that embeds texts to be stored. The reply is a list of their vectors, in order.

    Args:
        model: An embedding model of LangChain or LlamaIndex, or a callable that takes a list of
            texts and returns their vectors, sync or async; or its ``Embedder``.
        texts: Any number; none cost no call.
        batch_size: Texts per call.
        concurrency: Calls at once in async code.
    """

    model: Any
    texts: Sequence[str]
    batch_size: int = BATCH_SIZE
    concurrency: int = CONCURRENCY

    def serve(self) -> list[list[float]]:
        return embed_documents(self.model, self.texts, self.batch_size)

    async def aserve(self) -> list[list[float]]:
        return await aembed_documents(self.model, self.texts, self.batch_size, self.concurrency)


@dataclass(frozen=True, slots=True)
class EmbedQuery(Work):
    """A step that embeds a text to search for. The reply is its vector.

    Args:
        model: As in ``Embed``. Some models embed queries in another way than what is stored.
        text: The query.
    """

    model: Any
    text: str

    def serve(self) -> Any:
        documents, query = embedder(self.model)
        if query is None:
            return _checked(documents([self.text]), [self.text])[0]
        return query(self.text)

    async def aserve(self) -> Any:
        documents, query = embedder(self.model)
        if query is None:
            return _checked(await documents.acall([self.text]), [self.text])[0]
        return await query.acall(self.text)


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
