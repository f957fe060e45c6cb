"""JSON of a model: with structured output, or in whatever stands around it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkey_memory._models.structured import Answer, AskForObjects, read_objects

SCHEMA = {"title": "Facts", "type": "object", "properties": {"facts": {"type": "array"}}}
ONE, TWO = {"text": "a", "from": [1]}, {"text": 'b {not} [a] "list"', "from": [2]}


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('[{"text": "a", "from": [1]}]', [ONE]),
        ('{"facts": [{"text": "a", "from": [1]}]}', [ONE]),
        ('{"text": "a", "from": [1]}', [ONE]),
        ("[]", []),
        ('{"facts": []}', []),
        ('```json\n[{"text": "a", "from": [1]}]\n```', [ONE]),
        (
            'Sure [1]! Here are they:\n```\n{"facts": [{"text": "a", "from": [1]},]}\n``` Done {x}',
            [ONE],
        ),
        ("Nothing new: []", []),
        (
            '[{"text": "a", "from": [1],}, {"text": "b {not} [a] \\"list\\"", "from": [2]}] ok',
            [ONE, TWO],
        ),
        ("[{'text': 'a', 'from': [1]}]\nbye", [ONE]),
        ('[{"text": "a", "from": [1]} // the first\n]', [ONE]),
        ('[{"text": "a" "from": [1]}]', [ONE]),
    ],
)
def test_whole_answers(text: str, objects: list[Any]) -> None:
    assert read_objects(text, "facts") == Answer(objects)


@pytest.mark.parametrize("text", [r'[{"text": "a \ud83d"}]', r'[{"text": "a \ud83d",}] bye'])
def test_half_an_emoji_is_a_mark(text: str) -> None:
    assert read_objects(text, "facts") == Answer([{"text": "a \ufffd"}])
    whole = text.replace("ud83d", "ud83d\\ude00")
    assert read_objects(whole, "facts") == Answer([{"text": "a \U0001f600"}])


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ('[{"text": "a", "from": [1]}, {"text": "b', [ONE]),
        ('[{"text": "a", "from": [1]},', [ONE]),
        ('```json\n{"facts": [{"text": "a", "from": [1]}, {"te', [ONE]),
        ("I found nothing of interest.", []),
        ("", []),
        ('[{"text": "a", "from": [1]}, 5]', [ONE]),
        ("5", []),
    ],
)
def test_what_cannot_be_read_is_told(text: str, objects: list[Any]) -> None:
    found = read_objects(text, "facts")
    assert found.objects == objects
    assert found.unreadable


@given(st.text(st.sampled_from('[]{}",:\\ab1 \n`')))
def test_any_text_is_an_answer(text: str) -> None:
    found = read_objects(text, "facts")
    assert all(isinstance(one, dict) for one in found.objects)


class Structured:
    """A model with structured output, as LangChain's."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.schemas: list[Any] = []

    def invoke(self, prompt: str) -> Any:
        raise AssertionError("it was asked for text")

    def with_structured_output(self, schema: Any) -> Any:
        self.schemas.append(schema)
        if isinstance(self.answer, Exception):
            raise self.answer

        class Runnable:
            answer = self.answer

            def invoke(self, prompt: str) -> Any:
                return self.answer

            async def ainvoke(self, prompt: str) -> Any:
                return self.answer

        return Runnable()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"facts": [ONE]}, Answer([ONE])),
        ({"facts": [ONE, "x"]}, Answer([ONE], "no object: 'x'")),
        (None, Answer([], "no object with facts: None")),
    ],
)
def test_structured_output_is_used(answer: Any, expected: Answer) -> None:
    model = Structured(answer)
    step = AskForObjects(model, "What?", SCHEMA, "facts")
    assert step.serve() == expected
    assert asyncio.run(step.aserve()) == expected
    assert model.schemas[0] == SCHEMA


def test_a_model_without_it_is_asked_for_text() -> None:
    class Plain(Structured):
        def invoke(self, prompt: str) -> Any:
            return '[{"text": "a", "from": [1]}]'

        async def ainvoke(self, prompt: str) -> Any:
            return self.invoke(prompt)

    step = AskForObjects(Plain(NotImplementedError()), "What?", SCHEMA, "facts")
    assert step.serve() == asyncio.run(step.aserve()) == Answer([ONE])
    function = AskForObjects(lambda prompt: f"{prompt} []", "What?", SCHEMA, "facts")
    assert function.serve() == Answer([])
