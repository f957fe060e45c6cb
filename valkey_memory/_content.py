"""Content blocks in one neutral dialect, that of OpenAI's chat API, which most others accept.

A message's ``content`` is stored as its framework had it. Whoever reads it elsewhere, the other
framework or plain code, sees it through ``standard_blocks``: ``text``, ``image_url``,
``input_audio`` and ``file``. Blocks that are no message content for another reader (reasoning,
tool calls, which stand in ``tool_calls`` too) are left out of that view, never out of the list.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

Block = dict[str, Any]

REASONING = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
_ELSEWHERE = REASONING | {
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "tool_use",
    "toolUse",
    "function_call",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_use",
}


def text_block(text: str) -> Block:
    return {"type": "text", "text": text}


def image_block(url: str, detail: str | None = None) -> Block:
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


def audio_block(data: str, audio_format: str | None) -> Block:
    return {"type": "input_audio", "input_audio": {"data": data, "format": audio_format or "wav"}}


def file_block(file_data: str, filename: str | None) -> Block:
    file = {"file_data": file_data} if filename is None else {"filename": filename}
    return {"type": "file", "file": file | {"file_data": file_data}}


def data_url(data: str, mime_type: str | None) -> str:
    """A data URL of base64 ``data``."""
    return f"data:{mime_type or 'application/octet-stream'};base64,{data}"


def split_data_url(url: str) -> tuple[str, str] | None:
    """MIME type and base64 data of a data URL, or None for any other URL."""
    head, separator, data = url.partition(";base64,")
    return (head.removeprefix("data:"), data) if separator and head.startswith("data:") else None


def block_type(block: Mapping[str, Any]) -> str:
    """A block's type; Bedrock's Converse blocks name theirs by their only key."""
    kind = block.get("type")
    if isinstance(kind, str):
        return kind
    return next((key for key in block if isinstance(block[key], (str, dict))), "")


def _source_url(block: Mapping[str, Any], default_mime: str) -> str | None:
    """The URL of a media block, in LangChain's (both generations), Anthropic's or Bedrock's way."""
    source = block.get("source")
    if not isinstance(source, Mapping):
        source = {}
    mime = block.get("mime_type") or source.get("media_type") or default_mime
    encoded = block.get("base64") or block.get("data") or source.get("data")
    raw = source.get("bytes")
    if isinstance(encoded, str):
        return data_url(encoded, mime)
    if isinstance(raw, bytes):
        return data_url(base64.b64encode(raw).decode(), mime)
    url = block.get("url") or source.get("url")
    return url if isinstance(url, str) else None


def standard_block(block: object) -> Block | None:
    """One block in the neutral dialect; None where it has no place there; unknown ones as are."""
    if isinstance(block, str):
        return text_block(block)
    if not isinstance(block, dict):
        return None
    kind = block_type(block)
    if kind in _ELSEWHERE:
        return None
    if kind in ("text", "input_text", "output_text") and isinstance(block.get("text"), str):
        return text_block(block["text"])
    if kind == "image_url":
        image = block.get("image_url")
        return image_block(image) if isinstance(image, str) else block
    nested = block.get(kind)
    media = nested if isinstance(nested, dict) and "type" not in block else block
    if kind == "image":
        fallback = f"image/{media.get('format', 'png')}"
        url = _source_url(media, fallback)
        return image_block(url) if url else block
    if kind == "audio":
        url = _source_url(media, "audio/wav")
        parts = split_data_url(url) if url else None
        return audio_block(parts[1], parts[0].rpartition("/")[2]) if parts else block
    if kind in ("file", "document") and "file" not in block:
        url = _source_url(media, "application/pdf")
        name = media.get("filename") or media.get("name") or media.get("title")
        return file_block(url, name) if url and split_data_url(url) else block
    return block


def standard_blocks(content: Iterable[object]) -> list[Block]:
    """A list content in the neutral dialect, in order."""
    return [block for item in content if (block := standard_block(item)) is not None]
