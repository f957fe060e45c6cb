"""``embed_documents`` and ``aembed_documents`` of the core, with models that watch their calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from valkey_memory import DocumentError
from valkey_memory._models.embedding import aembed_documents, embed_documents, known_dimension

from .words import Words, bag_of_words

TEXTS = [f"text {number}" for number in range(7)]
VECTORS = [bag_of_words(text, 8) for text in TEXTS]


class Failing(Words):
    """Cannot embed a batch with ``text 3`` in it."""

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        await asyncio.sleep(0)  # as one that waits for a reply
        return await super().aembed_documents(texts)

    def vectors(self, texts: list[str]) -> list[list[float]]:
        if "text 3" in texts:
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise RuntimeError("no") from error
        return super().vectors(texts)


class Meeting(Words):
    """Answers only when so many calls are there at once."""

    def __init__(self, parties: int) -> None:
        super().__init__(8)
        self.barrier = asyncio.Barrier(parties)
        self.now = self.most = 0

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(0)
            await self.barrier.wait()
        finally:
            self.now -= 1
        return self.vectors(texts)


class Silent(Words):
    """Never answers; ``cancelled`` counts the calls that were given up."""

    def __init__(self) -> None:
        super().__init__(8)
        self.began = asyncio.Semaphore(0)
        self.cancelled = 0

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("aembed_documents", list(texts)))
        self.began.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_vectors_come_in_the_order_of_the_texts(size: int) -> None:
    assert embed_documents(Words(8), TEXTS, size) == VECTORS
    assert await aembed_documents(Words(8), TEXTS, size, 3) == VECTORS


async def test_batches_are_as_large_as_asked() -> None:
    model = Words(8)
    embed_documents(model, TEXTS, 3)
    await aembed_documents(model, TEXTS, 3, 1)
    assert [len(texts) for _, texts in model.calls] == [3, 3, 1] * 2


async def test_nothing_costs_no_call() -> None:
    model = Words(8)
    assert embed_documents(model, []) == await aembed_documents(model, []) == []
    assert model.calls == []


@pytest.mark.parametrize("concurrency", [1, 2, 4])
async def test_exactly_so_many_calls_at_once(concurrency: int) -> None:
    model = Meeting(concurrency)
    texts = [f"text {number}" for number in range(8)]
    found = await aembed_documents(model, texts, 1, concurrency)
    assert found == [bag_of_words(text, 8) for text in texts]
    assert model.most == concurrency


async def test_the_models_own_error_arrives_with_its_cause() -> None:
    with pytest.raises(RuntimeError, match="no") as in_sync:
        embed_documents(Failing(8), TEXTS, 2)
    with pytest.raises(RuntimeError, match="no") as in_async:
        await aembed_documents(Failing(8), TEXTS, 2, 2)
    for error in (in_sync.value, in_async.value):
        assert isinstance(error.__cause__, KeyError)


async def test_after_an_error_the_rest_is_not_called() -> None:
    model = Failing(8)
    texts = TEXTS + [f"later {number}" for number in range(100)]
    with pytest.raises(RuntimeError):
        await aembed_documents(model, texts, 1, 2)
    assert len(model.calls) < 10


async def test_cancelling_gives_the_calls_up() -> None:
    model = Silent()
    task = asyncio.create_task(aembed_documents(model, TEXTS, 1, 4))
    for _ in range(4):
        await model.began.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(model.calls) == model.cancelled == 4


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_another_number_of_vectors_than_of_texts_is_an_error(count: int) -> None:
    class Miscounting(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return [[1.0]] * count

    message = f"returned {count} vectors for 2 texts"
    with pytest.raises(DocumentError, match=message):
        embed_documents(Miscounting(), ["one", "two"])
    with pytest.raises(DocumentError, match=message):
        await aembed_documents(Miscounting(), ["one", "two"])


async def test_a_class_of_ours_called_bedrock_is_called_as_it_is() -> None:
    class BedrockEmbeddings(Words):
        pass

    model = BedrockEmbeddings(8)
    await aembed_documents(model, TEXTS)
    assert [name for name, _ in model.calls] == ["aembed_documents"]


@pytest.mark.parametrize(
    ("attributes", "dimension"),
    [
        ({}, None),
        ({"dimensions": 512}, 512),
        ({"dimensions": None}, None),
        ({"dimensions": 0}, None),
        ({"dimensions": True}, None),
        ({"dimensions": "512"}, None),
        ({"model_kwargs": None}, None),
        ({"model_kwargs": {"device": "cpu"}}, None),
        ({"model_id": None}, None),
        ({"model_id": "somebody.elses-model"}, None),
        ({"model_id": "amazon.titan-embed-text-v2:0"}, 1024),
        ({"model_id": "arn:aws:bedrock:eu-west-1::foundation-model/cohere.embed-v4:0"}, 1536),
    ],
)
def test_a_dimension_is_known_or_not(attributes: dict[str, Any], dimension: int | None) -> None:
    model: Embeddings = DeterministicFakeEmbedding(size=3)
    for name, value in attributes.items():
        object.__setattr__(model, name, value)
    assert known_dimension(model) == dimension
