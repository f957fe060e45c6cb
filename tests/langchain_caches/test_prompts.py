"""What a cache takes from a prompt: the question, and what must be the same around it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_valkey_glide._prompts import CONTEXTS, Context, asked
from valkey_memory import InvalidArgumentError

SYSTEM = SystemMessage("You are kind.")
QUESTION = HumanMessage("Tell me more.")


def read(*messages: BaseMessage, context: Context = "conversation", model: str = "m") -> Any:
    return asked(dumps(list(messages)), model, context)


def test_the_last_message_of_the_user_is_the_question() -> None:
    found = read(SYSTEM, QUESTION)
    assert found.text == "Tell me more."
    assert found.model == "m"
    assert found.context != read(QUESTION).context
    assert found.context == read(SYSTEM, HumanMessage("Another question?")).context


@pytest.mark.parametrize(
    "before",
    [
        [],
        [SystemMessage("You are unkind.")],
        [SYSTEM, HumanMessage("Hi"), AIMessage("Hello")],
        [SYSTEM, SYSTEM],
        [SystemMessage("You are kind.", name="other")],
        [SystemMessage([{"type": "text", "text": "You are kind."}, {"type": "image", "url": "x"}])],
    ],
)
def test_what_stands_before_it_counts(before: list[BaseMessage]) -> None:
    assert read(*before, QUESTION).context != read(SYSTEM, QUESTION).context
    ignored = read(*before, QUESTION, context="ignore")
    assert ignored.context == read(SYSTEM, QUESTION, context="ignore").context


def test_of_the_system_alone_if_asked() -> None:
    talk = [SYSTEM, HumanMessage("Hi"), AIMessage("Hello"), QUESTION]
    assert read(*talk, context="system") == read(SYSTEM, QUESTION, context="system")
    assert read(*talk[1:], context="system") != read(SYSTEM, QUESTION, context="system")


def test_what_a_model_does_not_see_does_not_count() -> None:
    seen = [HumanMessage("Hi"), AIMessage("Hello"), QUESTION]
    more = [
        HumanMessage("Hi", id="1"),
        AIMessage(
            "Hello",
            id="run-2",
            response_metadata={"id": "chatcmpl-3"},
            usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        ),
        HumanMessage("Tell me more.", id="4"),
    ]
    assert read(*more) == read(*seen)


def test_texts_in_blocks_are_text() -> None:
    blocks = HumanMessage([{"type": "text", "text": "Tell me"}, "more."])
    assert read(blocks).text == "Tell me\nmore."
    assert read(HumanMessage([{"type": "text", "text": "Tell me more."}])) == read(QUESTION)


@pytest.mark.parametrize(
    "last",
    [
        HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image", "url": "a"}]),
        HumanMessage([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]),
        HumanMessage([]),
        ToolMessage("result", tool_call_id="1"),
        AIMessage("prefilled"),
        SYSTEM,
    ],
)
@pytest.mark.parametrize("context", CONTEXTS)
def test_anything_else_is_found_as_it_is_only(last: BaseMessage, context: Context) -> None:
    found = read(SYSTEM, last, context=context)
    assert found.text is None
    assert found.context != read(last, context=context).context  # all of it counts


def test_what_else_the_last_message_has_counts() -> None:
    other = HumanMessage("Tell me more.", name="bob")
    assert read(other).text == "Tell me more."
    for context in CONTEXTS:
        assert read(other, context=context).context != read(QUESTION, context=context).context


@pytest.mark.parametrize(
    "prompt",
    [
        "What is it?",
        "",
        "[1, 2]",
        "[]",
        "[",
        "[" * 100_000,
        '[{"lc": 1, "id": []}]',
        '[{"lc": 2, "id": ["HumanMessage"], "kwargs": {"content": "x"}}]',
        '[["HumanMessage"]]',
        "\ud800",
    ],
    ids=lambda prompt: repr(prompt[:40]),
)
def test_a_prompt_of_another_kind_is_the_question(prompt: str) -> None:
    assert asked(prompt, "m", "conversation") == ("m", "prompt", prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        '[{"lc": 1, "type": "not_implemented", "id": ["x", "HumanMessage"], "repr": "..."}]',
        '[{"lc": 1, "id": ["HumanMessage"], "kwargs": []}]',
        '[{"lc": 1, "id": ["HumanMessage"], "kwargs": {}}]',
        '[{"lc": 1, "id": ["HumanMessage"], "kwargs": {"content": {"a": 1}}}]',
        '[{"lc": 1, "id": ["HumanMessage"], "kwargs": {"content": [{"type": "text", "text": 1}]}}]',
        '[{"lc": 1, "id": [1], "kwargs": {"content": "x"}}]',
    ],
)
def test_odd_messages_are_found_as_they_are_only(prompt: str) -> None:
    assert asked(prompt, "m", "conversation").text is None


texts = st.sampled_from(["", "a", "a\n", "b", '"a"', "a:b", "\\ud800"])
messages = st.one_of(
    st.builds(HumanMessage, texts, name=st.none() | texts),
    st.builds(SystemMessage, texts),
    st.builds(AIMessage, texts, id=st.none() | texts),
    st.builds(ToolMessage, texts, tool_call_id=texts),
    st.builds(
        AIMessage,
        texts,
        tool_calls=st.lists(
            st.fixed_dictionaries(
                {"name": texts, "args": st.dictionaries(texts, texts, max_size=1), "id": texts}
            ),
            max_size=1,
        ),
    ),
    texts.map(lambda text: HumanMessage([{"type": "text", "text": text}])),
    texts.map(lambda text: HumanMessage([{"type": "image", "url": text}])),
)
talks = st.lists(messages, min_size=1, max_size=3)


def seen(talk: list[BaseMessage]) -> list[Any]:
    """What a model is sent; of the last message the text, in whatever form."""
    found = [message.model_dump(exclude={"id"}) for message in talk]
    last = talk[-1]
    if isinstance(last, HumanMessage) and "image" not in str(last.content):
        found[-1]["content"] = last.text
    return found


@settings(max_examples=300, deadline=None)
@given(talks, talks)
def test_two_prompts_are_one_if_the_model_sees_the_same(
    one: list[BaseMessage], two: list[BaseMessage]
) -> None:
    assert (read(*one) == read(*two)) == (seen(one) == seen(two))


@pytest.mark.parametrize("value", [None, 5, b"p"])
def test_what_is_no_text_is_refused(value: Any) -> None:
    for prompt, model in ((value, "m"), ("p", value)):
        with pytest.raises(InvalidArgumentError, match="must be a string"):
            asked(prompt, model, "system")
