"""Content blocks as real models and applications write them, by dialect."""

from __future__ import annotations

import base64
from typing import Any

Block = dict[str, Any]

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n-not-a-real-picture-").decode()
WAV = base64.b64encode(b"RIFF----WAVEfmt ").decode()
PDF = base64.b64encode(b"%PDF-1.7 not a real document").decode()
PNG_URL = f"data:image/png;base64,{PNG}"
REMOTE_URL = "https://example.com/cat.png"

STANDARD: list[Block] = [
    {"type": "text", "text": "What is this?"},
    {
        "type": "text",
        "text": "Paris",
        "annotations": [{"type": "citation", "url": "https://example.com", "start_index": 0}],
        "extras": {"cache_control": {"type": "ephemeral"}},
    },
    {"type": "reasoning", "reasoning": "First I look.", "extras": {"signature": "EqQB"}},
    {"type": "image", "url": REMOTE_URL},
    {"type": "image", "base64": PNG, "mime_type": "image/png"},
    {"type": "image", "file_id": "file-123"},
    {"type": "audio", "base64": WAV, "mime_type": "audio/wav"},
    {"type": "video", "url": "https://example.com/cat.mp4"},
    {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
    {"type": "file", "url": "https://example.com/a.pdf"},
    {"type": "file", "file_id": "file-123"},
    {"type": "text-plain", "text": "a,b", "mime_type": "text/csv", "title": "table"},
    {"type": "tool_call", "id": "call_1", "name": "search", "args": {"q": "cats"}},
    {"type": "tool_call_chunk", "id": "call_1", "name": "search", "args": '{"q"', "index": 0},
    {"type": "invalid_tool_call", "id": "call_1", "name": "search", "args": "{", "error": "cut"},
    {"type": "server_tool_call", "id": "srv_1", "name": "web_search", "args": {"query": "cats"}},
    {"type": "server_tool_result", "tool_call_id": "srv_1", "status": "success", "output": ["x"]},
    {"type": "non_standard", "value": {"anything": [1, None, 2.5]}},
]
OPENAI: list[Block] = [
    {"type": "image_url", "image_url": {"url": REMOTE_URL, "detail": "low"}},
    {"type": "image_url", "image_url": PNG_URL},
    {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
    {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    },
    {"type": "file", "file": {"file_id": "file-123"}},
    {"type": "refusal", "refusal": "I cannot."},
    {"type": "input_text", "text": "What is this?"},
    {"type": "output_text", "text": "A cat.", "annotations": [], "id": "msg_1"},
    {"type": "input_image", "image_url": REMOTE_URL, "detail": "auto"},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look."}]},
    {"type": "function_call", "call_id": "call_1", "name": "search", "arguments": "{}"},
]
ANTHROPIC: list[Block] = [
    {"type": "text", "text": "Long preamble", "cache_control": {"type": "ephemeral"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {"type": "image", "source": {"type": "url", "url": REMOTE_URL}},
    {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    },
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "text"}},
    {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    {"type": "thinking", "thinking": "Let me look.", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "EmwKAhgBEg"},
    {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "cats"}},
    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "2"}]},
]
BEDROCK: list[Block] = [
    {"text": "What is this?"},
    {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}},
    {"document": {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}},
    {"toolUse": {"toolUseId": "t1", "name": "search", "input": {"q": "cats"}}},
    {"cachePoint": {"type": "default"}},
    {
        "type": "reasoning_content",
        "reasoning_content": {"text": "Let me look.", "signature": "EqQB"},
    },
]
V0: list[Block] = [
    {"type": "image", "source_type": "base64", "data": PNG, "mime_type": "image/png"},
    {"type": "image", "source_type": "url", "url": REMOTE_URL},
    {"type": "audio", "source_type": "base64", "data": WAV, "mime_type": "audio/wav"},
    {
        "type": "file",
        "source_type": "base64",
        "data": PDF,
        "mime_type": "application/pdf",
        "filename": "a.pdf",
    },
    {"type": "file", "source_type": "text", "text": "plain"},
    {"type": "file", "source_type": "id", "id": "file-123"},
]
ALL_BLOCKS = STANDARD + OPENAI + ANTHROPIC + BEDROCK + V0

IMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "standard base64": ({"type": "image", "base64": PNG, "mime_type": "image/png"}, PNG_URL),
    "standard url": ({"type": "image", "url": REMOTE_URL}, REMOTE_URL),
    "openai data url": ({"type": "image_url", "image_url": {"url": PNG_URL}}, PNG_URL),
    "openai url": ({"type": "image_url", "image_url": {"url": REMOTE_URL}}, REMOTE_URL),
    "openai bare url": ({"type": "image_url", "image_url": REMOTE_URL}, REMOTE_URL),
    "openai responses": ({"type": "input_image", "image_url": REMOTE_URL}, REMOTE_URL),
    "anthropic base64": (ANTHROPIC[1], PNG_URL),
    "anthropic url": (ANTHROPIC[2], REMOTE_URL),
    "bedrock bytes": (BEDROCK[1], PNG_URL),
    "v0 base64": (V0[0], PNG_URL),
    "v0 url": (V0[1], REMOTE_URL),
}
"""An image in each dialect, and the URL under which every reader shall see it."""
