"""Conversation memory: a context before the model, a turn after it, and nothing lost between."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from valkey_memory import (
    ConfigurationError,
    Context,
    ConversationMemory,
    EmbeddedValkey,
    InvalidArgumentError,
    InvalidSessionIdError,
    LongTermMemory,
    MessageEncodeError,
    MessageStore,
    SessionStore,
    Summary,
    ValkeyConnection,
)
from valkey_memory._plans import Aside, Lanes, Plan, Request, run

from ..conftest import Face
from ..conversations.test_round_trips import sent
from ..models.words import Words
from ..servers import send
from .scripted import ScriptedModel
from .test_facts import answer, new
from .test_long_term import HOSTILE_IDS, texts, turn


@pytest.fixture(params=["sync", "async"])
def make_conversation(
    request: pytest.FixtureRequest, make_plain_memory: Any, prefix: str
) -> Callable[..., Any]:
    """Makes a ConversationMemory of a user and a session, in its sync and its async face."""

    def make(session_id: str = "s1", user_id: str = "mara", **options: Any) -> Any:
        embedding = options.pop("embedding", None)
        known = {"long_term": make_plain_memory(embedding), "key_prefix": prefix}
        memory = ConversationMemory(user_id=user_id, session_id=session_id, **(known | options))
        return Face(memory, is_async=request.param == "async")

    return make


def contents(messages: Sequence[Any]) -> list[str]:
    return [message["content"] for message in messages]


class Failing:
    """An embedding model that fails as long as it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.batches: list[int] = []
        self._words = Words()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.batches.append(len(texts))
        if self.error is not None:
            raise self.error
        return self._words.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        return self._words.embed_query(text)


# A turn


def test_a_turn_is_remembered_across_conversations(make_conversation: Any) -> None:
    monday, friday = make_conversation("monday"), make_conversation("friday")
    monday.save_turn("I take the green kayak.", "A good choice.")
    monday.store.long_term.remember("Mara cannot swim.", user_id="mara")
    context = friday.context("Which kayak did I choose?")
    assert isinstance(context, Context)
    assert texts(context.facts) == ["Mara cannot swim."]
    assert context.recalled[0].text == "I take the green kayak."
    assert (context.summary, context.messages, context.left_out) == ("", [], [])
    assert context.question == {"role": "user", "content": "Which kayak did I choose?"}
    assert context.tokens > 50
    assert friday.messages() == []
    friday.save_turn("Which kayak did I choose?", "The green one.")
    again = friday.context("Thank you. Which colour?")
    assert contents(again.messages) == ["Which kayak did I choose?", "The green one."]
    assert {one.session_id for one in again.recalled} == {"monday"}
    prompt = again.prompt_messages()
    assert [one["role"] for one in prompt] == ["system", "user", "assistant", "user"]
    assert all(one.keys() == {"role", "content"} for one in prompt)
    assert friday.messages() == again.messages
    assert make_conversation("x", "ben").context("Which kayak?").prompt_messages() == [
        {"role": "user", "content": "Which kayak?"}
    ]


def test_turns_with_tools_and_whole_messages(make_conversation: Any) -> None:
    memory = make_conversation()
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    answer = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "21 degrees", "tool_call_id": "1"},
        {"role": "assistant", "content": "It is warm."},
    ]
    question = {"role": "user", "name": "Mara", "content": [{"type": "text", "text": "Warm?"}]}
    memory.save_turn(question, answer)
    assert memory.messages() == [question, *answer]
    assert memory.context("And?").messages == [question, *answer]
    assert {(one.name, one.text) for one in memory.store.long_term.list("mara")} == {
        ("Mara", "Warm?"),
        (None, "It is warm."),
    }
    assert memory.context(question).question == question


def test_what_cannot_be_stored_is_not(make_conversation: Any) -> None:
    memory = make_conversation()
    for question, said in (
        ("Hello", None),
        (None, "Hello"),
        ("Hello", [{"content": "no role"}]),
        ("\ud800", "Hello"),
        ("Hello", {"role": "assistant", "content": "\ud800"}),
    ):
        with pytest.raises(MessageEncodeError):
            memory.save_turn(question, said)
    with pytest.raises(InvalidArgumentError, match="no message"):
        memory.save_turn("Hello", [])
    assert memory.messages() == []
    assert memory.store.long_term.list("mara") == []


