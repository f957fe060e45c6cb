"""``LangChainEmbedding``: the same model and the same vectors in LlamaIndex."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from langchain_aws import BedrockEmbeddings
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode

from langchain_valkey_glide import LocalEmbeddings, ValkeyVectorStore
from llama_index_valkey_glide import LangChainEmbedding
from valkey_memory import DocumentError, InvalidArgumentError, ValkeyMemoryError

from .bedrock import COHERE, THROTTLED, TITAN_1, TITAN_2, Endpoint
from .test_batches import Meeting
from .words import Words, bag_of_words

MakeBedrock = Callable[..., BedrockEmbeddings]

TEXTS = [f"text {number}" for number in range(5)]
VECTORS = [bag_of_words(text, 8) for text in TEXTS]


# The same vectors


async def test_every_method_gives_langchains_vectors() -> None:
    model = LangChainEmbedding(Words(8))
    assert model.get_text_embedding("text 0") == VECTORS[0]
    assert model.get_query_embedding("text 0") == VECTORS[0]
    assert model.get_text_embedding_batch(TEXTS) == VECTORS
    assert await model.aget_text_embedding("text 0") == VECTORS[0]
    assert await model.aget_query_embedding("text 0") == VECTORS[0]
    assert await model.aget_text_embedding_batch(TEXTS) == VECTORS


async def test_sync_methods_call_sync_ones_and_async_async_ones() -> None:
    langchain = Words(8)
    model = LangChainEmbedding(langchain)
    model.get_text_embedding("one")
    model.get_query_embedding("one")
    await model.aget_text_embedding("one")
    await model.aget_query_embedding("one")
    assert [name for name, _ in langchain.calls] == [
        "embed_documents",
        "embed_query",
        "aembed_documents",
        "aembed_query",
    ]


async def test_questions_can_be_aggregated() -> None:
    model = LangChainEmbedding(Words(8))
    expected = pytest.approx(np.mean(VECTORS, axis=0).tolist())
    assert model.get_agg_embedding_from_queries(TEXTS) == expected
    assert await model.aget_agg_embedding_from_queries(TEXTS) == expected
    largest = model.get_agg_embedding_from_queries(TEXTS, agg_fn=lambda vectors: vectors[-1])
    assert largest == VECTORS[-1]


async def test_nodes_get_langchains_vectors() -> None:
    model = LangChainEmbedding(Words(8))
    nodes = [TextNode(text=text) for text in TEXTS]
    assert [node.embedding for node in model(nodes)] == VECTORS
    again = [TextNode(text=text) for text in TEXTS]
    assert [node.embedding for node in await model.acall(again)] == VECTORS


def test_it_is_a_step_of_an_ingestion_pipeline() -> None:
    pipeline = IngestionPipeline(transformations=[LangChainEmbedding(Words(8))], disable_cache=True)
    nodes = pipeline.run(nodes=[TextNode(text=text) for text in TEXTS])
    assert [node.embedding for node in nodes] == VECTORS


def test_similarity_is_that_of_the_vectors() -> None:
    model = LangChainEmbedding(LocalEmbeddings())
    question = model.get_query_embedding("How do I deploy my service?")
    near = model.get_text_embedding("We deployed to ECS using a blue-green strategy")
    far = model.get_text_embedding("My favourite colour is green")
    assert model.similarity(question, near) > 3 * model.similarity(question, far)


# Batches


@pytest.mark.parametrize(("size", "calls"), [(1, 5), (2, 3), (5, 1), (64, 1)])
async def test_texts_go_in_batches(size: int, calls: int) -> None:
    langchain = Words(8)
    model = LangChainEmbedding(langchain, embed_batch_size=size)
    assert model.get_text_embedding_batch(TEXTS) == VECTORS
    assert len(langchain.calls) == calls
    assert await model.aget_text_embedding_batch(TEXTS) == VECTORS
    assert len(langchain.calls) == 2 * calls


async def test_no_texts_cost_no_call() -> None:
    langchain = Words(8)
    model = LangChainEmbedding(langchain)
    assert model.get_text_embedding_batch([]) == []
    assert await model.aget_text_embedding_batch([]) == []
    assert langchain.calls == []


@pytest.mark.parametrize("concurrency", [1, 2, 4])
async def test_exactly_so_many_calls_at_once(concurrency: int) -> None:
    langchain = Meeting(concurrency)
    model = LangChainEmbedding(langchain, embed_batch_size=1, embedding_concurrency=concurrency)
    texts = [f"text {number}" for number in range(8)]
    found = await model.aget_text_embedding_batch(texts)
    assert found == [bag_of_words(text, 8) for text in texts]
    assert langchain.most == concurrency


async def test_another_number_of_vectors_is_an_error() -> None:
    class Miscounting(Words):
        def vectors(self, texts: list[str]) -> list[list[float]]:
            return super().vectors(texts)[:-1]

    model = LangChainEmbedding(Miscounting(8))
    with pytest.raises(DocumentError, match="returned 4 vectors for 5 texts"):
        model.get_text_embedding_batch(TEXTS)
    with pytest.raises(DocumentError, match="returned 4 vectors for 5 texts"):
        await model.aget_text_embedding_batch(TEXTS)


# What it says of itself


def test_the_dimension_is_known_where_the_model_tells(
    bedrock: MakeBedrock, endpoint: Endpoint
) -> None:
    assert LangChainEmbedding(bedrock(TITAN_1)).dimension == 1536
    assert LangChainEmbedding(bedrock(TITAN_2, dimensions=256)).dimension == 256
    assert LangChainEmbedding(Words(8)).dimension is None
    assert endpoint.calls == []


def test_its_name_is_the_models(bedrock: MakeBedrock) -> None:
    assert LangChainEmbedding(Words(8)).model_name == "Words"
    assert LangChainEmbedding(bedrock(COHERE)).model_name == COHERE
    assert LangChainEmbedding(Words(8), model_name="mine").model_name == "mine"


def test_no_credentials_are_in_what_it_prints(bedrock: MakeBedrock) -> None:
    model = LangChainEmbedding(bedrock(COHERE))
    for shown in (repr(model), str(model), model.to_json(), str(model.to_payload())):
        assert "secret" not in shown
        assert "AKID" not in shown


# Copies


def copied(model: LangChainEmbedding) -> list[LangChainEmbedding]:
    return [pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)]  # noqa: S301


def test_copies_work_as_the_original() -> None:
    model = LangChainEmbedding(
        DeterministicFakeEmbedding(size=8),
        embed_batch_size=3,
        embedding_concurrency=2,
        model_name="mine",
    )
    for other in copied(model):
        assert type(other) is LangChainEmbedding
        assert (other.embed_batch_size, other._concurrency, other.model_name) == (3, 2, "mine")
        assert other.get_text_embedding_batch(TEXTS) == model.get_text_embedding_batch(TEXTS)


def test_a_copy_by_pydantic_works() -> None:
    other = LangChainEmbedding(Words(8)).model_copy()
    assert other.get_text_embedding_batch(TEXTS) == VECTORS


# Bad arguments


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "NoneType is no LangChain Embeddings"),
        ("cohere.embed-english-v3", "str is no LangChain Embeddings"),
        (object(), "it lacks embed_documents, embed_query, aembed_documents, aembed_query"),
        (LangChainEmbedding(Words(8)), "LangChainEmbedding is no LangChain Embeddings"),
        (Words, "type is no LangChain Embeddings"),
    ],
)
def test_what_is_no_model_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        LangChainEmbedding(wrong)


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2"])
def test_a_wrong_concurrency_is_refused(concurrency: Any) -> None:
    with pytest.raises(ValkeyMemoryError, match="embedding_concurrency"):
        LangChainEmbedding(Words(8), embedding_concurrency=concurrency)


@pytest.mark.parametrize("size", [0, -1])
def test_a_wrong_batch_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="embed_batch_size"):
        LangChainEmbedding(Words(8), embed_batch_size=size)


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="colour"):
        LangChainEmbedding(Words(8), colour="red")  # type: ignore[call-arg]


# Without the package langchain

WITHOUT_LANGCHAIN = """
import sys

