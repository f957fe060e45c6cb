"""LangChain's exact cache: around models, by tenants, with TTL, cleared by scope."""

from __future__ import annotations

import asyncio
import pickle
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.caches import BaseCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation

from langchain_valkey_glide import ValkeyCache
from valkey_memory import CacheStats, InvalidArgumentError, ValkeyConnection, ValkeyMemoryError

from ..caches.test_exact import HOSTILE
from ..servers import send
from .models import USAGE, Counting, Streaming

Make = Callable[..., ValkeyCache]
FaceOf = Callable[[Any], Any]


def chat(text: str) -> list[Generation]:
    return [ChatGeneration(message=AIMessage(text))]


@contextmanager
def everywhere(cache: BaseCache) -> Iterator[None]:
    set_llm_cache(cache)
    try:
        yield
    finally:
        set_llm_cache(None)


def ask(model: Any, question: Any, *, is_async: bool = False, **options: Any) -> Any:
    if is_async:
        return asyncio.run(model.ainvoke(question, **options))
    return model.invoke(question, **options)


def test_a_model_is_asked_once(make_cache: Make, is_async: bool) -> None:
    cache = make_cache()
    model = Counting(cache=cache, tool="search")
    first = ask(model, "What is it?", is_async=is_async)
    again = ask(model, "What is it?", is_async=not is_async)
    assert len(model.calls) == 1
    assert again.tool_calls == first.tool_calls
    assert again.tool_calls[0]["args"] == {"n": [1]}
    assert again.response_metadata == first.response_metadata
    assert again.usage_metadata == {**USAGE, "total_cost": 0}  # LangChain's own mark of a hit
    assert again.content == first.content
    assert cache.stats() == CacheStats(hits=1, misses=1, stores=1)


def test_it_is_the_cache_of_all_models(make_cache: Make, is_async: bool) -> None:
    one, two, plain = Counting(), Counting(name_="two"), FakeListLLM(responses=["a", "b", "c"])
    with everywhere(make_cache()):
        for _ in range(2):
            assert ask(one, "Hi", is_async=is_async).content == "answer 1"
            assert ask(two, "Hi", is_async=is_async).content == "answer 1"
            assert ask(plain, "Hi", is_async=is_async) == "a"
        assert ask(one, "Hi", is_async=is_async, stop=["x"]).content == "answer 2"
        assert ask(one.bind(temperature=1), "Hi", is_async=is_async).content == "answer 3"
        off = Counting(cache=False)
        assert ask(off, "Hi", is_async=is_async).content == "answer 1"
    assert (len(one.calls), len(two.calls), len(off.calls)) == (3, 1, 1)


def test_batches_are_cached(make_cache: Make) -> None:
    model = Counting(cache=make_cache())
    model.batch(["a", "b"], {"max_concurrency": 1})
    found = model.batch(["b", "c", "a"], {"max_concurrency": 1})
    assert len(model.calls) == 3
    assert [one.content for one in found] == ["answer 2", "answer 3", "answer 1"]


def test_what_was_streamed_is_cached_by_invoke_alone(make_cache: Make) -> None:
    """LangChain asks no cache in ``stream``."""
    model = Streaming(cache=make_cache())
    assert "".join(chunk.text for chunk in model.stream("Hi")) == "answer 1"
    assert model.invoke("Hi").content == "answer 2"
    assert model.invoke("Hi").content == "answer 2"
    assert "".join(chunk.text for chunk in model.stream("Hi")) == "answer 3"


def test_any_text_is_a_prompt_and_a_model(make_cache: Make, face: FaceOf) -> None:
    cache = face(make_cache())
    pairs = [(prompt, model) for prompt in HOSTILE[::2] for model in HOSTILE[::3]]
    for prompt, model in pairs:
        cache.update(prompt, model, chat(f"{prompt[:9]!r} {model[:9]!r}"))
    for prompt, model in pairs:
        assert cache.lookup(prompt, model) == chat(f"{prompt[:9]!r} {model[:9]!r}")
    assert cache.lookup("a:", "b") is None


@pytest.mark.parametrize("value", [None, 5, b"p"])
def test_what_is_no_text_is_refused(make_cache: Make, face: FaceOf, value: Any) -> None:
    cache = face(make_cache())
    for prompt, model in ((value, "m"), ("p", value)):
        with pytest.raises(InvalidArgumentError, match="string"):
            cache.lookup(prompt, model)
        with pytest.raises(InvalidArgumentError, match="string"):
            cache.update(prompt, model, chat("x"))


def test_tenants_never_meet(make_cache: Make, face: FaceOf) -> None:
    names = [None, *(name for name in HOSTILE if name and "\ud800" not in name)]
    caches = {name: face(make_cache(namespace=name)) for name in names}
    for name, cache in caches.items():
        assert cache.lookup("p", "m") is None
        cache.update("p", "m", chat(f"of {name}"))
    for name, cache in caches.items():
        assert cache.lookup("p", "m") == chat(f"of {name}")


