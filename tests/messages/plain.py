"""Messages as applications without a framework keep them, by the API that they are for."""

from __future__ import annotations

import base64
from typing import Any

import hypothesis.strategies as st
from pydantic import BaseModel

Message = dict[str, Any]

PNG_BYTES = b"\x89PNG\r\n\x1a\n-not-a-real-picture-"
PNG = base64.b64encode(PNG_BYTES).decode()
PNG_URL = f"data:image/png;base64,{PNG}"
URL = "https://example.com/cat.png"

ANTHROPIC: dict[str, Message] = {
    "text with cache control": {
        "role": "user",
        "content": [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}],
    },
    "images": {
        "role": "user",
        "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source": {"type": "url", "url": URL}},
            {"type": "text", "text": "Which cat?"},
        ],
    },
    "document with citations": {
        "role": "user",
        "content": [
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Grass is green."},
                "title": "Colours",
                "context": None,
                "citations": {"enabled": True},
            },
            {"type": "text", "text": "What colour?"},
        ],
    },
    "thinking and tool use": {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "I search.", "signature": "EqQBCgIYAg=="},
            {"type": "redacted_thinking", "data": "EmwKAhgBEg"},
            {"type": "text", "text": "One moment."},
            {"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "cats"}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        ],
    },
    "tool use alone": {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "toolu_1", "name": "search", "input": {"q": "c"}}],
    },
    "tool result": {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "2 cats"}],
    },
    "tool result that failed": {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [{"type": "text", "text": "no network"}],
                "is_error": True,
            }
        ],
    },
    "two tool results": {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "2 cats"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "12:00"},
        ],
    },
    "text with citations": {
        "role": "assistant",
        "content": [
            {
                "type": "text",
                "text": "Green.",
                "citations": [{"type": "char_location", "cited_text": "Grass is green."}],
            }
        ],
    },
    "server tools": {
        "role": "assistant",
        "content": [
            {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"q": "c"}},
            {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
            {"type": "text", "text": "Found."},
        ],
    },
}
BEDROCK: dict[str, Message] = {
    "text": {"role": "user", "content": [{"text": "Hello"}]},
    "image and document": {
        "role": "user",
        "content": [
            {"image": {"format": "png", "source": {"bytes": PNG_BYTES}}},
            {"document": {"format": "pdf", "name": "a", "source": {"bytes": b"%PDF-\xff"}}},
            {"text": "Look."},
            {"cachePoint": {"type": "default"}},
        ],
    },
    "tool use": {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "I search.", "signature": "x"}}},
            {"text": "One moment."},
            {"toolUse": {"toolUseId": "t1", "name": "search", "input": {"q": "cats"}}},
        ],
    },
    "tool result": {
        "role": "user",
        "content": [
            {
                "toolResult": {
                    "toolUseId": "t1",
                    "content": [{"text": "2 cats"}],
                    "status": "success",
                }
            }
        ],
    },
    "tool result in JSON": {
        "role": "user",
        "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"cats": 2}}]}}],
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "search", "arguments": '{"q": "cats"}'},
}
OPENAI: dict[str, Message] = {
    "text": {"role": "user", "content": "Hello", "name": "alice"},
    "developer": {"role": "developer", "content": "Be brief."},
    "image": {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look."},
            {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
        ],
    },
    "tool call": {"role": "assistant", "content": None, "tool_calls": [CALL]},
    "tool call without content": {"role": "assistant", "tool_calls": [CALL]},
    "tool result": {"role": "tool", "content": "2 cats", "tool_call_id": "call_1"},
    "function call": {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "search", "arguments": "{}"},
    },
    "function result": {"role": "function", "name": "search", "content": "2 cats"},
    "refusal": {"role": "assistant", "content": None, "refusal": "I cannot."},
    "refusal block": {
        "role": "assistant",
        "content": [{"type": "refusal", "refusal": "I cannot."}],
    },
    "audio": {
        "role": "assistant",
        "content": None,
        "audio": {"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Hi"},
    },
    "all that the API gives": {
        "role": "assistant",
        "content": "Hello",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    },
    "nothing": {"role": "assistant", "content": None},
    "responses": {
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
    },
}
OTHERS: dict[str, Message] = {
    "reasoning_content": {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"},
    "ollama images": {"role": "user", "content": "Look.", "images": [PNG]},
    "ollama image bytes": {"role": "user", "content": "Look.", "images": [PNG_BYTES]},
    "ollama image path": {"role": "user", "content": "Look.", "images": ["/etc/hostname"]},
    "ollama tool call": {
        "role": "assistant",
        "content": "",
        "thinking": "I search.",
        "tool_calls": [{"function": {"name": "search", "arguments": {"q": "cats"}}}],
    },
    "ollama tool result": {"role": "tool", "content": "2 cats", "tool_name": "search"},
    "own keys": {
        "role": "user",
        "content": "Hi",
        "id": "m1",
        "created": 1.5,
        "metadata": {"a": [1, None, {"b": True}]},
    },
    "own ts": {"role": "user", "content": "Hi", "ts": 12},
    "own ts that is text": {"ts": "today", "role": "user", "content": "Hi"},
    "values that JSON lacks": {"role": "user", "content": "Hi", "tags": (1, {2}, b"\xff")},
    "empty content": {"role": "user", "content": ""},
    "no blocks": {"role": "assistant", "content": []},
    "own role": {"role": "critic", "content": "Hm."},
}
MESSAGES: dict[str, Message] = {
    f"{api} {name}": message
    for api, group in (
        ("anthropic", ANTHROPIC),
        ("bedrock", BEDROCK),
        ("openai", OPENAI),
        ("other", OTHERS),
    )
    for name, message in group.items()
}

_KEYS = [
    *("type", "text", "source", "bytes", "data", "url"),
    *("id", "name", "input", "function", "content", "arguments"),
    *("args", "custom", "json", "toolUse", "toolResult", "toolUseId"),
    *("tool_use_id", "call_id", "reasoningContent", "image", "image_url", "format"),
    *("file",),
]
_TYPES = [
    *("text", "image", "image_url", "document", "file", "input_audio"),
    *("tool_use", "tool_result", "function_call", "thinking"),
]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS), inner | st.sampled_from(_TYPES), max_size=4)
    ),
    max_leaves=12,
)
contents = st.text() | st.lists(anything, max_size=3)
beside = st.dictionaries(
    st.sampled_from(
        [
            *("tool_calls", "images", "name", "id", "tool_call_id", "tool_name"),
            *("function_call", "audio", "refusal", "thinking", "reasoning_content", "ts"),
            *("own",),
        ]
    ),
    anything,
)
"""What stands beside role and content."""


class Function(BaseModel):
    name: str
    arguments: str


class ToolCall(BaseModel):
    id: str
    type: str = "function"
    function: Function


class ClientMessage(BaseModel):
    """As OpenAI's client gives a message: more fields than were sent, and a dict of those."""

    role: str
    content: str | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    tool_calls: list[ToolCall] | None = None

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class ClientBlock(BaseModel):
    """As Anthropic's client gives a block of a content."""

    type: str
    text: str
