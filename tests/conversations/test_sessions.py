"""Session records: kept by each write, read by ``SessionStore``, sync and async, everywhere."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import (
    EmbeddedValkey,
    InvalidArgumentError,
    KeyTypeError,
    MessageStore,
    Session,
    SessionStore,
    ValkeyConnection,
    _keys,
)
from valkey_memory._conversations.transfer import (
    first_line,
    last_line,
    lines_of,
    read_lines,
    read_whole_plan,
    write_whole_plan,
)

from ..conftest import Face
from ..servers import send
from .test_message_lists import said
from .test_round_trips import FROM_SCRIPTS, sent

HOSTILE = [
    "alice", "Alice", "alice2", "alic", "a,b", "alice*", "al?ce", "[alice]", "{x}", "x}", "}{",
    "line\nbreak", "nul\x00", "🐈", "%7Bx%7D", "%", "chat:", "user:alice", "user@alice@", " ",
    "a" * 10_240,
]  # fmt: skip


@pytest.fixture
def sessions(make_store: Any, connection: ValkeyConnection, prefix: str) -> Any:
    """A SessionStore, through the same face as the stores that ``make_store`` makes."""
    store = SessionStore(connection=connection, key_prefix=prefix)
    return Face(store, is_async=make_store().is_async)


def keys_of(prefix: str, session_id: str, user_id: str) -> tuple[str, str]:
    """The record, and the user's list."""
    meta = _keys.sidecar(f"{prefix}{session_id}", "meta")
    return meta, _keys.user_key(prefix, user_id, "sessions")


def ids(found: list[Session]) -> list[str]:
    return [session.session_id for session in found]


# What a write keeps


def test_a_write_keeps_the_record(make_store: Any, sessions: Any) -> None:
    before = time.time()
    store = make_store(user_id="alice", model="claude-sonnet", title="Valkey")
    store.append("s", said("a")[0])
    store.extend("s", said("b", "c"), tokens=21)
    store.extend("s", said("d"), tokens=4)
    found = sessions.get("s")
    assert found == Session(
        "s", "alice", "Valkey", "claude-sonnet", found.created_at, found.last_active, 4, 25, {}
    )
    assert before - 0.001 <= found.created_at <= found.last_active <= time.time()
    assert sessions.of_user("alice") == [found]
    assert sessions.count("alice") == 1


