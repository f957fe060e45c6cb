"""Conversations with tool calls, as hypothesis makes them, in the dialects that are stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock

from langchain_valkey_glide._codec import LangChainCodec
from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory.adapters import Codec

Element = dict[str, Any]


class OpenAI:
    """Plain messages as OpenAI takes them: the neutral form."""

    def system(self, text: str) -> Element:
        return {"role": "system", "content": text}

    def user(self, text: str) -> Element:
        return {"role": "user", "content": text}

    def answer(self, text: str) -> Element:
        return {"role": "assistant", "content": text}

    def call(self, ids: list[str], text: str) -> Element:
        function = {"name": "f", "arguments": f'{{"q": "{len(text)}"}}'}
        calls = [{"id": one, "type": "function", "function": function} for one in ids]
        return {"role": "assistant", "content": text or None, "tool_calls": calls}

    def results(self, ids: list[str], text: str) -> list[Element]:
        return [{"role": "tool", "tool_call_id": one, "content": text} for one in ids]


class Anthropic(OpenAI):
    """Plain messages as Anthropic takes them: results are the user's blocks."""

    def call(self, ids: list[str], text: str) -> Element:
        said = [{"type": "text", "text": text}] if text else []
        uses = [{"type": "tool_use", "id": one, "name": "f", "input": {"q": 1}} for one in ids]
        return {"role": "assistant", "content": [*said, *uses]}

    def results(self, ids: list[str], text: str) -> list[Element]:
        blocks = [{"type": "tool_result", "tool_use_id": one, "content": text} for one in ids]
        return [{"role": "user", "content": blocks}]


class Bedrock(OpenAI):
    """Plain messages as Bedrock's Converse takes them."""

    def user(self, text: str) -> Element:
        return {"role": "user", "content": [{"text": text}]}

    def answer(self, text: str) -> Element:
        return {"role": "assistant", "content": [{"text": text}]}

    def call(self, ids: list[str], text: str) -> Element:
        uses = [{"toolUse": {"toolUseId": one, "name": "f", "input": {"q": 1}}} for one in ids]
        return {"role": "assistant", "content": [*([{"text": text}] if text else []), *uses]}

    def results(self, ids: list[str], text: str) -> list[Element]:
        content = [{"text": text}]
        return [
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": one, "content": content, "status": "success"}}
                    for one in ids
                ],
            }
        ]


class LangChain:
    """What ``langchain_valkey_glide`` writes."""

    _encode = LangChainCodec().encode

    def system(self, text: str) -> Element:
        return self._encode(SystemMessage(text))

    def user(self, text: str) -> Element:
        return self._encode(HumanMessage(text, id="h1"))

    def answer(self, text: str) -> Element:
        usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        return self._encode(AIMessage(text, usage_metadata=usage))

    def call(self, ids: list[str], text: str) -> Element:
        calls = [{"name": "f", "args": {"q": 1}, "id": one, "type": "tool_call"} for one in ids]
        uses = [{"type": "tool_use", "id": one, "name": "f", "input": {"q": 1}} for one in ids]
        content: Any = [{"type": "text", "text": text}, *uses] if text else ""
        return self._encode(AIMessage(content, tool_calls=calls))

    def results(self, ids: list[str], text: str) -> list[Element]:
        return [self._encode(ToolMessage(text, tool_call_id=one)) for one in ids]


class LlamaIndex:
    """What ``llama_index_valkey_glide`` writes."""

    _encode = LlamaIndexCodec().encode

    def system(self, text: str) -> Element:
        return self._encode(ChatMessage(role="system", content=text))

    def user(self, text: str) -> Element:
        return self._encode(ChatMessage(role="user", content=text))

    def answer(self, text: str) -> Element:
        return self._encode(ChatMessage(role="assistant", content=text))

    def call(self, ids: list[str], text: str) -> Element:
        blocks: list[Any] = [TextBlock(text=text)] if text else []
        blocks += [
            ToolCallBlock(tool_call_id=one, tool_name="f", tool_kwargs={"q": 1}) for one in ids
        ]
        return self._encode(ChatMessage(role="assistant", blocks=blocks))

    def results(self, ids: list[str], text: str) -> list[Element]:
        return [
            self._encode(
                ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": one})
            )
            for one in ids
        ]


DIALECTS: tuple[Any, ...] = (OpenAI(), Anthropic(), Bedrock(), LangChain(), LlamaIndex())


@dataclass(frozen=True)
class Talk:
    """A conversation, in pieces between which it may be cut short and still be sent."""

    pieces: tuple[tuple[Element, ...], ...]

    @property
    def elements(self) -> list[Element]:
        return list(itertools.chain.from_iterable(self.pieces))


texts = st.integers(1, 300).map("x".__mul__)


@st.composite
def talks(draw: st.DrawFn, max_turns: int = 6) -> Talk:
    """Conversations that every API accepts, also after each piece."""
    pieces: list[tuple[Element, ...]] = []
    again = draw(st.booleans())  # some models call every first tool "call_1"
    numbers = itertools.count(1)
    for number in range(draw(st.integers(1, max_turns))):
        dialect = draw(st.sampled_from(DIALECTS))
        system = draw(st.lists(texts, max_size=2 if number == 0 else 1))
        questions = draw(st.lists(texts, min_size=1, max_size=2))
        opening = [*map(dialect.system, system), *map(dialect.user, questions)]
        if again:
            numbers = itertools.count(1)
        pieces += [tuple(opening), *_steps(draw, dialect, numbers)]
        pieces.append((dialect.answer(draw(texts)),))
    unfinished = draw(st.integers(0, 2))  # it may end before the last answer
    return Talk(tuple(pieces[: max(len(pieces) - unfinished, 1)]))


def _steps(draw: st.DrawFn, dialect: Any, numbers: Iterator[int]) -> Iterator[tuple[Element, ...]]:
    for width in draw(st.lists(st.integers(1, 3), max_size=4)):
        ids = [f"call_{next(numbers)}" for _ in range(width)]
        said = draw(st.just("") | texts)
        yield (dialect.call(ids, said), *dialect.results(ids, draw(texts)))


class AsStored(Codec[Element]):
    """Elements as they are, whoever wrote them."""

    def to_element(self, message: Element) -> Element:
        return dict(message)

    def decode(self, element: Element) -> Element:
        return element


# What need not make sense: any order of anything, calls without results, results without calls.
_any_ids = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2, unique=True)
_anything: st.SearchStrategy[list[Element]] = st.sampled_from(DIALECTS).flatmap(
    lambda d: st.one_of(
        texts.map(lambda text: [d.system(text)]),
        texts.map(lambda text: [d.user(text)]),
        texts.map(lambda text: [d.answer(text)]),
        _any_ids.map(lambda ids: [d.call(ids, "")]),
        _any_ids.map(lambda ids: d.results(ids, "r")),
    )
)
nonsense = st.lists(_anything, max_size=12).map(lambda found: list(itertools.chain(*found)))
