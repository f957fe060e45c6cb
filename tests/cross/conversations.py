"""One conversation in LangChain's words, in LlamaIndex's, in plain ones, and what it says."""

from __future__ import annotations

import base64
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.base.llms.types import (
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from ..langchain.content import PNG, PNG_URL, REMOTE_URL
from .faces import View

SAID = [
    View("system", ("Be brief.",)),
    View("developer", ("Answer in French.",)),
    View("user", ("Which cat is this?", "And this?"), (PNG_URL, REMOTE_URL)),
    View(
        "assistant",
        ("I look it up.",),
        calls=(
            ("call_1", "search", '{"limit": 2, "query": "cat"}'),
            ("call_2", "now", "{}"),
        ),
    ),
    View("tool", ("Maine Coon",), answers="call_1"),
    View("tool", ("12:00",), answers="call_2"),
    View("assistant", calls=(("call_3", "check", '{"ok": true}'),)),
    View("tool", ("right",), answers="call_3"),
    View("assistant", ("C'est un Maine Coon.",)),
    View("user", ("Merci ! 🐈",)),
]

LANGCHAIN: list[BaseMessage] = [
    SystemMessage("Be brief.", id="s1"),
    SystemMessage("Answer in French.", additional_kwargs={"__openai_role__": "developer"}),
    HumanMessage(
        [
            {"type": "text", "text": "Which cat is this?"},
            {"type": "image", "base64": PNG, "mime_type": "image/png"},
            "And this?",
            {"type": "image_url", "image_url": {"url": REMOTE_URL}},
        ],
        id="h1",
        name="alice",
    ),
    AIMessage(
        # As Anthropic has it: the calls stand in the content and in tool_calls.
        [
            {"type": "thinking", "thinking": "A cat?", "signature": "EqQB"},
            {"type": "text", "text": "I look it up."},
            {"type": "tool_use", "id": "call_1", "name": "search", "input": {"query": "cat"}},
            {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
        ],
        tool_calls=[
            {"id": "call_1", "name": "search", "args": {"query": "cat", "limit": 2}},
            {"id": "call_2", "name": "now", "args": {}},
        ],
        usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        response_metadata={"model_provider": "anthropic", "stop_reason": "tool_use"},
    ),
    ToolMessage("Maine Coon", tool_call_id="call_1", name="search", artifact={"score": (1, 2)}),
    ToolMessage([{"type": "text", "text": "12:00"}], tool_call_id="call_2", status="error"),
    AIMessage("", tool_calls=[{"id": "call_3", "name": "check", "args": {"ok": True}}]),
    ToolMessage("right", tool_call_id="call_3"),
    AIMessage("C'est un Maine Coon.", id="a3"),
    HumanMessage("Merci ! 🐈", mood="happy"),
]

LLAMA: list[LlamaMessage] = [
    LlamaMessage("Be brief.", role=MessageRole.SYSTEM),
    LlamaMessage("Answer in French.", role=MessageRole.DEVELOPER),
    LlamaMessage(
        role=MessageRole.USER,
        blocks=[
            TextBlock(text="Which cat is this?"),
            ImageBlock(image=base64.b64decode(PNG), image_mimetype="image/png"),
            TextBlock(text="And this?"),
            ImageBlock(url=REMOTE_URL, detail="low"),
        ],
        additional_kwargs={"name": "alice"},
    ),
    LlamaMessage(
        role=MessageRole.ASSISTANT,
        blocks=[
            ThinkingBlock(content="A cat?", num_tokens=3, additional_information={"a": 1}),
            TextBlock(text="I look it up."),
            ToolCallBlock(
                tool_call_id="call_1", tool_name="search", tool_kwargs={"query": "cat", "limit": 2}
            ),
            # OpenAI's arguments stay text in LlamaIndex.
            ToolCallBlock(tool_call_id="call_2", tool_name="now", tool_kwargs="{}"),
        ],
        additional_kwargs={"usage": {"total_tokens": 12}},
    ),
    LlamaMessage(
        "Maine Coon",
        role=MessageRole.TOOL,
        additional_kwargs={"tool_call_id": "call_1", "name": "search"},
    ),
    LlamaMessage("12:00", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call_2"}),
    LlamaMessage(
        role=MessageRole.ASSISTANT,
        # The older way, which its OpenAI class still reads.
        additional_kwargs={
            "tool_calls": [
                {
                    "id": "call_3",
                    "type": "function",
                    "function": {"name": "check", "arguments": '{"ok": true}'},
                }
            ]
        },
    ),
    LlamaMessage("right", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "call_3"}),
    LlamaMessage("C'est un Maine Coon.", role=MessageRole.CHATBOT),
    LlamaMessage("Merci ! 🐈", role=MessageRole.USER),
]

PLAIN: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": "Answer in French."},
    {
        "role": "user",
        "name": "alice",
        "content": [
            {"type": "text", "text": "Which cat is this?"},
            {"type": "image_url", "image_url": {"url": PNG_URL}},
            {"type": "text", "text": "And this?"},
            {"type": "image_url", "image_url": {"url": REMOTE_URL}},
        ],
    },
    {
        "role": "assistant",
        "content": "I look it up.",
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "search", "arguments": '{"query":"cat","limit":2}'},
            },
            {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "content": "Maine Coon", "tool_call_id": "call_1"},
    {"role": "tool", "content": "12:00", "tool_call_id": "call_2"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_3",
                "type": "function",
                "function": {"name": "check", "arguments": '{"ok": true}'},
            }
        ],
    },
    {"role": "tool", "content": "right", "tool_call_id": "call_3"},
    {"role": "assistant", "content": "C'est un Maine Coon."},
    {"role": "user", "content": "Merci ! 🐈"},
]
