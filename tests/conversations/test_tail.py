"""What comes to a conversation, seen from its end."""

from __future__ import annotations

import pytest

from valkey_memory import MessageStore, ValkeyConnection
from valkey_memory._conversations.tail import Follower, count_new, look_plan
from valkey_memory._keys import list_key


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_look(connection: ValkeyConnection, prefix: str) -> None:
    store = MessageStore(connection=connection, key_prefix=prefix)
    store.extend("s", [user(str(number)) for number in range(5)])
    store.archive_oldest("s", 2)
    key = list_key(prefix, "s")
    whole = connection.run(look_plan(key, archived=True))
    assert (len(whole.archived), len(whole.active), whole.length) == (2, 3, 3)
    newest = connection.run(look_plan(key, 1))
    assert (newest.archived, newest.active, newest.length) == ([], whole.active[-1:], 3)


async def test_news(connection: ValkeyConnection, prefix: str) -> None:
    store = MessageStore(connection=connection, key_prefix=prefix, max_messages=12)
    await store.aextend("s", [user(f"old {number}") for number in range(10)])
    look = await connection.arun(look_plan(list_key(prefix, "s"), 3))
    follower = Follower(list_key(prefix, "s"), look.active, look.length)
    assert await connection.arun(follower.news_plan()) is None
    for added, first in ((1, 10), (3, 9), (11, 1), (0, None)):  # at last past the window
        await store.aextend("s", [user(f"{added} {number}") for number in range(added)])
        news = await connection.arun(follower.news_plan())
        if first is None:
            assert news is None
            continue
        assert news is not None
        assert (len(news.elements), news.first, news.replaced) == (added, first, False)
    await store.adelete("s")
    gone = await connection.arun(follower.news_plan())
    assert gone == ([], 0, True)
    await store.aappend("s", user("again"))
    again = await connection.arun(follower.news_plan())
    assert again is not None
    assert (len(again.elements), again.first, again.replaced) == (1, 0, False)
    await store.areplace("s", [user("another")])
    other = await connection.arun(follower.news_plan())
    assert other is not None
    assert (len(other.elements), other.first, other.replaced) == (1, 0, True)


def elements(text: str) -> list[bytes]:
    return [letter.encode() for letter in text]


@pytest.mark.parametrize(
    ("old", "new", "grown", "expected"),
    [
        ("abc", "abcde", 2, 2),
        ("abc", "abc", 0, 0),
        ("abcdefgh", "cdefghij", 2, 2),
        ("abcdefgh", "cdefghij", 0, 2),  # at its window
        ("aaaaaaaa", "aaaaaaaa", 3, 3),  # the same text again and again
        ("abcdefgh", "ijklmnop", 0, None),
        ("abcdefgh", "ijklmnop", 20, None),
        ("", "ab", 2, None),
        ("abc", "", -3, None),
        ("abc", "xyz", 0, None),
        ("c", "abcd", 1, 1),  # --last 1
    ],
)
def test_what_is_new(old: str, new: str, grown: int, expected: int | None) -> None:
    assert count_new(elements(old), elements(new), grown) == expected
