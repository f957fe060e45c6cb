"""Answers by meaning: the same question without embedding, a similar one in its scope only."""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import (
    CacheStats,
    ConfigurationError,
    Document,
    EmbeddedValkey,
    InvalidArgumentError,
    UserData,
    ValkeyConnection,
)
from valkey_memory._caches.semantic import Asked, SemanticCache
from valkey_memory._keys import document_key
from valkey_memory.adapters import Found

from ..conversations.test_round_trips import sent
from ..models.words import Words
from ..servers import send
from .conftest import TextCodec
from .test_exact import HOSTILE

Make = Callable[..., SemanticCache[str]]
FaceOf = Callable[[Any], Any]

ON_ONE_SERVER = pytest.mark.parametrize("backend", ["exact"])
QUESTION = "what is the capital city of france"
SIMILAR = "tell me what is the capital city of france"
OTHER = "how do I bake bread"


def ask(text: str | None = QUESTION, context: str = "", model: str = "m") -> Asked:
    return Asked(model, context, text)


def test_the_same_question_needs_no_embedding(make_semantic: Make, face: FaceOf) -> None:
    model = Words()
    cache = make_semantic(model)
    seen = face(cache)
    assert seen.get(ask()) is None
    seen.set(ask(), "Paris")
    assert len(model.calls) == 1  # the miss had the vector that is stored
    assert seen.get(ask()) == Found("Paris")
    assert len(model.calls) == 1
    found = seen.get(ask(SIMILAR))
    assert found.answer == "Paris"
    assert 0.7 <= found.similarity < 1
    assert seen.get(ask(OTHER)) is None
    assert cache.stats() == CacheStats(hits=2, misses=2, stores=1, semantic_hits=1)
    assert cache.stats().lookups == 4


def test_a_similar_question_stays_in_its_scope(make_semantic: Make) -> None:
    cache = make_semantic()
    cache.set(ask(), "Paris")
    for other in (ask(SIMILAR, context="c"), ask(SIMILAR, model="n"), ask(QUESTION, context="c")):
        assert cache.get(other) is None
    for options in ({"namespace": "a"}, {"user_id": "a"}, {"namespace": "a", "user_id": "a"}):
        other_cache = make_semantic(**options)
        assert other_cache.get(ask()) is None
        assert other_cache.get(ask(SIMILAR)) is None
        other_cache.set(ask(), str(options))
        found = other_cache.get(ask(SIMILAR))
        assert found is not None
        assert found.answer == str(options)
    found = cache.get(ask(SIMILAR))
    assert found is not None
    assert found.answer == "Paris"


def test_what_has_no_text_is_found_as_it_is_only(make_semantic: Make) -> None:
    cache = make_semantic(threshold=0.0001)
    for text in (None, "", "  \n", "\ud800"):
        asked = ask(text, context=f"image {text!r}")
        assert cache.get(asked) is None
        cache.set(asked, repr(text))
        assert cache.get(asked) == Found(repr(text))
        assert cache.get(ask(text, context="another")) is None
        assert cache.get(ask(QUESTION, context=f"image {text!r}")) is None


@pytest.mark.parametrize("known", [False, True])
def test_an_answer_without_text_may_be_the_first(make_semantic: Make, known: bool) -> None:
    cache = make_semantic(dimension=64 if known else None)
    cache.set(ask(None, "tools"), "called")
    assert cache.get(ask(None, "tools")) == Found("called")
    cache.set(ask(), "Paris")
    found = cache.get(ask(SIMILAR))
    assert found is not None
    assert found.answer == "Paris"


def test_the_newest_answer_takes_the_place(make_semantic: Make) -> None:
    cache = make_semantic()
    cache.set(ask(), "Lyon")
    cache.set(ask(), "Paris")
    assert cache.get(ask()) == Found("Paris")
    assert cache.index.count() == 1
    cache.set(ask("one more"), "")  # not worth keeping
    assert cache.index.count() == 1
    assert cache.stats().stores == 2


def test_the_threshold_decides(make_semantic: Make) -> None:
    make_semantic().set(ask(), "Paris")
    similarity = make_semantic().get(ask(SIMILAR)).similarity  # type: ignore[union-attr]
    assert similarity is not None
    assert make_semantic(threshold=similarity - 0.01).get(ask(SIMILAR)) is not None
    assert make_semantic(threshold=similarity + 0.01).get(ask(SIMILAR)) is None
    assert make_semantic(threshold=1).get(ask()) == Found("Paris")


