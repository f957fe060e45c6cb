"""Generations of models as JSON and back: what LangChain's caches keep.

Messages go through ``LangChainCodec``. A generation is rebuilt as one of four classes, and nothing
stored can name another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)

from valkey_memory import MessageEncodeError
from valkey_memory.adapters import (
    REASONING,
    AnswerCodec,
    block_type,
    dump_json,
    loads,
    open_to_json,
    to_json,
)

from ._codec import LangChainCodec

_CLASSES: dict[str, type[Generation]] = {
    cls.__name__: cls for cls in (Generation, GenerationChunk, ChatGeneration, ChatGenerationChunk)
}
_REASONS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_FAILED = {
    *("error", "error_toxic", "error_limit", "malformed_function_call", "unexpected_tool_call"),
    *("content_filter", "content_filtered", "guardrail_intervened", "refusal"),
    *("safety", "recitation", "blocklist", "prohibited_content", "spii", "language"),
}
"""Reasons, in lower case, for which models end without an answer. Sources: the API references of
OpenAI, Anthropic, Amazon Bedrock, Gemini and Cohere."""


class GenerationsCodec(AnswerCodec[Sequence[Generation]]):
    """A list of generations, with messages, tool calls, usage and metadata. Read back it is equal,
    but for objects in metadata, which become plain data.

    ``encode`` keeps no list with an answer that failed or is empty.
    """

    def __init__(self) -> None:
        self._messages = LangChainCodec()

    def encode(self, answer: Sequence[Generation]) -> bytes | None:
        if not answer or not all(map(_is_answer, answer)):
            return None
        return dump_json([self._to_json(generation) for generation in answer])

    def decode(self, raw: bytes) -> list[Generation]:
        return [self._from_json(one) for one in loads(raw)]

    def _to_json(self, generation: Generation) -> dict[str, Any]:
        found = {
            "class": _known_class(generation).__name__,
            "text": to_json(generation.text, "text"),
            "info": open_to_json(generation.generation_info, "generation_info"),
        }
        if isinstance(generation, ChatGeneration):
            found["message"] = self._messages.encode(generation.message)
        return found

    def _from_json(self, stored: Mapping[str, Any]) -> Generation:
        values = {"text": stored["text"], "generation_info": stored["info"]}
        if "message" in stored:
            values["message"] = self._messages.decode(stored["message"])
        generation = _CLASSES[stored["class"]](**values)
        if generation.text != stored["text"]:  # a ChatGeneration took that of its message
            generation.text = stored["text"]
        return generation


def without_ids(generations: Sequence[Generation]) -> None:
    """Take the ids from messages that answer another question than they were made for.

    A graph that already has a message of that id would replace it.
    """
    for generation in generations:
        if isinstance(generation, ChatGeneration):
            generation.message.id = None


def _known_class(generation: Generation) -> type[Generation]:
    """Its class, or for a subclass of somebody's the nearest of LangChain's."""
    for cls in type(generation).__mro__:
        if cls in _CLASSES.values():
            return cls
    raise MessageEncodeError(f"{type(generation).__name__} is no Generation of LangChain's")


def _is_answer(generation: Generation) -> bool:
    """Whether it says anything, or calls a tool, and did not end in a failure."""
    info = generation.generation_info or {}
    if not isinstance(generation, ChatGeneration):
        return not _failed(info) and bool(generation.text.strip())
    message = generation.message
    if _failed(info) or _failed(message.response_metadata):
        return False
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        return not message.invalid_tool_calls
    return bool(generation.text.strip()) or _has_more_than_text(message)


def _failed(info: Mapping[str, Any]) -> bool:
    return any(str(info.get(name)).lower() in _FAILED for name in _REASONS)


def _has_more_than_text(message: BaseMessage) -> bool:
    """Whether there is an image, a recording, or a call in the older form."""
    blocks = message.content if isinstance(message.content, list) else []
    kinds = {block_type(block) for block in blocks if isinstance(block, dict)}
    said = {"audio", "function_call"} & message.additional_kwargs.keys()
    return bool(said or kinds - REASONING - {"text", ""})
