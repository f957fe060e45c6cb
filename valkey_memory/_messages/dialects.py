"""Plain messages as the model APIs have them, in the neutral form that frameworks are built from.

Nothing here is stored: an element of plain code stays in the list as it was written. OpenAI has
tool calls beside the content; Anthropic and Bedrock have them, and the results of tools, as blocks
in it; Ollama has images beside it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .content import Block, block_type, data_url, image_block, standard_block, text_block
from .elements import FRAMEWORK_KEYS, Element
from .objects import open_dumps
from .values import is_unicode

_BESIDE = ("refusal", "audio", "function_call", "reasoning_content")
_THOUGHTS = ("thinking", "reasoning")
"""Ollama's and OpenRouter's names of reasoning_content."""
_CALLS = frozenset({"tool_use", "tool_call", "function_call"})
_TEXTS = frozenset({"input_text", "output_text"})
"""OpenAI's names of a text in its Responses API."""
_IMAGE_TYPES = {"/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}
"""How base64 of these begins; all else is taken for PNG."""


class ToolResult(NamedTuple):
    """What a tool answered, as Anthropic and Bedrock have it in a block."""

    call_id: str
    content: str | list[Block | str]
    is_error: bool


def tool_call(call_id: str | None, name: str, arguments: Mapping[str, Any] | str) -> Element:
    """A tool call in the neutral form, OpenAI's.

    Arguments that are a string stay as they are, but for lone surrogates: those become the escape
    that JSON has for them.
    """
    text = arguments if isinstance(arguments, str) else open_dumps(arguments, "tool call").decode()
    if not is_unicode(text):
        text = text.encode(errors="backslashreplace").decode()
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def is_plain(element: Element) -> bool:
    """Whether no framework wrote the element, as far as it says."""
    return element.keys().isdisjoint(FRAMEWORK_KEYS)


def is_text(element: Element) -> bool:
    """Whether the element is a role and a text, and nothing else: most are."""
    content = element.get("content")
    return type(content) is str and content != "" and len(element) == 2 + ("ts" in element)


def from_dialect(element: Element) -> Element:
    """A plain element of any API, its calls, results and images where the neutral form has them.

    It leaves out what nobody can read rather than fail: a message that ``MessageStore`` takes must
    not close the conversation to a framework.

    Returns:
        ``role``; ``content``, a string, a list of strings and blocks, or None; and where they apply
        ``tool_calls``, ``tool_call_id``, ``name``, ``id``, ``is_error`` (of a tool's result), and
        ``beside``: what OpenAI's API and its relatives have beside the content, which LangChain and
        LlamaIndex keep in additional_kwargs under the same names.

    Raises:
        ValueError: The content is none.
    """
    content = element.get("content")
    found: Element = {"role": element["role"], "content": None}
    if content is not None:
        if not isinstance(content, (str, list, dict)):
            raise ValueError(f"its content is a JSON {type(content).__name__}")
        found["content"] = _content(content)
    if images := list(_images(element.get("images"))):
        text = [text_block(content)] if isinstance(content, str) and content else _blocks(content)
        found["content"] = [*text, *images]
    for name in ("tool_call_id", "name", "id"):
        value = element.get(name)
        if isinstance(value, (str, int)):
            found[name] = str(value)
    if isinstance(tool := element.get("tool_name"), str):  # Ollama's
        found.setdefault("name", tool)
    beside = {name: element[name] for name in _BESIDE if element.get(name) is not None}
    for name in _THOUGHTS:
        if isinstance(thought := element.get(name), str) and thought:
            beside.setdefault("reasoning_content", thought)
    if beside:
        found["beside"] = beside
    blocks = found["content"] if isinstance(found["content"], list) else []
    calls = element.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        calls = [block for block in blocks if isinstance(block, dict) and _is_call(block)]
    if neutral := [one for call in calls if (one := _neutral_call(call))]:
        found["tool_calls"] = neutral
    if len(blocks) == 1 and (result := tool_result(blocks[0])):
        found.update(role="tool", tool_call_id=result.call_id, content=result.content)
        if result.is_error:
            found["is_error"] = True
    return found


def tool_result(block: object) -> ToolResult | None:
    """The result that a block holds, or None."""
    if not isinstance(block, dict) or block.get("type") != "tool_result":
        return None
    content = _content(block.get("content"))
    only = content[0] if isinstance(content, list) and len(content) == 1 else None
    if isinstance(only, dict) and only.get("type") == "text" and isinstance(only.get("text"), str):
        content = only["text"]
    call_id = block.get("tool_use_id")
    is_error = bool(block.get("is_error"))
    return ToolResult(call_id if isinstance(call_id, str) else "", content, is_error)


def _content(content: Any) -> str | list[Block | str]:
    if content is None or isinstance(content, str):
        return content or ""
    return _blocks(content) if isinstance(content, (list, dict)) else str(content)


def _blocks(content: Any) -> list[Block | str]:
    items = content if isinstance(content, list) else [content]
    return [block for item in items if (block := _typed(item)) is not None]


def _typed(item: Any) -> Block | str | None:
    """A block with its type; Bedrock's Converse API names it by the only key."""
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        return None
    if isinstance(item.get("type"), str):
        is_text = item["type"] in _TEXTS and isinstance(item.get("text"), str)
        return {**item, "type": "text"} if is_text else item
    block = {key: value for key, value in item.items() if key != "type"}
    kind = block_type(block)
    inner = block.get(kind)
    if kind == "text" and isinstance(inner, str):
        return text_block(inner)
    if not isinstance(inner, dict):
        return block
    if kind == "toolUse":
        use = {"id": inner.get("toolUseId"), "name": inner.get("name"), "input": inner.get("input")}
        return {"type": "tool_use", **use}
    if kind == "toolResult":
        result = {"tool_use_id": inner.get("toolUseId"), "content": _result(inner.get("content"))}
        failed = {"is_error": True} if inner.get("status") == "error" else {}
        return {"type": "tool_result", **result, **failed}
    if kind == "reasoningContent":
        return {"type": "reasoning_content", "reasoning_content": inner.get("reasoningText", inner)}
    return standard_block(block) or block


def _result(content: Any) -> list[Any]:
    """Bedrock's content of a tool's result, whose JSON nobody else has a block for."""
    items = content if isinstance(content, list) else []
    return [
        text_block(open_dumps(item["json"], "json").decode())
        if isinstance(item, dict) and "json" in item
        else item
        for item in items
    ]


def _images(images: Any) -> Iterable[Block]:
    for image in images if isinstance(images, list) else ():
        data = base64.b64encode(image).decode() if isinstance(image, bytes) else image
        try:
            base64.b64decode(data, validate=True)
        except (TypeError, ValueError, binascii.Error):
            continue  # a path, for instance: it is never opened
        yield image_block(data_url(data, _IMAGE_TYPES.get(data[:4], "image/png")))


def _is_call(block: Block) -> bool:
    return block.get("type") in _CALLS


def _neutral_call(call: Any) -> Element | None:
    """A tool call of any API in OpenAI's form, or None for what is none."""
    if not isinstance(call, Mapping):
        return None
    inner = next(
        (call[k] for k in ("function", "custom") if isinstance(call.get(k), Mapping)), call
    )
    name, call_id = inner.get("name"), call.get("call_id", call.get("id"))
    if not isinstance(name, str):
        return None
    known = ("arguments", "input", "args")
    arguments = next((inner[key] for key in known if inner.get(key) is not None), "")
    if not isinstance(arguments, (str, Mapping)):
        arguments = open_dumps(arguments, "tool call").decode()
    return tool_call(None if call_id is None else str(call_id), name, arguments)
