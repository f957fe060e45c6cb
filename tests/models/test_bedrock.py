"""Bedrock's embedding models with the vector store: the real boto3 and langchain-aws."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from langchain_aws import BedrockEmbeddings

from langchain_valkey_glide import ValkeyVectorStore
from valkey_memory import DocumentError
from valkey_memory._models.embedding import known_dimension

from ..langchain_vectors.backends import Backend
from .bedrock import COHERE, TITAN_1, TITAN_2, Endpoint, embed
from .words import bag_of_words

MakeBedrock = Callable[..., BedrockEmbeddings]

# Model, settings, and how many numbers its vectors have.
SERVED: list[tuple[str, dict[str, Any], int]] = [
    (TITAN_1, {}, 1536),
    (TITAN_2, {}, 1024),
    (TITAN_2, {"dimensions": 512}, 512),
    (TITAN_2, {"dimensions": 256}, 256),
    (TITAN_2, {"model_kwargs": {"dimensions": 256}}, 256),
    (TITAN_2, {"model_kwargs": {"normalize": False}}, 1024),
    (COHERE, {}, 1024),
    (COHERE, {"dimensions": 512}, 1024),  # langchain-aws does not send it to this model
]

# The endpoint has none of these; nothing may be sent to find their sizes out.
NOT_SERVED: list[tuple[str, dict[str, Any], int]] = [
    ("cohere.embed-multilingual-v3", {}, 1024),
    ("us.cohere.embed-v4:0", {}, 1536),
    ("cohere.embed-v4:0", {"dimensions": 256}, 256),
    ("cohere.embed-v4:0", {"model_kwargs": {"output_dimension": 512}}, 512),
    ("amazon.titan-embed-image-v1", {}, 1024),
    (
        "amazon.titan-embed-image-v1",
        {"model_kwargs": {"embeddingConfig": {"outputEmbeddingLength": 384}}},
        384,
    ),
    ("amazon.nova-2-multimodal-embeddings-v1:0", {}, 3072),
    ("amazon.nova-2-multimodal-embeddings-v1:0", {"dimensions": 384}, 384),
]

TEXTS = ["we deploy to ECS", "the cat sleeps", "vectors are fast"]
ONE_BACKEND = pytest.mark.parametrize("backend_name", ["exact"], indirect=True)
ANY_MODEL = pytest.mark.parametrize("model_id", [TITAN_1, TITAN_2, COHERE])


# Dimensions


@pytest.mark.parametrize(("model_id", "settings", "dimension"), SERVED + NOT_SERVED)
def test_the_dimension_is_known_without_a_call(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    model_id: str,
    settings: dict[str, Any],
    dimension: int,
) -> None:
    store = ValkeyVectorStore(bedrock(model_id, **settings), url="valkey://127.0.0.1:1")
    assert store.index.dimension == dimension
    assert asyncio.run(store.aindex()).dimension == dimension
    assert endpoint.calls == []


@pytest.mark.parametrize(("model_id", "settings", "dimension"), SERVED)
def test_the_known_dimension_is_that_of_the_vectors(
    bedrock: MakeBedrock, model_id: str, settings: dict[str, Any], dimension: int
) -> None:
    model = bedrock(model_id, **settings)
    assert len(model.embed_query("hello")) == known_dimension(model) == dimension


def test_of_an_unknown_model_the_vectors_tell(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abcdef"
    endpoint.aliases[arn] = TITAN_2
    store = face(backend.store(bedrock(arn, provider="amazon")))
    store.add_texts(TEXTS)
    assert store.store.index.dimension == 1024
    assert endpoint.texts == TEXTS


# Vectors


@ANY_MODEL
def test_the_right_vectors_are_stored_and_found(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    backend: Backend,
    face: Callable[[Any], Any],
    model_id: str,
) -> None:
    store = face(backend.store(bedrock(model_id)))
    store.add_texts(TEXTS, ids=["1", "2", "3"])
    assert [(call.model, call.input_type) for call in endpoint.calls] == (
        [(COHERE, "search_document")] if model_id == COHERE else [(model_id, None)] * 3
    )
    stored = store.store.index.get(["1", "2", "3"], embeddings=True)
    kind = "search_document" if model_id == COHERE else None
    for document, text in zip(stored, TEXTS, strict=True):
        expected = embed(text, model_id, store.store.index.dimension, kind)
        np.testing.assert_array_equal(document.embedding, np.array(expected, dtype=np.float32))
    found = store.similarity_search_with_score("how to deploy to ECS", k=3)
    assert found[0][0].id == "1"
    assert found[0][1] > 1.5 * found[1][1]


@ONE_BACKEND
def test_langchain_aws_can_normalise(bedrock: MakeBedrock, backend: Backend) -> None:
    store = backend.store(bedrock(TITAN_1, normalize=True))
    store.add_texts(["hello"], ids=["1"])
    (found,) = store.index.get(["1"], embeddings=True)
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-5)


@ONE_BACKEND
def test_other_numbers_of_dimensions_do_not_fit_into_the_index(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    store = backend.store(bedrock(TITAN_2, dimensions=256), dimension=512)
    with pytest.raises(DocumentError, match="256 numbers, the index has dimension 512"):
        store.add_texts(["hello"])
    assert store.index.count() == 0
    assert len(endpoint.calls) == 1


# What documents and questions are embedded as


def test_cohere_embeds_documents_as_documents_and_questions_as_questions(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    store = face(backend.store(bedrock(COHERE)))
    store.add_texts(TEXTS)
    store.similarity_search("deploy")
    store.max_marginal_relevance_search("deploy")
    face(store.store.as_retriever()).invoke("deploy")
    types = [call.input_type for call in endpoint.calls]
    assert types == ["search_document"] + ["search_query"] * 3


@ONE_BACKEND
def test_documents_are_documents_with_an_old_langchain_aws_too(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    class OldBedrock(BedrockEmbeddings):
        """As in langchain-aws 1.0.0: each document as a question, all of them at once."""

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            return [*await asyncio.gather(*[self.aembed_query(text) for text in texts])]

    store = backend.store(bedrock(COHERE, kind=OldBedrock))
    asyncio.run(store.aadd_texts(TEXTS))
    assert [call.input_type for call in endpoint.calls] == ["search_document"]


# Batches and concurrency


def test_cohere_gets_many_texts_per_call(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    texts = [f"text {number}" for number in range(150)]
    ids = [str(number) for number in range(150)]
    store = face(backend.store(bedrock(COHERE)))
    store.add_texts(texts, ids=ids)
    assert sorted(len(call.texts) for call in endpoint.calls) == [22, 64, 64]
    assert [document.page_content for document in store.get_by_ids(ids)] == texts
    assert store.similarity_search("text 77", k=1)[0].id == "77"


@ANY_MODEL
@ONE_BACKEND
def test_async_calls_run_side_by_side_up_to_the_limit(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, model_id: str
) -> None:
    # Nobody is answered before three are there, so at least three must be at once.
    endpoint.meeting = threading.Barrier(3)
    store = backend.store(bedrock(model_id), embedding_batch_size=1, embedding_concurrency=3)
    texts = [f"text {number}" for number in range(9)]
    ids = asyncio.run(store.aadd_texts(texts))
    assert endpoint.most_at_once == 3
    assert sorted(endpoint.texts) == texts
    assert [document.page_content for document in store.get_by_ids(ids)] == texts


@ONE_BACKEND
def test_titans_texts_are_not_sent_all_at_once(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    """langchain-aws itself sends as many requests at once as there are texts."""
    store = backend.store(bedrock(TITAN_2, dimensions=256))
    asyncio.run(store.aadd_texts([f"text {number}" for number in range(40)]))
    assert endpoint.most_at_once == 1
    assert len(endpoint.calls) == 40


@ONE_BACKEND
def test_sync_calls_come_one_after_the_other(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    store = backend.store(bedrock(COHERE), embedding_batch_size=2)
    store.add_texts([f"text {number}" for number in range(6)])
    assert endpoint.most_at_once == 1
    assert [len(call.texts) for call in endpoint.calls] == [2, 2, 2]


def test_similar_texts_are_near() -> None:
    """What the tests here rely on."""
    one, near, far = (
        np.array(bag_of_words(text, 256)) for text in ("green apple", "red apple", "dark plum")
    )
    assert one @ near > 0.3
    assert abs(one @ far) < 0.3
    assert bag_of_words("Green, apple!", 256) == pytest.approx(one.tolist())
