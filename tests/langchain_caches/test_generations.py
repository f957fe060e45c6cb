"""What caches keep of a model's answer, and which answers they do not keep."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

from langchain_valkey_glide._generations import GenerationsCodec
from valkey_memory import MessageEncodeError

from ..langchain.strategies import MESSAGES, assert_same, exact, keys, texts, values

codec = GenerationsCodec()
infos = st.none() | st.dictionaries(keys, values, max_size=3)
chat = st.one_of(MESSAGES[AIMessage], MESSAGES[AIMessageChunk])


def generation_of(message: Any, info: Any) -> Generation:
    if isinstance(message, BaseMessageChunk):
        return ChatGenerationChunk(message=message, generation_info=info)
    return ChatGeneration(message=message, generation_info=info)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(chat, infos), min_size=1, max_size=3))
def test_generations_come_back_equal(made: list[tuple[Any, Any]]) -> None:
    given_ = [generation_of(*one) for one in made]
    raw = codec.encode(given_)
    if raw is None:
        return  # one of them says nothing
    found = codec.decode(raw)
    for mine, theirs in zip(found, given_, strict=True):
        assert type(mine) is type(theirs)
        assert isinstance(mine, ChatGeneration)
        assert isinstance(theirs, ChatGeneration)
        assert mine.text == theirs.text
        assert exact(mine.generation_info) == exact(theirs.generation_info)
        assert_same(mine.message, theirs.message)


@given(texts.filter(str.strip), infos)
def test_texts_of_plain_models_come_back_equal(text: str, info: Any) -> None:
    made = [
        Generation(text=text, generation_info=info),
        GenerationChunk(text=text, generation_info=info),
    ]
    raw = codec.encode(made)
    if raw is not None:  # None where a random key says that it failed
        assert codec.decode(raw) == made
        assert [type(one) for one in codec.decode(raw)] == [Generation, GenerationChunk]


def test_everything_of_an_answer_is_kept() -> None:
    message = AIMessage(
        [{"type": "text", "text": "Paris \ud800"}, {"type": "image", "url": "data:"}],
        tool_calls=[{"name": "f", "args": {"a": [1, {"b": None}]}, "id": "1", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "logprobs": (0.5, -1.0)},
        additional_kwargs={"x": {1: 2}},
        id="run-1",
        name="model",
    )
    made = [
        ChatGeneration(message=message, generation_info={"finish_reason": "tool_calls"}),
        ChatGeneration(message=AIMessage("another")),
    ]
    made[1].text = "its own text"
    raw = codec.encode(made)
    assert raw is not None
    assert codec.decode(raw) == made
    assert codec.decode(raw)[1].text == "its own text"


def test_a_class_of_somebodys_becomes_the_nearest() -> None:
    class Mine(Generation):
        pass

    raw = codec.encode([Mine(text="x")])
    assert raw is not None
    assert codec.decode(raw) == [Generation(text="x")]
    with pytest.raises(MessageEncodeError):
        codec._to_json(HumanMessage("x"))  # type: ignore[arg-type]


CALL = {"name": "f", "args": {}, "id": "1", "type": "tool_call"}


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage(""),
        AIMessage(" \n"),
        AIMessage([]),
        AIMessage([{"type": "text", "text": ""}]),
        AIMessage([{"type": "thinking", "thinking": "Hm."}]),
        AIMessage([{"type": "reasoning", "reasoning": "Hm."}]),
        AIMessage("", additional_kwargs={"refusal": "No."}),
        AIMessage(
            "",
            invalid_tool_calls=[
                {
                    "name": "f",
                    "args": "{",
                    "id": "1",
                    "error": "cut",
                    "type": "invalid_tool_call",
                }
            ],
        ),
        AIMessage("I", response_metadata={"finish_reason": "content_filter"}),
        AIMessage("I", response_metadata={"finish_reason": "SAFETY"}),
        AIMessage("I", response_metadata={"stop_reason": "refusal"}),
        AIMessage("I", response_metadata={"stopReason": "guardrail_intervened"}),
        AIMessage("", tool_calls=[CALL], response_metadata={"finish_reason": "error"}),
    ],
    ids=lambda m: repr(m)[:60],
)
def test_an_answer_that_failed_or_is_empty_is_not_kept(answer: AIMessage) -> None:
    good = ChatGeneration(message=AIMessage("good"))
    assert codec.encode([ChatGeneration(message=answer)]) is None
    assert codec.encode([good, ChatGeneration(message=answer)]) is None
    assert codec.encode([]) is None
    assert codec.encode([Generation(text="")]) is None
    assert codec.encode([Generation(text="x", generation_info={"finish_reason": "error"})]) is None


@pytest.mark.parametrize(
    "answer",
    [
        AIMessage("", tool_calls=[CALL]),
        AIMessage([{"type": "image", "url": "data:"}]),
        AIMessage("", additional_kwargs={"audio": {"data": "..."}}),
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
        AIMessage("cut off", response_metadata={"finish_reason": "length"}),
        AIMessage("odd", response_metadata={"finish_reason": ["x"]}),
    ],
    ids=lambda m: repr(m)[:60],
)
def test_an_answer_without_text_may_be_one(answer: AIMessage) -> None:
    assert codec.encode([ChatGeneration(message=answer)]) is not None


@pytest.mark.parametrize(
    "stored",
    [
        [{"class": "AgentAction", "text": "x", "info": None}],
        [{"class": "ChatGeneration", "text": "x", "info": None, "message": {"role": "assistant"}}],
        [{"class": "Generation", "info": None}],
        [{"class": "Generation", "text": 1, "info": None}],
        [
            {
                "class": "ChatGeneration",
                "text": "x",
                "info": None,
                "message": {"role": "assistant", "content": "x", "lc": {"class": "PromptTemplate"}},
            }
        ],
        {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}},
        "text",
        7,
    ],
)
def test_nothing_else_is_rebuilt(stored: Any) -> None:
    try:
        found = codec.decode(orjson.dumps(stored))
    except (ValueError, TypeError, LookupError, AttributeError):
        return
    assert all(type(one) in (Generation, ChatGeneration) for one in found)
