"""Memory beside messages that somebody else keeps: what is told of it, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import InvalidArgumentError, NotOwnerError, Summary
from valkey_memory._messages.codecs import PlainCodec
from valkey_memory.adapters import MemoryBesideState, turn_settings

from ..conftest import Face
from .scripted import ScriptedModel
from .test_long_term import texts


@pytest.fixture(params=["sync", "async"])
def make_beside(
    request: pytest.FixtureRequest, make_plain_memory: Any, prefix: str
) -> Callable[..., Any]:
    """Makes the memory of a conversation, in its sync and its async face."""

    def make(session_id: str = "s1", user_id: str = "mara", **options: Any) -> Any:
        own = {name: options.pop(name) for name in ("title", "within_session") if name in options}
        long_term = options.pop("long_term", make_plain_memory())
        known: dict[str, Any] = {"key_prefix": prefix, "last": 0}
        settings = turn_settings(long_term, **(known | options))
        memory = MemoryBesideState(PlainCodec(), settings, user_id, session_id, **own)
        return Face(memory, is_async=request.param == "async")

    return make


def said(role: str, text: str, name: str) -> dict[str, str]:
    return {"role": role, "content": text, "id": name}


def test_notes_have_no_messages(make_beside: Any) -> None:
    monday = make_beside("monday")
    monday.save_turn("I take the green kayak.", "A good choice.")
    monday.store.long_term.remember("Mara cannot swim.", user_id="mara")
    notes = make_beside("friday").notes("Which kayak did I choose?")
    assert texts(notes.facts) == ["Mara cannot swim."]
    assert notes.recalled[0].text == "I take the green kayak."
    assert (notes.messages, notes.summary) == ([], "")
    same = monday.notes("Which kayak did I choose?")
    assert (same.recalled, same.messages) == ([], [])
    assert make_beside("x", "ben").notes("Which kayak?").system_text() == ""


def test_in_the_same_session_what_is_not_seen(make_beside: Any) -> None:
    memory = make_beside(within_session=True)
    for number, colour in enumerate(("green", "red", "blue")):
        question = said("user", f"The kayak is {colour}.", f"q{number}")
        memory.save_turn(question, said("assistant", "I see.", f"a{number}"))
    every = {f"{role}{number}" for role in "qa" for number in range(3)}
    found = memory.notes("Which colour has the kayak?", seen=every - {"q1"})
    assert texts(found.recalled) == ["The kayak is red."]
    assert memory.notes("Which colour has the kayak?", seen=every).recalled == []


def test_messages_that_are_not_seen(make_beside: Any) -> None:
    memory = make_beside(last=4)
    for number in range(3):
        memory.save_turn(
            said("user", f"Tea {number}", f"q{number}"), said("assistant", "Yes.", f"a{number}")
        )
    found = memory.notes("And?", seen={"q2", "a2"}).messages
    assert [one["id"] for one in found] == ["q1", "a1"]


@pytest.mark.parametrize("last", [0, 4])
def test_a_summary(make_beside: Any, last: int) -> None:
    summary = Summary(ScriptedModel("They talk."), keep_last=2, when_over=4)
    memory = make_beside(summary=summary, last=last)
    for number in range(3):
        memory.save_turn(f"Tea {number}", "Yes.")
    notes = memory.notes("And?")
    assert notes.summary == "They talk."
    assert len(notes.messages) == (2 if last else 0)


def test_a_budget(make_beside: Any) -> None:
    memory = make_beside(max_tokens=400, facts=30)
    for number in range(40):
        memory.store.long_term.remember(f"Mara has a boat {number}.", user_id="mara")
    some = memory.notes("Hello")
    assert 0 < len(some.facts) < 30
    assert {one.why for one in some.left_out} == {"facts=30", "max_tokens=400"}
    assert memory.notes("Hello", reserve=390).system_text() == ""


def test_all_that_there_is(make_beside: Any) -> None:
    memory = make_beside(k=2**53, facts=2**53, within_session=True)
    memory.store.long_term.remember("Mara cannot swim.", user_id="mara")
    assert texts(memory.notes("Can I swim?", seen={"q1"}).facts) == ["Mara cannot swim."]


def test_a_conversation_belongs_to_one_user(make_beside: Any) -> None:
    mara = make_beside(title="A talk")
    mara.check_owner()
    mara.save_turn("Hello", "Hi.")
    mara.check_owner()
    ben = make_beside(user_id="ben")
    for call in (ben.check_owner, lambda: ben.notes("Hello")):
        with pytest.raises(NotOwnerError, match="is not of user 'ben'"):
            call()
    with pytest.raises(InvalidArgumentError, match="within_session"):
        make_beside(within_session=1)
