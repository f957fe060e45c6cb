"""Content blocks in one neutral dialect, that of OpenAI's chat API, which most others accept.

A message's ``content`` is stored as its framework had it. Whoever reads it elsewhere, the other
framework or plain code, sees it through ``standard_blocks``: ``text``, ``image_url``,
``input_audio`` and ``file``. Blocks that are no message content for another reader (reasoning,
tool calls, which stand in ``tool_calls`` too) are left out of that view, never out of the list.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Block = dict[str, Any]

REASONING = frozenset(
    {"thinking", "redacted_thinking", "reasoning", "reasoning_content", "reasoningContent"}
)
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
    name = {} if filename is None else {"filename": filename}
    return {"type": "file", "file": {**name, "file_data": file_data}}


def data_url(data: str, mime_type: str | None) -> str:
    """A data URL of base64 ``data``."""
    return f"data:{mime_type or 'application/octet-stream'};base64,{data}"


def split_data_url(url: str) -> tuple[str, str] | None:
    """MIME type and base64 data of a data URL, or None for any other URL."""
    head, separator, data = url.partition(";base64,")
    return (head.removeprefix("data:"), data) if separator and head.startswith("data:") else None


def block_type(block: Mapping[str, Any]) -> str:
    """A block's type; Bedrock's Converse blocks name theirs by their only key."""
    if "type" in block:
        return block["type"] if isinstance(block["type"], str) else ""
    return next((key for key in block if isinstance(block[key], (str, dict))), "")


def reasoning_text(block: Mapping[str, Any]) -> str | None:
    """What a block of reasoning says, in any dialect; None where it is encrypted or empty."""
    kind = block_type(block)
    said = block.get(kind) or block.get("text")
    if isinstance(said, Mapping):  # Bedrock's
        said = said.get("reasoningText", said)
        said = said.get("text") if isinstance(said, Mapping) else said
    return said if isinstance(said, str) else None


def _media_url(block: Mapping[str, Any], kind: str) -> str | None:
    """The URL of a media block, in LangChain's (both generations), Anthropic's or Bedrock's way."""
    source = block.get("source")
    if not isinstance(source, Mapping):
        source = {}
    guessed, _ = mimetypes.guess_type(f"x.{block.get('format', '')}")
    mime = block.get("mime_type") or source.get("media_type") or guessed or _DEFAULT_MIME[kind]
    data = block.get("base64") or block.get("data") or source.get("data")
    raw = source.get("bytes")
    if source.get("type") == "text" or block.get("source_type") == "text":
        text = data or block.get("text")
        raw, data = (text.encode(), None) if isinstance(text, str) else (None, None)
        mime = block.get("mime_type") or source.get("media_type") or "text/plain"
    if isinstance(raw, bytes):
        data = base64.b64encode(raw).decode()
    if isinstance(data, str):
        return data_url(data, mime)
    url = block.get("url") or source.get("url")
    return url if isinstance(url, str) else None


_DEFAULT_MIME = {"image": "image/png", "audio": "audio/wav", "file": "application/pdf"}


def _standard_text(block: Mapping[str, Any]) -> Block | None:
    text = block.get("text")
    return text_block(text) if isinstance(text, str) else None


def _standard_image(block: Mapping[str, Any]) -> Block | None:
    image = block.get("image_url")
    if isinstance(image, Mapping):
        url, detail = image.get("url"), image.get("detail")
    else:
        url, detail = image or _media_url(block, "image"), block.get("detail")
    return image_block(url, detail) if isinstance(url, str) and url else None


def _standard_audio(block: Mapping[str, Any]) -> Block | None:
    audio = block.get("input_audio")
    if isinstance(audio, Mapping):
        data, sound = audio.get("data"), audio.get("format")
    else:
        url = _media_url(block, "audio")
        sound, data = (split_data_url(url) if url else None) or (None, None)
    if not isinstance(data, str):
        return None
    return audio_block(data, sound.rpartition("/")[2] if isinstance(sound, str) else None)


def _standard_file(block: Mapping[str, Any]) -> Block | None:
    file = block.get("file")
    if isinstance(file, Mapping):
        data, name, file_id = file.get("file_data"), file.get("filename"), file.get("file_id")
    else:
        data = _media_url(block, "file")
        name = block.get("filename") or block.get("name") or block.get("title")
        file_id = block.get("file_id") or block.get("id")
    if isinstance(data, str) and split_data_url(data):
        return file_block(data, name if isinstance(name, str) else None)
    return {"type": "file", "file": {"file_id": file_id}} if isinstance(file_id, str) else None


_STANDARD: dict[str, Callable[[Mapping[str, Any]], Block | None]] = {
    "text": _standard_text,
    "input_text": _standard_text,
    "output_text": _standard_text,
    "image": _standard_image,
    "image_url": _standard_image,
    "input_image": _standard_image,
    "audio": _standard_audio,
    "input_audio": _standard_audio,
    "file": _standard_file,
    "input_file": _standard_file,
    "document": _standard_file,
}


def standard_block(block: object) -> Block | None:
    """One block in the neutral dialect, well formed.

    None where it has no place there or is incomplete; a block of an unknown type as it is.
    """
    if isinstance(block, str):
        return text_block(block)
    if not isinstance(block, dict):
        return None
    kind = block_type(block)
    if not kind or kind in _ELSEWHERE:
        return None
    convert = _STANDARD.get(kind)
    if convert is None:
        return block
    nested = block.get(kind)
    is_bedrock = "type" not in block and isinstance(nested, Mapping)
    return convert(nested if is_bedrock and isinstance(nested, Mapping) else block)


def standard_blocks(content: Iterable[object]) -> list[Block]:
    """A list content in the neutral dialect, in order."""
    return [block for item in content if (block := standard_block(item)) is not None]
