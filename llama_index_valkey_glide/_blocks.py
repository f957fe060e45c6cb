"""LlamaIndex's blocks as plain fields, in the neutral dialect, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import IOBase
from pathlib import Path, PurePath
from typing import Any

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import AnyUrl, BaseModel, ValidationError

from valkey_memory.adapters import (
    REASONING,
    audio_block,
    block_type,
    data_url,
    file_block,
    image_block,
    reasoning_text,
    split_data_url,
    standard_block,
    text_block,
)

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
_GUESSED = ("image_mimetype", "format", "video_mimetype", "document_mimetype")


def fields_of(block: BaseModel) -> dict[str, Any]:
    """A block's fields as JSON can hold them; ``build_block`` is the inverse.

    Media are base64 text, as LlamaIndex keeps them in bytes; an open file is read.
    """
    return {name: _field(value) for name, value in block.__dict__.items()}


def _field(value: Any) -> Any:
    if isinstance(value, IOBase):
        value.seek(0)
        return base64.b64encode(value.read()).decode()
    if isinstance(value, bytes):
        try:
            return value.decode("ascii")
        except UnicodeDecodeError:
            return value
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, AnyUrl):
        return str(value)
    if isinstance(value, BaseModel):
        return fields_of(value) if "block_type" in value.__dict__ else value.model_dump()
    if type(value) is list and all(isinstance(item, BaseModel) for item in value):
        return [_field(item) for item in value]
    return value


def build_block(fields: Mapping[str, Any]) -> BaseModel:
    """A block from ``fields_of``, its nested blocks first.

    Whether a local file is there does not matter, and nobody looks: the path is put in last.
    """
    cls = _BLOCKS[fields["block_type"]]
    values = {**fields}
    path = values.pop("path", None)
    for name in ("content", "cited_content"):
        nested = values.get(name)
        if isinstance(nested, list):
            values[name] = [build_block(item) for item in nested]
        elif isinstance(nested, dict):
            values[name] = build_block(nested)
    block = cls.model_validate(values)
    # Validators guess these from an address, if they were not found from the path before.
    block.__dict__.update((name, values[name]) for name in _GUESSED if name in values)
    if "path" in fields:
        block.__dict__["path"] = Path(path["path"]) if isinstance(path, dict) else path
        block.__pydantic_fields_set__.add("path")
    return block


def to_neutral(block: BaseModel, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """A content block in the neutral dialect, or None where that has no word for it."""
    if isinstance(block, TextBlock):
        return text_block(block.text)
    if isinstance(block, ImageBlock):
        if data := _media(fields["image"]):
            return image_block(data_url(data, block.image_mimetype), block.detail)
        return image_block(fields["url"], block.detail) if fields["url"] else None
    if isinstance(block, AudioBlock):
        data = _media(fields["audio"])
        return audio_block(data, block.format) if data else None
    if isinstance(block, DocumentBlock):
        data = _media(fields["data"])
        mime = block.document_mimetype
        return file_block(data_url(data, mime), block.title) if data else None
    return None


def _media(data: Any) -> str | None:
    return data if isinstance(data, str) and data else None


def from_neutral(item: object, *, as_url: bool = False) -> BaseModel | None:
    """A neutral content block as LlamaIndex's, or None where LlamaIndex has no word for it.

    ``as_url`` leaves a data URL in one piece.
    """
    if isinstance(item, dict) and block_type(item) in REASONING:
        thought = reasoning_text(item)
        if thought is None:
            return None
        # Anthropic takes its own thinking back only with this; LlamaIndex keeps it so.
        signed = {"signature": item["signature"]} if item.get("signature") else {}
        return ThinkingBlock(content=thought, additional_information=signed)
    block = standard_block(item)
    if block is None:
        return None
    try:
        return _from_standard(block, as_url=as_url)
    except ValidationError:
        return None  # a URL that is none, for instance; LangChain takes anything


def _from_standard(block: Mapping[str, Any], *, as_url: bool) -> BaseModel | None:
    kind = block.get("type")
    if kind == "text":
        return TextBlock(text=block["text"])
    if kind == "image_url":
        url, detail = block["image_url"]["url"], block["image_url"].get("detail")
        if not as_url and (parts := split_data_url(url)):
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


def with_fields(block: BaseModel, lost: Mapping[str, Any]) -> BaseModel:
    """A content block with what its neutral form left out; type and text stay."""
    own = fields_of(block)
    changes = {name: value for name, value in lost.items() if name not in ("block_type", "text")}
    return build_block({**own, **changes})
