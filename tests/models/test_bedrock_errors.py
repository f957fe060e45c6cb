"""Bedrock that refuses, throttles or breaks: errors arrive, and nothing is half-written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError, EndpointConnectionError  # type: ignore[import-untyped]
from langchain_aws import BedrockEmbeddings
from pydantic import SecretStr

from ..langchain_vectors.backends import Backend
from .bedrock import (
    COHERE,
    DENIED,
    INTERNAL,
    MODEL_TIMEOUT,
    THROTTLED,
    TITAN_2,
    UNAVAILABLE,
    Call,
    Endpoint,
    Failure,
)
from .keys import keys_of

MakeBedrock = Callable[..., BedrockEmbeddings]

TEXTS = [f"text {number}" for number in range(6)]
FAILURES = [THROTTLED, DENIED, MODEL_TIMEOUT, INTERNAL, UNAVAILABLE]
# Where the failure comes before anything has to do with the backend.
ONE_BACKEND = pytest.mark.parametrize("backend_name", ["exact"], indirect=True)
ANY_FAILURE = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.type)


def from_request(number: int, failure: Failure) -> Callable[[int, Call], Failure | None]:
    """Everything fails from that request on."""
    return lambda seen, _call: failure if seen >= number else None


def with_text(text: str, failure: Failure) -> Callable[[int, Call], Failure | None]:
    """Requests with that text fail."""
    return lambda _seen, call: failure if text in call.texts else None


# Trying again


@ONE_BACKEND
@pytest.mark.parametrize("failure", [THROTTLED, INTERNAL, UNAVAILABLE], ids=lambda f: f.type)
def test_boto3_tries_again_and_all_is_stored(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    waits: list[float],
    backend: Backend,
    face: Callable[[Any], Any],
    failure: Failure,
) -> None:
    endpoint.script = lambda number, _call: failure if number < 2 else None
    store = face(backend.store(bedrock(COHERE)))
    store.add_texts(TEXTS)
    assert len(waits) == 2
    assert [call.texts for call in endpoint.calls] == [TEXTS] * 3
    assert store.store.index.count() == len(TEXTS)


@ONE_BACKEND
def test_boto3_tries_again_with_its_own_settings_too(
    bedrock: MakeBedrock, endpoint: Endpoint, waits: list[float], backend: Backend
) -> None:
    endpoint.script = lambda number, _call: THROTTLED if number < 1 else None
    store = backend.store(bedrock(COHERE, config=None))
    store.add_texts(TEXTS)
    assert len(waits) == 1
    assert store.index.count() == len(TEXTS)


@ONE_BACKEND
def test_a_throttled_question_is_asked_again(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    store = face(backend.store(bedrock(COHERE)))
    store.add_texts(TEXTS)
    endpoint.script = lambda number, _call: THROTTLED if number == 1 else None
    assert store.similarity_search("text 3", k=1)[0].page_content == "text 3"
    assert [call.input_type for call in endpoint.calls[1:]] == ["search_query"] * 2


# Giving up


@ONE_BACKEND
@ANY_FAILURE
def test_a_lasting_failure_arrives_and_nothing_is_written(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    backend: Backend,
    face: Callable[[Any], Any],
    failure: Failure,
) -> None:
    endpoint.script = from_request(0, failure)
    options = backend.options()
    store = face(backend.store(bedrock(COHERE), **options))
    with pytest.raises(ClientError, match=failure.type) as error:
        store.add_texts(TEXTS)
    assert error.value.response["Error"]["Message"] == failure.message
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == failure.status
    assert keys_of(store.store, options["index_name"]) == []


@ONE_BACKEND
def test_what_will_not_get_better_is_not_tried_again(
    bedrock: MakeBedrock, endpoint: Endpoint, waits: list[float], backend: Backend
) -> None:
    endpoint.script = from_request(0, DENIED)
    store = backend.store(bedrock(COHERE))
    with pytest.raises(ClientError, match="AccessDenied"):
        store.add_texts(TEXTS)
    assert len(endpoint.calls) == 1
    assert waits == []


@ONE_BACKEND
def test_the_number_of_tries_is_the_users(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    endpoint.script = from_request(0, THROTTLED)
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    store = backend.store(bedrock(COHERE, config=once))
    with pytest.raises(ClientError, match="Throttling"):
        store.add_texts(TEXTS)
    assert len(endpoint.calls) == 1


@ONE_BACKEND
def test_a_text_that_the_model_refuses_writes_nothing(
    bedrock: MakeBedrock, backend: Backend, face: Callable[[Any], Any]
) -> None:
    options = backend.options()
    store = face(backend.store(bedrock(TITAN_2), **options))
    with pytest.raises(ClientError, match=r"ValidationException.*minLength"):
        store.add_texts(["good", ""])
    assert keys_of(store.store, options["index_name"]) == []


@ONE_BACKEND
def test_a_wrong_key_is_an_error(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    store = face(backend.store(bedrock(TITAN_2, aws_access_key_id=SecretStr("AKIDOTHER"))))
    with pytest.raises(ClientError, match="UnrecognizedClient"):
        store.add_texts(TEXTS)
    assert endpoint.calls == []


@ONE_BACKEND
def test_an_endpoint_that_is_not_there_is_an_error(
    bedrock: MakeBedrock, backend: Backend, face: Callable[[Any], Any]
) -> None:
    options = backend.options()
    model = bedrock(TITAN_2, endpoint_url="http://127.0.0.1:1")
    store = face(backend.store(model, **options))
    with pytest.raises(EndpointConnectionError):
        store.add_texts(TEXTS)
    assert keys_of(store.store, options["index_name"]) == []


# In the middle


@pytest.mark.parametrize("model_id", [TITAN_2, COHERE])
def test_a_failure_in_the_middle_of_a_bulk_leaves_nothing_half_written(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    backend: Backend,
    face: Callable[[Any], Any],
    model_id: str,
) -> None:
    endpoint.script = with_text("text 3", THROTTLED)
    options = backend.options()
    store = face(backend.store(bedrock(model_id), embedding_batch_size=2, **options))
    with pytest.raises(ClientError, match=THROTTLED.type):
        store.add_texts(TEXTS)
    assert "text 0" in endpoint.texts
    assert keys_of(store.store, options["index_name"]) == []


def test_after_a_failure_what_was_there_is_as_it_was(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    ids = [str(number) for number in range(len(TEXTS))]
    store = face(backend.store(bedrock(COHERE), embedding_batch_size=2))
    store.add_texts(TEXTS, [{"version": 1}] * len(TEXTS), ids=ids)
    endpoint.script = with_text("new 4", DENIED)
    with pytest.raises(ClientError, match="AccessDenied"):
        store.add_texts([f"new {number}" for number in ids], ids=ids)
    found = store.get_by_ids(ids)
    assert [document.page_content for document in found] == TEXTS
    assert all(document.metadata == {"version": 1} for document in found)


def test_once_the_failure_is_over_the_same_call_works(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend, face: Callable[[Any], Any]
) -> None:
    endpoint.script = with_text("text 3", DENIED)
    store = face(backend.store(bedrock(COHERE), embedding_batch_size=2))
    with pytest.raises(ClientError):
        store.add_texts(TEXTS)
    endpoint.script = lambda _number, _call: None
    assert len(store.add_texts(TEXTS)) == len(TEXTS)
    assert store.store.index.count() == len(TEXTS)


@ONE_BACKEND
def test_after_the_first_failure_the_rest_is_not_sent(
    bedrock: MakeBedrock, endpoint: Endpoint, backend: Backend
) -> None:
    endpoint.script = from_request(0, DENIED)
    store = backend.store(bedrock(COHERE), embedding_batch_size=1, embedding_concurrency=2)
    with pytest.raises(ClientError, match="AccessDenied"):
        asyncio.run(store.aadd_texts([f"text {number}" for number in range(60)]))
    assert len(endpoint.calls) < 10


@ONE_BACKEND
@ANY_FAILURE
def test_a_question_that_cannot_be_embedded_is_an_error_not_an_empty_answer(
    bedrock: MakeBedrock,
    endpoint: Endpoint,
    backend: Backend,
    face: Callable[[Any], Any],
    failure: Failure,
) -> None:
    store = face(backend.store(bedrock(COHERE)))
    store.add_texts(TEXTS)
    endpoint.script = from_request(1, failure)
    with pytest.raises(ClientError, match=failure.type):
        store.similarity_search("text 3")
    with pytest.raises(ClientError, match=failure.type):
        face(store.store.as_retriever(search_type="mmr")).invoke("text 3")