for name in ("langchain", "langchain_classic", "langchain_community"):
    sys.modules[name] = None
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index_valkey_glide import LangChainEmbedding

print(len(LangChainEmbedding(DeterministicFakeEmbedding(size=8)).get_text_embedding("hello")))
"""


def test_it_needs_no_langchain_package() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_LANGCHAIN],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "8"


# Bedrock


@pytest.mark.parametrize("model_id", [TITAN_1, TITAN_2, COHERE])
async def test_bedrocks_vectors_are_those_of_langchain(bedrock: MakeBedrock, model_id: str) -> None:
    langchain = bedrock(model_id)
    model = LangChainEmbedding(langchain)
    documents, question = langchain.embed_documents(TEXTS), langchain.embed_query("text 0")
    assert model.get_text_embedding_batch(TEXTS) == documents
    assert await model.aget_text_embedding_batch(TEXTS) == documents
    assert model.get_text_embedding("text 0") == documents[0]
    assert await model.aget_text_embedding("text 0") == documents[0]
    assert model.get_query_embedding("text 0") == question
    assert await model.aget_query_embedding("text 0") == question


async def test_cohere_embeds_documents_as_documents_and_questions_as_questions(
    bedrock: MakeBedrock, endpoint: Endpoint
) -> None:
    model = LangChainEmbedding(bedrock(COHERE))
    model.get_text_embedding_batch(TEXTS)
    await model.aget_text_embedding_batch(TEXTS)
    await model.aget_text_embedding("text 0")
    model.get_query_embedding("text 0")
    await model.aget_query_embedding("text 0")
    types = [call.input_type for call in endpoint.calls]
    assert types == ["search_document"] * 3 + ["search_query"] * 2


async def test_bedrocks_errors_arrive(bedrock: MakeBedrock, endpoint: Endpoint) -> None:
    endpoint.script = lambda _number, _call: THROTTLED
    model = LangChainEmbedding(bedrock(COHERE))
    with pytest.raises(ClientError, match="Throttling"):
        model.get_text_embedding_batch(TEXTS)
    with pytest.raises(ClientError, match="Throttling"):
        await model.aget_text_embedding_batch(TEXTS)


def test_one_object_serves_both_frameworks(bedrock: MakeBedrock, url: str, prefix: str) -> None:
    langchain = bedrock(COHERE)
    store = ValkeyVectorStore(langchain, prefix.rstrip(":"), url=url, search="exact")
    asyncio.run(store.aadd_texts(TEXTS, ids=TEXTS))
    stored = [document.embedding for document in store.index.get(TEXTS, embeddings=True)]
    in_llama = LangChainEmbedding(langchain).get_text_embedding_batch(TEXTS)
    np.testing.assert_array_equal(stored, np.array(in_llama, dtype=np.float32))
    store.connection.close()
