"""LlamaIndex chat messages as elements and back.

The neutral part holds role, text, images, sound, files and tool calls. Under ``li`` goes what it
cannot say, and nothing twice:

- ``blocks``: the order of the message's blocks, where it is not content first and tool calls
  after. ``"content"`` and ``"tool_call"`` stand for the next one of the neutral part, an object
  with ``block_type`` is a whole block that only LlamaIndex knows.
- ``fields``: by position, what a content block or tool call holds beyond its neutral form.
- ``kwargs``: additional_kwargs, less tool_call_id, name and OpenAI-style tool_calls, which are
  neutral.
- ``role``: LlamaIndex's own name of a role.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import AnyUrl, BaseModel, ValidationError

from valkey_memory._content import (
    REASONING,
    audio_block,
    block_type,
    data_url,
    file_block,
    image_block,
    split_data_url,
    standard_block,
    text_block,
)
from valkey_memory._errors import MessageEncodeError
from valkey_memory._messages import parse_arguments, read_tool_call, tool_call
from valkey_memory._wire import Element, to_json

_BLOCKS: dict[str, type[BaseModel]] = {
    "text": TextBlock,
    "image": ImageBlock,
    "audio": AudioBlock,
    "video": VideoBlock,
    "document": DocumentBlock,
    "cache": CachePoint,
    "citable": CitableBlock,
    "citation": CitationBlock,
    "thinking": ThinkingBlock,
    "tool_call": ToolCallBlock,
}
_NEUTRAL_ROLES = {MessageRole.CHATBOT: "assistant", MessageRole.MODEL: "assistant"}
_ROLES: dict[str, MessageRole] = {role.value: role for role in MessageRole}
_NEUTRAL_KWARGS = ("tool_call_id", "name")


def _plain(value: Any) -> Any:
    """Pydantic objects as dicts, URLs and paths as strings, all else as it is."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, (AnyUrl, PurePath)):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item) for item in value]
    return value


def _text(data: Any) -> str | None:
    """The base64 text in which LlamaIndex keeps media."""
    return data.decode("ascii") if isinstance(data, bytes) else None


