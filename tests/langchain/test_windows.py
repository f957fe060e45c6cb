"""Windows of a history: what of it a model accepts, by LangChain's own counters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately

from langchain_valkey_glide import ValkeyChatMessageHistory
from langchain_valkey_glide._codec import LangChainCodec
from valkey_memory import EmbeddedValkey, InvalidArgumentError, ValkeyConnection

from ..conversations.order import refusal
from ..conversations.test_round_trips import sent

encode = LangChainCodec().encode


def calls(*ids: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "f", "args": {"q": 1}, "id": one} for one in ids])


def results(*ids: str) -> list[BaseMessage]:
    return [ToolMessage("r" * 40, tool_call_id=one) for one in ids]


CONVERSATION: list[BaseMessage] = [
    SystemMessage("Be brief"),
    HumanMessage("first", id="h1"),
    AIMessage("one", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    HumanMessage("second"),
    calls("a", "b"),
    *results("a", "b"),
    calls("c"),
    *results("c"),
    AIMessage([{"type": "text", "text": "two"}]),
    HumanMessage("third"),
    AIMessage("three"),
]
STARTS = (0, 3, 10)


def test_windows_by_tokens(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    for start in STARTS:
        window = CONVERSATION[start:]
        for counter in (count_tokens_approximately, lambda messages: 7 * len(messages)):
            enough = counter(window)
            found = history.get_messages(max_tokens=enough, count_tokens=counter)
            assert found == window
            if start:
                older = [one for one in STARTS if one < start][-1]
                enough = counter(CONVERSATION[older:]) - 1
                assert history.get_messages(max_tokens=enough, count_tokens=counter) == window
    assert history.get_messages(max_tokens=10_000) == CONVERSATION
    assert history.get_messages(max_tokens=12) == CONVERSATION[10:]


def test_windows_by_messages(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    assert history.get_messages(5) == history.last_messages(5) == CONVERSATION[-5:]
    assert history.get_messages(5, whole_turns=True) == CONVERSATION[10:]
    assert history.last_messages(9, whole_turns=True) == CONVERSATION[3:]
    assert history.last_messages(9, whole_turns=False) == CONVERSATION[-9:]
    assert history.get_messages() == CONVERSATION


def test_a_cut_turn(make_history: Any, caplog: pytest.LogCaptureFixture) -> None:
    history = make_history()
    history.add_messages(CONVERSATION[:10])
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        found = history.get_messages(5, whole_turns=True, when_too_large="cut")
    assert found == [CONVERSATION[3], *CONVERSATION[7:10]]
    assert refusal([*map(encode, found)]) is None
    assert "cut to 4 messages" in caplog.text


def test_a_model_counts(make_history: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = FakeListChatModel(responses=["ok"])
    monkeypatch.setattr(FakeListChatModel, "get_num_tokens", lambda self, text: len(text.split()))
    history = make_history()
    history.add_messages(CONVERSATION)
    counter = model.get_num_tokens_from_messages
    found = history.get_messages(max_tokens=10, count_tokens=counter)
    assert found == CONVERSATION[10:]
    assert counter(found) <= 10


# What OpenAI's and Bedrock's models leave on an answer is longer than many an answer.
METADATA = {
    "token_usage": {"completion_tokens": 61, "prompt_tokens": 42, "total_tokens": 103}
    | {"completion_tokens_details": dict.fromkeys(("audio", "reasoning", "accepted"), 0)},
    "model_provider": "openai",
    "model_name": "gpt-4o-mini-2024-07-18",
    "system_fingerprint": "fp_44added55e",
    "id": "chatcmpl-D9x7Qx1FJzV4kRbl5FFXqGBhD2pWm",
    "service_tier": "default",
    "finish_reason": "stop",
    "logprobs": None,
}
USAGE = {"input_tokens": 42, "output_tokens": 61, "total_tokens": 103}


@pytest.mark.parametrize("max_tokens", [500, 4000, 50_000])
def test_a_window_of_a_models_answers_is_one_round_trip(
    server: EmbeddedValkey, url: str, prefix: str, max_tokens: int
) -> None:
    answer = AIMessage("y" * 400, response_metadata=METADATA, usage_metadata=USAGE, id="run-" * 9)
    history = ValkeyChatMessageHistory("s", url=url, key_prefix=prefix)
    history.add_messages([HumanMessage("x" * 100), answer] * 500)
    for counter in (None, count_tokens_approximately):

        def read(counter: Any = counter) -> None:
            assert history.get_messages(max_tokens=max_tokens, count_tokens=counter)

        assert sent(server, read)["eval_ro"] == 1


def test_a_history_keeps_whole_turns(make_history: Any) -> None:
    history = make_history(max_messages=4, whole_turns=True)
    history.add_messages(CONVERSATION)
    assert history.get_messages() == CONVERSATION[10:]
    history.replace_messages(CONVERSATION[:10])
    assert history.get_messages() == CONVERSATION[3:10]


def test_nonsense_is_named(make_history: Any) -> None:
    history = make_history()
    history.add_messages(CONVERSATION)
    with pytest.raises(InvalidArgumentError, match=r"count_tokens must return .* not 1\.5"):
        history.get_messages(max_tokens=100, count_tokens=lambda messages: 1.5)


@st.composite
def conversations(draw: st.DrawFn) -> list[BaseMessage]:
    made: list[BaseMessage] = []
    for number in range(draw(st.integers(1, 6))):
        made.append(HumanMessage("x" * draw(st.integers(1, 200))))
        for step in range(draw(st.integers(0, 3))):
            ids = [f"{number}-{step}-{i}" for i in range(draw(st.integers(1, 3)))]
            made += [calls(*ids), *results(*ids)]
        made.append(AIMessage("y" * draw(st.integers(1, 200))))
    return made


@given(conversations(), st.integers(1, 400))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_is_what_langchain_trims_to(
    standalone_connection: ValkeyConnection,
    prefix: str,
    messages: Sequence[BaseMessage],
    max_tokens: int,
) -> None:
    """But where the newest turn does not fit: there LangChain is left with nothing."""
    history = ValkeyChatMessageHistory("s", connection=standalone_connection, key_prefix=prefix)
    history.replace_messages(messages)
    found = history.get_messages(max_tokens=max_tokens, count_tokens=count_tokens_approximately)
    trimmed = trim_messages(
        messages,
        max_tokens=max_tokens,
        token_counter=count_tokens_approximately,
        start_on="human",
        strategy="last",
    )
    newest = max(i for i, message in enumerate(messages) if message.type == "human")
    assert found == (trimmed or list(messages[newest:]))
    assert refusal([*map(encode, found)]) is None