def test_the_record_is_the_cookbooks_hash(
    make_store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(user_id="alice", model="m").append("s", said("a")[0])
    meta, user_list = keys_of(prefix, "s", "alice")
    fields = send(connection, "HGETALL", meta)
    created = fields.pop(b"created_at")
    assert fields.pop(b"last_active") == created
    assert abs(float(created) - time.time()) < 60
    assert fields == {
        b"user_id": b"alice", b"model": b"m", b"message_count": b"1", b"token_count": b"0",
    }  # fmt: skip
    assert send(connection, "ZSCORE", user_list, "s") == float(created)


def test_without_a_user_no_record_is_kept(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(ttl=60, max_messages=3).extend("s", said(*"abcde"))
    assert sessions.get("s") is None
    assert send(connection, "EXISTS", keys_of(prefix, "s", "alice")[0]) == 0


def test_a_single_write_can_say_it(make_store: Any, sessions: Any) -> None:
    store = make_store()
    store.append("s", said("a")[0], user_id="alice", model="m", title="t", tokens=3)
    store.append("s", said("b")[0])  # says nothing, and the record stays
    found = sessions.get("s")
    assert (found.user_id, found.model, found.title) == ("alice", "m", "t")
    assert (found.message_count, found.token_count) == (1, 3)


def test_a_record_without_a_user(make_store: Any, sessions: Any) -> None:
    make_store(model="m").append("s", said("a")[0])
    found = sessions.get("s")
    assert (found.user_id, found.model, found.message_count) == (None, "m", 1)


def test_the_first_title_stays_and_the_last_model(make_store: Any, sessions: Any) -> None:
    make_store(user_id="alice", title="first", model="old").append("s", said("a")[0])
    make_store(user_id="alice", title="second", model="new").append("s", said("b")[0])
    found = sessions.get("s")
    assert (found.title, found.model) == ("first", "new")


def test_a_record_that_begins_late_counts_what_there_is(make_store: Any, sessions: Any) -> None:
    make_store().extend("s", said(*"abc"))
    make_store().archive_oldest("s", 1)
    make_store(user_id="alice").append("s", said("d")[0])
    assert sessions.get("s").message_count == 4


def test_what_a_window_trims_stays_counted(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice", max_messages=2)
    for text in "abcde":
        store.append("s", said(text)[0])
    assert sessions.get("s").message_count == 5
    turns = make_store(user_id="alice", max_messages=2, whole_turns=True)
    turns.append("s", said("f")[0])
    assert sessions.get("s").message_count == 6


EDITS: dict[str, Callable[[Any], object]] = {
    "append": lambda s: s.append("s", said("x")[0]),
    "extend": lambda s: s.extend("s", said("x", "y")),
    "extend archived": lambda s: s.extend("s", said("x", "y"), archived=True),
    "insert": lambda s: s.insert("s", 1, said("x")[0]),
    "replace": lambda s: s.replace("s", said("x", "y", "z")),
    "replace whole": lambda s: s.replace("s", said("x"), whole=True),
    "replace archived": lambda s: s.replace("s", said("x"), archived=True),
    "replace archived whole": lambda s: s.replace("s", said("x"), archived=True, whole=True),
    "empty": lambda s: s.replace("s", []),
    "delete_at": lambda s: s.delete_at("s", 1),
    "delete_last": lambda s: s.delete_last("s"),
    "delete_oldest": lambda s: s.delete_oldest("s", 2),
    "archive_oldest": lambda s: s.archive_oldest("s", 2),
    "delete_archived": lambda s: s.delete_archived("s"),
    "take": lambda s: s.take("s", keep_archived=True),
    "delete": lambda s: s.delete("s"),
    "take all": lambda s: s.take("s"),
    "read": lambda s: s.messages("s"),
    "window": lambda s: s.messages("s", max_tokens=100),
    "refresh": lambda s: s.refresh_ttl("s"),
}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(sorted(EDITS)), max_size=12))
@pytest.mark.parametrize("topology", ["standalone", "cluster"])
def test_the_count_is_that_of_the_messages(
    request: pytest.FixtureRequest, topology: str, steps: list[str]
) -> None:
    """Whatever is done: a conversation that is there is listed, with as many messages as it has."""
    connection = request.getfixturevalue(f"{topology}_connection")
    prefix = f"test-{uuid.uuid4()}:"
    store = MessageStore(
        connection=connection, key_prefix=prefix, user_id="u", ttl=60, refresh_ttl_on_read=True
    )
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    for step in steps:
        EDITS[step](store)
        found = sessions.get("s")
        assert (found.message_count if found else 0) == sum(store.count_all("s"))
        assert sessions.of_user("u") == ([found] if found else [])
        entry = send(connection, "ZSCORE", _keys.user_key(prefix, "u", "sessions"), "s")
        assert (entry is not None) == (found is not None)


def test_an_edit_of_nothing_makes_no_record(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice", ttl=60, refresh_ttl_on_read=True)
    for edit in ("delete_at", "delete_last", "delete_oldest", "archive_oldest", "delete",
                 "take", "take all", "delete_archived", "read", "refresh"):  # fmt: skip
        EDITS[edit](store)
    store.extend("s", [])
    assert sessions.get("s") is None
    assert sessions.of_user("alice") == []


def test_writers_at_once_are_all_counted(connection: ValkeyConnection, prefix: str) -> None:
    store = MessageStore(connection=connection, key_prefix=prefix, user_id="alice")

    def write() -> None:
        for number in range(25):
            store.append("s", said(str(number))[0], tokens=2)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = SessionStore(connection=connection, key_prefix=prefix).get("s")
    assert found is not None
    assert (found.message_count, found.token_count) == (100, 200)


def test_a_write_that_is_repeated_counts_once(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice")
    for _ in range(3):
        store.append("s", said("a")[0], once="job-1", tokens=5)
    found = sessions.get("s")
    assert (found.message_count, found.token_count) == (1, 5)


# Tokens


def test_tokens_of_what_the_messages_say(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice")
    answer = {"role": "assistant", "content": "b"}
    store.extend("s", [
        *said("a"),
        {**answer, "usage": {"input_tokens": 10, "output_tokens": 5}},
        {**answer, "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}},
        {**answer, "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}},
        {**answer, "usage": {"prompt_token_count": 1, "total_token_count": 7}},
        {**answer, "usage": {"prompt_eval_count": 2, "eval_count": 1}},
        {**answer, "usage": {"total_tokens": "many"}},
        {**answer, "usage": {"total_tokens": -5}},
        {**answer, "usage": "none"},
    ])  # fmt: skip
    assert sessions.get("s").token_count == 15 + 3 + 2 + 7 + 3


def test_tokens_of_a_counter(make_store: Any, sessions: Any) -> None:
    store = make_store(count_tokens=lambda messages: sum(len(m["content"]) for m in messages))
    store.extend("s", said("four", "seven.."))
    store.insert("s", 0, said("xx")[0])
    store.append("s", said("not counted")[0], tokens=0)
    assert sessions.get("s").token_count == 13


@pytest.mark.parametrize(("counts", "total"), [((2**53, 0), 2**53), ((2**53 - 1, 1, 1), 2**53)])
def test_a_sum_of_tokens_stops_at_the_most_that_counts_exactly(
    make_store: Any, sessions: Any, counts: tuple[int, ...], total: int
) -> None:
    store = make_store(user_id="alice")
    for tokens in counts:
        store.append("s", said("a")[0], tokens=tokens)
    assert sessions.get("s").token_count == total


def nothing(messages: list[Any]) -> Any:
    return None


@pytest.mark.parametrize(
    "counter", [nothing, lambda m: -1, lambda m: 1.5, lambda m: True, lambda m: 2**60]
)
def test_a_counter_that_returns_nonsense(make_store: Any, sessions: Any, counter: Any) -> None:
    store = make_store(user_id="alice", count_tokens=counter)
    with pytest.raises(InvalidArgumentError, match="count_tokens must return"):
        store.append("s", said("a")[0])
    assert store.messages("s") == []
    assert sessions.get("s") is None


def test_a_counter_that_raises(make_store: Any) -> None:
    def fail(messages: list[Any]) -> int:
        raise ZeroDivisionError

    store = make_store(count_tokens=fail)
    with pytest.raises(ZeroDivisionError):
        store.append("s", said("a")[0])
    assert store.messages("s") == []


# Users


@pytest.mark.parametrize("topology", ["standalone", "cluster"])
def test_users_are_told_apart(request: pytest.FixtureRequest, topology: str, prefix: str) -> None:
    connection = request.getfixturevalue(f"{topology}_connection")
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    store = MessageStore(connection=connection, key_prefix=prefix)
    for number, user_id in enumerate(HOSTILE):
        store.append(f"s{number}", said("a")[0], user_id=user_id)
        store.append(user_id, said("b")[0], user_id=user_id)
    for number, user_id in enumerate(HOSTILE):
        found = sessions.of_user(user_id)
        assert sorted(ids(found)) == sorted([f"s{number}", user_id])
        assert {session.user_id for session in found} == {user_id}
        assert sessions.count(user_id) == 2


def test_keys_of_users_differ() -> None:
    prefixes = ["chat:", "", "user:", "user@", "a@user:", "app:", "@", "%40", "chat:@chat:"]
    pairs = [(prefix, user_id) for prefix in prefixes for user_id in HOSTILE]
    assert len({_keys.user_key(*pair, "sessions") for pair in pairs}) == len(pairs)
    assert _keys.user_key("chat:", "alice", "sessions") == "{user:alice}:sessions"


def test_users_of_another_prefix_are_others(connection: ValkeyConnection, prefix: str) -> None:
    MessageStore(connection=connection, key_prefix=prefix, user_id="alice").append(
        "s", said("a")[0]
    )
    other = SessionStore(connection=connection, key_prefix=f"{prefix}other:")
    assert other.of_user("alice") == []


@pytest.mark.parametrize("user_id", ["", 7, b"alice", "\ud800", ["alice"]])
def test_a_user_id_that_cannot_be(make_store: Any, sessions: Any, user_id: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="user_id"):
        make_store(user_id=user_id)
    store = make_store()
    with pytest.raises(InvalidArgumentError, match="user_id"):
        store.append("s", said("a")[0], user_id=user_id)
    for call in (sessions.of_user, sessions.count, lambda u: sessions.update("s", user_id=u)):
        with pytest.raises(InvalidArgumentError, match="user_id"):
            call(user_id)
    assert store.messages("s") == []


@pytest.mark.parametrize(
    ("option", "value"),
    [("title", ""), ("title", 1), ("model", b"m"), ("model", "\ud800"), ("tokens", -1),
     ("tokens", 1.5), ("tokens", True), ("tokens", 10**30)],
)  # fmt: skip
def test_what_cannot_stand_in_a_record(make_store: Any, option: str, value: Any) -> None:
    store = make_store()
    with pytest.raises(InvalidArgumentError, match=option):
        store.append("s", said("a")[0], **{option: value})
    assert store.messages("s") == []


def test_a_typing_error_is_one(make_store: Any) -> None:
    with pytest.raises(TypeError, match="usr_id"):
        make_store().append("s", said("a")[0], usr_id="alice")
    with pytest.raises(TypeError, match="usr_id"):
        make_store(usr_id="alice")


def test_a_conversation_moves_to_another_user(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store = make_store(user_id="alice")
    store.append("s", said("a")[0])
    store.append("stays", said("a")[0])
    store.append("s", said("b")[0], user_id="bob")
    assert ids(sessions.of_user("bob")) == ["s"]
    assert ids(sessions.of_user("alice")) == ["stays"]
    # Its old entry is dropped when that list is read and the entry is not new.
    send(connection, "ZADD", keys_of(prefix, "s", "alice")[1], "1700000000", "s")
    assert ids(sessions.of_user("alice")) == ["stays"]
    assert send(connection, "ZSCORE", keys_of(prefix, "s", "alice")[1], "s") is None
    assert sessions.update("s", user_id="alice").user_id == "alice"
    assert send(connection, "ZSCORE", keys_of(prefix, "s", "bob")[1], "s") is None
    assert sorted(ids(sessions.of_user("alice"))) == ["s", "stays"]
    assert sessions.of_user("bob") == []
    assert sessions.get("s").message_count == 2


# Lists


def test_newest_first_in_pages(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice")
    for number in range(7):
        store.append(f"s{number}", said("a")[0])
        time.sleep(0.002)
    store.append("s2", said("b")[0])
    expected = ["s2", "s6", "s5", "s4", "s3", "s1", "s0"]
    assert ids(sessions.of_user("alice")) == expected
    first = sessions.of_user("alice", limit=3)
    second = sessions.of_user("alice", limit=3, before=first[-1])
    third = sessions.of_user("alice", limit=3, before=second[-1])
    assert [ids(page) for page in (first, second, third)] == [
        expected[:3], expected[3:6], expected[6:],
    ]  # fmt: skip
    assert sessions.of_user("alice", before=third[-1]) == []
    assert ids(sessions.of_user("alice", before=first[-1].last_active)) == expected[3:]


def test_pages_of_one_moment(connection: ValkeyConnection, prefix: str) -> None:
    """Entries of the same time come once each, though a page ends among them."""
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    user_list = _keys.user_key(prefix, "alice", "sessions")
    for number in range(23):
        session_id = f"s{number:02}"
        meta, _ = keys_of(prefix, session_id, "alice")
        send(connection, "HSET", meta, "user_id", "alice", "last_active", "1700000000.5")
        send(connection, "ZADD", user_list, "1700000000.5", session_id)
    found: list[Session] = []
    while page := sessions.of_user("alice", limit=5, before=found[-1] if found else None):
        found += page
    assert ids(found) == [f"s{number:02}" for number in reversed(range(23))]
    assert sessions.count("alice") == 23


def test_expired_conversations_are_not_listed(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(user_id="alice").append("lasting", said("a")[0])
    store = make_store(user_id="alice", ttl=0.05)
    for number in range(5):
        store.append(f"s{number}", said("a")[0])
    time.sleep(0.1)
    assert ids(sessions.of_user("alice", limit=2)) == ["lasting"]
    assert sessions.count("alice") == 1
    # Those are younger than a write may be on its way; older ones go.
    _, user_list = keys_of(prefix, "s", "alice")
    assert send(connection, "ZCARD", user_list) == 6
    for number in range(5):
        send(connection, "ZADD", user_list, str(time.time() - 61), f"s{number}")
    assert ids(sessions.of_user("alice", limit=1, before=time.time() - 60)) == []
    assert send(connection, "ZCARD", user_list) == 1


def test_a_page_is_filled_though_some_have_expired(
    connection: ValkeyConnection, prefix: str
) -> None:
    sessions = SessionStore(connection=connection, key_prefix=prefix)
    user_list = _keys.user_key(prefix, "alice", "sessions")
    for number in range(40):
        send(connection, "ZADD", user_list, str(1700000000 + number), f"s{number:02}")
        if number % 4 == 0:
            meta, _ = keys_of(prefix, f"s{number:02}", "alice")
            send(connection, "HSET", meta, "user_id", "alice", "last_active", "1")
    assert ids(sessions.of_user("alice", limit=4)) == ["s36", "s32", "s28", "s24"]
    assert sessions.count("alice") == 10
    assert send(connection, "ZCARD", user_list) == 10


@pytest.mark.parametrize("before", ["s1", float("nan"), True, Session("s1")])
def test_a_page_that_begins_nowhere(sessions: Any, before: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="before"):
        sessions.of_user("alice", before=before)
    with pytest.raises(InvalidArgumentError, match="limit"):
        sessions.of_user("alice", limit=0)


# Updates


def test_updating_a_record(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice", title="old")
    store.append("s", said("a")[0])
    before = sessions.get("s")
    found = sessions.update("s", title="new", model="m", fields={"pinned": "yes", "colour": "red"})
    assert (found.title, found.model, dict(found.fields)) == (
        "new", "m", {"pinned": "yes", "colour": "red"},
    )  # fmt: skip
    assert (found.last_active, found.message_count) == (before.last_active, 1)
    assert dict(sessions.update("s", fields={"pinned": None}).fields) == {"colour": "red"}
    store.append("s", said("b")[0])
    after = sessions.get("s")
    assert (after.title, dict(after.fields), after.message_count) == ("new", {"colour": "red"}, 2)


def test_updating_what_is_not_there_makes_it(make_store: Any, sessions: Any) -> None:
    made = sessions.update("s", user_id="alice", title="Planned")
    assert (made.user_id, made.title, made.message_count) == ("alice", "Planned", 0)
    assert sessions.of_user("alice") == [made]
    make_store(user_id="alice").append("s", said("a")[0])
    assert sessions.get("s").message_count == 1
    make_store().extend("t", said("a", "b"))
    assert sessions.update("t").message_count == 2


def test_an_update_keeps_the_expiry(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(ttl=60).append("s", said("a")[0])
    sessions.update("s", user_id="alice")
    for key in keys_of(prefix, "s", "alice"):
        assert 0 < send(connection, "PTTL", key) <= 60_000
    sessions.update("new", user_id="alice")
    assert {send(connection, "PTTL", key) for key in keys_of(prefix, "new", "alice")} == {-1}


@pytest.mark.parametrize(
    "fields",
    [{"title": "x"}, {"user_id": "x"}, {"message_count": "5"}, {"": "x"}, {"a": 1}, {"a": ""},
     {7: "x"}, {"a": "\ud800"}, ["a"]],
)  # fmt: skip
def test_fields_that_cannot_be(sessions: Any, fields: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        sessions.update("s", fields=fields)
    assert sessions.get("s") is None


def test_what_foreign_programs_wrote(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    meta, _ = keys_of(prefix, "s", "alice")
    foreign = {"message_count": "many", "token_count": "inf", "created_at": "yesterday",
               "last_active": "nan", "mood": "gut ☀", "title": "Theirs"}  # fmt: skip
    send(connection, "HSET", meta, *(part for pair in foreign.items() for part in pair))
    send(connection, "HSET", meta, b"\xff", b"\xfe")
    found = sessions.get("s")
    assert (found.message_count, found.token_count, found.created_at) == (0, 0, None)
    assert found.fields["mood"] == "gut ☀"
    make_store(user_id="alice").append("s", said("a")[0], tokens=3)
    found = sessions.get("s")
    assert (found.message_count, found.token_count, found.title) == (1, 3, "Theirs")
    assert found.fields["mood"] == "gut ☀"


# Keys of other types


def test_a_record_of_another_type_is_refused_first(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    meta, _ = keys_of(prefix, "s", "alice")
    make_store().append("s", said("a")[0])
    send(connection, "SET", meta, "mine")
    store = make_store(user_id="alice", ttl=60)
    writes: list[Callable[[], object]] = [
        lambda: store.append("s", said("b")[0]),
        lambda: store.delete("s"),
    ]
    for write in writes:
        with pytest.raises(KeyTypeError, match=f"{re.escape(meta)} is a string, no hash"):
            write()
    actions: list[Callable[[], object]] = [
        lambda: sessions.get("s"),
        lambda: sessions.update("s", title="x"),
    ]
    for action in actions:
        with pytest.raises(KeyTypeError):
            action()
    assert send(connection, "GET", meta) == b"mine"
    assert send(connection, "PTTL", meta) == -1
    assert make_store().messages("s") == said("a")


def test_one_foreign_record_hides_no_other(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store = make_store(user_id="alice")
    store.append("s", said("a")[0])
    store.append("t", said("a")[0])
    meta, _ = keys_of(prefix, "s", "alice")
    send(connection, "DEL", meta)
    send(connection, "SET", meta, "mine")
    assert ids(sessions.of_user("alice")) == ["t"]


def test_a_users_list_of_another_type(
    make_store: Any, connection: ValkeyConnection, prefix: str, request: pytest.FixtureRequest
) -> None:
    _, user_list = keys_of(prefix, "s", "alice")
    send(connection, "SET", user_list, "mine")
    with pytest.raises(KeyTypeError, match=f"{re.escape(user_list)} is a string, no zset"):
        make_store(user_id="alice", ttl=60).append("s", said("a")[0])
    assert send(connection, "GET", user_list) == b"mine"
    assert send(connection, "PTTL", user_list) == -1
    if "standalone" in request.node.name:  # in a cluster the list is on another server
        assert make_store().messages("s") == []


# Expiry


def expiry(connection: ValkeyConnection, prefix: str) -> tuple[int, int]:
    """Whole seconds that the record and the user's list have left."""
    left = [send(connection, "PTTL", key) for key in keys_of(prefix, "s", "alice")]
    record, user_list = (-(-one // 1000) if one > 0 else one for one in left)
    return record, user_list


def test_record_and_list_expire_with_the_conversation(
    make_store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    short, long = make_store(user_id="alice", ttl=60), make_store(user_id="alice", ttl=600)
    short.append("s", said("a")[0])
    assert expiry(connection, prefix) == (60, 60)
    long.append("t", said("a")[0])
    assert expiry(connection, prefix) == (60, 600)
    short.append("s", said("b")[0])  # the list lives as long as the longest
    assert expiry(connection, prefix) == (60, 600)
    long.set_ttl("s", None)
    assert expiry(connection, prefix) == (-1, -1)


def test_a_conversation_without_end_keeps_the_list(
    make_store: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(user_id="alice").append("s", said("a")[0])
    make_store(user_id="alice", ttl=60).append("t", said("a")[0])
    assert expiry(connection, prefix) == (-1, -1)


def test_reading_touches_where_it_refreshes(make_store: Any, sessions: Any) -> None:
    store = make_store(user_id="alice", ttl=60, refresh_ttl_on_read=True)
    store.append("s", said("a")[0])
    before = sessions.get("s")
    for read in (store.messages, lambda s: store.messages(s, max_tokens=9),
                 lambda s: store.page(s, 0, 1)):  # fmt: skip
        time.sleep(0.003)
        assert read("s") == said("a")
        after = sessions.get("s")
        assert after.last_active > before.last_active
        assert after.message_count == 1
        before = after
    make_store(user_id="alice", ttl=60).messages("s")
    assert sessions.get("s") == before


def test_deleting_a_session(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    store = make_store(user_id="alice")
    for session_id in "stu":
        store.append(session_id, said("a")[0])
    make_store().extend("plain", said("a"))
    assert sessions.delete("s") is True
    assert store.delete("t") is True
    assert sessions.delete("plain") is True
    assert sessions.delete("s") is False
    assert sessions.get("s") is sessions.get("t") is None
    _, user_list = keys_of(prefix, "s", "alice")
    assert send(connection, "ZRANGE", user_list, "0", "-1") == [b"u"]
    assert store.messages("s") == []


# Whole conversations


def test_a_record_is_exported_and_comes_back(
    make_store: Any, sessions: Any, connection: ValkeyConnection, prefix: str
) -> None:
    make_store(user_id="alice", title="t", ttl=600).append("s", said("a")[0], tokens=7)
    sessions.update("s", fields={"mood": "good"})
    before = sessions.get("s")
    exported = connection.run(read_whole_plan(prefix, ["s"]))
    lines = [first_line(), *lines_of(exported[0]), last_line(1, 1)]
    assert list(read_lines(lines, "file")) == exported
    sessions.delete("s")
    assert sessions.of_user("alice") == []
    assert connection.run(write_whole_plan(prefix, exported, "new")) == []
    assert sessions.get("s") == before
    assert sessions.of_user("alice") == [before]
    # One that is added to has its own record; one that is replaced gets that of the file.
    sessions.update("s", title="mine")
    connection.run(write_whole_plan(prefix, exported, "append"))
    assert sessions.get("s").title == "mine"
    connection.run(write_whole_plan(prefix, exported, "replace"))
    assert sessions.get("s") == before


# Round trips


def test_a_write_with_a_record_is_one_script(server: EmbeddedValkey, url: str, prefix: str) -> None:
    store = MessageStore(url=url, key_prefix=prefix, user_id="u", ttl=60, max_messages=50)
    store.append("s", said("a")[0])
    counts = sent(server, lambda: store.append("s", said("b")[0]))
    assert (counts["eval"], counts["hset"], counts["zadd"]) == (1, 1, 1)
    assert counts.keys() - FROM_SCRIPTS == {
        "eval", "lpos", "rpush", "ltrim", "hmget", "hset", "zadd", "zcard",
    }  # fmt: skip


OTHERS = """
for number = 1, ARGV[1] do
  local user = 'u' .. number % 1000
  redis.call('HSET', '{chat:o' .. number .. '}:meta', 'user_id', user)
  redis.call('ZADD', '{user:' .. user .. '}:sessions', number, 'o' .. number)
end
"""


@pytest.mark.parametrize("others", [10, 100_000])
def test_the_newest_twenty_take_two_round_trips(others: int) -> None:
    """However many users and sessions there are besides."""
    with EmbeddedValkey() as server:
        with ValkeyConnection.from_url(server.url) as connection:
            store = MessageStore(connection=connection, user_id="alice")
            for number in range(30):
                store.append(f"s{number}", said("a")[0])
            send(connection, "EVAL", OTHERS, "0", str(others))
        sessions = SessionStore(url=server.url)
        assert sessions.count("u1") == max(others // 1000, 1)
        assert len(sessions.of_user("alice")) == 20
        counts = sent(server, lambda: sessions.of_user("alice"))
        assert counts == {"zrange": 1, "hgetall": 20}