def test_a_question_without_words_recalls_nothing(make_conversation: Any) -> None:
    memory = make_conversation()
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}
    memory.store.long_term.remember("Mara cannot swim.", user_id="mara")
    for question in (image, "", "  \n"):
        context = memory.context(question)
        assert (texts(context.facts), context.recalled) == (["Mara cannot swim."], [])
    memory.save_turn(image, "A cat.")
    assert len(memory.messages()) == 2


def test_the_window_begins_at_a_turn_and_says_what_it_left(make_conversation: Any) -> None:
    memory = make_conversation(last=5, facts=2, k=3)
    for number in range(4):
        memory.save_turn(f"q{number}", f"a{number}")
        memory.store.long_term.remember(f"fact {number}", user_id="mara")
    context = memory.context("fact?")
    assert contents(context.messages) == ["q2", "a2", "q3", "a3"]
    assert texts(context.facts) == ["fact 3", "fact 2"]
    assert [(one.part, one.number, one.why) for one in context.left_out] == [
        ("messages", 4, "last=5"),
        ("facts", 2, "facts=2"),
    ]
    assert set(texts(context.recalled)) == {"fact 0", "fact 1"}  # not the session's own


def test_options_that_leave_parts_out(make_conversation: Any) -> None:
    make_conversation("s0").save_turn("I like tea.", "I see.")
    no_recall = make_conversation(k=0)
    no_recall.store.long_term.remember("Mara likes tea.", user_id="mara")
    assert no_recall.context("tea?").recalled == []
    assert texts(no_recall.context("tea?").facts) == ["Mara likes tea."]
    no_facts = make_conversation(facts=0).context("tea?")
    assert no_facts.facts == []
    assert "Mara likes tea." in texts(no_facts.recalled)
    nothing = make_conversation(facts=0, k=0).context("tea?")
    assert nothing.prompt_messages() == [{"role": "user", "content": "tea?"}]


def test_last_none_reads_as_much_as_the_budget_allows(make_conversation: Any) -> None:
    memory = make_conversation(last=None, max_tokens=100)
    for number in range(20):
        memory.save_turn(f"question {number}", f"answer {number}")
    context = memory.context("?")
    assert 4 <= len(context.messages) < 40
    assert context.tokens <= 100
    (left,) = [one for one in context.left_out if one.part == "messages"][:1]
    assert left.why == "max_tokens=100"
    total = sum(one.number for one in context.left_out if one.part == "messages")
    assert total == 40 - len(context.messages)
    assert len(make_conversation(last=None).context("?").messages) == 40


def test_a_summary_stands_in_the_notes(make_conversation: Any) -> None:
    summary = Summary(ScriptedModel("Mara plans a trip."), keep_last=2, when_over=4)
    memory = make_conversation(summary=summary)
    for number in range(3):
        memory.save_turn(f"q{number}", f"a{number}")
    context = memory.context("?")
    assert context.summary == "Mara plans a trip."
    assert contents(context.messages) == ["q2", "a2"]
    assert contents(memory.messages()) == ["q2", "a2"]
    assert [one["role"] for one in context.prompt_messages()].count("system") == 1
    assert context.left_out == []
    assert len(memory.store.long_term.list("mara")) == 6
    assert memory.catch_up() == 6


def test_a_conversation_is_its_users(make_conversation: Any, prefix: str) -> None:
    memory = make_conversation(title="Boats", model="small")
    memory.save_turn("Hello", "Hi")
    sessions = SessionStore(connection=memory.store.connection, key_prefix=prefix)
    (session,) = sessions.of_user("mara")
    assert (session.session_id, session.title, session.model) == ("s1", "Boats", "small")
    store = MessageStore(connection=memory.store.connection, key_prefix=prefix)
    assert store.messages("s1") == turn("Hello", "Hi")


def test_without_long_term_memory(make_conversation: Any, url: str, prefix: str) -> None:
    memory = make_conversation(long_term=None, url=url)
    memory.save_turn("Hello", "Hi")
    assert contents(memory.context("?").messages) == ["Hello", "Hi"]
    with pytest.raises(InvalidArgumentError, match="long_term"):
        memory.catch_up()
    memory.clear(memories=True)
    assert memory.messages() == []


def test_clearing(make_conversation: Any) -> None:
    memory, other = make_conversation("s1"), make_conversation("s2")
    memory.save_turn("I like tea.", "I see.")
    other.save_turn("I like coffee.", "I see.")
    memory.clear()
    assert memory.messages() == []
    assert len(memory.store.long_term.list("mara")) == 4
    memory.clear(memories=True)
    assert {m.session_id for m in memory.store.long_term.list("mara")} == {"s2"}
    assert contents(other.messages()) == ["I like coffee.", "I see."]


