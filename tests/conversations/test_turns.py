"""Where turns begin and what a window is, without a server; every window is accepted by APIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from valkey_memory._conversations.windows import (
    Limits,
    Part,
    Window,
    choose,
    kind,
    trim_start,
    turn_starts,
)
from valkey_memory._messages.tokens import count_tokens

from .order import refusal
from .talks import Anthropic, Bedrock, Element, LangChain, LlamaIndex, OpenAI, Talk, nonsense, talks

PLAIN = OpenAI()
limits = st.builds(
    Limits,
    last=st.none() | st.integers(1, 20),
    max_tokens=st.none() | st.integers(1, 600),
    whole_turns=st.just(True),
    cut=st.booleans(),
)


def window_of(elements: Sequence[Element], limit: Limits, **seen: Any) -> Window | None:
    def count(parts: Sequence[Part]) -> int:
        return count_tokens([e for start, stop in parts for e in elements[start:stop]])

    return choose(elements, limit, count, **({"complete": True} | seen))


def chosen(elements: Sequence[Element], window: Window | None) -> list[Element]:
    assert window is not None
    return [element for start, stop in window.parts for element in elements[start:stop]]


# The checker


def conversation(text: str) -> list[Element]:
    """Elements by letters: system, user, answer; ``2`` two calls, ``r`` and ``R`` their results."""
    made: dict[str, Any] = {
        "s": PLAIN.system("be brief"),
        "u": PLAIN.user("and?"),
        "a": PLAIN.answer("so."),
        "2": PLAIN.call(["r", "R"], ""),
        "r": PLAIN.results(["r"], "1")[0],
        "R": PLAIN.results(["R"], "2")[0],
    }
    return [made[letter] for letter in text]


@pytest.mark.parametrize("text", ["u", "su", "uu", "ua", "u2rRa", "u2Rr", "sua2rRa", "uasua"])
def test_the_checker_accepts(text: str) -> None:
    assert refusal(conversation(text)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", "not the user's"),
        ("su2", "no results"),
        ("", "not the user's"),
        ("s", "not the user's"),
        ("rua", "answers no call"),
        ("u2ra", "before the results"),
        ("u2ru", "before the results"),
        ("u2", "no results"),
        ("u2rRr", "answers no call"),
        ("u2usrR", "before the results"),
        ("u2rRu", "text beside results"),
    ],
)
def test_the_checker_refuses(text: str, why: str) -> None:
    assert why in str(refusal(conversation(text)))


@given(talks())
def test_the_conversations_of_these_tests_are_accepted(talk: Talk) -> None:
    assert refusal(talk.elements) is None


# Where turns begin


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("", []),
        ("a", []),
        ("s", []),
        ("u", [0]),
        ("su", [0]),
        ("us", [0]),
        ("uu", [0]),
        ("usu", [0]),
        ("uau", [0, 2]),
        ("uasua", [0, 2]),
        ("saua", [2]),
        ("uas", [0]),
        ("uasa", [0]),
        ("u2rRaua", [0, 5]),
        ("u2urRa", [0]),  # said between a call and its results
        ("u2ua", [0, 2]),  # the call was given up
        ("rRaua", [3]),
    ],
)
def test_turn_starts(text: str, starts: list[int]) -> None:
    assert turn_starts(conversation(text)) == starts


@pytest.mark.parametrize(
    ("text", "starts"), [("u", []), ("ua", []), ("suaua", [3]), ("aua", [1]), ("rua", [1])]
)
def test_a_turn_that_may_have_begun_before_what_is_seen(text: str, starts: list[int]) -> None:
    assert turn_starts(conversation(text), from_beginning=False) == starts


@pytest.mark.parametrize("dialect", [Anthropic(), Bedrock()])
def test_a_user_message_that_carries_results_begins_no_turn(dialect: OpenAI) -> None:
    (result,) = dialect.results(["a", "b"], "1")
    with_text = {"role": "user", "content": [*result["content"], {"type": "text", "text": "And?"}]}
    for carrier in (result, with_text):
        elements = [dialect.user("?"), dialect.call(["a", "b"], ""), carrier, dialect.answer("!")]
        assert turn_starts(elements) == [0]
        assert kind(carrier) == "result"


@pytest.mark.parametrize("dialect", [LangChain(), LlamaIndex()])
def test_kinds_of_what_the_frameworks_write(dialect: Any) -> None:
    made = [dialect.system("s"), dialect.user("u"), dialect.call(["a"], ""), dialect.answer("b")]
    made += dialect.results(["a"], "1")
    assert [*map(kind, made)] == ["system", "user", "other", "other", "result"]


@pytest.mark.parametrize(
    ("text", "keep", "start"),
    [
        ("uaua", 4, 0),
        ("uaua", 9, 0),
        ("uaua", 3, 2),
        ("uaua", 2, 2),
        ("uaua", 1, 2),  # the newest turn is longer
        ("uau2rRa", 3, 2),
        ("u2rRaua", 3, 5),
        ("aaaa", 2, 2),  # nobody spoke
        ("ssss", 2, 2),
        ("uasuua", 3, 2),
    ],
)
def test_trim_start(text: str, keep: int, start: int) -> None:
    assert trim_start(conversation(text), keep) == start


# Windows


@given(talks(), limits)
@settings(max_examples=200)
def test_every_window_is_accepted(talk: Talk, limit: Limits) -> None:
    elements = talk.elements
    window = window_of(elements, limit)
    assert window is not None
    found = chosen(elements, window)
    assert refusal(found) is None
    starts = turn_starts(elements)
    newest = elements[starts[-1] :]
    if window.too_large:
        assert not fits(newest, limit)
        if not limit.cut:
            assert found == newest
        else:
            users = [e for e in newest if kind(e) in ("system", "user")]
            assert found[: len(users)] == users
            assert len(found) == len(users) or fits(found, limit)
    else:
        start = len(elements) - len(found)
        assert start in starts
        assert found == elements[start:]
        assert fits(found, limit)
        older = [one for one in starts if one < start]
        assert not older or not fits(elements[older[-1] :], limit)  # it is the longest


def fits(elements: Sequence[Element], limit: Limits) -> bool:
    in_tokens = limit.max_tokens is None or count_tokens(elements) <= limit.max_tokens
    return in_tokens and (limit.last is None or len(elements) <= limit.last)


@given(talks(), st.integers(1, 20), st.booleans())
def test_every_trimmed_list_is_accepted(talk: Talk, keep: int, at_piece: bool) -> None:
    elements = talk.elements
    kept = elements[trim_start(elements, keep) :]
    assert refusal(kept) is None
    starts = turn_starts(elements)
    assert len(kept) <= keep or kept == elements[starts[-1] :]


@given(talks(), limits, st.integers(0, 30), st.booleans())
@settings(max_examples=150)
def test_what_is_decided_on_a_part_is_what_the_whole_says(
    talk: Talk, limit: Limits, read: int, counts_any: bool
) -> None:
    elements = talk.elements
    assume(read < len(elements))
    end = elements[len(elements) - read :]
    window = window_of(end, limit, complete=False, counts_any=counts_any)
    if window is not None:
        assert chosen(end, window) == chosen(elements, window_of(elements, limit))


@given(nonsense, limits)
@example(conversation("rR"), Limits(last=1))
def test_what_makes_no_sense_is_read_without_errors(elements: list[Element], limit: Limits) -> None:
    found = chosen(elements, window_of(elements, limit))
    assert not found or kind(found[0]) in ("system", "user")
    if turn_starts(elements):
        assert found


def test_before_a_user_has_spoken_system_messages_are_all() -> None:
    for text, expected in (("ss", "ss"), ("as", "s"), ("sa", ""), ("a", ""), ("", "")):
        elements = conversation(text)
        assert chosen(elements, window_of(elements, Limits(last=1))) == conversation(expected)


def test_single_messages_need_no_turn() -> None:
    elements = conversation("u2rRaua")
    for last in range(1, 9):
        window = window_of(elements, Limits(last=last, whole_turns=False))
        assert chosen(elements, window) == elements[-last:]
    window = window_of(elements, Limits(max_tokens=1, whole_turns=False, cut=True))
    assert window == Window([(6, 7)], too_large=True)


def cut(text: str, last: int) -> list[Element]:
    elements = conversation(text)
    return chosen(elements, window_of(elements, Limits(last=last, cut=True)))


def test_a_turn_is_cut_to_the_newest_steps() -> None:
    long = "uasuu2rR2rR2Rra"
    assert cut(long, 3) == conversation("suu")  # never less
    assert cut(long, 1) == conversation("suu")
    assert cut(long, 4) == conversation("suua")
    assert cut(long, 6) == conversation("suua")  # no half of a step
    assert cut(long, 7) == conversation("suu2Rra")
    assert cut(long, 10) == conversation("suu2rR2Rra")


def test_a_step_without_its_results_can_only_be_the_newest() -> None:
    assert cut("uauaa2", 2) == conversation("u2")  # the results are about to come
    assert cut("u2rRa2r", 3) == conversation("u2r")
    assert cut("u2raa2rR", 7) == conversation("uaa2rR")
    assert cut("uua2ra", 4) == conversation("uua")  # these never came


# The default counter


@pytest.mark.parametrize(
    ("element", "tokens"),
    [
        ({"role": "user", "content": ""}, 4),
        ({"role": "user", "content": "x" * 40}, 14),
        ({"role": "user", "content": "x" * 41}, 15),
        ({"role": "user", "name": "y" * 8, "content": "x" * 40}, 16),
        ({"role": "user", "content": [{"type": "text", "text": "x" * 40}, "x" * 40]}, 24),
        ({"role": "user", "content": [{"text": "x" * 40}]}, 14),
        ({"role": "assistant", "content": None}, 4),
        ({}, 4),
        ({"role": "user", "content": [7, None]}, 4),
        ({"role": "assistant", "content": "", "tool_calls": "?"}, 4),
        ({"role": "assistant", "content": "", "tool_calls": ["????"]}, 6),
    ],
)
def test_tokens_of_text(element: Element, tokens: int) -> None:
    assert count_tokens([element]) == tokens
    assert count_tokens([element, element]) == 2 * tokens


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
        {"type": "image", "source": {"type": "base64", "data": "A" * 100_000}},
        {"image": {"format": "png", "source": {"bytes": "A" * 100_000}}},
        {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 100_000}},
    ],
)
def test_media_count_alike_whatever_their_size(block: Mapping[str, Any]) -> None:
    inside = {"type": "tool_result", "tool_use_id": "a", "content": [block]}
    for content in ([block], [inside]):
        assert count_tokens([{"role": "user", "content": content}]) == 769


def test_what_stands_beside_the_content_counts() -> None:
    assert (
        count_tokens([{"role": "user", "content": "", "images": ["A" * 9000] * 2}]) == 4 + 2 * 765
    )
    call = {"name": "f", "arguments": "x" * 400}
    assert 100 < count_tokens([{"role": "assistant", "content": "", "function_call": call}]) < 120


def test_values_that_json_lacks_count_about_as_they_are_written() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    for value in (2**70, b"x" * 40, {1: "x" * 40}, "\ud800", deep):
        block = {"type": "odd", "value": value}
        assert 8 < count_tokens([{"role": "user", "content": [block]}]) < 500


def test_a_call_counts_once_wherever_it_stands() -> None:
    call = PLAIN.call(["a"], "")
    blocks = [{"type": "tool_use", "id": "a", "name": "f", "input": {"q": "x" * 400}}]
    both = {**call, "content": blocks}
    assert count_tokens([both]) == count_tokens([call])
    assert count_tokens([{"role": "assistant", "content": blocks}]) > 100
    for dialect in (PLAIN, Anthropic(), Bedrock(), LangChain(), LlamaIndex()):
        assert 5 < count_tokens([dialect.call(["a"], "")]) < 40
        assert count_tokens(dialect.results(["a"], "x" * 400)) == 104
