"""Windows of a real server: reading by tokens, and keeping whole turns."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valkey_memory import (
    CorruptMessageError,
    EmbeddedValkey,
    InvalidArgumentError,
    MessageStore,
    ValkeyConnection,
)
from valkey_memory._conversations.windows import trim_start
from valkey_memory._messages.elements import readable
from valkey_memory._messages.tokens import count_tokens
from valkey_memory.adapters import ConversationStore

from ..servers import send
from .order import refusal
from .talks import AsStored, Element, OpenAI, Talk, nonsense, talks
from .test_message_lists import said, texts
from .test_round_trips import sent
from .test_turns import conversation

AGENT = OpenAI()
per_call = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def by_turn(n: int, text: str = "x" * 40) -> list[dict[str, str]]:
    """``n`` turns of a question and an answer, of 14 tokens each."""
    return [
        {"role": role, "content": f"{i:02}{text[2:]}"}
        for i in range(n)
        for role in ("user", "assistant")
    ]


def counting(per_message: object, asked: list[list[str]]) -> Callable[[list[Any]], Any]:
    def count(messages: list[Any]) -> Any:
        asked.append(texts(messages))
        return len(messages) * per_message if isinstance(per_message, int) else per_message

    return count


# Reading


def test_as_many_turns_as_fit(make_store: Any) -> None:
    store, messages = make_store(), by_turn(20)
    store.extend("s", messages)
    for max_tokens, turns in ((28, 1), (55, 1), (56, 2), (100, 3), (560, 20), (10**6, 20)):
        assert store.messages("s", max_tokens=max_tokens) == messages[-2 * turns :]
    assert store.messages("s", max_tokens=10**6, last=5) == messages[-4:]
    assert store.messages("s", max_tokens=28, last=9) == messages[-2:]
    assert store.messages("nobody", max_tokens=10) == []


def test_a_count_alone_is_what_it_was(make_store: Any) -> None:
    store, messages = make_store(), conversation("sua2rRauaua")
    store.extend("s", messages)
    for last in range(1, 15):
        assert store.messages("s", last=last) == messages[-last:]
        assert store.messages("s", last=last, whole_turns=False) == messages[-last:]


@pytest.mark.parametrize(
    ("last", "begin"), [(1, 9), (2, 9), (3, 9), (4, 7), (9, 7), (10, 7), (11, 0), (99, 0)]
)
def test_a_count_of_whole_turns(make_store: Any, last: int, begin: int) -> None:
    store, messages = make_store(), conversation("sua2rRauaua")
    store.extend("s", messages)
    assert store.messages("s", last=last, whole_turns=True) == messages[begin:]


def test_whole_turns_of_all(make_store: Any) -> None:
    store = make_store()
    store.extend("s", conversation("rRaua"))
    assert store.messages("s", whole_turns=True) == conversation("ua")
    assert store.messages("s") == conversation("rRaua")


def test_messages_one_by_one(make_store: Any) -> None:
    store, messages = make_store(), by_turn(20)
    store.extend("s", messages)
    assert store.messages("s", max_tokens=42, whole_turns=False) == messages[-3:]
    assert store.messages("s", max_tokens=1, whole_turns=False) == messages[-1:]


@pytest.mark.parametrize("limit", [{"max_tokens": 5}, {"last": 2, "whole_turns": True}])
def test_a_newest_turn_that_is_too_large_is_sent_and_said(
    make_store: Any, prefix: str, limit: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store, messages = make_store(), conversation("uau2rR2rRa")
    store.extend("s", messages)
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert store.messages("s", **limit) == messages[2:]
    assert f"the newest turn of '{prefix}s' is larger than" in caplog.text
    assert "it is sent whole" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        found = store.messages("s", **limit, when_too_large="cut")
    assert found == [messages[2], *([messages[-1]] if "last" in limit else [])]
    assert f"it was cut to {len(found)} messages" in caplog.text
    assert [record.name for record in caplog.records] == ["valkey_memory"]
    caplog.clear()
    store.messages("s", max_tokens=10**6, when_too_large="cut")
    assert not caplog.records


def test_a_long_turn_is_cut_to_what_fits(make_store: Any) -> None:
    steps = [[AGENT.call([f"c{i}"], ""), *AGENT.results([f"c{i}"], "r" * 400)] for i in range(50)]
    messages = [AGENT.user("?"), *(message for step in steps for message in step)]
    store = make_store()
    store.extend("s", [*by_turn(3), *messages])
    found = store.messages("s", max_tokens=1000, when_too_large="cut")
    assert 800 < count_tokens(found) <= 1000
    assert found == [messages[0], *messages[len(messages) - len(found) + 1 :]]
    assert refusal(found) is None
    assert store.messages("s", max_tokens=1000) == messages


# Counters


def test_a_counter_is_asked_turn_by_turn_from_the_newest(make_store: Any) -> None:
    asked: list[list[str]] = []
    store, messages = make_store(), by_turn(9, "x" * 2)
    store.extend("s", messages)
    found = store.messages("s", max_tokens=5, count_tokens=counting(1, asked))
    assert texts(found) == ["07", "07", "08", "08"]
    assert asked == [["08", "08"], ["07", "07"], ["06", "06"]]


@pytest.mark.parametrize(
    "answer",
    [-1, True, False, None, 2.0, float("nan"), float("inf"), "3", [], Fraction(3), b"3"],
    ids=repr,
)
def test_a_counter_that_returns_nonsense_is_named(make_store: Any, answer: object) -> None:
    store = make_store()
    store.extend("s", by_turn(2))
    with pytest.raises(InvalidArgumentError, match="count_tokens must return") as caught:
        store.messages("s", max_tokens=100, count_tokens=lambda messages: answer)
    assert repr(answer) in str(caught.value)


def test_an_async_counter_is_refused(make_store: Any) -> None:
    async def count(messages: list[Any]) -> int:
        return 1

    store = make_store()
    store.extend("s", by_turn(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidArgumentError, match="coroutine"):
            store.messages("s", max_tokens=100, count_tokens=count)


def test_what_a_counter_raises_passes(make_store: Any) -> None:
    def count(messages: list[Any]) -> int:
        raise ZeroDivisionError

    store = make_store()
    store.extend("s", by_turn(2))
    with pytest.raises(ZeroDivisionError):
        store.messages("s", max_tokens=100, count_tokens=count)
    assert store.messages("s", max_tokens=28) == by_turn(2)[-2:]


def test_a_counter_cannot_change_what_is_returned(make_store: Any) -> None:
    def count(messages: list[Any]) -> int:
        for message in messages:
            message["content"] = "changed"
        messages.clear()
        return 1

    store = make_store()
    store.extend("s", by_turn(2))
    assert store.messages("s", max_tokens=100, count_tokens=count) == by_turn(2)


@pytest.mark.parametrize("n", [0, 10**9])
def test_extreme_counters(make_store: Any, n: int) -> None:
    store = make_store()
    store.extend("s", by_turn(500))
    found = store.messages("s", max_tokens=1, count_tokens=lambda messages: n)
    assert len(found) == (2 if n else 1000)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 10.0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "10"}, "max_tokens"),
        ({"max_tokens": float("nan")}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": 10, "last": 0}, "last"),
        ({"max_tokens": 10, "count_tokens": 7}, "count_tokens"),
        ({"count_tokens": len}, "count_tokens needs max_tokens"),
        ({"max_tokens": 10, "whole_turns": "yes"}, "whole_turns"),
        ({"last": 10, "whole_turns": 1}, "whole_turns"),
        ({"max_tokens": 10, "when_too_large": "drop"}, "when_too_large"),
        ({"when_too_large": None}, "when_too_large"),
    ],
)
def test_impossible_windows_are_refused_before_anything_is_sent(
    options: dict[str, Any], name: str
) -> None:
    store = MessageStore(url="valkey://192.0.2.1:1")
    with pytest.raises(InvalidArgumentError, match=name):
        store.messages("s", **options)


def test_the_largest_limits(make_store: Any) -> None:
    store = make_store()
    store.extend("s", by_turn(2))
    assert store.messages("s", max_tokens=2**53, last=2**53) == by_turn(2)


# How much is read


LARGE = "x" * 20_000


@pytest.mark.parametrize(
    ("messages", "max_tokens", "round_trips"),
    [
        (by_turn(500), 1000, 1),  # short messages
        (by_turn(500, "x" * 2), 1000, 1),  # the shortest
        (by_turn(50, "x" * 2000), 4000, 1),
        (by_turn(3), 1000, 1),
        (by_turn(3, LARGE), 1000, 2),  # the newest turn alone is ten times the limit
        (by_turn(100, LARGE), 100_000, 1),
    ],
)
def test_a_window_is_one_round_trip(
    server: EmbeddedValkey,
    url: str,
    prefix: str,
    messages: list[dict[str, str]],
    max_tokens: int,
    round_trips: int,
) -> None:
    store = MessageStore(url=url, key_prefix=prefix)
    store.extend("s", messages)
    counts = sent(server, lambda: store.messages("s", max_tokens=max_tokens))
    assert counts.keys() == {"eval_ro", "llen", "lrange"}
    assert (counts["eval_ro"], counts["llen"]) == (round_trips, round_trips)


def test_whole_turns_by_count_are_one_round_trip(
    server: EmbeddedValkey, url: str, prefix: str
) -> None:
    store = MessageStore(url=url, key_prefix=prefix)
    store.extend("s", by_turn(500))
    counts = sent(server, lambda: store.messages("s", last=20, whole_turns=True))
    assert counts == {"eval_ro": 1, "llen": 1, "lrange": 2}
    assert sent(server, lambda: store.messages("s", whole_turns=True)) == {"lrange": 1}


def test_more_is_read_until_it_is_enough(server: EmbeddedValkey, url: str, prefix: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 300_000}}
    turns = [[AGENT.user("?") | {"content": [image]}, AGENT.answer("!")] for _ in range(9)]
    messages = [message for turn in turns for message in turn]
    store = MessageStore(url=url, key_prefix=prefix)
    store.extend("s", messages)
    found: list[Mapping[str, Any]] = []
    counts = sent(server, lambda: found.extend(store.messages("s", max_tokens=4000)))
    assert found == messages[-10:]  # 5 images of 765 tokens
    assert counts["eval_ro"] <= 3


@given(talks(max_turns=4), st.integers(1, 500), st.none() | st.integers(1, 12), st.booleans())
@per_call
def test_what_is_read_in_parts_is_the_same_window(
    standalone_connection: ValkeyConnection,
    prefix: str,
    talk: Talk,
    max_tokens: int,
    last: int | None,
    cut: bool,
) -> None:
    store = ConversationStore(AsStored(), connection=standalone_connection, key_prefix=prefix)
    store.replace("s", talk.elements)
    options: dict[str, Any] = {"max_tokens": max_tokens, "last": last}
    options["when_too_large"] = "cut" if cut else "keep"
    expected = store.messages("s", **options)
    assert refusal(expected) is None
    assert expected
    plain = MessageStore(connection=standalone_connection, key_prefix=prefix)
    assert refusal(plain.messages("s", **options)) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("valkey_memory._conversations.window_plans._BYTES_AT_LEAST", 0)
        patch.setattr("valkey_memory._conversations.window_plans._BYTES_PER_TOKEN", 1)
        patch.setattr("valkey_memory._conversations.window_plans._GROWTH", 2)
        assert store.messages("s", **options) == expected
        assert store.messages("s", **options, count_tokens=count_tokens_of_plain) == expected


def count_tokens_of_plain(messages: Sequence[Any]) -> int:
    return count_tokens(messages)


def test_reading_a_window_restarts_the_ttl_only_when_asked(make_store: Any) -> None:
    for refresh, low, high in ((False, 0, 10), (True, 90, 100)):
        store = make_store(ttl=100, refresh_ttl_on_read=refresh)
        store.replace("s", by_turn(3, LARGE))
        for limit in ({"max_tokens": 28}, {"last": 2, "whole_turns": True}, {"whole_turns": True}):
            store.set_ttl("s", 10)
            assert store.messages("s", **limit)
            assert low < store.ttl_left("s") <= high


# What cannot be read


def test_a_corrupt_element_is_named_where_the_window_has_it(
    make_store: Any, connection: ValkeyConnection, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, messages = make_store(), by_turn(5)
    for number, message in enumerate(messages):
        store.append("s", message)
        if number == 6:
            send(connection, "RPUSH", f"{prefix}s", b"{oops")
    with pytest.raises(CorruptMessageError) as caught:
        store.messages("s", max_tokens=80)
    assert caught.value.position == 7
    assert store.messages("s", max_tokens=28) == messages[-2:]
    counted: dict[str, Any] = {"count_tokens": count_tokens_of_plain}
    assert store.messages("s", max_tokens=28, **counted) == messages[-2:]
    with pytest.raises(CorruptMessageError):
        store.messages("s", max_tokens=80, **counted)
    lenient = make_store(on_corrupt="skip")
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        assert lenient.messages("s", max_tokens=80) == messages[-4:]
        assert lenient.messages("s", max_tokens=80, **counted) == messages[-4:]
    assert f"element 7 of '{prefix}s'" in caplog.text


# Keeping whole turns


def test_whole_turns_are_kept(make_store: Any) -> None:
    store = make_store(max_messages=4, whole_turns=True)
    store.extend("s", conversation("uasua"))
    assert store.messages("s") == conversation("sua")
    store.append("s", conversation("u")[0])
    assert store.messages("s") == conversation("suau")  # as many as may be
    store.extend("s", conversation("2rR"))
    assert store.messages("s") == conversation("u2rR")
    store.append("s", conversation("a")[0])
    assert store.messages("s") == conversation("u2rRa")  # the newest turn is longer
    store.extend("s", conversation("2rRa"))
    assert store.messages("s") == conversation("u2rRa2rRa")
    store.append("s", conversation("u")[0])
    assert store.messages("s") == conversation("u")
    store.insert("s", 0, conversation("a")[0])
    store.insert("s", 0, conversation("u")[0])
    store.insert("s", 0, conversation("a")[0])
    assert store.messages("s") == conversation("auau")
    store.insert("s", 1, conversation("s")[0])
    assert store.messages("s") == conversation("suau")
    store.insert("s", 3, conversation("a")[0])
    assert store.messages("s") == conversation("u")
    store.replace("s", conversation("uasua"))
    assert store.messages("s") == conversation("sua")
    store.replace("s", conversation("u2rRa2rRa"), whole=True)
    assert store.messages("s") == conversation("u2rRa2rRa")
    store.extend("s", conversation("uauau"), archived=True)
    store.replace("t", conversation("uauau"), archived=True)
    assert store.archived("s") == store.archived("t") == conversation("uauau")


def test_where_nobody_spoke_messages_are_counted(make_store: Any) -> None:
    store = make_store(max_messages=3, whole_turns=True)
    for _ in range(3):
        store.extend("s", conversation("as"))
    assert store.messages("s") == conversation("sas")


def test_without_whole_turns_messages_are_counted(make_store: Any) -> None:
    store = make_store(max_messages=3)
    store.extend("s", conversation("uau2rR"))
    assert store.messages("s") == conversation("2rR")


def test_whole_turns_need_a_window() -> None:
    with pytest.raises(InvalidArgumentError, match="whole_turns needs max_messages"):
        MessageStore(url="valkey://192.0.2.1:1", whole_turns=True)
    with pytest.raises(InvalidArgumentError, match="whole_turns must be True or False"):
        MessageStore(url="valkey://192.0.2.1:1", max_messages=3, whole_turns="yes")  # type: ignore[arg-type]


CORRUPT = (b"{oops", b"\xff", b"[1]", b'"user"', b'{"role": ["user"]}', b'{"content": "user"}')


@given(
    nonsense,
    st.integers(1, 8),
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(CORRUPT)), max_size=2),
    st.sampled_from([json.dumps, lambda e: json.dumps(e, separators=(",", ":"))]),
)
@per_call
def test_the_script_and_the_library_trim_alike(
    standalone_connection: ValkeyConnection,
    prefix: str,
    elements: list[Element],
    keep: int,
    corrupt: list[tuple[int, bytes]],
    dumps: Callable[[Element], str],
) -> None:
    raws = [dumps(element).encode() for element in elements]
    for position, raw in corrupt:
        raws.insert(position, raw)
    key = f"{prefix}s"
    send(standalone_connection, "DEL", key)
    if raws:
        send(standalone_connection, "RPUSH", key, *raws)
    store = MessageStore(
        connection=standalone_connection, key_prefix=prefix, max_messages=keep, whole_turns=True
    )
    store.append("s", AGENT.answer("new"))
    found = send(standalone_connection, "LRANGE", key, "0", "-1")
    expected = [*raws, found[-1]]
    assert found == expected[trim_start(readable(expected), keep) :]


@given(talks(), st.integers(1, 12))
@per_call
def test_what_is_stored_is_always_accepted(
    standalone_connection: ValkeyConnection, prefix: str, talk: Talk, keep: int
) -> None:
    store = ConversationStore(
        AsStored(),
        connection=standalone_connection,
        key_prefix=prefix,
        max_messages=keep,
        whole_turns=True,
    )
    store.delete("s")
    for piece in talk.pieces:
        store.extend("s", piece)
        kept = store.messages("s")
        assert refusal(kept) is None


def test_a_turn_of_thousands_of_messages_is_found_again(make_store: Any) -> None:
    store = make_store(max_messages=100, whole_turns=True)
    long = [*said("first"), AGENT.answer("!"), *said("second"), *[AGENT.answer("!")] * 3000]
    store.extend("s", long)
    store.append("s", AGENT.answer("?"))
    assert store.messages("s") == [*long[2:], AGENT.answer("?")]