def test_clearing_takes_the_episode_along(
    make_conversation: Any, make_plain_memory: Any, prefix: str
) -> None:
    long_term = make_plain_memory(key_prefix=prefix)
    memory = make_conversation(long_term=long_term)
    memory.save_turn("I like tea.", "I see.")
    model = ScriptedModel('{"title": "Tea", "summary": "Mara likes tea."}')
    one = long_term.store_episode("s1", user_id="mara", model=model)
    copy = f"{{{long_term.index.name}:{one}}}:conversation"
    assert send(memory.store.connection, "EXISTS", copy) == 1
    memory.clear(memories=True)
    assert long_term.list("mara") == []
    assert send(memory.store.connection, "EXISTS", copy) == 0


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_hostile_ids_see_themselves_only(make_conversation: Any, name: str) -> None:
    usable = "{" not in name and "}" not in name
    session = name if usable else "s1"
    memory, other = make_conversation(session, name), make_conversation("s0", name)
    stranger = make_conversation("s9", "alice" if name != "alice" else "bob")
    stranger.save_turn("My secret is tea.", "I keep it.")
    other.save_turn("I like tea.", "I see.")
    memory.save_turn("Hello", "Hi")
    context = memory.context("tea?")
    assert set(texts(context.recalled)) == {"I like tea.", "I see."}
    assert contents(context.messages) == ["Hello", "Hi"]
    assert "secret" not in str(context.prompt_messages())
    memory.clear(memories=True)
    assert len(other.store.long_term.list(name)) == 2


# Failures


