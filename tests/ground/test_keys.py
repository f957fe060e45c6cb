from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import example, given, settings

from valkey_memory import _keys

ids = st.text(min_size=1)
tricky = st.text("%{}27BDF5\n\x00\x1f\x7fa", min_size=1)


@given(ids | tricky)
@example("%")
@example("%%7B")
@example("%7")
@settings(deadline=None, max_examples=1000)
def test_ids_survive_the_way_to_the_key_and_back(session_id: str) -> None:
    key = _keys.list_key("chat:", session_id)
    assert _keys.session_id("chat:", key.encode()) == session_id
    assert not set(key) & set("{}\n\r\x00")


@given(tricky, tricky)
@settings(deadline=None, max_examples=1000)
def test_two_ids_never_share_a_key(one: str, other: str) -> None:
    same_key = _keys.list_key("chat:", one) == _keys.list_key("chat:", other)
    assert same_key == (one == other)


@given(st.text("abc_:-@. é", min_size=1))
@settings(deadline=None)
def test_ordinary_ids_stand_in_the_key_as_they_are(session_id: str) -> None:
    assert _keys.list_key("chat:", session_id) == f"chat:{session_id}"


def test_the_cookbook_key() -> None:
    assert _keys.list_key("chat:", "sess_abc123") == "chat:sess_abc123"
    assert _keys.sidecar("chat:sess_abc123", "meta") == "{chat:sess_abc123}:meta"


def test_keys_that_are_no_conversations() -> None:
    assert _keys.session_id("chat:", b"chat:") is None
    assert _keys.session_id("chat:", b"other:s") is None
    assert _keys.session_id("chat:", b"chat:\xff") is None
    assert _keys.session_id("chat:", b"chat:a{b") is None  # would be read under another key
    assert _keys.session_id("chat:", b"{chat:s}:meta") is None
    assert _keys.session_id("chat:", b"{chat:}:archived") is None
    assert _keys.session_id("chat:", b"{{chat:s}:archived}:archived") is None


@given(st.sampled_from(["chat:", "", "a@b%:", "x*y:"]), ids | tricky)
@settings(deadline=None, max_examples=1000)
def test_users_survive_the_way_to_the_key_and_back(prefix: str, user_id: str) -> None:
    key = _keys.user_key(prefix, user_id, _keys.ERASING).encode()
    assert _keys.user_of(prefix, key, _keys.ERASING) == user_id
    assert _keys.user_of("other:", key, _keys.ERASING) is None
    assert _keys.user_of(prefix, key, _keys.SESSIONS) is None


def test_keys_that_are_no_users() -> None:
    for key in (b"\xff", b"{user:}:erasing", b"{user:a{}:erasing", b"user:a:erasing"):
        assert _keys.user_of("chat:", key, _keys.ERASING) is None


def test_the_conversation_of_an_episode_is_in_its_slot() -> None:
    key = _keys.episode_key("memory", "0a")
    assert key == "{memory:0a}:conversation"
    assert _keys.slot(key) == _keys.slot(_keys.document_key("memory", "0a"))
