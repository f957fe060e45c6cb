"""Running summaries: what they hold, who makes them, and that no message is ever lost for one."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import (
    EmbeddedValkey,
    InvalidArgumentError,
    KeyTypeError,
    MessageStore,
    ModelAnswerError,
    SessionStore,
    Summary,
    ValkeyConnection,
    _keys,
)
from valkey_memory._conversations.summaries import HEADING, READ_AT_MOST
from valkey_memory._memory.prompts import DEFAULT_PROMPT, read_answer, render
from valkey_memory._messages.tokens import count_tokens
from valkey_memory.adapters import ConversationStore

from ..conversations.order import refusal
from ..conversations.talks import AsStored, Talk, talks
from ..conversations.test_message_lists import said, texts
from ..conversations.test_round_trips import FROM_SCRIPTS, sent
from ..servers import send, send_all
from .scripted import AsyncScriptedModel, ScriptedModel, shown

Messages = Sequence[Mapping[str, Any]]


def turns(first: int, number: int = 1) -> list[dict[str, str]]:
    """So many questions and answers, from a number on."""
    return [
        {"role": role, "content": f"{role[0]}{n}"}
        for n in range(first, first + number)
        for role in ("user", "assistant")
    ]


def summary_of(messages: Messages) -> str | None:
    """The summary that stands above messages."""
    if not messages or messages[0]["role"] != "system":
        return None
    return str(messages[0]["content"]).removeprefix(HEADING)


def field(connection: ValkeyConnection, prefix: str, name: str, session: str = "s") -> Any:
    return send(connection, "HGET", _keys.sidecar(f"{prefix}{session}", "summary"), name)


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def store(make_store: Any, model: ScriptedModel) -> Any:
    """It summarises more than four messages, and keeps two."""
    return make_store(summary=Summary(model, keep_last=2, when_over=4))


# What a summary holds


def test_old_messages_become_a_summary(store: Any, model: ScriptedModel) -> None:
    store.extend("s", turns(0, 2))
    assert (store.summary("s"), model.prompts) == (None, [])
    store.extend("s", turns(2))
    assert shown(model.prompts[0]) == (
        "(none yet)", ["user: u0", "assistant: a0", "user: u1", "assistant: a1"],
    )  # fmt: skip
    assert store.summary("s") == "summary 1"
    assert store.messages("s") == [
        {"role": "system", "content": f"{HEADING}summary 1"}, *turns(2),
    ]  # fmt: skip
    assert store.archived("s") == turns(0, 2)


def test_the_next_summary_takes_in_the_one_before(store: Any, model: ScriptedModel) -> None:
    store.extend("s", turns(0, 3))
    store.extend("s", turns(3, 2))
    assert shown(model.prompts[1]) == ("summary 1", [
        "user: u2", "assistant: a2", "user: u3", "assistant: a3",
    ])  # fmt: skip
    assert store.summary("s") == "summary 2"
    assert store.archived("s", and_active=True) == turns(0, 5)


def test_what_was_summarised_may_be_deleted(make_store: Any, model: ScriptedModel) -> None:
    store = make_store(summary=Summary(model, keep_last=2, when_over=4, archive=False))
    store.extend("s", turns(0, 3))
    assert store.archived("s", and_active=True) == turns(2)


def test_inserting_and_replacing_summarise_too(store: Any, model: ScriptedModel) -> None:
    store.extend("s", turns(0, 2))
    store.insert("s", 0, said("before")[0])
    assert shown(model.prompts[0])[1][0] == "user: before"
    store.replace("t", turns(0, 3))
    assert (len(model.prompts), store.summary("t")) == (2, "summary 2")


def test_a_record_counts_on(make_store: Any, connection: Any, prefix: str) -> None:
    summary = Summary(ScriptedModel(), keep_last=2, when_over=4)
    store = make_store(summary=summary, user_id="alice")
    store.extend("s", turns(0, 5))
    found = SessionStore(connection=connection, key_prefix=prefix).get("s")
    assert found is not None
    assert found.message_count == 10
    assert store.count("s") == 2


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(talk=talks(), keep_last=st.integers(0, 5), more=st.integers(0, 4), archive=st.booleans())
def test_what_stays_is_whole_turns(
    standalone_connection: ValkeyConnection, talk: Talk, keep_last: int, more: int, archive: bool
) -> None:
    """Whatever conversation with tool calls: model APIs accept what is read, nothing is lost."""
    prefix = f"test-{uuid.uuid4()}:"
    store = ConversationStore(
        AsStored(),
        connection=standalone_connection,
        key_prefix=prefix,
        summary=Summary(
            ScriptedModel(), keep_last=keep_last, when_over=keep_last + more, archive=archive
        ),
    )
    for piece in talk.pieces:
        store.extend("s", list(piece))
        found = store.messages("s")
        if store.summary("s") is not None:
            del found[0]
        assert not found or refusal(found) is None
    summarised = int(field(standalone_connection, prefix, "summarised") or 0)
    kept = store.page("s", 0, 1000)
    assert len(kept) + summarised == len(talk.elements)
    assert texts_of(kept) == texts_of(talk.elements[summarised:])
    if archive:
        assert texts_of(store.archived("s")) == texts_of(talk.elements[:summarised])


def texts_of(elements: Messages) -> list[Any]:
    return [(one["role"], one.get("content"), one.get("tool_calls")) for one in elements]


def test_a_turn_in_the_middle_of_tools_stays_whole(store: Any, model: ScriptedModel) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    store.append("s", said("do it")[0])
    for _ in range(4):
        store.extend("s", [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "done"},
        ])  # fmt: skip
    assert (model.prompts, store.count("s")) == ([], 9)
    store.extend("s", [{"role": "assistant", "content": "All done"}, *turns(1)])
    assert shown(model.prompts[0])[1][1:3] == ["assistant: [calls f with {}]", "tool result: done"]
    assert store.page("s", 0, 9) == turns(1)


def test_messages_without_a_user_are_counted(store: Any) -> None:
    store.extend("s", [{"role": "assistant", "content": str(n)} for n in range(6)])
    assert texts(store.page("s", 0, 9)) == ["4", "5"]


# Reading


def test_windows_begin_with_the_summary(store: Any) -> None:
    store.extend("s", turns(0, 4))
    store.extend("s", turns(4))
    above = [{"role": "system", "content": f"{HEADING}summary 1"}]
    room = count_tokens(above)
    assert store.messages("s", last=2) == above + turns(4)
    assert store.messages("s", last=3, whole_turns=True) == above + turns(4)
    each = count_tokens(turns(4))
    assert store.messages("s", max_tokens=room + 2 * each) == above + turns(3, 2)
    assert store.messages("s", max_tokens=room + 2 * each - 1) == above + turns(4)
    assert store.messages("s", max_tokens=1) == above + turns(4)
    assert store.messages("s", max_tokens=5, count_tokens=len) == above + turns(3, 2)
    assert store.messages("s", max_tokens=4, count_tokens=len) == above + turns(4)
    assert store.page("s", 0, 9) == turns(3, 2)
    assert store.count("s") == 4


def test_others_read_the_list_as_it_is(store: Any, make_store: Any) -> None:
    store.extend("s", turns(0, 3))
    assert make_store().messages("s") == turns(2)


def test_reading_and_writing_are_one_round_trip(
    server: EmbeddedValkey, url: str, prefix: str
) -> None:
    summary = Summary(ScriptedModel(), keep_last=2, when_over=4)
    store = MessageStore(url=url, key_prefix=prefix, ttl=60, max_messages=9, summary=summary)
    store.extend("s", turns(0, 3))
    for last, tokens in ((None, None), (2, None), (None, 100)):
        counts = sent(server, lambda: store.messages("s", last, max_tokens=tokens))  # noqa: B023
        assert counts.keys() - FROM_SCRIPTS <= {
            "multi", "exec", "hget", "lrange", "eval_ro", "llen",
        }  # fmt: skip
        assert counts.get("exec", 0) + counts.get("eval_ro", 0) == counts["hget"] == 1
    counts = sent(server, lambda: store.append("s", said("a")[0]))
    assert (counts["exec"], counts["eval"], counts["llen"]) == (1, 1, 1)
    assert store.summary("s") == "summary 1"


def test_a_summary_that_is_given_back_is_no_message(store: Any, make_store: Any) -> None:
    store.extend("s", turns(0, 3))
    found = store.messages("s")
    store.replace("s", [*found, *turns(3)])
    assert store.messages("s") == [*found, *turns(3)]
    assert store.page("s", 0, 9) == turns(2, 2)
    store.extend("s", found[:1])
    store.append("s", found[0])
    store.insert("s", 0, found[0])
    assert store.page("s", 0, 9) == turns(2, 2)


def test_other_messages_in_place_of_all_are_another_conversation(store: Any) -> None:
    store.extend("s", turns(0, 3))
    store.replace("s", turns(7))
    assert store.messages("s") == turns(7)
    store.extend("t", turns(0, 3))
    store.replace("t", store.messages("t"), whole=True)
    assert store.summary("t") is None
    store.extend("u", turns(0, 3))
    store.replace("u", turns(0, 2), archived=True)
    assert store.summary("u") is not None
    assert store.delete("u")
    assert store.summary("u") is None


def test_the_summary_expires_with_the_conversation(
    make_store: Any, connection: ValkeyConnection, prefix: str, model: ScriptedModel
) -> None:
    store = make_store(ttl=60, summary=Summary(model, keep_last=2, when_over=4))
    store.extend("s", turns(0, 3))
    keys = _keys.conversation_keys(f"{prefix}s")
    left = {send(connection, "PEXPIRETIME", key) for key in keys} - {-2}
    assert len(left) == 1
    assert left > {0} or min(left) > 0
    make_store(ttl=600).append("s", said("a")[0])
    assert send(connection, "PTTL", _keys.sidecar(f"{prefix}s", "summary")) > 500_000


# The model


class Blocks:
    """An answer of LangChain's with content blocks."""

    content = ["It ", {"type": "text", "text": "works"}, {"type": "image", "url": "x"}]  # noqa: RUF012