def test_it_is_cleared_by_scope(make_cache: Make, face: FaceOf) -> None:
    plain, a, star = (make_cache(namespace=name) for name in (None, "a", "a*"))
    every = {"plain": plain, "a": a, "a*": star}

    def left(model: str) -> list[str]:
        return [name for name, cache in every.items() if cache.lookup("p", model)]

    for cache in every.values():
        for model in ("m", "n", "m*"):
            cache.update("p", model, chat("x"))
    face(a).clear(llm_string="m*")
    assert left("m") == ["plain", "a", "a*"]
    assert left("m*") == ["plain", "a*"]
    face(a).clear()
    assert left("n") == left("m") == ["plain", "a*"]
    face(plain).clear()
    assert left("n") == ["a*"]
    with pytest.raises(InvalidArgumentError, match="not both"):
        face(a).clear(llm_string="n", all_namespaces=True)
    face(a).clear(all_namespaces=True)
    assert left("n") == []
    with pytest.raises(TypeError):
        a.clear(namespaces="a")  # type: ignore[call-arg]


def test_nothing_outlives_its_ttl(make_cache: Make, face: FaceOf, prefix: str) -> None:
    cache = make_cache(ttl=0.2)
    face(cache).update("p", "m", chat("x"))
    assert face(cache).lookup("p", "m")
    time.sleep(0.25)
    assert face(cache).lookup("p", "m") is None


def test_a_hit_does_not_change_what_is_stored(make_cache: Make) -> None:
    cache = make_cache()
    cache.update("p", "m", chat("x"))
    found = cache.lookup("p", "m")
    assert isinstance(found, list)
    found[0].message.content = "changed"
    assert cache.lookup("p", "m") == chat("x")


def test_threads_and_tasks_share_it(make_cache: Make) -> None:
    cache = make_cache()
    model = Counting(cache=cache)
    model.invoke("Hi")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: model.invoke("Hi").content, range(40)))

    async def tasks() -> list[Any]:
        return await asyncio.gather(*(model.ainvoke("Hi") for _ in range(40)))

    found += [message.content for message in asyncio.run(tasks())]
    assert set(found) == {"answer 1"}
    assert len(model.calls) == 1
    assert cache.stats().hits == 80


def test_a_pickle_is_the_same_cache(url: str, prefix: str) -> None:
    cache = ValkeyCache(url=url, key_prefix=prefix, namespace="a", ttl=60)
    cache.update("p", "m", chat("x"))
    pickled = pickle.dumps(cache)
    assert not re.search(rb"_(memory|glide)\._", pickled)
    again = pickle.loads(pickled)  # noqa: S301
    assert again.lookup("p", "m") == chat("x")
    assert again.stats() == CacheStats(hits=1)


def test_it_shows_no_password() -> None:
    cache = ValkeyCache(url="valkey://user:secret@localhost:1", namespace="a")
    assert "secret" not in repr(cache)
    assert "namespace='a'" in repr(cache)


def test_a_server_that_is_gone(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    url = "valkey://127.0.0.1:1?connection_timeout=0.2&cluster=false"
    with ValkeyConnection.from_url(url) as connection:
        with pytest.raises(ValkeyMemoryError):
            ask(Counting(cache=ValkeyCache(connection=connection)), "Hi", is_async=is_async)
        tolerant = ValkeyCache(connection=connection, on_error="warn")
        assert ask(Counting(cache=tolerant), "Hi", is_async=is_async).content == "answer 1"
    assert "passed over" in caplog.text


def test_another_programs_value_is_a_miss(
    make_cache: Make, connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_cache()
    cache.update("p", "m", chat("x"))
    (key,) = _keys(connection, prefix)
    for value in (b"\x80\x04\x95", b"{", b"[1]", b'[{"class": "os.system"}]'):
        send(connection, "SET", key, value)
        assert cache.lookup("p", "m") is None
    assert len(caplog.records) == 4
    cache.update("p", "m", chat("y"))
    assert cache.lookup("p", "m") == chat("y")


def _keys(connection: ValkeyConnection, prefix: str) -> list[bytes]:
    from valkey_memory._keys import scan_pattern
    from valkey_memory._plans import Plan, Scan, ScanPage

    def plan() -> Plan[list[bytes]]:
        found: list[bytes] = []
        cursor = None
        while True:
            page: ScanPage = yield Scan("test", scan_pattern(prefix), None, cursor)
            found += page.keys
            cursor = page.cursor
            if cursor is None:
                return found

    return connection.run(plan())


def test_a_conversation_grows(make_cache: Make) -> None:
    model = Counting(cache=make_cache())
    talk: list[Any] = [HumanMessage("Hi", id="1")]
    talk.append(model.invoke(talk))
    talk.append(HumanMessage("And?", id="2"))
    model.invoke(talk)
    model.invoke(talk)
    assert len(model.calls) == 2
