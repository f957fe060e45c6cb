"""The steps of a plan that embed and ask, with every kind of model, in sync and async."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import MockLLM

from valkey_memory import DocumentError, InvalidArgumentError
from valkey_memory._models.chat import Ask, check_chat_model
from valkey_memory._models.embedding import Embed, EmbedQuery, embedder
from valkey_memory._plans import Plan, Work, arun, run

from .words import Words, bag_of_words

TEXTS = [f"text {number}" for number in range(5)]
VECTORS = [bag_of_words(text, 8) for text in TEXTS]


def serve(step: Work) -> Any:
    return step.serve()


def aserve(step: Work) -> Any:
    return asyncio.run(step.aserve())


def serve_in_a_loop(step: Work) -> Any:
    """Sync code below a running event loop, as in a notebook."""

    async def main() -> Any:
        return step.serve()

    return asyncio.run(main())


@pytest.fixture(params=[serve, aserve, serve_in_a_loop])
def served(request: pytest.FixtureRequest) -> Callable[[Work], Any]:
    found: Callable[[Work], Any] = request.param
    return found


# Embedding models


def function(texts: list[str]) -> list[list[float]]:
    return [bag_of_words(text, 8) for text in texts]


async def coroutine(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return function(texts)


class SyncCall:
    def __call__(self, texts: list[str]) -> list[list[float]]:
        return function(texts)


class AsyncCall:
    async def __call__(self, texts: list[str]) -> list[list[float]]:
        return await coroutine(texts)


class SyncModel:
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return function(texts)

    def embed_query(self, text: str) -> list[float]:
        return function([text])[0]


class AsyncModel:
    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        return await coroutine(texts)

    async def aembed_query(self, text: str) -> list[float]:
        return (await coroutine([text]))[0]


class LlamaIndexModel(MockEmbedding):
    def _get_text_embedding(self, text: str) -> list[float]:
        return bag_of_words(text, self.embed_dim)

    def _get_query_embedding(self, query: str) -> list[float]:
        return bag_of_words(query, self.embed_dim)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return bag_of_words(text, self.embed_dim)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return bag_of_words(query, self.embed_dim)


MODELS: dict[str, Callable[[], Any]] = {
    "langchain": lambda: Words(8),
    "llama-index": lambda: LlamaIndexModel(embed_dim=8),
    "function": lambda: function,
    "coroutine function": lambda: coroutine,
    "partial": lambda: functools.partial(coroutine),
    "lambda": lambda: lambda texts: coroutine(texts),
    "object": SyncCall,
    "async object": AsyncCall,
    "sync methods": SyncModel,
    "async methods": AsyncModel,
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_embedding_model(served: Callable[[Work], Any], kind: str) -> None:
    model = MODELS[kind]()
    embedder(model)
    assert served(Embed(model, TEXTS, batch_size=2)) == VECTORS
    assert served(Embed(model, [])) == []
    assert list(served(EmbedQuery(model, TEXTS[3]))) == VECTORS[3]


def test_each_form_of_a_model_is_used_where_it_is_there() -> None:
    model = Words(8)
    serve(Embed(model, TEXTS[:1]))
    aserve(Embed(model, TEXTS[:1]))
    serve(EmbedQuery(model, "a"))
    aserve(EmbedQuery(model, "a"))
    names = ["embed_documents", "aembed_documents", "embed_query", "aembed_query"]
    assert [name for name, _ in model.calls] == names


def test_a_sync_function_does_not_hold_up_the_loop() -> None:
    threads: list[int] = []

    def embed(texts: list[str]) -> list[list[float]]:
        threads.append(threading.get_ident())
        return function(texts)

    aserve(Embed(embed, TEXTS))
    assert threads != [threading.get_ident()]


@pytest.mark.parametrize("bad", [None, 5, "model", object(), SimpleNamespace(embed_query=len)])
def test_what_is_no_embedding_model_is_named(bad: Any) -> None:
    name = type(bad).__name__
    for call in (lambda: embedder(bad), lambda: serve(Embed(bad, TEXTS))):
        with pytest.raises(InvalidArgumentError, match=f"{name} is no embedding model"):
            call()


def test_a_class_is_no_model() -> None:
    with pytest.raises(InvalidArgumentError, match="Words is a class, no embedding model"):
        embedder(Words)
    with pytest.raises(InvalidArgumentError, match="MockLLM is a class, no chat model"):
        check_chat_model(MockLLM)


def test_wrong_answers_are_named(served: Callable[[Work], Any]) -> None:
    for answer, message in ((None, "NoneType, no list"), ([[1.0]], "1 vectors for 5 texts")):
        with pytest.raises(DocumentError, match=message):
            served(Embed(lambda _, answer=answer: answer, TEXTS))


# Chat models


def shout(prompt: str) -> str:
    return prompt.upper()


async def shout_later(prompt: str) -> str:
    await asyncio.sleep(0)
    return shout(prompt)


BLOCKS: list[Any] = [
    {"type": "reasoning", "text": "hm"},
    {"type": "text", "text": "HEL"},
    {"type": "image_url", "image_url": "x"},
    "LO",
]
CHATS: dict[str, Callable[[], Any]] = {
    "langchain": lambda: FakeListChatModel(responses=["HELLO"]),
    "langchain blocks": lambda: SimpleNamespace(invoke=lambda _: AIMessage(BLOCKS)),
    "langchain llm": lambda: FakeListLLM(responses=["HELLO"]),
    "function": lambda: shout,
    "coroutine function": lambda: shout_later,
    "lambda": lambda: lambda prompt: shout_later(prompt),
}


@pytest.mark.parametrize("kind", CHATS)
def test_every_kind_of_chat_model(served: Callable[[Work], Any], kind: str) -> None:
    model = CHATS[kind]()
    check_chat_model(model)
    assert served(Ask(model, "hello")) == "HELLO"


def test_a_chat_model_of_llama_index(served: Callable[[Work], Any]) -> None:
    assert served(Ask(MockLLM(), "hello")) == "hello"


def test_messages_are_for_langchain_only(served: Callable[[Work], Any]) -> None:
    messages = [HumanMessage("hello")]
    assert served(Ask(FakeListChatModel(responses=["HELLO"]), messages)) == "HELLO"
    for model in (MockLLM(), shout):
        with pytest.raises(InvalidArgumentError, match="must be a string, not list"):
            served(Ask(model, messages))


def test_what_is_no_chat_model_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="int is no chat model"):
        check_chat_model(5)


def test_an_answer_that_is_no_text(served: Callable[[Work], Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="answered int, no text"):
        served(Ask(lambda _: 5, "hello"))


# In a plan


def told_plan(text: str) -> Plan[tuple[list[float], str]]:
    vectors = yield Embed(coroutine, [text])
    answer = yield Ask(shout, text)
    return vectors[0], answer


def test_a_plan_is_written_once() -> None:
    expected = (VECTORS[0], TEXTS[0].upper())
    assert run(told_plan(TEXTS[0]), lambda step: step.serve()) == expected  # type: ignore[union-attr]

    async def execute(step: Any) -> Any:
        return await step.aserve()

    assert asyncio.run(arun(told_plan(TEXTS[0]), execute)) == expected


def test_a_stop_iteration_of_a_model_ends_nothing_else() -> None:
    """In a thread that a task waits for, it would have been waited for for ever."""

    def stops(prompt: str) -> str:
        raise StopIteration

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        Ask(stops, "?").serve()

    async def ask() -> None:
        await asyncio.wait_for(Ask(stops, "?").aserve(), 5)

    with pytest.raises(RuntimeError, match="raised StopIteration"):
        asyncio.run(ask())