@ON_ONE_SERVER
@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, 92, True, "0.9", None, float("nan")])
def test_a_threshold_that_cannot_be_is_refused(make_semantic: Make, threshold: Any) -> None:
    with pytest.raises(ConfigurationError, match="threshold"):
        make_semantic(threshold=threshold)


@ON_ONE_SERVER
@pytest.mark.parametrize("name", ["namespace", "user_id"])
@pytest.mark.parametrize("value", ["", 1, "\ud800"])
def test_a_scope_that_cannot_be_is_refused(make_semantic: Make, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        make_semantic(**{name: value})


# Tenants


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_nobody_gets_anybody_elses_answer(make_semantic: Make, data: st.DataObject) -> None:
    names = st.none() | st.sampled_from([n for n in HOSTILE if n and n.isprintable()][:12])
    contexts = st.sampled_from(["", "a", "a:b", '["a"]'])
    scopes = st.tuples(names, names, st.sampled_from(["m", "m*", "M"]), contexts)
    known: dict[Any, str] = {}
    for number in range(4):
        at = data.draw(scopes)
        namespace, user, model, context = at
        cache = make_semantic(namespace=namespace, user_id=user)
        known[at] = f"{number} {at!r}"
        cache.set(ask(QUESTION, context, model), known[at])
    for at in [*known, data.draw(scopes)]:
        namespace, user, model, context = at
        cache = make_semantic(namespace=namespace, user_id=user)
        for text in (QUESTION, SIMILAR):
            found = cache.get(ask(text, context, model))
            own = known.get(at)
            if own is None:  # nothing, or what an example before this one stored there
                assert found is None or found.answer.endswith(repr(at))
            else:
                assert found is not None
                assert found.answer == own


# Clearing, and the data of a person


def fill(make: Make) -> dict[str, SemanticCache[str]]:
    caches = {
        "plain": make(),
        "a": make(namespace="a"),
        "a*": make(namespace="a*"),
        "a, alice": make(namespace="a", user_id="alice"),
        "a, bob": make(namespace="a", user_id="bob"),
    }
    for name, cache in caches.items():
        for model in ("m", "n"):
            cache.set(ask(model=model), name)
            cache.set(ask(None, "tools", model), name)
    return caches


def left(caches: dict[str, SemanticCache[str]], model: str = "m") -> list[str]:
    both = (ask(model=model), ask(None, "tools", model))
    found = {name: [cache.get(one) for one in both] for name, cache in caches.items()}
    assert all(first == second for first, second in found.values())
    return [name for name, (first, _) in found.items() if first is not None]


def test_it_is_cleared_by_scope(make_semantic: Make, face: FaceOf) -> None:
    caches = fill(make_semantic)
    assert face(caches["a"]).clear("m") == 6
    assert left(caches) == ["plain", "a*"]
    assert left(caches, "n") == list(caches)
    assert face(caches["a, alice"]).clear() == 2
    assert left(caches, "n") == ["plain", "a", "a*", "a, bob"]
    assert face(caches["a"]).clear() == 4
    assert left(caches, "n") == ["plain", "a*"]
    assert face(caches["plain"]).clear() == 4
    assert left(caches, "n") == ["a*"]
    assert face(caches["a"]).clear("m", all_namespaces=True) == 2
    assert face(caches["a"]).clear(all_namespaces=True) == 2
    assert left(caches, "n") == []
    assert caches["a"].index.count() == 0


def test_user_data_covers_it(make_semantic: Make) -> None:
    caches = fill(make_semantic)
    cache = caches["a, alice"]
    data = UserData(connection=cache.connection, indexes=[cache.index.name])
    assert data.count("alice").memories == 4
    assert data.forget_user("alice").memories == 4
    assert left(caches) == ["plain", "a", "a*", "a, bob"]


# TTL


def test_nothing_outlives_its_ttl(make_semantic: Make, face: FaceOf) -> None:
    cache = make_semantic(ttl=0.4)
    seen = face(cache)
    seen.set(ask(), "Paris")
    seen.set(ask(None, "tools"), "called")
    document = cache.index.page()[0]
    assert 0 < send(cache.connection, "PTTL", document_key(cache.index.name, document.id)) <= 400
    assert seen.get(ask()) == Found("Paris")
    time.sleep(0.5)
    for asked in (ask(), ask(SIMILAR), ask(None, "tools")):
        assert seen.get(asked) is None
    assert cache.index.count() == 0


def test_an_entry_that_lost_its_expiry_is_none(
    make_semantic: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster a document and its expiry are two commands; a crash may come between them."""
    cache = make_semantic(ttl=0.2)
    cache.set(ask(), "Paris")
    (document,) = cache.index.page()
    send(cache.connection, "PERSIST", document_key(cache.index.name, document.id))
    monkeypatch.setattr("valkey_memory._caches.semantic._GRACE_MS", 0)
    time.sleep(0.25)
    assert cache.get(ask()) is None
    cache.set(ask(), "Paris")
    assert send(cache.connection, "PTTL", document_key(cache.index.name, document.id)) > 0


# What goes wrong


class Broken(Words):
    def vectors(self, texts: list[str]) -> list[list[float]]:
        raise RuntimeError("the embedding model is down")


def test_an_embedding_model_that_fails(
    make_semantic: Make, face: FaceOf, caplog: pytest.LogCaptureFixture
) -> None:
    make_semantic().set(ask(), "Paris")
    with pytest.raises(RuntimeError, match="is down"):
        face(make_semantic(Broken())).get(ask(SIMILAR))
    cache = make_semantic(Broken(), on_error="warn")
    seen = face(cache)
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert seen.get(ask(SIMILAR)) is None
        seen.set(ask(SIMILAR), "Paris")
    assert sum("is down" in record.message for record in caplog.records) == 2
    assert seen.get(ask()) == Found("Paris")  # it is not needed for that
    assert cache.stats() == CacheStats(hits=1, misses=1)


def test_what_cannot_be_read_is_a_miss(
    make_semantic: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_semantic()
    cache.set(ask(), "damaged")
    assert cache.get(ask()) is None
    assert cache.get(ask(SIMILAR)) is None
    assert any("is a miss" in record.message for record in caplog.records)
    cache.set(ask(), "Paris")
    assert cache.get(ask()) == Found("Paris")


def test_an_answer_that_is_too_large_is_not_stored(
    make_semantic: Make, face: FaceOf, caplog: pytest.LogCaptureFixture
) -> None:
    cache = make_semantic()
    face(cache).set(ask(), "x" * 6_000_000)
    assert "not cached: document" in caplog.text
    assert face(cache).get(ask()) is None
    assert cache.stats().stores == 0
    with pytest.raises(InvalidArgumentError, match="model must be a string, not 5"):
        face(cache).clear(5)


@pytest.mark.parametrize(
    "odd",
    [{"expires_ms": "soon"}, {"expires_ms": [1]}, {"answer": 5}, {"answer": None}, {}],
    ids=repr,
)
def test_what_another_program_wrote_there(make_semantic: Make, odd: dict[str, Any]) -> None:
    cache = make_semantic(ttl=60)
    cache.set(ask(), "Paris")
    (document,) = cache.index.page()
    metadata = {**document.metadata, **odd} if odd else {}
    cache.index.upsert(
        [Document(document.id, document.content, metadata, [1.0] * (cache.index.dimension or 0))]
    )
    assert getattr(cache.get(ask()), "answer", None) in ("Paris", "5", "None")
    cache.set(ask(), "Paris")
    assert cache.get(ask()) == Found("Paris")


def test_hostile_texts(make_semantic: Make) -> None:
    cache = make_semantic()
    for text in HOSTILE:
        cache.set(ask(text, context=text, model=text), f"answer {text[:10]!r}")
    for text in HOSTILE:
        assert cache.get(ask(text, context=text, model=text)) == Found(f"answer {text[:10]!r}")


# Round trips and pickles


def test_round_trips(
    server: EmbeddedValkey, standalone_connection: ValkeyConnection, prefix: str
) -> None:
    cache = SemanticCache(
        TextCodec(),
        Words(),
        connection=standalone_connection,
        index_name=prefix.removesuffix(":"),
        threshold=0.7,
        search="exact",
        ttl=60,
    )
    cache.set(ask(), "Paris")
    cache.get(ask(SIMILAR))  # the first search reads all
    assert sent(server, lambda: cache.get(ask())) == {"hmget": 1}
    assert sent(server, lambda: cache.get(ask(SIMILAR))) == {"hmget": 1, "xrange": 1}
    stored = sent(server, lambda: cache.set(ask(OTHER), "Knead."))
    assert stored == {
        "multi": 1,
        "exec": 1,
        "hset": 1,
        "pexpire": 1,
        "xadd": 1,
        "set": 1,
        "hdel": 1,
    }
    cache.index.drop(delete_documents=True)


def test_options_make_it_anew(make_semantic: Make) -> None:
    cache = make_semantic(namespace="a", user_id="alice", ttl=60)
    cache.set(ask(), "Paris")
    again = SemanticCache(TextCodec(), **pickle.loads(pickle.dumps(cache.options())))  # noqa: S301
    assert again.get(ask()) == Found("Paris")