def test_a_failing_embedder_loses_no_turn(
    make_conversation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    embedding = Failing()
    memory = make_conversation(embedding=embedding)
    embedding.error = RuntimeError("out of quota")
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        memory.save_turn("I like tea.", "I see.")
    assert "not all of" in caplog.text
    assert "out of quota" in caplog.text
    assert memory.store.last_error is embedding.error
    assert contents(memory.messages()) == ["I like tea.", "I see."]
    assert memory.store.long_term.list("mara") == []
    embedding.error = None
    memory.save_turn("And coffee.", "I see.")
    assert memory.store.last_error is None
    found = memory.store.long_term.list("mara")
    assert sorted(texts(found)) == ["And coffee.", "I like tea.", "I see.", "I see."]


def test_after_a_long_failure_catch_up_remembers_all(make_conversation: Any) -> None:
    embedding = Failing()
    memory = make_conversation(embedding=embedding)
    embedding.error = RuntimeError("down")
    for number in range(15):
        memory.save_turn(f"q{number}", f"a{number}")
    embedding.error = None
    assert memory.catch_up() == 30
    assert memory.catch_up() == 30
    assert len(memory.store.long_term.list("mara")) == 30
    (hit,) = memory.store.long_term.recall("q7", user_id="mara", k=1, mode="text", neighbours=1)
    assert texts(hit.neighbours) == ["a6", "a7"]


def test_foreign_elements_stop_nothing(make_conversation: Any, prefix: str) -> None:
    memory = make_conversation(on_corrupt="skip")
    memory.save_turn("One", "Two")
    connection = memory.store.connection
    key = f"{prefix}s1"
    named = '{"role": "user", "content": "Zero", "ts": 10000000000000000000}'
    for raw in (
        "no json",
        named,
        '{"role": "", "content": "x"}',
        '{"content": "no role"}',
        '{"role": 5, "content": "x"}',
        "[]",
        "7",
    ):
        _push(connection, key, raw)
    memory.save_turn("Three", "Four")
    assert memory.store.last_error is None
    known = {"Zero", "One", "Two", "Three", "Four"}
    assert set(texts(memory.store.long_term.list("mara"))) == known
    assert "Zero" in texts(make_conversation("s2").context("Zero?").recalled)


def _push(connection: ValkeyConnection, key: str, raw: str) -> None:
    def push_plan() -> Plan[Any]:
        return (yield Request("push", (("RPUSH", key, raw),)))

    connection.run(push_plan())


def test_a_named_turn_is_stored_once(make_conversation: Any) -> None:
    memory = make_conversation()
    for _ in range(3):
        memory.save_turn("I like tea.", "I see.", once="request-7")
    memory.save_turn("I like tea.", "I see.", once="request-8")
    assert len(memory.messages()) == 4
    assert len(memory.store.long_term.list("mara")) == 4


@pytest.fixture
def plain(make_plain_memory: Any, prefix: str) -> ConversationMemory:
    return ConversationMemory(
        user_id="mara",
        session_id="s1",
        long_term=make_plain_memory(),
        summary=Summary(ScriptedModel("A summary."), keep_last=2, when_over=4),
        key_prefix=prefix,
    )


def steps_of(plan: Plan[Any], memory: ConversationMemory, at_most: int) -> int:
    """Run a plan for so many steps, as if the process ended then; how many there were."""
    number = 0
    primaries = memory.connection.for_primaries()
    try:
        step = next(plan)
        while number < at_most:
            number += 1
            step = plan.send(primaries._execute(step))
    except StopIteration:
        pass
    finally:
        plan.close()
    return number


def test_a_process_may_end_between_any_two_steps(plain: ConversationMemory) -> None:
    """Nothing is lost, doubled, or stuck: the next turn, of another object, catches up."""
    steps = steps_of(plain._save_plan("q", "a", None), plain, 1_000)
    assert steps > 5
    plain.clear(memories=True)
    assert plain.long_term is not None
    for end in range(30):
        plain._run(plain._plans.delete_plan("s1"))
        for number in range(3):
            steps_of(plain._save_plan(f"q{number}", f"a{number}", f"t{number}"), plain, end)
        for number in range(4):  # the client asks again
            plain.save_turn(f"q{number}", f"a{number}", once=f"t{number}")
        everything = plain._run(plain._plans.archived_plan("s1", True))
        said = [one.message["content"] for one in everything]
        assert said == [f"{kind}{n}" for n in range(4) for kind in "qa"]
        found = plain.long_term.list("mara")
        assert sorted(texts(found)) == sorted(said)
        assert plain.last_error is None
        plain.clear(memories=True)


def test_a_cancelled_turn_is_whole_or_not_there(make_plain_memory: Any, prefix: str) -> None:
    embedding = Failing()
    memory = ConversationMemory(
        user_id="mara", session_id="s1", long_term=make_plain_memory(embedding), key_prefix=prefix
    )

    async def cancelled(seconds: float) -> None:
        task = asyncio.ensure_future(memory.asave_turn("q", "a"))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for milliseconds in (0, 0.2, 0.5, 1, 2, 5):
        asyncio.run(cancelled(milliseconds / 1000))
    memory.save_turn("last", "one")
    said = contents(memory.messages())
    assert said[-2:] == ["last", "one"]
    assert said[:-2] == ["q", "a"] * (len(said) // 2 - 1)
    assert memory.long_term is not None
    assert len(memory.long_term.list("mara")) == len(said)


# In the background


def test_background_work_delays_nobody(make_conversation: Any) -> None:
    class Slow(Failing):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            time.sleep(0.5)
            return super().embed_documents(texts)

    memory = make_conversation(embedding=Slow(), background=True)
    if memory.is_async:

        async def talk() -> float:
            since = time.monotonic()
            await memory.store.asave_turn("I like tea.", "I see.")
            took = time.monotonic() - since
            await memory.store.aclose()
            return took

        took = asyncio.run(talk())
    else:
        since = time.monotonic()
        with memory.store:
            memory.store.save_turn("I like tea.", "I see.")
            took = time.monotonic() - since
    assert took < 0.4
    assert len(memory.store.long_term.list("mara")) == 2


def test_background_failures_are_kept(make_plain_memory: Any, prefix: str) -> None:
    embedding = Failing()
    memory = ConversationMemory(
        user_id="mara",
        session_id="s1",
        long_term=make_plain_memory(embedding),
        key_prefix=prefix,
        background=True,
    )
    embedding.error = RuntimeError("down")
    memory.save_turn("q", "a")
    memory.close()
    assert memory.last_error is embedding.error

    async def in_a_loop() -> None:
        await memory.asave_turn("r", "b")
        await memory.aclose()

    asyncio.run(in_a_loop())
    assert memory.last_error is embedding.error
    embedding.error = None
    memory.save_turn("s", "c")
    memory.close()
    assert memory.last_error is None
    assert memory.long_term is not None
    assert len(memory.long_term.list("mara")) == 6


def test_turns_of_many_at_once(make_plain_memory: Any, prefix: str) -> None:
    memory = ConversationMemory(
        user_id="mara",
        session_id="s1",
        long_term=make_plain_memory(),
        key_prefix=prefix,
        background=True,
    )

    def talk(number: int) -> None:
        for turn_number in range(3):
            memory.save_turn(f"q{number}.{turn_number}", f"a{number}.{turn_number}")
            memory.context("q")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory.close()
    said = contents(memory.messages())
    assert len(said) == 24
    assert all(said[n][1:] == said[n + 1][1:] for n in range(0, 24, 2))
    assert memory.long_term is not None
    memory.catch_up()
    assert sorted(texts(memory.long_term.list("mara"))) == sorted(said)


# Round trips


@pytest.fixture
def counted(
    plain: ConversationMemory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Request | Lanes]]:
    """The requests that reach the connection's executor."""
    connection = plain.connection.for_primaries()
    steps: list[Request | Lanes] = []
    execute = connection._execute

    def counting(step: Any) -> Any:
        steps.extend([step] if isinstance(step, Request | Lanes) else [])
        return execute(step)

    monkeypatch.setattr(connection, "_execute", counting)
    yield steps
    monkeypatch.undo()


def test_a_turn_takes_two_round_trips_before_the_model_and_one_after(
    plain: ConversationMemory, counted: list[Request | Lanes]
) -> None:
    assert plain.long_term is not None
    plain.long_term.remember("Mara cannot swim.", user_id="mara")
    for number in range(4):
        plain.save_turn(f"tea {number}", "I see.")
    plain.context("tea?")
    for number in range(3):
        counted.clear()
        context = plain.context("Which tea?")
        assert 1 <= len(counted) <= 2
        assert all(isinstance(step, Request) for step in counted)
        assert context.summary == "A summary."
        assert context.facts
        counted.clear()
        after = plain.settings.after.after_turn_plan
        plain.settings.after.after_turn_plan = lambda *_: iter(())  # type: ignore[method-assign,assignment]
        plain._plans._summary, summary = None, plain._plans._summary
        plain.save_turn(f"Which {number}", "Green.")
        assert len(counted) == 1
        plain.settings.after.after_turn_plan = after  # type: ignore[method-assign]
        plain._plans._summary = summary
        counted.clear()
        plain._run(after(plain._key, "s1", "mara"))
        assert len(counted) <= 4


def test_what_a_context_sends(server: EmbeddedValkey, url: str, prefix: str) -> None:
    long_term = LongTermMemory(Words(), url=url, index_name=prefix[:-1], search="exact")
    memory = ConversationMemory(
        user_id="a", session_id="s", long_term=long_term, key_prefix=prefix, background=True
    )
    memory.save_turn("I like tea.", "I see.")
    memory.close()
    memory.context("tea?")
    counts = sent(server, lambda: memory.context("tea?"))
    assert counts == {"eval_ro": 1, "llen": 2, "lrange": 1, "xrange": 1}
    bare = ConversationMemory(user_id="a", session_id="s", key_prefix=prefix, url=url)
    assert set(sent(server, lambda: bare.context("tea?"))) == {"eval_ro", "llen", "lrange"}


def test_the_answer_waits_for_the_store_only(plain: ConversationMemory) -> None:
    plain.settings.after.background = True
    plan = plain._save_plan("q", "a", None)
    seen: list[Any] = []

    def execute(step: Any) -> Any:
        seen.append(step)
        return None if isinstance(step, Aside) else plain.connection._execute(step)

    run(plan, execute)
    assert isinstance(seen[-1], Aside)
    assert sum(isinstance(one, Request) for one in seen) == 1


# Making one


def test_conversation_and_memories_share_a_connection(url: str) -> None:
    long_term = LongTermMemory(Words(), url=url)
    one = ConversationMemory(user_id="a", session_id="s", long_term=long_term)
    assert one.connection is long_term.connection
    same = ConversationMemory(user_id="a", session_id="s", long_term=long_term, url=url)
    assert same.connection is long_term.connection
    with (
        ValkeyConnection.from_url(url) as other,
        pytest.raises(ConfigurationError, match="connection of its own"),
    ):
        ConversationMemory(user_id="a", session_id="s", long_term=long_term, connection=other)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"user_id": ""}, InvalidArgumentError),
        ({"user_id": None}, InvalidArgumentError),
        ({"session_id": ""}, InvalidSessionIdError),
        ({"session_id": None}, InvalidSessionIdError),
        ({"long_term": "memory"}, InvalidArgumentError),
        ({"summary": "summary"}, InvalidArgumentError),
        ({"last": 0}, InvalidArgumentError),
        ({"facts": -1}, InvalidArgumentError),
        ({"k": -1}, InvalidArgumentError),
        ({"background": 1}, InvalidArgumentError),
        ({"extract": ScriptedModel()}, InvalidArgumentError),
        ({"extract": 5}, InvalidArgumentError),
        ({"max_tokens": 0}, InvalidArgumentError),
        ({"shares": {"facts": 0.2}}, InvalidArgumentError),
        ({"ttl": 0}, InvalidArgumentError),
        ({"colour": "red"}, TypeError),
    ],
)
def test_wrong_arguments(options: dict[str, Any], error: type[Exception], url: str) -> None:
    with pytest.raises(error):
        ConversationMemory(**({"user_id": "a", "session_id": "s", "url": url} | options))


