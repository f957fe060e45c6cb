"""LlamaIndex chat messages as elements and back.

The neutral part holds role, text, images, sound, files and tool calls. Under ``li`` goes what it
cannot say, and nothing twice:

- ``blocks``: the order of the message's blocks, where it is not content first and tool calls
  after. ``"content"`` and ``"tool_call"`` stand for the next one of the neutral part
  (``"tool_call_text"`` for one whose arguments are a string, ``"content_url"`` for an image by
  data URL), an object with ``block_type`` is a whole block that only LlamaIndex knows.
- ``fields``: by position, what a content block or tool call holds beyond its neutral form.
- ``kwargs``: additional_kwargs, less tool_call_id, name and OpenAI-style tool_calls, which are
  neutral.
- ``role``: LlamaIndex's own name of a role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic import BaseModel

from valkey_memory import MessageEncodeError
from valkey_memory.adapters import (
    Codec,
    Element,
    construct,
    from_dialect,
    has_fields,
    is_plain,
    is_text,
    is_writable,
    open_to_json,
    parse_arguments,
    read_tool_call,
    split_data_url,
    tokens_of_answer,
    tool_call,
    tool_result,
)

from ._blocks import build_block, fields_of, from_neutral, to_neutral, with_fields

_NEUTRAL_ROLES = {MessageRole.CHATBOT.value: "assistant", MessageRole.MODEL.value: "assistant"}
_ROLES: dict[str, MessageRole] = {role.value: role for role in MessageRole}
_USER = MessageRole.USER  # looking up an enum's member takes time
_CALL_TEXT = "tool_call_text"
_CONTENT_URL = "content_url"
_MISSING = object()
_NEUTRAL_KWARGS = ("tool_call_id", "name")


# Most messages are a role and a text. Those are made many at once, which makes a long conversation
# twice as fast to read.
_constructible = has_fields(TextBlock, "block_type", "text") and has_fields(
    ChatMessage, "role", "additional_kwargs", "blocks"
)


def _text_messages(elements: Sequence[Element]) -> list[ChatMessage]:
    texts = [{"block_type": "text", "text": element["content"]} for element in elements]
    fields = [
        {"role": _ROLES.get(element["role"], _USER), "additional_kwargs": {}, "blocks": [block]}
        for element, block in zip(elements, construct(TextBlock, texts, {"text"}), strict=True)
    ]
    return construct(ChatMessage, fields, {"role", "blocks"})


class LlamaIndexCodec(Codec[ChatMessage]):
    """Codec of ``llama_index.core.llms.ChatMessage``. What it writes, it reads back equal.

    But objects in additional_kwargs and the arguments of tools come back as their dict, list or
    text; see ``valkey_memory.adapters.plain_data``.
    """

    def tokens(self, message: ChatMessage) -> int | None:
        kwargs = getattr(message, "additional_kwargs", {})
        return tokens_of_answer(kwargs.get("raw") or kwargs)

    def to_element(self, message: ChatMessage) -> Element:
        if not isinstance(message, ChatMessage):
            raise MessageEncodeError(
                f"a message must be a llama_index ChatMessage, "
                f"not {type(message).__name__}: {message!r:.200}"
            )
        # Pydantic does not check what is assigned; and ``value`` takes many times longer.
        role = message.role if type(message.role) is MessageRole else MessageRole(message.role)
        own = role._value_
        element: Element = {"role": _NEUTRAL_ROLES.get(own, own)}
        li: dict[str, Any] = {}
        if own in _NEUTRAL_ROLES:
            li["role"] = own
        blocks = message.blocks
        if len(blocks) == 1 and type(blocks[0]) is TextBlock:
            element["content"] = blocks[0].text
        else:
            _encode_blocks(blocks, element, li)
        if message.additional_kwargs:
            _encode_kwargs(dict(message.additional_kwargs), element, li)
        if not isinstance(element["content"], (str, list)):
            raise MessageEncodeError(f"a text block holds {type(element['content']).__name__}")
        if li:
            element["li"] = {name: open_to_json(value, name) for name, value in li.items()}
        return element

    def decode_all(self, elements: Sequence[Element]) -> list[ChatMessage]:
        are_text = list(map(is_text, elements)) if _constructible else [False] * len(elements)
        if all(are_text):
            return _text_messages(elements)
        texts = iter(_text_messages(list(compress(elements, are_text))))
        return [
            next(texts) if is_text else self.decode(element)
            for element, is_text in zip(elements, are_text, strict=True)
        ]

    def decode(self, element: Element) -> ChatMessage:
        if is_plain(element):
            element = from_dialect(element)
        li = element.get("li") or {}
        kwargs = {**element.get("beside", {}), **dict(li.get("kwargs") or ())}
        for name in _NEUTRAL_KWARGS:
            if name in element:
                kwargs[name] = element[name]
        calls = element.get("tool_calls") or ()
        if calls and li.get("tool_calls") == "kwargs":
            kwargs["tool_calls"], calls = calls, ()
        blocks = _decode_blocks(element.get("content"), calls, li)
        if isinstance(thought := kwargs.get("reasoning_content"), str) and not li:
            blocks.insert(0, ThinkingBlock(content=thought))
            del kwargs["reasoning_content"]
        message = ChatMessage(role=_role(element["role"], li), blocks=blocks)
        if kwargs:
            message.additional_kwargs = kwargs
        return message


def _role(role: str, li: Mapping[str, Any]) -> MessageRole:
    """LlamaIndex's name of a role: ``li`` tells which of several for the same."""
    own = _ROLES.get(li.get("role", role), _USER)
    return own if _NEUTRAL_ROLES.get(own) == role else _ROLES.get(role, _USER)