def _to_neutral(block: BaseModel, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """A content block in the neutral dialect, or None where that has no word for it."""
    if isinstance(block, TextBlock):
        return text_block(block.text)
    if isinstance(block, ImageBlock):
        if data := _text(fields["image"]):
            return image_block(data_url(data, block.image_mimetype), block.detail)
        return image_block(fields["url"], block.detail) if fields["url"] else None
    if isinstance(block, AudioBlock):
        data = _text(fields["audio"])
        return audio_block(data, block.format) if data else None
    if isinstance(block, DocumentBlock):
        data = _text(fields["data"])
        mime = block.document_mimetype
        return file_block(data_url(data, mime), block.title) if data else None
    return None


def _from_neutral(item: object) -> BaseModel | None:
    """A neutral content block as LlamaIndex's, or None where LlamaIndex has no word for it."""
    if isinstance(item, dict) and (kind := block_type(item)) in REASONING:
        thought = item.get(kind) or item.get("text")
        return ThinkingBlock(content=thought) if isinstance(thought, str) else None
    block = standard_block(item)
    if block is None:
        return None
    kind = block.get("type", "")
    if kind == "text":
        return TextBlock(text=block["text"])
    if kind == "image_url":
        url, detail = block["image_url"]["url"], block["image_url"].get("detail")
        if parts := split_data_url(url):
            return ImageBlock(image=parts[1].encode(), image_mimetype=parts[0], detail=detail)
        return ImageBlock(url=url, detail=detail)
    if kind == "input_audio":
        audio = block["input_audio"]
        return AudioBlock(audio=audio["data"].encode(), format=audio["format"])
    if kind == "file" and (parts := split_data_url(block["file"].get("file_data", ""))):
        return DocumentBlock(
            data=parts[1].encode(),
            document_mimetype=parts[0],
            title=block["file"].get("filename"),
        )
    return None


def _build(cls: type[BaseModel], fields: dict[str, Any]) -> BaseModel:
    try:
        return cls.model_validate(fields)
    except ValidationError:
        # A local file that the block points to may be gone; the message stays readable.
        if not fields.get("path"):
            raise
        return cls.model_construct(**fields)


class LlamaIndexCodec:
    """Codec of ``llama_index.core.llms.ChatMessage``. What it writes, it reads back equal."""

    def encode(self, message: ChatMessage) -> Element:
        if not isinstance(message, ChatMessage):
            raise MessageEncodeError(
                f"a message must be a llama_index ChatMessage, "
                f"not {type(message).__name__}: {message!r:.200}"
            )
        role = message.role
        element: Element = {"role": _NEUTRAL_ROLES.get(role, role.value)}
        li: dict[str, Any] = {}
        if role in _NEUTRAL_ROLES:
            li["role"] = role.value
        blocks = message.blocks
        if len(blocks) == 1 and type(blocks[0]) is TextBlock:
            element["content"] = blocks[0].text
        else:
            _encode_blocks(blocks, element, li)
        if message.additional_kwargs:
            _encode_kwargs(_plain(message.additional_kwargs), element, li)
        if li:
            element["li"] = to_json(li, "message")
        return element

    def decode(self, element: Element) -> ChatMessage:
        li = element.get("li") or {}
        role = _ROLES.get(li.get("role") or element["role"], MessageRole.USER)
        kwargs = dict(li.get("kwargs") or ())
        for name in _NEUTRAL_KWARGS:
            if name in element:
                kwargs[name] = element[name]
        calls = element.get("tool_calls") or ()
        if calls and li.get("tool_calls") == "kwargs":
            kwargs["tool_calls"], calls = calls, ()
        content = element.get("content")
        if type(content) is str and not li and not calls:
            return ChatMessage(role=role, content=content, additional_kwargs=kwargs)
        message = ChatMessage(role=role, blocks=_decode_blocks(content, calls, li, element))
        message.additional_kwargs = kwargs
        return message


def _encode_blocks(blocks: list[Any], element: Element, li: dict[str, Any]) -> None:
    content: list[dict[str, Any]] = []
    calls: list[Element] = []
    layout: list[Any] = []
    beyond: dict[str, Any] = {}
    for position, block in enumerate(blocks):
        fields = _plain(block)
        again: BaseModel | None
        if isinstance(block, ToolCallBlock):
            call = tool_call(block.tool_call_id, block.tool_name, block.tool_kwargs)
            calls.append(call)
            layout.append("tool_call")
            again = _read_call(call)
        elif neutral := _to_neutral(block, fields):
            content.append(neutral)
            layout.append("content")
            again = _from_neutral(neutral)
        else:
            layout.append(fields)
            continue
        restored = _plain(again)
        if lost := {name: fields[name] for name in fields if fields[name] != restored[name]}:
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


def _read_call(call: Mapping[str, Any]) -> ToolCallBlock:
    call_id, name, text = read_tool_call(call)
    arguments = parse_arguments(text)
    return ToolCallBlock(
        tool_call_id=call_id,
        tool_name=name,
        tool_kwargs=text if arguments is None else arguments,
    )


def _decode_blocks(
    content: Any, calls: Any, li: Mapping[str, Any], element: Element
) -> list[BaseModel]:
    items = [content] if isinstance(content, str) else content or []
    layout = li.get("blocks")
    if layout is None:
        if items == [""] and not li:
            items = []  # another framework's way to say: tool calls only
        layout = ["content"] * len(items) + ["tool_call"] * len(calls)
    contents, tool_calls = iter(items), iter(calls)
    beyond = li.get("fields") or {}
    blocks: list[BaseModel] = []
    for position, entry in enumerate(layout):
        block: BaseModel | None
        if entry == "content":
            block = _from_neutral(next(contents))
        elif entry == "tool_call":
            block = _read_call(next(tool_calls))
        else:
            block = _build(_BLOCKS[entry["block_type"]], entry)
        if block is None:
            continue
        if lost := beyond.get(str(position)):
            block = _build(type(block), _plain(block) | lost)
        blocks.append(block)
    return blocks


def _encode_kwargs(kwargs: dict[str, Any], element: Element, li: dict[str, Any]) -> None:
    for name in _NEUTRAL_KWARGS:
        if type(kwargs.get(name)) is str:
            element[name] = kwargs.pop(name)
    calls = kwargs.get("tool_calls")
    if calls and "tool_calls" not in element and _are_neutral_calls(calls):
        element["tool_calls"] = to_json(kwargs.pop("tool_calls"), "tool_calls")
        li["tool_calls"] = "kwargs"
    if kwargs:
        li["kwargs"] = kwargs


def _are_neutral_calls(calls: object) -> bool:
    if not isinstance(calls, list):
        return False
    try:
        return all(isinstance(part, str) for call in calls for part in read_tool_call(call)[1:])
    except (TypeError, KeyError, AttributeError):
        return False
