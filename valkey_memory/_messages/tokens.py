"""About how many tokens elements are, without a tokenizer: the default counter of windows.

A token is about four characters of English text; Google says so of Gemini
(https://ai.google.dev/gemini-api/docs/tokens), OpenAI of its models, and LangChain's
``count_tokens_approximately`` counts so, too. Each message costs about three more, and one for its
role (OpenAI's cookbook, "How to count tokens with tiktoken"). Other scripts take more tokens than
that, Chinese and Japanese about one per character: there a tokenizer is the better counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from .content import block_type
from .elements import Element

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
TOKENS_PER_MEDIUM = 765
"""Of an image, a sound or a file, whatever its size: OpenAI's price of 1024 x 1024 pixels in high
detail. What is stored of it, base64 text, says nothing of what a model makes of it."""

_MEDIA = frozenset(
    (
        *("image", "image_url", "input_image", "audio", "input_audio", "video"),
        *("file", "input_file", "document"),
    )
)
_CALLS = frozenset(("tool_use", "toolUse", "tool_call", "function_call"))
_NESTING = ("toolResult", "tool_result")


def count_tokens(elements: Iterable[Element]) -> int:
    """The estimated tokens of elements, as a model gets them."""
    return sum(map(_of_one, elements))


def _of_one(element: Element) -> int:
    calls = element.get("tool_calls")
    characters, media = _of_content(element.get("content"), calls_elsewhere=bool(calls))
    characters += len(_text(element.get("name")))
    if isinstance(images := element.get("images"), list):  # Ollama's
        media += len(images)
    if call := element.get("function_call"):  # OpenAI's, before there were several
        characters += _of_json(call)
    if isinstance(calls, list):
        characters += sum(map(_of_call, calls))
    return TOKENS_PER_MESSAGE + -(-characters // CHARACTERS_PER_TOKEN) + media * TOKENS_PER_MEDIUM


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _of_call(call: object) -> int:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return _of_json(call)
    arguments = function.get("arguments")
    size = _of_json(arguments) if isinstance(arguments, Mapping) else len(_text(arguments))
    return len(_text(function.get("name"))) + size


def _of_json(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:  # a value that is stored with a tag
        return len(repr(value))


def _of_content(content: Any, *, calls_elsewhere: bool = False) -> tuple[int, int]:
    """Characters of text, and how many images, sounds and files."""
    if isinstance(content, str):
        return len(content), 0
    if not isinstance(content, list):
        return 0, 0
    characters = media = 0
    for block in content:
        if not isinstance(block, Mapping):
            characters += len(_text(block))
            continue
        kind = block_type(block)
        if kind in _MEDIA:
            media += 1
        elif isinstance(text := block.get("text"), str):
            characters += len(text)
        elif kind in _NESTING:
            nested = block.get("toolResult", block)
            inner = nested.get("content") if isinstance(nested, Mapping) else None
            of_inner, inner_media = _of_content(inner)
            characters += of_inner
            media += inner_media
        elif not (calls_elsewhere and kind in _CALLS):
            characters += _of_json(block)
    return characters, media