def test_it_says_what_it_is(plain: ConversationMemory) -> None:
    assert repr(plain) == "ConversationMemory(user_id='mara', session_id='s1')"
    context = plain.context("Hello")
    assert "system_message" not in repr(context)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_in_a_cluster(cluster_connection: ValkeyConnection, prefix: str, is_async: bool) -> None:
    long_term = LongTermMemory(
        Words(), connection=cluster_connection, index_name=prefix[:-1], search="exact"
    )

    def make(session_id: str) -> Any:
        summary = Summary(ScriptedModel("They talk."), keep_last=2, when_over=4)
        memory = ConversationMemory(
            user_id="mara",
            session_id=session_id,
            long_term=long_term,
            summary=summary,
            key_prefix=prefix,
        )
        return Face(memory, is_async=is_async)

    try:
        for session in ("s1", "s2", "s3"):
            for number in range(3):
                make(session).save_turn(f"Tea {number} in {session}", "I see.")
        long_term.remember("Mara likes tea.", user_id="mara")
        context = make("s3").context("Which tea?")
        assert context.summary == "They talk."
        assert contents(context.messages) == ["Tea 2 in s3", "I see."]
        assert texts(context.facts) == ["Mara likes tea."]
        assert {one.session_id for one in context.recalled} == {"s1", "s2"}
        sessions = SessionStore(connection=cluster_connection, key_prefix=prefix)
        assert len(sessions.of_user("mara")) == 3
        assert len(long_term.list("mara", kind="message")) == 18
    finally:
        long_term.index.drop(delete_documents=True)