def _encode_blocks(blocks: list[Any], element: Element, li: dict[str, Any]) -> None:
    content: list[dict[str, Any]] = []
    calls: list[Element] = []
    layout: list[Any] = []
    beyond: dict[str, Any] = {}
    for position, block in enumerate(blocks):
        if isinstance(block, ToolCallBlock):
            calls.append(tool_call(block.tool_call_id, block.tool_name, block.tool_kwargs))
            layout.append(_CALL_TEXT if isinstance(block.tool_kwargs, str) else "tool_call")
            continue
        fields = fields_of(block)
        if neutral := to_neutral(block, fields):
            as_url = isinstance(block, ImageBlock) and not fields["image"]
            entry = _CONTENT_URL if as_url and split_data_url(fields["url"]) else "content"
            content.append(neutral)
            layout.append(entry)
            again = from_neutral(neutral, as_url=entry == _CONTENT_URL)
        else:
            layout.append(fields)
            continue
        restored = fields_of(again) if again is not None else {}
        if lost := {
            name: fields[name] for name in fields if fields[name] != restored.get(name, _MISSING)
        }:
            beyond[str(position)] = lost
    as_string = len(content) == 1 and content[0]["type"] == "text"
    element["content"] = content[0]["text"] if as_string else content or ""
    if calls:
        element["tool_calls"] = calls
    plain_order = ["content"] * len(content) + ["tool_call"] * len(calls)
    if layout != plain_order or not element["content"]:
        li["blocks"] = layout
    if beyond:
        li["fields"] = beyond


def _read_call(call: Mapping[str, Any], *, as_text: bool = False) -> ToolCallBlock:
    call_id, name, text = read_tool_call(call)
    arguments = None if as_text else parse_arguments(text)
    return ToolCallBlock(
        tool_call_id=call_id,
        tool_name=name,
        tool_kwargs=text if arguments is None else arguments,
    )


def _decode_blocks(content: Any, calls: Any, li: Mapping[str, Any]) -> list[Any]:
    """The blocks of a message. All that the neutral part says is in them, whatever ``li`` says."""
    items = [content] if isinstance(content, str) else content or []
    layout = li.get("blocks")
    if layout is None:
        if items == [""] and calls and not li:
            items = []  # another framework's way to say: tool calls only
        layout = ["content"] * len(items) + ["tool_call"] * len(calls)
    contents, tool_calls = iter(items), iter(calls)
    beyond = li.get("fields") or {}
    blocks: list[Any] = []
    for position, entry in enumerate(layout):
        if entry in ("content", _CONTENT_URL):
            found = _content_blocks(next(contents), as_url=entry == _CONTENT_URL)
            if lost := beyond.get(str(position)):
                found = [with_fields(block, lost) for block in found]
            blocks += found
        elif entry in ("tool_call", _CALL_TEXT):
            blocks.append(_read_call(next(tool_calls), as_text=entry == _CALL_TEXT))
        elif not isinstance(block := build_block(entry), (TextBlock, ToolCallBlock)):
            # Texts and calls are neutral.
            blocks.append(block)
    for item in contents:
        blocks += _content_blocks(item) if item else []
    return blocks + [_read_call(call) for call in tool_calls]


def _content_blocks(item: object, *, as_url: bool = False) -> list[BaseModel]:
    """What a neutral block is for LlamaIndex: one block, none, or those of a tool's result."""
    if result := tool_result(item):
        inside = result.content if isinstance(result.content, list) else [result.content]
        return [block for one in inside for block in _content_blocks(one)]
    block = from_neutral(item, as_url=as_url)
    return [] if block is None else [block]


def _encode_kwargs(kwargs: dict[str, Any], element: Element, li: dict[str, Any]) -> None:
    for name in _NEUTRAL_KWARGS:
        if type(value := kwargs.get(name)) is str and is_writable(value):
            element[name] = kwargs.pop(name)
    if kwargs.get("tool_calls") and "tool_calls" not in element:
        calls = open_to_json(kwargs["tool_calls"], "tool_calls")
        if _are_neutral_calls(calls):
            element["tool_calls"] = calls
            li["tool_calls"] = "kwargs"
            del kwargs["tool_calls"]
    if kwargs:
        li["kwargs"] = kwargs


def _are_neutral_calls(calls: object) -> bool:
    if not isinstance(calls, list):
        return False
    try:
        parts = [part for call in calls for part in read_tool_call(call)[1:]]
    except (TypeError, KeyError, AttributeError):
        return False
    return all(isinstance(part, str) for part in parts) and is_writable(calls)