class ChatModel:
    def invoke(self, prompt: str) -> Any:
        return Blocks()


def test_a_model_that_answers_blocks(make_store: Any) -> None:
    store = make_store(summary=Summary(ChatModel(), keep_last=2, when_over=4))
    store.extend("s", turns(0, 3))
    assert store.summary("s") == "It works"


def test_an_async_model(make_store: Any) -> None:
    store = make_store(summary=Summary(AsyncScriptedModel(), keep_last=2, when_over=4))
    store.extend("s", turns(0, 3))
    assert store.summary("s") == "summary 1"


BAD: dict[str, tuple[Any, str]] = {
    "throws": (ZeroDivisionError("over the limit"), "ZeroDivisionError: over the limit"),
    "times out": (TimeoutError("slow"), "TimeoutError: slow"),
    "says nothing": (lambda prompt: " \n", "ModelAnswerError: the model answered nothing"),
    "says no text": (lambda prompt: 7, "InvalidArgumentError: the chat model answered int"),
    "says a megabyte": (lambda prompt: "x" * 1_000_000, "1,000,000 characters"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_model_that_fails(
    make_store: Any, connection: ValkeyConnection, prefix: str, kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    answer, message = BAD[kind]
    model = ScriptedModel(answer)
    summary = Summary(model, keep_last=2, when_over=4)
    store = make_store(summary=summary, ttl=60)
    store.extend("s", turns(0, 3))
    assert store.messages("s") == turns(0, 3)
    assert store.summary("s") is None
    assert message in store.last_error("s")
    assert message in caplog.text
    assert str(summary.last_error) != "None"
    # Not before some seconds have passed, and then longer.
    store.extend("s", turns(3))
    assert len(model.prompts) == 1
    key = _keys.sidecar(f"{prefix}s", "summary")
    pauses = []
    for _ in range(3):
        pauses.append(float(field(connection, prefix, "retry_at")) / 1000 - time.time())
        send(connection, "HSET", key, "retry_at", "0")
        store.append("s", said("again")[0])
    assert len(model.prompts) == 4
    assert [round(pause / 5) for pause in pauses] == [1, 2, 4]
    send(connection, "HSET", key, "retry_at", "0")
    model.answer = "at last"
    store.append("s", said("again")[0])
    assert (store.summary("s"), store.last_error("s"), summary.last_error) == (
        "at last",
        None,
        None,
    )
    assert store.archived("s", and_active=True) == [*turns(0, 4), *said(*["again"] * 4)]
    left = {b"text", b"version", b"summarised", b"updated_at"}
    assert set(send(connection, "HKEYS", key)) == left


def test_a_message_that_cannot_be_read_stops_no_summary(
    store: Any, connection: ValkeyConnection, prefix: str, model: ScriptedModel
) -> None:
    send(connection, "RPUSH", f"{prefix}s", b"no json", b"\xff", b'{"role":"user","content":7}')
    store.extend("s", turns(0, 3))
    assert store.messages("s")[1:] == turns(2)
    assert shown(model.prompts[0])[1][:2] == ["unreadable message: "] * 2


def test_a_server_that_fails_after_the_write_is_not_the_writers_business(
    make_store: Any, connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The message is stored, so ``append`` says so, though the summary's key is in the way."""
    key = _keys.sidecar(f"{prefix}s", "summary")
    model = ScriptedModel(meanwhile=lambda: send_all(
        connection, ("DEL", key), ("SET", key, "mine")
    ))  # fmt: skip
    store = make_store(summary=Summary(model, keep_last=2, when_over=4))
    store.extend("s", turns(0, 3))
    assert "KeyTypeError" in caplog.text
    assert store.page("s", 0, 9) == turns(0, 3)
    assert send(connection, "GET", key) == b"mine"
    with pytest.raises(KeyTypeError):  # and before the write it is
        store.append("s", said("a")[0])


# By hand


def test_summarising_now(make_store: Any, model: ScriptedModel) -> None:
    store = make_store(summary=Summary(model, keep_last=2, when_over=100))
    assert store.summarize_now("s") is False
    store.extend("s", turns(0, 3))
    assert store.summarize_now("s") is True
    assert store.messages("s")[1:] == turns(2)
    assert store.summarize_now("s") is False
    model.answer = ZeroDivisionError("no")
    store.extend("s", turns(3))
    with pytest.raises(ZeroDivisionError):
        store.summarize_now("s")
    assert "ZeroDivisionError" in store.last_error("s")
    model.answer = "now"
    assert store.summarize_now("s") is True  # it does not wait for the pause


def test_summarising_now_needs_a_summary(make_store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="summary="):
        make_store().summarize_now("s")


def test_a_long_conversation_is_summarised_in_portions(
    connection: ValkeyConnection, prefix: str
) -> None:
    number = READ_AT_MOST + 200
    MessageStore(connection=connection, key_prefix=prefix).extend("s", turns(0, number // 2))
    model = ScriptedModel()
    summary = Summary(model, keep_last=2, when_over=4)
    store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
    store.append("s", said("more")[0])
    assert len(shown(model.prompts[0])[1]) == READ_AT_MOST - 2
    assert store.summarize_now("s") is True
    assert len(model.prompts) == 2
    assert store.archived("s", and_active=True) == [*turns(0, number // 2), *said("more")]
    long = [{"role": "user", "content": "x" * 7000}, {"role": "assistant", "content": "y" * 7000}]
    store.extend("t", long * 20)
    assert len(shown(model.prompts[2])[1]) == 14  # 98,000 characters
    assert store.summarize_now("t") is True


# Two at once, and what happens meanwhile


def test_two_at_the_threshold_ask_once(connection: ValkeyConnection, prefix: str) -> None:
    model = ScriptedModel(seconds=0.5)
    stores = [
        MessageStore(
            connection=connection,
            key_prefix=prefix,
            summary=Summary(model, keep_last=2, when_over=4),
        )
        for _ in range(4)
    ]
    stores[0].extend("s", turns(0, 2))
    threads = [
        threading.Thread(target=store.extend, args=("s", turns(2 + n)))
        for n, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(model.prompts) == 1
    assert stores[0].count("s") + len(stores[0].archived("s")) == 12


def test_a_claim_ends_with_its_time(
    make_store: Any, connection: ValkeyConnection, prefix: str, model: ScriptedModel
) -> None:
    store = make_store(summary=Summary(model, keep_last=2, when_over=4, lease=0.2))
    store.extend("s", turns(0, 2))
    key = _keys.sidecar(f"{prefix}s", "summary")
    until = str(int((time.time() + 0.3) * 1000))
    send(connection, "HSET", key, "claim", "another", "claimed_until", until)
    store.extend("s", turns(2))
    assert store.summarize_now("s") is False
    assert model.prompts == []
    time.sleep(0.35)
    store.extend("s", turns(3))
    assert store.summary("s") == "summary 1"


def test_who_comes_too_late_changes_nothing(connection: ValkeyConnection, prefix: str) -> None:
    """A model takes longer than the lease: another's summary stands, and no message is lost."""
    options: dict[str, Any] = {"keep_last": 2, "when_over": 4}
    fast = MessageStore(
        connection=connection, key_prefix=prefix, summary=Summary(ScriptedModel("fast"), **options)
    )
    late = ScriptedModel("late")
    slow = MessageStore(
        connection=connection, key_prefix=prefix, summary=Summary(late, lease=0.05, **options)
    )

    def meanwhile() -> None:
        time.sleep(0.1)
        fast.extend("s", turns(3))

    late.meanwhile = meanwhile
    slow.extend("s", turns(0, 3))
    assert slow.summary("s") == "fast"
    assert slow.archived("s", and_active=True) == turns(0, 4)


MEANWHILE: dict[str, Callable[[Any], object]] = {
    "append": lambda s: s.append("s", said("new")[0]),
    "insert first": lambda s: s.insert("s", 0, said("new")[0]),
    "insert last": lambda s: s.insert("s", 99, said("new")[0]),
    "delete first": lambda s: s.delete_at("s", 0),
    "delete second": lambda s: s.delete_at("s", 1),
    "delete last": lambda s: s.delete_last("s"),
    "delete oldest": lambda s: s.delete_oldest("s", 2),
    "archive oldest": lambda s: s.archive_oldest("s", 1),
    "empty": lambda s: s.replace("s", []),
    "replace": lambda s: s.replace("s", turns(0, 3)),
    "take": lambda s: s.take("s", keep_archived=True),
    "delete": lambda s: s.delete("s"),
    "nothing": lambda s: s.count("s"),
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.sampled_from(sorted(MEANWHILE)), max_size=4),
    window=st.sampled_from([None, 8]),
)
def test_whatever_happens_meanwhile_is_kept(
    standalone_connection: ValkeyConnection, names: list[str], window: int | None
) -> None:
    """All messages are where they would be, but for those that a summary moved to the archive."""
    number = uuid.uuid4()
    own, twin = f"test-{number}:", f"twin-{number}:"
    edited = [
        MessageStore(connection=standalone_connection, key_prefix=prefix, max_messages=window)
        for prefix in (own, twin)
    ]

    def meanwhile() -> None:
        for store in edited:
            for name in names:
                MEANWHILE[name](store)

    store = MessageStore(
        connection=standalone_connection,
        key_prefix=own,
        max_messages=window,
        summary=Summary(ScriptedModel(meanwhile=meanwhile), keep_last=2, when_over=4),
    )
    edited[1].extend("s", turns(0, 3))
    store.extend("s", turns(0, 3))
    assert store.archived("s", and_active=True) == edited[1].archived("s", and_active=True)
    if store.summary("s") is None:
        assert store.page("s", 0, 99) == edited[1].page("s", 0, 99)
    else:
        kept = [one for one in turns(0, 3) if one in store.page("s", 0, 99)]
        assert kept in ([], turns(2), turns(2)[:1]), "what was summarised is gone from the list"


@pytest.mark.parametrize(
    ("meanwhile", "is_set"),
    [("append", True), ("delete last", True), ("delete first", False), ("delete second", False),
     ("insert first", False), ("empty", False), ("delete", False), ("nothing", True)],
)  # fmt: skip
def test_what_was_summarised_is_compared(
    make_store: Any, connection: ValkeyConnection, prefix: str, meanwhile: str, is_set: bool
) -> None:
    other = MessageStore(connection=connection, key_prefix=prefix)
    model = ScriptedModel(meanwhile=lambda: MEANWHILE[meanwhile](other))
    store = make_store(summary=Summary(model, keep_last=2, when_over=4))
    store.extend("s", turns(0, 3))
    assert (store.summary("s") is not None) == is_set
    assert field(connection, prefix, "claim") is None
    if meanwhile == "delete":
        keys = _keys.content_keys(f"{prefix}s")
        assert [send(connection, "EXISTS", key) for key in keys] == [0] * len(keys)
        assert 0 < send(connection, "PTTL", _keys.sidecar(f"{prefix}s", "writes")) <= 60_000


def test_a_window_may_trim_what_is_being_summarised(connection: Any, prefix: str) -> None:
    other = MessageStore(connection=connection, key_prefix=prefix, max_messages=6)
    model = ScriptedModel(meanwhile=lambda: other.extend("s", turns(3)))
    summary = Summary(model, keep_last=2, when_over=4)
    store = MessageStore(connection=connection, key_prefix=prefix, max_messages=6, summary=summary)
    store.extend("s", turns(0, 3))
    assert store.summary("s") == "summary 1"
    assert store.archived("s", and_active=True) == turns(1, 3)


# Killed


KILLED = """
import os, sys
from valkey_memory import MessageStore, Summary, ValkeyConnection
url, prefix, last, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
connection = ValkeyConnection.from_url(url)
store = MessageStore(connection=connection, key_prefix=prefix, ttl=600,
    summary=Summary(lambda prompt: "of the killed", keep_last=2, when_over=4, lease=0.2))
execute, steps = connection._execute, []
def counted(step):
    steps.append(step)
    if when == "before" and len(steps) == last:
        os._exit(9)
    reply = execute(step)
    if when == "after" and len(steps) == last:
        os._exit(9)
    return reply
connection._execute = counted
store.extend("s", [{"role": r, "content": f"{r[0]}2"} for r in ("user", "assistant")])
os._exit(0)
"""


@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.long)])
def test_killed_between_any_two_steps(url: str, prefix: str, when: str) -> None:
    """Nothing is lost, and nothing is stuck for longer than the lease."""
    killed = 0
    for last in range(1, 20):
        own = f"{prefix}{last}:"
        model = ScriptedModel("of another")
        summary = Summary(model, keep_last=2, when_over=4, lease=0.2)
        store = MessageStore(url=url, key_prefix=own, ttl=600, summary=summary)
        store.extend("s", turns(0, 2))
        done = subprocess.run(
            [sys.executable, "-c", KILLED, url, own, str(last), when], check=False, timeout=60
        )
        if done.returncode == 0:
            break
        assert done.returncode == 9
        killed += 1
        found = store.archived("s", and_active=True)
        assert found in (turns(0, 2), turns(0, 3))  # before the write, or after it
        assert len(found) == 6 or store.summary("s") is None
        time.sleep(0.25)
        store.extend("s", turns(3))
        assert store.summary("s") is not None
        assert store.count("s") in (2, 4)
        assert store.archived("s", and_active=True) == [*found, *turns(3)]
        assert 590 < (store.ttl_left("s") or 0) <= 600
    assert killed >= 6, "write, claim, ask, commit and what is between them"


# Many processes


WRITER = """
import sys, time
from valkey_memory import MessageStore, Summary, ValkeyConnection
from valkey_memory._plans import Request
url, prefix, name = sys.argv[1:4]
connection = ValkeyConnection.from_url(url)
def note(prompt):
    yield Request("note", (("RPUSH", prefix + "calls", prompt),))
def slow_model(prompt):
    connection.run(note(prompt))
    time.sleep(2)
    return "summary"
store = MessageStore(connection=connection, key_prefix=prefix, ttl=600,
    summary=Summary(slow_model, keep_last=6, when_over=12))
for n in range(13):
    store.extend("s", [{"role": r, "content": f"{name}-{n}-{r}"} for r in ("user", "assistant")])
    found = [m["role"] for m in store.messages("s") if m["role"] != "system"]
    assert found[0] == "user", found
"""


@pytest.mark.long
def test_four_processes_and_a_slow_model(connection: ValkeyConnection, prefix: str) -> None:
    assert connection.url is not None
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, connection.url, prefix, f"p{number}"])
        for number in range(4)
    ]
    assert [writer.wait(120) for writer in writers] == [0] * 4
    store = MessageStore(connection=connection, key_prefix=prefix)
    found = texts(store.archived("s", and_active=True))
    assert len(found) == len(set(found)) == 104
    for number in range(4):
        own = [text for text in found if text.startswith(f"p{number}-")]
        assert own == [f"p{number}-{n}-{r}" for n in range(13) for r in ("user", "assistant")]
    prompts = [
        prompt.decode() for prompt in send(connection, "LRANGE", f"{prefix}calls", "0", "-1")
    ]
    assert field(connection, prefix, "version") == str(len(prompts)).encode()
    summarised = [message for prompt in prompts for message in shown(prompt)[1]]
    assert [line.partition(": ")[2] for line in summarised] == texts(store.archived("s"))
    assert all(shown(prompt)[1][0].startswith("user: ") for prompt in prompts)
    assert field(connection, prefix, "claim") is None
    left = [send(connection, "PTTL", key) for key in _keys.conversation_keys(f"{prefix}s")]
    assert all(590_000 < one <= 600_000 or one == -2 for one in left)


# In the background


def test_in_a_thread(connection: ValkeyConnection, prefix: str) -> None:
    model = ScriptedModel(seconds=0.3)
    with Summary(model, keep_last=2, when_over=4, background=True) as summary:
        store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
        begin = time.monotonic()
        store.extend("s", turns(0, 3))
        assert time.monotonic() - begin < 0.3
        assert store.summary("s") is None
    assert store.summary("s") == "summary 1"
    summary.close()


def test_in_a_task(connection: ValkeyConnection, prefix: str) -> None:
    async def main() -> None:
        model = AsyncScriptedModel(seconds=0.3)
        async with Summary(model, keep_last=2, when_over=4, background=True) as summary:
            store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
            await store.aextend("s", turns(0, 3))
            assert await store.asummary("s") is None
            await asyncio.to_thread(store.extend, "t", turns(0, 3))  # joined as well
        assert await store.asummary("s") is not None
        assert await store.asummary("t") is not None

    asyncio.run(main())


def test_a_loop_that_ends_first_leaves_it_to_the_next_write(
    connection: ValkeyConnection, prefix: str
) -> None:
    model = AsyncScriptedModel(seconds=5)
    summary = Summary(model, keep_last=2, when_over=4, background=True, lease=0.2)
    store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)

    async def main() -> None:
        await store.aextend("s", turns(0, 3))
        await asyncio.sleep(0.1)

    asyncio.run(main())
    model.seconds = 0
    time.sleep(0.2)
    store.extend("s", turns(3))
    summary.close()
    assert store.summary("s") is not None
    assert store.archived("s", and_active=True) == turns(0, 4)


def test_a_failure_in_the_background_is_told(
    connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Summary(
        ScriptedModel(ZeroDivisionError("no")), keep_last=2, when_over=4, background=True
    ) as summary:
        store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
        store.extend("s", turns(0, 3))
    assert isinstance(summary.last_error, ZeroDivisionError)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.forks
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_waits_for_no_thread_of_its_parent(url: str, prefix: str) -> None:
    model = ScriptedModel(seconds=1)
    summary = Summary(model, keep_last=2, when_over=4, background=True)
    store = MessageStore(url=url, key_prefix=prefix, summary=summary)
    store.extend("s", turns(0, 3))
    child = os.fork()
    if child == 0:
        begin = time.monotonic()
        summary.close()
        os._exit(0 if time.monotonic() - begin < 0.5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    summary.close()
    assert store.summary("s") == "summary 1"


# Arguments


def model_of(prompt: str) -> str:
    return "x"


@pytest.mark.parametrize(
    "options",
    [
        {"keep_last": -1}, {"keep_last": 6, "when_over": 5}, {"when_over": "12"},
        {"max_tokens": 0}, {"prompt": "no placeholders"}, {"prompt": "{summary} only"},
        {"prompt": 7}, {"archive": "yes"}, {"background": 1}, {"lease": 0}, {"lease": "long"},
    ],
)  # fmt: skip
def test_options_that_cannot_work(options: dict[str, Any]) -> None:
    name = list(options)[-1]
    with pytest.raises(InvalidArgumentError, match=name):
        Summary(model_of, **options)


@pytest.mark.parametrize("model", [None, "gpt", ChatModel, 7])
def test_what_is_no_model(model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="chat model"):
        Summary(model)


def test_a_store_says_what_its_summary_cannot_do(make_store: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"valkey_memory\.Summary"):
        make_store(summary=model_of)
    with pytest.raises(InvalidArgumentError, match="max_messages=12"):
        make_store(summary=Summary(model_of), max_messages=12)
    make_store(summary=Summary(model_of), max_messages=13)


def test_its_repr_names_the_kind_of_model() -> None:
    assert repr(Summary(model_of)) == "Summary(function, keep_last=6, when_over=12)"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])  # noqa: S301
def test_it_can_be_copied(
    connection: ValkeyConnection, prefix: str, copied: Callable[[Summary], Summary]
) -> None:
    summary = copied(Summary(model_of, keep_last=2, when_over=4, background=True))
    store = MessageStore(connection=connection, key_prefix=prefix, summary=summary)
    store.extend("s", turns(0, 3))
    summary.close()
    assert store.summary("s") == "x"


# Prompts


def rendered(prompt: Any = None, max_tokens: int | None = None) -> str:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}
    elements: list[dict[str, Any]] = [
        {"role": "user", "content": "{summary} of {messages}?"},
        {"role": "assistant", "content": [{"type": "text", "text": "It"}, image]},
        {"role": "user", "content": [{"toolResult": {"content": [{"text": "x" * 3000}]}}]},
        {"role": "assistant", "content": [{"toolUse": {"name": "f", "input": {"q": 1}}}]},
        {"role": "tool", "content": None},
    ]
    return render(prompt, "the {messages} before", elements, max_tokens)


