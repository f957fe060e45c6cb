"""LangChain's semantic cache: similar questions, never another conversation's answer."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_valkey_glide import ValkeySemanticCache
from valkey_memory import CacheStats, ConfigurationError, UserData, ValkeyConnection

from ..models.words import Words
from .models import Counting
from .test_cache import ask, everywhere

Make = Callable[..., ValkeySemanticCache]

QUESTION = "what is the capital city of france"
SIMILAR = "tell me what is the capital city of france"


@pytest.fixture
def is_async(backend: str) -> bool:
    """On the cluster alone: the plans are the same."""
    return backend == "cluster"


def test_a_similar_question_asks_no_model(make_semantic: Make, is_async: bool) -> None:
    words = Words()
    cache = make_semantic(words)
    model = Counting(cache=cache, tool="search")
    first = ask(model, QUESTION, is_async=is_async)
    again = ask(model, SIMILAR, is_async=is_async)
    assert again.content == first.content == "answer 1"
    assert again.tool_calls == first.tool_calls
    assert first.id is not None
    assert again.id is None  # of another message
    assert ask(model, QUESTION, is_async=is_async).id == first.id
    assert ask(model, "how do I bake bread", is_async=is_async).content == "answer 2"
    assert len(words.calls) == 3  # the miss, the similar one, the miss
    assert cache.stats() == CacheStats(hits=2, misses=2, stores=2, semantic_hits=1)


def test_more_never_means_another_conversations_more(make_semantic: Make) -> None:
    model = Counting(cache=make_semantic(threshold=0.01))
    talks: list[list[BaseMessage]] = [
        [HumanMessage("About cats"), AIMessage("Cats purr."), HumanMessage("Tell me more")],
        [HumanMessage("About dogs"), AIMessage("Dogs bark."), HumanMessage("Tell me more")],
        [SystemMessage("Be brief."), HumanMessage("Tell me more")],
        [HumanMessage("Tell me more")],
        [HumanMessage("Tell me more", name="bob")],
        [HumanMessage([{"type": "text", "text": "Tell me more"}, {"type": "image", "url": "a"}])],
        [HumanMessage([{"type": "text", "text": "Tell me more"}, {"type": "image", "url": "b"}])],
    ]
    answers = [model.invoke(talk).content for talk in talks]
    assert len(set(answers)) == len(talks)
    assert [model.invoke(talk).content for talk in talks] == answers
    more = [*talks[0][:-1], HumanMessage("Please tell me more")]
    assert model.invoke(more).content == answers[0]


def test_the_context_may_be_ignored(make_semantic: Make) -> None:
    system = SystemMessage("Be brief.")
    talk = [HumanMessage("Hi"), AIMessage("Hello")]
    by_system = Counting(cache=make_semantic(context="system"))
    assert by_system.invoke([system, HumanMessage(QUESTION)]).content == "answer 1"
    assert by_system.invoke([system, *talk, HumanMessage(SIMILAR)]).content == "answer 1"
    assert by_system.invoke([*talk, HumanMessage(SIMILAR)]).content == "answer 2"
    ignoring = Counting(cache=make_semantic(context="ignore"))
    first = ignoring.invoke([*talk, HumanMessage(QUESTION)]).content
    assert ignoring.invoke([system, HumanMessage(SIMILAR)]).content == first
    with pytest.raises(ConfigurationError, match="context"):
        make_semantic(context="none")


def test_a_loop_of_tools_is_found_as_it_is(make_semantic: Make) -> None:
    words = Words()
    model = Counting(cache=make_semantic(words, threshold=0.01))
    loop = [
        HumanMessage(QUESTION),
        AIMessage("", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "1"}]),
        ToolMessage("Paris", tool_call_id="1"),
    ]
    other = [*loop[:2], ToolMessage("Lyon", tool_call_id="1")]
    assert model.invoke(loop).content == "answer 1"
    assert model.invoke(other).content == "answer 2"
    assert [model.invoke(one).content for one in (loop, other)] == ["answer 1", "answer 2"]
    assert len(words.calls) <= 1  # to learn the dimension


def test_models_and_settings_never_share(make_semantic: Make) -> None:
    cache = make_semantic()
    one, two = Counting(), Counting(name_="two")
    with everywhere(cache):
        assert one.invoke(QUESTION).content == "answer 1"
        assert two.invoke(SIMILAR).content == "answer 1"
        assert one.invoke(SIMILAR, stop=["x"]).content == "answer 2"
        assert one.bind(tools=[{"name": "f"}]).invoke(SIMILAR).content == "answer 3"
        assert one.invoke(SIMILAR).content == "answer 1"
    assert (len(one.calls), len(two.calls)) == (3, 1)


def test_tenants_and_users_never_share(make_semantic: Make) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        *({"namespace": name} for name in ("a", "a*", "A", "a|b", "{a}", "\n")),
        *({"namespace": "a", "user_id": user} for user in ("alice", "alice*", "{x}", "a b")),
        {"user_id": "a"},
    ]
    models = [Counting(cache=make_semantic(**scope)) for scope in scopes]
    for number, model in enumerate(models):
        for _ in range(number):
            model.calls.append([])
        assert model.invoke(QUESTION).content == f"answer {number + 1}"
    for number, model in enumerate(models):
        assert model.invoke(SIMILAR).content == f"answer {number + 1}"


def test_a_person_can_be_forgotten(make_semantic: Make) -> None:
    alice, bob = (make_semantic(user_id=name) for name in ("alice", "bob"))
    for cache in (alice, bob):
        model = Counting(cache=cache)
        model.invoke(QUESTION)
        model.invoke([HumanMessage([{"type": "image", "url": "x"}])])
    data = UserData(connection=alice.connection, indexes=[alice.index.name])
    assert data.forget_user("alice").memories == 2
    assert Counting(cache=alice).cache.lookup("", "") is None  # type: ignore[union-attr]
    model = Counting(cache=bob)
    model.invoke(SIMILAR)
    assert not model.calls


def test_clearing(make_semantic: Make, is_async: bool) -> None:
    cache = make_semantic()
    cache.update(QUESTION, "m", [_generation("one")])
    cache.update(QUESTION, "n", [_generation("two")])

    def clear(**options: Any) -> None:
        if is_async:
            asyncio.run(cache.aclear(**options))
        else:
            cache.clear(**options)

    clear(llm_string="m")
    assert cache.lookup(QUESTION, "m") is None
    assert cache.lookup(SIMILAR, "m") is None
    assert cache.lookup(SIMILAR, "n") == [_generation("two")]
    clear()
    assert cache.lookup(QUESTION, "n") is None
    assert cache.index.count() == 0


def _generation(text: str) -> Any:
    from langchain_core.outputs import Generation

    return Generation(text=text)


def test_nothing_is_kept_of_what_failed(make_semantic: Make) -> None:
    cache = make_semantic()
    cache.update(QUESTION, "m", [_generation("")])
    cache.update(QUESTION, "m", [])
    assert cache.lookup(QUESTION, "m") is None
    assert cache.index.count() == 0
    assert cache.stats().stores == 0


def test_a_pickle_is_the_same_cache(url: str, prefix: str) -> None:
    cache = ValkeySemanticCache(
        Words(), url=url, index_name=prefix[:-1], threshold=0.7, context="system", ttl=60
    )
    cache.update(QUESTION, "m", [_generation("x")])
    pickled = pickle.dumps(cache)
    assert not re.search(rb"_(memory|glide)\._", pickled)
    again = pickle.loads(pickled)  # noqa: S301
    assert again.lookup(SIMILAR, "m") == [_generation("x")]
    assert again._context == "system"
    assert "threshold=0.7" in repr(again)
    cache.index.drop(delete_documents=True)


def test_the_default_index_is_its_own(url: str) -> None:
    with ValkeyConnection.from_url(url) as connection:
        assert ValkeySemanticCache(Words(), connection=connection).index.name == "answers"