# Facts


def test_facts_are_found_in_each_turn(make_conversation: Any) -> None:
    model = ScriptedModel(lambda _: answer(new("Mara cannot swim.", 1)))
    memory = make_conversation(extract=model)
    memory.save_turn("I cannot swim.", "Noted.")
    assert texts(memory.store.long_term.facts("mara")) == ["Mara cannot swim."]
    memory.save_turn("Thanks!", "You are welcome.")
    assert len(model.prompts) == 1
    assert texts(make_conversation("s2").context("Shall I take a boat?").facts) == [
        "Mara cannot swim."
    ]


def test_a_model_that_fails_is_asked_again_at_the_next_turn(make_conversation: Any) -> None:
    model = ScriptedModel(RuntimeError("overloaded"))
    memory = make_conversation(extract=model)
    memory.save_turn("I cannot swim.", "Noted.")
    assert memory.store.last_error is model.answer
    assert len(memory.store.long_term.list("mara", kind="message")) == 2
    model.answer = answer(new("Mara cannot swim.", 1))
    memory.save_turn("And I live in Oslo.", "Noted.")
    assert memory.store.last_error is None
    assert texts(memory.store.long_term.facts("mara")) == ["Mara cannot swim."]
    assert "And I live in Oslo." in model.prompts[-1]


def test_facts_are_found_in_the_background(make_conversation: Any) -> None:
    model = ScriptedModel(lambda _: answer(new("Mara cannot swim.", 1)), seconds=0.5)
    memory = make_conversation(extract=model, background=True)
    if memory.is_async:

        async def talk() -> float:
            since = time.monotonic()
            await memory.store.asave_turn("I cannot swim.", "Noted.")
            took = time.monotonic() - since
            await memory.store.aclose()
            return took

        took = asyncio.run(talk())
    else:
        since = time.monotonic()
        memory.store.save_turn("I cannot swim.", "Noted.")
        took = time.monotonic() - since
        memory.store.close()
    assert took < 0.4
    assert texts(memory.store.long_term.facts("mara")) == ["Mara cannot swim."]