def test_what_was_said_fills_no_place() -> None:
    prompt = rendered("{summary}|{messages}|{limit}|{max_tokens}", 7)
    before, messages, limit, tokens = prompt.split("|")
    assert before == "the {messages} before"
    assert (limit, tokens) == ("{limit}", "7")
    first, second, third, fourth, fifth = messages.splitlines()[:1] + messages.splitlines()[-4:]
    assert first == "user: {summary} of {messages}?"
    assert second == "[image_url]"
    assert third == f"tool result: {'x' * 2000} [... 1000 more]"
    assert fourth == 'assistant: [calls f with {"q":1}]'
    assert fifth == "tool result: "


def test_the_default_prompt_tells_the_limit() -> None:
    assert "Use at most 7 tokens." in rendered(max_tokens=7)
    assert "{" not in DEFAULT_PROMPT.format(limit="", summary="", messages="")


def test_a_prompt_may_be_a_function(make_store: Any, model: ScriptedModel) -> None:
    def prompt(summary: str, messages: list[dict[str, Any]]) -> str:
        return f"{summary}: {len(messages)} {messages[0]['content']}"

    store = make_store(summary=Summary(model, keep_last=2, when_over=4, prompt=prompt))
    store.extend("s", turns(0, 3))
    assert model.prompts == [": 4 u0"]


@pytest.mark.parametrize(
    ("answer", "max_tokens", "text"),
    [
        (" It works. \n", 3, "It works."),
        ("One. Two is longer.", 3, "One. Two is"),
        ("One is here. Two is longer.", 4, "One is here."),
        ("x" * 50, 10, "x" * 40),
    ],
)
def test_a_summary_that_is_too_long_is_cut(answer: str, max_tokens: int, text: str) -> None:
    assert read_answer(answer, max_tokens) == text
    with pytest.raises(ModelAnswerError):
        read_answer("x" * 100_001, max_tokens)
