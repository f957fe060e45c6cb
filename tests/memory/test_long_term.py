"""Long-term memory: written once, read by its user alone, forgotten when asked."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from valkey_memory import (
    ConfigurationError,
    DocumentError,
    InvalidArgumentError,
    LongTermMemory,
    Memory,
    ValkeyConnection,
)

from ..models.words import Words
from ..servers import send

HOSTILE_IDS = [
    "*", "alice", "Alice", "alice ", " alice", "ali", "alice*", "alice|bob", "alice,bob", "a}b",
    "{a}", "@user_id:{alice}", "') => [KNN", "\\", "alice\\", "-alice", "alice\nbob", "alice\x00",
    "ä", "a\u0308", "😀", "日本", "%", "?", "[a-z]", "user:alice", "x" * 900, '"', "'", "()", "~",
    "$", "alice bob",
]  # fmt: skip


def turn(question: str, answer: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def texts(memories: Sequence[Memory]) -> list[str]:
    return [memory.text for memory in memories]


# Writing


def test_a_text_comes_back_as_it_was_given(memory: Any) -> None:
    when = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    values = {"source": "form", "tags": ["a", "b"]}
    one = memory.remember(
        "Alice is allergic to nuts.",
        user_id="alice",
        kind="note",
        session_id="s1",
        created_at=when,
        importance=0.5,
        metadata=values,
    )
    (found,) = memory.get([one], user_id="alice")
    assert found == Memory(
        id=one,
        kind="note",
        text="Alice is allergic to nuts.",
        user_id="alice",
        session_id="s1",
        created_at=when,
        importance=0.5,
        metadata=values,
    )
    assert memory.list("alice") == memory.list("alice", kind="note", session_id="s1") == [found]


def test_nearly_the_same_text_is_stored_once(memory: Any) -> None:
    first = memory.remember("The user is allergic to nuts.", user_id="a")
    for again in (
        "the user is allergic to nuts",
        "The user is allergic to the nuts!",
        " The  user is allergic to nuts. ",
    ):
        assert memory.remember(again, user_id="a") == first
    others = [
        memory.remember("The user is not allergic to nuts.", user_id="a"),
        memory.remember("The user is allergic to nuts.", user_id="b"),
        memory.remember("The user is allergic to nuts.", user_id="a", kind="note"),
        memory.remember("C++", user_id="a"),
        memory.remember("C#", user_id="a"),
        memory.remember("C", user_id="a"),
        memory.remember("😀", user_id="a"),
        memory.remember("😡", user_id="a"),
    ]
    assert len({first, *others}) == 9
    assert len(memory.list("a")) == 8
    assert texts(memory.list("b")) == ["The user is allergic to nuts."]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mia loves \U0001f355", "Mia loves \U0001f363"),
        ("It was 5 degrees", "It was -5 degrees."),
        ("Version 1.5 is in use", "Version 15 is in use"),
        ("The train leaves at 10:30", "The train leaves at 1030"),
        ("1/2 cup of flour", "12 cups of flour"),
        ("Her address is a.b@mail.example", "Her address is ab@mail.example"),
        ("\u0926\u093f\u0928", "\u0926\u0940\u0928"),  # Hindi: day, poor; vowel signs differ
        ("\u0e1b\u0e35", "\u0e1b\u0e39"),  # Thai: year, crab
    ],
)
def test_texts_that_differ_in_signs_are_two(plain_memory: Any, one: str, other: str) -> None:
    ids = {plain_memory.remember(text, user_id="a") for text in (one, other)}
    assert len(ids) == 2
    assert set(texts(plain_memory.list("a"))) == {one, other}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Caf\u00e9 Lisboa", "Cafe\u0301 Lisboa!"),
        ("It isn't hers", "It isn\u2019t hers"),
        ('"Mia" (the sister) likes tea', "Mia, the sister, likes tea."),
    ],
)
def test_texts_that_look_the_same_are_one(plain_memory: Any, one: str, other: str) -> None:
    assert len({plain_memory.remember(text, user_id="a") for text in (one, other)}) == 1


def test_messages_of_a_turn_are_stored_once_each(memory: Any) -> None:
    conversation = [*turn("I moved to Lisbon.", "How is it?"), *turn("Warm.", "Lovely.")]
    ids = memory.remember_turn("s1", conversation, user_id="alice")
    assert len(set(ids)) == 4
    assert memory.remember_turn("s1", conversation, user_id="alice") == ids
    assert memory.remember_turn("s1", conversation[:2], user_id="alice") == ids[:2]
    found = memory.get(ids, user_id="alice")
    assert [(m.text, m.role, m.kind, m.session_id) for m in found] == [
        (one["content"], one["role"], "message", "s1") for one in conversation
    ]
    assert not set(ids) & set(memory.remember_turn("s2", conversation, user_id="alice"))
    assert not set(ids) & set(memory.remember_turn("s1", conversation, user_id="bob"))
    assert len(memory.list("alice")) == 8


def test_the_same_words_in_another_turn_are_another_message(memory: Any) -> None:
    conversation = [*turn("Is it warm?", "Yes."), *turn("Is it wet?", "Yes.")]
    assert len(set(memory.remember_turn("s1", conversation, user_id="a"))) == 4
    first = [{"role": "user", "content": "Yes.", "id": "m1"}]
    second = [{"role": "user", "content": "Yes.", "id": "m2"}]
    ids = [memory.remember_turn("s2", one, user_id="a")[0] for one in (first, second)]
    assert ids[0] != ids[1]
    at = [
        memory.remember_turn("s3", turn("Yes.", "No."), user_id="a", created_at=time)
        for time in (1_000, 2_000)
    ]
    assert not {*at[0]} & {*at[1]}
    assert [m.message_id for m in memory.get(ids, user_id="a")] == ["m1", "m2"]


def test_an_edited_message_keeps_its_place(memory: Any) -> None:
    def one(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text, "id": "m1"}]

    (first,) = memory.remember_turn("s1", one("I like tea."), user_id="a", created_at=1_000)
    memory.remember_turn("s1", turn("And?", "And what?"), user_id="a", created_at=2_000)
    assert memory.remember_turn("s1", one("I like coffee."), user_id="a") == [first]
    (found,) = memory.get([first], user_id="a")
    assert (found.text, found.created_at.timestamp()) == ("I like coffee.", 1_000)
    assert len(memory.list("a")) == 3


def test_what_is_remembered_of_a_turn(make_memory: Any) -> None:
    conversation: list[Any] = [
        {"role": "system", "content": "You are helpful."},
        {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url"}]},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "name": "f", "args": {}}]},
        {"role": "tool", "content": "a whole file", "tool_call_id": "1"},
        {"role": "user", "content": [{"type": "tool_result", "content": "a file"}]},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A cat."}],
        },
        {"role": "user", "content": "ok"},
        {"role": "user", "content": None},
    ]
    memory = make_memory()
    ids = memory.remember_turn("s1", conversation, user_id="a")
    assert texts(memory.get(ids, user_id="a")) == ["Look:", "A cat.", "ok"]
    picky = make_memory(roles=["user", "tool"], min_length=3)
    ids = picky.remember_turn("s2", conversation, user_id="a")
    assert texts(picky.get(ids, user_id="a")) == ["Look:", "a whole file"]


def test_messages_of_the_frameworks(memory: Any) -> None:
    langchain = [
        SystemMessage("Be kind."),
        HumanMessage("I am Mia.", id="h1", name="mia"),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Hello."}]),
        ToolMessage("a file", tool_call_id="1"),
    ]
    ids = memory.remember_turn("lc", langchain, user_id="a")
    found = memory.get(ids, user_id="a")
    assert [(m.role, m.name, m.text, m.message_id) for m in found] == [
        ("user", "mia", "I am Mia.", "h1"),
        ("assistant", None, "Hello.", None),
    ]
    llama = [
        ChatMessage("I am Ben.", role=MessageRole.USER, additional_kwargs={"name": "ben"}),
        ChatMessage(
            role=MessageRole.ASSISTANT,
            blocks=[
                ThinkingBlock(content="hm"),
                TextBlock(text="Hi."),
                ImageBlock(url="https://example.com/a.png"),
                TextBlock(text="Again."),
            ],
        ),
        ChatMessage("No.", role=MessageRole.TOOL),
    ]
    ids = memory.remember_turn("li", llama, user_id="a")
    found = memory.get(ids, user_id="a")
    assert [(m.role, m.name, m.text) for m in found] == [
        ("user", "ben", "I am Ben."),
        ("assistant", None, "Hi.\nAgain."),
    ]


def test_a_stored_message_keeps_its_time(memory: Any) -> None:
    stored = [{"role": "user", "content": "Hello", "ts": 1_700_000_000_000}]
    ids = memory.remember_turn("s1", stored, user_id="a")
    assert memory.get(ids, user_id="a")[0].created_at.timestamp() == 1_700_000_000


@pytest.mark.parametrize("ts", [2**53, 10**30, -(10**18), 1.5, True, "soon"])
def test_a_time_that_is_none_stops_no_recall(plain_memory: LongTermMemory, ts: Any) -> None:
    said = {"role": "user", "content": "I like tea.", "ts": ts}
    plain_memory.remember_turn("s1", [said], user_id="a")
    (found,) = plain_memory.recall("tea in May", user_id="a")
    assert dt.datetime.now(dt.UTC) - found.created_at < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    "when",
    [
        dt.datetime.max.replace(tzinfo=dt.UTC),
        dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=5))),
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5))),
        253_402_300_799,
        -62_135_596_800,
    ],
)
def test_the_first_and_the_last_times(plain_memory: LongTermMemory, when: Any) -> None:
    plain_memory.remember("Mia likes tea.", user_id="a", created_at=when)
    (found,) = plain_memory.recall("tea in May", user_id="a")
    assert found.created_at.year in (1, 9999)


def test_a_clock_that_goes_back_loses_nothing(memory: Any) -> None:
    memory.remember_turn("s1", turn("One", "Two"), user_id="a", created_at=2_000)
    memory.remember_turn("s1", turn("Three", "Four"), user_id="a", created_at=1_000)
    (hit,) = memory.recall("Three", user_id="a", k=1, neighbours=2, mode="text")
    assert texts(hit.neighbours) == ["One", "Two", "Four"]


# Correcting


def test_a_corrected_fact_supersedes_the_old_one(memory: Any) -> None:
    old = memory.remember("Alice lives in Rome.", user_id="alice", importance=2, session_id="s1")
    new = memory.correct(old, "Alice lives in Lisbon.", user_id="alice")
    (current,) = memory.facts("alice")
    assert (current.id, current.text, current.replaces) == (new, "Alice lives in Lisbon.", old)
    assert (current.importance, current.session_id) == (2, "s1")
    both = memory.facts("alice", ended=True)
    assert [m.text for m in both] == ["Alice lives in Lisbon.", "Alice lives in Rome."]
    assert both[1].valid_until is not None
    assert texts(memory.recall("Where does Alice live?", user_id="alice")) == [
        "Alice lives in Lisbon."
    ]
    assert len(memory.recall("Where does Alice live?", user_id="alice", ended=True)) == 2


def test_a_fact_that_holds_again_is_current_again(memory: Any) -> None:
    rome = memory.remember("Alice lives in Rome.", user_id="alice", created_at=1)
    lisbon = memory.correct(rome, "Alice lives in Lisbon.", user_id="alice")
    again = memory.correct(lisbon, "Alice lives in Rome.", user_id="alice")
    assert again == rome
    assert texts(memory.facts("alice")) == ["Alice lives in Rome."]
    ended = [m for m in memory.facts("alice", ended=True) if m.valid_until]
    assert sorted(texts(ended)) == ["Alice lives in Lisbon.", "Alice lives in Rome."]
    assert memory.remember("Alice lives in Lisbon", user_id="alice") == lisbon
    assert memory.remember("Alice lives in Lisbon", user_id="alice") == lisbon
    assert len(memory.facts("alice")) == 2
    assert len(memory.facts("alice", ended=True)) == 4


def test_correcting_the_wording_makes_no_second_fact(memory: Any) -> None:
    one = memory.remember("alice likes tea", user_id="alice")
    assert memory.correct(one, "Alice likes tea.", user_id="alice") == one
    assert texts(memory.facts("alice", ended=True)) == ["Alice likes tea."]


def test_correcting_to_what_is_known_ends_the_old_one(memory: Any) -> None:
    tea, coffee = (memory.remember(f"Alice likes {x}.", user_id="a") for x in ("tea", "coffee"))
    assert memory.correct(tea, "Alice likes coffee.", user_id="a") == coffee
    assert texts(memory.facts("a")) == ["Alice likes coffee."]


def test_correcting_keeps_what_is_known_of_a_fact(memory: Any) -> None:
    first = memory.remember("Mia lives in Porto.", user_id="a", importance=0.5)
    second = memory.correct(first, "Mia lives in Lisbon.", user_id="a")
    assert memory.correct(second, "Mia lives in Lisbon!", user_id="a") == second
    (found,) = memory.facts("a")
    assert (found.replaces, found.importance) == (first, 0.5)
    (old,) = [one for one in memory.facts("a", ended=True) if one.id == first]
    memory.correct(first, "Mia lives in Lisbon.", user_id="a")
    assert old in memory.facts("a", ended=True)  # it ended when it ended


def test_only_own_facts_can_be_corrected(memory: Any) -> None:
    one = memory.remember("Alice lives in Rome.", user_id="alice")
    with pytest.raises(InvalidArgumentError, match=f"user 'bob' has no memory .* '{one}'"):
        memory.correct(one, "Alice lives nowhere.", user_id="bob")
    with pytest.raises(InvalidArgumentError, match="has no memory with the id 'none'"):
        memory.correct("none", "Alice", user_id="alice")
    (said,) = memory.remember_turn("s1", turn("Hi", "")[:1], user_id="alice")
    with pytest.raises(InvalidArgumentError, match="is a message: what was said stays"):
        memory.correct(said, "Ho", user_id="alice")
    assert texts(memory.facts("alice", ended=True)) == ["Alice lives in Rome."]


# Reading and forgetting


def test_lists_are_in_pages_the_newest_first(memory: Any) -> None:
    for number in range(25):
        memory.remember(f"Fact {number}", user_id="a", created_at=1_000 + number)
    memory.remember_turn("s1", turn("Hi", "Ho"), user_id="a", created_at=5)
    pages = [memory.list("a", kind="fact", limit=10, offset=start) for start in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    numbers = [int(m.text.split()[1]) for page in pages for m in page]
    assert numbers == list(range(24, -1, -1))
    assert memory.facts("a", limit=3) == memory.list("a", limit=3)


def test_pages_have_every_message_of_a_time(memory: Any) -> None:
    said = [{"role": "user", "content": f"message {number}"} for number in range(30)]
    memory.remember_turn("s1", said, user_id="a", created_at=1_000)
    pages = [memory.list("a", offset=offset, limit=7) for offset in range(0, 35, 7)]
    assert len({one.id for page in pages for one in page}) == 30


def test_forgetting_by_id_session_and_user(memory: Any) -> None:
    ids = [memory.remember(f"Fact {n}", user_id="a") for n in range(3)]
    other = memory.remember("Fact 0", user_id="b")
    for session in ("s1", "s2"):
        memory.remember_turn(session, turn("Hi", "Ho"), user_id="a")
    memory.remember_turn("s1", turn("Hi", "Ho"), user_id="b")
    assert memory.forget(user_id="b", ids=ids) == 0
    assert memory.forget(user_id="a", ids=[ids[0], other, "none"]) == 1
    assert memory.forget(user_id="a", session_id="s1") == 2
    assert memory.forget(user_id="a", session_id="s1", ids=ids) == 0
    assert memory.forget(user_id="a", ids=[]) == 0
    assert len(memory.list("a")) == 4
    memory.correct(ids[1], "Another", user_id="a")
    assert memory.forget(user_id="a") == 5
    assert memory.list("a", ended=True) == []
    assert len(memory.list("b")) == 3


def test_memories_expire(make_memory: Any, memory_connection: ValkeyConnection) -> None:
    memory = make_memory(ttl=1_000)
    one = memory.remember("Alice likes tea.", user_id="a")
    left = send(memory_connection, "TTL", f"{memory.store.index.name}:{one}")
    assert 900 < left <= 1_000


# Bad input


@pytest.mark.parametrize("user_id", ["", None, 5, b"alice", "\ud800", ["alice"]])
def test_no_call_goes_without_a_user(memory: Any, user_id: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: memory.remember("x", user_id=user_id),
        lambda: memory.remember_turn("s1", turn("x", "y"), user_id=user_id),
        lambda: memory.recall("x", user_id=user_id),
        lambda: memory.get(["x"], user_id=user_id),
        lambda: memory.list(user_id),
        lambda: memory.facts(user_id),
        lambda: memory.forget(user_id=user_id),
        lambda: memory.forget(user_id=user_id, ids=["x"]),
        lambda: memory.correct("x", "y", user_id=user_id),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match="user_id"):
            call()


def test_bad_arguments_are_named(memory: Any) -> None:
    naive = dt.datetime(2026, 1, 1)  # noqa: DTZ001
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: memory.remember(" ", user_id="a"), "white space"),
        (lambda: memory.remember("\ud800", user_id="a"), "text .* not valid Unicode"),
        (lambda: memory.remember("x", user_id="a", kind="message"), "use that"),
        (lambda: memory.remember("x", user_id="a", importance="high"), "importance"),
        (lambda: memory.remember("x", user_id="a", importance=float("nan")), "importance"),
        (lambda: memory.remember("x", user_id="a", created_at=naive), "time zone"),
        (lambda: memory.remember("x", user_id="a", created_at=10**13), "not milliseconds"),
        (lambda: memory.remember("x", user_id="a", created_at=10**400), "not milliseconds"),
        (lambda: memory.remember("x", user_id="a", created_at=-2e11), "not milliseconds"),
        (lambda: memory.remember("x", user_id="a", created_at=float("nan")), "not nan"),
        (lambda: memory.remember("x", user_id="a", metadata=[]), "metadata"),
        (lambda: memory.remember_turn("", [], user_id="a"), "session_id"),
        (lambda: memory.remember_turn("s", "hello", user_id="a"), "list of messages"),
        (lambda: memory.remember_turn("s", [5], user_id="a"), "not 5"),
        (lambda: memory.recall("", user_id="a"), "query"),
        (lambda: memory.recall("x", user_id="a", k=0), "k must be"),
        (lambda: memory.recall("x", user_id="a", mode="sparse"), "mode 'sparse' is unknown"),
        (lambda: memory.recall("x", user_id="a", kinds="fact"), "kinds must be a list"),
        (lambda: memory.recall("x", user_id="a", neighbours=-1), "neighbours"),
        (lambda: memory.recall("x", user_id="a", half_life=0), "half_life"),
        (lambda: memory.recall("x", user_id="a", since=naive), "since"),
        (lambda: memory.recall("x", user_id="a", min_score="x"), "min_score"),
        (lambda: memory.list("a", limit=0), "limit"),
        (lambda: memory.forget(user_id="a", ids=None), "ids is None"),
        (lambda: memory.forget(user_id="a", ids=5), "ids must be a list"),
        (lambda: memory.forget(user_id="a", ids="abc"), "ids must be a list"),
        (lambda: memory.forget(user_id="a", session_id=None), "session_id is None"),
    ]
    for call, message in wrong:
        with pytest.raises(InvalidArgumentError, match=message):
            call()
    assert memory.list("a") == []


def test_constructor_arguments_are_checked() -> None:
    def model(texts: list[str]) -> list[list[float]]:
        raise AssertionError("nobody asked for it")

    with pytest.raises(InvalidArgumentError, match="roles must be a list"):
        LongTermMemory(model, roles="user")
    with pytest.raises(ConfigurationError, match="language 'klingon' has no stemmer"):
        LongTermMemory(model, language="klingon")
    with pytest.raises(InvalidArgumentError, match="min_length"):
        LongTermMemory(model, min_length=-1)
    LongTermMemory(model, url="valkey://nowhere.invalid:1")  # nothing is sent


def test_odd_texts_are_found_again(make_memory: Any) -> None:
    memory = make_memory(Words(8))
    odd = [
        "to be or not to be",
        "😀😀",
        "我住在里斯本",
        "ฉันอยู่ที่ลิสบอน",
        "lisbon " + "x" * 1_000_000,
        "a\x00b",
    ]
    for text in odd:
        memory.remember(text, user_id="a")
    for text in odd:
        (hit,) = memory.recall(text, user_id="a", k=1)
        assert hit.text == text
        memory.recall(text, user_id="a", mode="text")
    assert texts(memory.recall("里斯本", user_id="a", mode="text")) == ["我住在里斯本"]


def test_a_model_that_fails_stores_nothing(make_memory: Any) -> None:
    class Failing(Words):
        broken = True

        def vectors(self, given: list[str]) -> list[list[float]]:
            if self.broken:
                raise RuntimeError("no credit")
            return super().vectors(given)

    model = Failing()
    memory = make_memory(model)
    calls: list[Callable[[], object]] = [
        lambda: memory.remember("x", user_id="a"),
        lambda: memory.remember_turn("s1", turn("x", "y"), user_id="a"),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="no credit"):
            call()
    model.broken = False
    assert memory.list("a") == []
    memory.remember_turn("s1", turn("x", "y"), user_id="a")
    model.size = 32
    calls = [
        lambda: memory.remember("z", user_id="a"),
        lambda: memory.remember_turn("s1", turn("z", "z"), user_id="a"),
        lambda: memory.recall("z", user_id="a"),
    ]
    for call in calls:
        with pytest.raises(DocumentError, match=r"has 32 numbers"):
            call()
    assert len(memory.list("a")) == 2


# Users apart


def everything_seen(memory: Any, user_id: str, word: str) -> list[Memory]:
    """What every way of reading shows of a user."""
    return [
        *(m for mode in ("hybrid", "dense", "text") for m in recalled(memory, user_id, word, mode)),
        *memory.list(user_id, limit=1_000, ended=True),
        *memory.facts(user_id),
    ]


def recalled(memory: Any, user_id: str, word: str, mode: str) -> list[Memory]:
    found = memory.recall(word, user_id=user_id, k=100, mode=mode, neighbours=2, ended=True)
    return [*found, *(near for one in found for near in one.neighbours)]


def test_hostile_users_see_themselves_alone(plain_memory: LongTermMemory) -> None:
    memory = plain_memory
    ids = {}
    for user in HOSTILE_IDS:
        ids[user] = memory.remember(f"Secret of {user!r}", user_id=user)
        memory.remember_turn("shared", turn("My secret", "is safe"), user_id=user)
    for user in HOSTILE_IDS:
        seen = everything_seen(memory, user, "secret")
        assert {m.user_id for m in seen} == {user}
        assert len(memory.list(user)) == 3
        assert [m.user_id for m in memory.get(ids.values(), user_id=user)] == [user]
    for user in HOSTILE_IDS[::2]:
        assert memory.forget(user_id=user, ids=ids.values()) == 1
        assert memory.forget(user_id=user) == 2
    for user in HOSTILE_IDS[1::2]:
        assert len(memory.list(user)) == 3


_ids = st.one_of(
    st.sampled_from(HOSTILE_IDS),
    st.text(st.sampled_from("ab*{}|,\\ @:()-\"'%~$\n\x00😀"), min_size=1, max_size=6),
    st.text(min_size=1, max_size=6),
).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))


def _apart(memory: LongTermMemory, users: list[str], sessions: list[str], number: int) -> None:
    """One random case: users with the same texts in the same sessions."""
    users = list(dict.fromkeys(users))
    for user in users:
        memory.remember_turn(sessions[0], turn("my secret", "kept"), user_id=user)
        memory.remember(f"secret {number % 7}", user_id=user, session_id=sessions[-1])
    for user in users:
        seen = everything_seen(memory, user, "secret")
        assert {m.user_id for m in seen} <= {user}
        found = memory.recall("secret", user_id=user, session_id=sessions[0], mode="dense")
        assert {(m.user_id, m.session_id) for m in found} <= {(user, sessions[0])}
        others = memory.recall("secret", user_id=user, exclude_session=sessions[0], k=50)
        assert sessions[0] not in {m.session_id for m in others}


@given(
    users=st.lists(_ids, min_size=2, max_size=3),
    sessions=st.lists(_ids, min_size=1, max_size=2),
    number=st.integers(0, 100),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_random_users_are_apart(
    plain_memory: LongTermMemory, users: list[str], sessions: list[str], number: int
) -> None:
    _apart(plain_memory, users, sessions, number)


def test_threads_share_one_memory(plain_memory: LongTermMemory) -> None:
    def work(user: str) -> None:
        for number in range(10):
            plain_memory.remember_turn(f"s{number}", turn(f"I am {user}", "Yes"), user_id=user)

    threads = [threading.Thread(target=work, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert len(plain_memory.list(f"u{number}")) == 20


def test_pages_of_one_moment_miss_nothing(plain_memory: LongTermMemory) -> None:
    """The server promises no order of equal numbers."""
    conversation = [m for n in range(60) for m in turn(f"Question {n}", f"Answer {n}")]
    ids = plain_memory.remember_turn("s1", conversation, user_id="a", created_at=1_000)
    pages = [plain_memory.list("a", limit=25, offset=start) for start in range(0, 125, 25)]
    assert [one.id for page in pages for one in page] == ids[::-1]
    assert {one.created_at.timestamp() for one in pages[0]} == {1_000}
