"""Twenty thousand random cases of hostile users with the same sessions and the same words."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

import pytest

from valkey_memory import LongTermMemory, Memory, export_user
from valkey_memory._memory.memories import EPISODE, FACT

from .scripted import ScriptedModel
from .test_facts import Setting
from .test_long_term import HOSTILE_IDS, turn

CASES = 20_000
_LETTERS = "ab*{}|,\\ @:()-\"'%~$\n\x00é😀_="


def strange(chance: random.Random) -> str:
    """A user or session id that is hard on queries, keys and tags."""
    if chance.random() < 0.3:
        return chance.choice(HOSTILE_IDS)
    return "".join(chance.choices(_LETTERS, k=chance.randint(1, 5)))


def reads(
    memory: LongTermMemory, chance: random.Random
) -> Sequence[Callable[[str, str], list[Memory]]]:
    """The ways of reading, of a user and with a session id."""
    modes = ("hybrid", "dense", "text")
    return (
        lambda user, _: memory.recall("my secret", user_id=user, k=50, mode=chance.choice(modes)),  # type: ignore[arg-type]
        lambda user, at: memory.recall("secret?", user_id=user, session_id=at, neighbours=2),
        lambda user, at: memory.recall("secret", user_id=user, exclude_session=at, ended=True),
        lambda user, _: memory.recall("the secret", user_id=user, kinds=[EPISODE], k=3),
        lambda user, _: memory.recall("a secret", user_id=user, kinds=[FACT], mode="dense"),
        lambda user, at: memory.list(user, session_id=at, ended=True),
        lambda user, _: memory.list(user, limit=1_000),
        lambda user, _: memory.facts(user, ended=True),
    )


@pytest.fixture
def setting(make_plain_memory: object, prefix: str) -> Setting:
    return Setting(make_plain_memory(key_prefix=prefix), prefix)  # type: ignore[operator]


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_nobody_sees_anybody_elses(setting: Setting) -> None:
    chance = random.Random(20_260)
    memory = setting.plain
    users = list(dict.fromkeys([*HOSTILE_IDS, *(strange(chance) for _ in range(120))]))
    sessions = list(dict.fromkeys(strange(chance) for _ in range(20)))
    told = json.dumps({"title": "A secret", "summary": "The secret of somebody."})
    ids: dict[str, list[str]] = {}
    for user in users:
        own = chance.sample(sessions, 2)
        ids[user] = memory.remember_turn(own[0], turn("my secret", "is kept"), user_id=user)
        ids[user].append(memory.remember("A secret fact", user_id=user, session_id=own[1]))
        memory.correct(ids[user][-1], f"Another secret {len(user)}", user_id=user)
    for number, user in enumerate(users[:60]):
        setting.say(*turn(f"secret of {user!r}", "kept"), session=f"e{number}")
        memory.store_episode(f"e{number}", user_id=user, model=ScriptedModel(told))
    every = [one for some in ids.values() for one in some]
    ways = reads(memory, chance)
    for _ in range(CASES):
        user = chance.choice([*users, strange(chance)])
        found = chance.choice(ways)(user, chance.choice(sessions))
        seen = [*found, *(near for one in found for near in one.neighbours)]
        assert {one.user_id for one in seen} <= {user}
        for one in found:
            if one.kind == EPISODE and one.messages:
                assert one.messages[0]["content"] == f"secret of {user!r}"
        if chance.random() < 0.05:
            some = chance.sample(every, 20)
            assert {one.user_id for one in memory.get(some, user_id=user)} <= {user}
            strangers = [one for one in some if one not in ids.get(user, ())]
            assert memory.forget(user_id=user, ids=strangers) == 0
    assert all(len(memory.get(ids[user], user_id=user)) == len(ids[user]) for user in users)
    for user in users:
        lines = export_user(user, connection=memory.connection, indexes=[memory.index.name])
        exported = [one["id"] for line in lines if (one := json.loads(line))["type"] == "memory"]
        assert len(exported) == len(memory.list(user, ended=True, limit=1_000))
        assert {one.user_id for one in memory.get(exported, user_id=user)} == {user}
