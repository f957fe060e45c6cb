"""Episodes: whole conversations found again; and what makes them when a conversation is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from valkey_memory import (
    Consolidation,
    InvalidArgumentError,
    LongTermMemory,
    MessageStore,
    ModelAnswerError,
    NotOwnerError,
)
from valkey_memory._memory import consolidation, extraction
from valkey_memory._memory.memories import episode_name
from valkey_memory._plans import run

from ..servers import send
from .scripted import ScriptedModel
from .test_facts import Killed, Setting, answer, killed_after, new
from .test_long_term import HOSTILE_IDS, texts, turn

SKYE = [
    *turn("Shall we take the ferry to Skye?", "It is full."),
    *turn("The train, then.", "Fine."),
]
BREAD = [*turn("My bread is dense.", "How long does it rise?"), *turn("Four hours.", "Too short.")]


def told(title: str, summary: str) -> str:
    return json.dumps({"title": title, "summary": summary})


def teller(prompt: str) -> str:
    if "Skye" in prompt:
        return told("A trip to Skye", "They take the train, since the ferry is full.")
    return told("Dense bread", "The dough rises too short a time.")


@pytest.fixture(params=["sync", "async"])
def setting(request: pytest.FixtureRequest, make_plain_memory: Any, prefix: str) -> Setting:
    memory = make_plain_memory(key_prefix=prefix)
    return Setting(memory, prefix, is_async=request.param == "async")


@pytest.fixture
def plain(make_plain_memory: Any, prefix: str) -> Setting:
    return Setting(make_plain_memory(key_prefix=prefix), prefix)


def bare(messages: Any) -> list[Any]:
    return [{"role": one["role"], "content": one["content"]} for one in messages]


def test_a_conversation_is_found_again_when_it_is_gone(setting: Setting) -> None:
    setting.say(*SKYE, session="s1")
    setting.say(*BREAD, session="s2")
    setting.store.archive_oldest("s1", 2)
    model = ScriptedModel(teller)
    for session in ("s1", "s2"):
        setting.memory.store_episode(session, user_id="alice", model=model)
        setting.store.delete(session)
    found = setting.memory.recall("the train to Skye", user_id="alice", kinds=["episode"])
    assert [one.title for one in found] == ["A trip to Skye", "Dense bread"]
    assert found[0].text == "They take the train, since the ferry is full."
    assert bare(found[0].messages) == SKYE
    assert (found[0].session_id, found[0].kind) == ("s1", "episode")
    assert setting.memory.recall("Skye", user_id="bob", kinds=["episode"]) == []
    assert setting.memory.list("alice", kind="episode")[0].messages == ()
    words = setting.memory.recall("trip", user_id="alice", kinds=["episode"], mode="text")
    assert [one.title for one in words] == ["A trip to Skye"]


def test_stored_again_it_takes_its_own_place(setting: Setting) -> None:
    model = ScriptedModel(teller)
    setting.say(*BREAD)
    first = setting.memory.store_episode("s1", user_id="alice", model=model)
    assert setting.memory.store_episode("s1", user_id="alice", model=model) == first
    assert len(model.prompts) == 1
    setting.say(*SKYE)
    assert setting.memory.store_episode("s1", user_id="alice", model=model) == first
    (found,) = setting.memory.recall("bread", user_id="alice", kinds=["episode"])
    assert (found.title, len(found.messages)) == ("A trip to Skye", 8)
    assert setting.memory.store_episode("s1", user_id="bob", model=model) != first


def test_there_is_no_episode_of_nothing(setting: Setting) -> None:
    model = ScriptedModel(teller)
    assert setting.memory.store_episode("none", user_id="alice", model=model) is None
    assert model.prompts == []


@pytest.mark.parametrize("said", ["I cannot do that.", "[]", '{"title": "x"}', '{"summary": 5}'])
def test_a_model_without_a_summary_stores_nothing(plain: Setting, said: str) -> None:
    plain.say(*BREAD)
    with pytest.raises(ModelAnswerError, match="no title and summary"):
        plain.memory.store_episode("s1", user_id="alice", model=ScriptedModel(said))
    assert plain.memory.list("alice") == []


def test_a_long_conversation_is_shown_from_both_ends(plain: Setting) -> None:
    plain.say({"role": "user", "content": "At the very beginning: Skye."})
    plain.say(*({"role": "user", "content": f"{n} " + "x" * 500} for n in range(300)))
    plain.say({"role": "user", "content": "At the very end."})
    model = ScriptedModel(teller)
    plain.memory.store_episode("s1", user_id="alice", model=model)
    assert len(model.prompts[0]) < 62_000
    assert "At the very beginning" in model.prompts[0]
    assert "At the very end" in model.prompts[0]
    (found,) = plain.memory.recall("Skye", user_id="alice", kinds=["episode"])
    assert len(found.messages) == 302


def test_forgetting_takes_the_copy_along(setting: Setting) -> None:
    model = ScriptedModel(teller)
    memory = setting.memory
    for session in ("s1", "s2", "s3"):
        setting.say(*BREAD, session=session)
    ids = [memory.store_episode(s, user_id="alice", model=model) for s in ("s1", "s2", "s3")]
    other = memory.store_episode("s1", user_id="bob", model=model)

    def copies() -> int:
        keys = [f"{{{setting.plain.index.name}:{one}}}:conversation" for one in [*ids, other]]
        return sum(send(setting.plain.connection, "EXISTS", key) for key in keys)

    assert copies() == 4
    assert memory.forget(user_id="bob", ids=ids) == 0
    assert copies() == 4
    assert memory.forget(user_id="alice", ids=ids[:1]) == 1
    assert copies() == 3
    assert memory.forget(user_id="alice", ids=ids[1:], session_id="s9") == 0
    assert copies() == 3
    assert memory.forget(user_id="alice", session_id="s2") == 1
    assert copies() == 2
    assert memory.forget(user_id="alice") == 1
    assert copies() == 1
    (left,) = memory.recall("bread", user_id="bob", kinds=["episode"])
    assert bare(left.messages) == BREAD


def test_an_episode_has_its_ttl(plain: Setting) -> None:
    plain.say(*BREAD)
    one = plain.memory.store_episode("s1", user_id="alice", model=ScriptedModel(teller), ttl=1_000)
    name = plain.plain.index.name
    for key in (f"{name}:{one}", f"{{{name}:{one}}}:conversation"):
        assert 900 < send(plain.plain.connection, "TTL", key) <= 1_000


# Consolidation


def worker(prompt: str) -> str:
    """A model that does both."""
    if "Known facts:" in prompt:
        lines = [x for x in prompt.splitlines() if "] user" in x and "Skye" in x]
        found = [new("Alice wants to see Skye.", int(x.split()[0])) for x in lines]
        return answer(*found[:1])
    return teller(prompt)


def owned(setting: Setting, user: str = "alice") -> MessageStore:
    prefix = setting.store.key("x")[:-1]
    return MessageStore(connection=setting.plain.connection, key_prefix=prefix, user_id=user)


def test_consolidating_what_is_idle(setting: Setting) -> None:
    store = owned(setting)
    for session, messages in (("s1", SKYE), ("s2", BREAD)):
        store.extend(session, messages)
    setting.say(*BREAD, session="nobody's")
    model = ScriptedModel(worker)
    assert setting.memory.consolidate(model=model, idle=60) == Consolidation()
    time.sleep(0.05)
    seen: list[str] = []
    found = setting.memory.consolidate(model=model, idle=0.01, progress=seen.append)
    assert sorted(found.done) == sorted(seen) == ["s1", "s2"]
    assert (len(found.episodes), len(found.facts.added), found.failed) == (2, 1, ())
    assert texts(setting.memory.facts("alice")) == ["Alice wants to see Skye."]
    asked = len(model.prompts)
    assert setting.memory.consolidate(model=model, idle=0.01) == Consolidation()
    assert len(model.prompts) == asked
    store.extend("s2", turn("I bake on Sundays.", "Good."))
    time.sleep(0.05)
    assert setting.memory.consolidate(model=model, idle=0.01).done == ("s2",)


def test_consolidating_one_user(setting: Setting) -> None:
    for user in ("alice", "bob"):
        owned(setting, user).extend(f"s-{user}", SKYE)
    time.sleep(0.05)
    model = ScriptedModel(worker)
    found = setting.memory.consolidate(model=model, idle=0.01, user_id="bob")
    assert found.done == ("s-bob",)
    assert setting.memory.list("alice") == []
    assert {one.kind for one in setting.memory.list("bob")} == {"fact", "episode"}


def test_what_fails_is_told_and_tried_again(setting: Setting) -> None:
    store = owned(setting)
    for number in range(4):
        store.extend(f"s{number}", SKYE if number % 2 else BREAD)
    time.sleep(0.05)

    def failing(prompt: str) -> str:
        if "Skye" in prompt:
            raise RuntimeError("no credit")
        return worker(prompt)

    found = setting.memory.consolidate(model=failing, idle=0.01)
    assert sorted(found.done) == ["s0", "s2"]
    assert sorted(found.failed) == [(f"s{n}", "RuntimeError: no credit") for n in (1, 3)]
    found = setting.memory.consolidate(model=ScriptedModel(worker), idle=0.01)
    assert (sorted(found.done), found.failed) == (["s1", "s3"], ())


def test_limit_and_bad_arguments(plain: Setting) -> None:
    store = owned(plain)
    for number in range(4):
        store.extend(f"s{number}", BREAD)
    time.sleep(0.05)
    model = ScriptedModel(worker)
    assert len(plain.memory.consolidate(model=model, idle=0.01, limit=3).done) == 3
    assert len(plain.memory.consolidate(model=model, idle=0.01, limit=3).done) == 1
    for options, message in (
        ({"idle": 0}, r"idle must be more than 0 seconds, not 0$"),
        ({"idle": None}, r"idle must be seconds"),
        ({"limit": 0}, "limit"),
        ({"user_id": ""}, "user_id"),
        ({"episode_ttl": -1}, "episode_ttl"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            plain.memory.consolidate(model=model, **options)
    with pytest.raises(InvalidArgumentError, match="chat model"):
        plain.memory.consolidate(model=5)
    with pytest.raises(InvalidArgumentError, match="user_id"):
        plain.memory.store_episode("s1", user_id="", model=model)


def test_two_workers_do_each_conversation_once(plain: Setting) -> None:
    store = owned(plain)
    for number in range(6):
        store.extend(f"s{number}", BREAD)
    time.sleep(0.05)
    others: list[Consolidation] = []
    second = ScriptedModel(worker)

    def meanwhile() -> None:
        if not others:
            others.append(Consolidation())  # only once
            others.append(plain.plain.consolidate(model=second, idle=0.01))

    model = ScriptedModel(worker, meanwhile=meanwhile)
    found = plain.plain.consolidate(model=model, idle=0.01)
    assert len(others[1].busy) == 1
    assert len(others[1].done) == 5
    assert found.done == others[1].busy
    assert len(model.prompts) + len(second.prompts) == 12


def test_killed_between_any_two_steps(plain: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (extraction, consolidation):
        monkeypatch.setattr(module, "LEASE_MS", 1)
    store = owned(plain)
    memory: LongTermMemory = plain.plain
    steps, finished = 0, False
    while not finished:
        memory.forget(user_id="alice")
        session = f"s{steps}"
        store.extend(session, SKYE)
        time.sleep(0.02)
        plan = memory._consolidate_plan(worker, 0.01, "alice", None, None, None)
        try:
            run(plan, killed_after(steps, memory.connection._execute))
            finished = True
        except Killed:
            time.sleep(0.01)
        memory.consolidate(model=worker, idle=0.001, user_id="alice")
        assert texts(memory.facts("alice", ended=True)) == ["Alice wants to see Skye."]
        (episode,) = memory.recall("Skye", user_id="alice", kinds=["episode"])
        assert bare(episode.messages) == SKYE
        assert memory.consolidate(model=worker, idle=0.001, user_id="alice") == Consolidation()
        store.delete(session)
        steps += 1
    assert steps > 12


def test_hostile_users_have_their_own_episodes(plain: Setting) -> None:
    for user in HOSTILE_IDS:
        plain.say(*turn(f"I am {user!r}", "Hello"), session=f"of {user}")
        plain.memory.store_episode(f"of {user}", user_id=user, model=ScriptedModel(teller))
    for user in HOSTILE_IDS:
        (found,) = plain.memory.recall("bread", user_id=user, kinds=["episode"])
        assert found.messages[0]["content"] == f"I am {user!r}"
    for user in HOSTILE_IDS[::2]:
        assert plain.memory.forget(user_id=user) == 1
    for user in HOSTILE_IDS[1::2]:
        (found,) = plain.memory.recall("bread", user_id=user, kinds=["episode"])
        assert len(found.messages) == 2


def test_somebody_elses_conversation_is_refused(setting: Setting) -> None:
    owned(setting, "alice").extend("hers", SKYE)
    model = ScriptedModel(worker)
    calls: list[Callable[[], object]] = [
        lambda: setting.memory.store_episode("hers", user_id="bob", model=model),
        lambda: setting.memory.extract_facts("hers", user_id="bob", model=model),
    ]
    for call in calls:
        with pytest.raises(NotOwnerError, match="'hers' is not of user 'bob'"):
            call()
    assert (model.prompts, setting.memory.list("bob")) == ([], [])
    assert setting.memory.store_episode("hers", user_id="alice", model=model)
    assert not setting.memory.extract_facts("hers", user_id="alice", model=model).busy


def test_a_copy_without_its_document_goes_by_itself(plain: Setting) -> None:
    """Nothing would lead to it, when its user is forgotten."""
    plain.say(*BREAD)
    memory = plain.plain
    plan = memory._episode_plan("s1", "alice", ScriptedModel(teller), None)
    key = f"{{{memory.index.name}:{episode_name('alice', 's1')}}}:conversation"
    for steps in range(30):
        try:
            run(plan, killed_after(steps, memory.connection._execute))
            break
        except Killed:
            stored = bool(memory.list("alice"))
            left = send(memory.connection, "TTL", key)
            assert left == -2 or 0 < left <= 3_600 or (stored and left == -1)
            plan = memory._episode_plan("s1", "alice", ScriptedModel(teller), None)
    assert send(memory.connection, "TTL", key) == -1
