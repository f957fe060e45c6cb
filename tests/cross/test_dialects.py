"""Content blocks and tool calls in each dialect, as the other framework and plain code see them.

No server here; ``test_continue`` puts whole conversations through one.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from pydantic import BaseModel

from ..langchain.content import (
    ALL_BLOCKS,
    ANTHROPIC,
    IMAGES,
    PDF,
    PNG,
    PNG_URL,
    REMOTE_URL,
    V0,
    WAV,
)
from .codecs import LANGCHAIN, LLAMA, PLAIN, seen
from .faces import View, of_langchain, of_llama, of_plain

PICTURE, SOUND, PAPER = map(base64.b64decode, (PNG, WAV, PDF))


@pytest.mark.parametrize("dialect", IMAGES)
def test_an_image_in_any_dialect_of_langchain_is_seen_everywhere(dialect: str) -> None:
    block, url = IMAGES[dialect]
    message = HumanMessage([{"type": "text", "text": "Look:"}, block])
    expected = View("user", ("Look:",), (url,))
    assert of_llama(seen(message, LANGCHAIN, LLAMA)) == expected
    assert of_plain(seen(message, LANGCHAIN, PLAIN)) == expected


@pytest.mark.parametrize("detail", [None, "low", "high"])
@pytest.mark.parametrize("address", [PNG_URL, REMOTE_URL], ids=["data", "remote"])
def test_the_detail_of_an_image_is_kept(address: str, detail: str | None) -> None:
    image = {"url": address} if detail is None else {"url": address, "detail": detail}
    content: list[Any] = [{"type": "image_url", "image_url": image}]
    message = seen(HumanMessage(content), LANGCHAIN, LLAMA)
    assert message.blocks[0].detail == detail
    assert seen(message, LLAMA, PLAIN)["content"] == content
    assert seen(message, LLAMA, LANGCHAIN).content == content


def test_an_image_has_the_same_bytes_for_llama_index() -> None:
    (block,) = seen(HumanMessage([IMAGES["anthropic base64"][0]]), LANGCHAIN, LLAMA).blocks
    assert isinstance(block, ImageBlock)
    assert block.resolve_image().read() == PICTURE


@pytest.mark.parametrize(
    "block",
    [
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        {"type": "audio", "base64": WAV, "mime_type": "audio/wav"},
        V0[2],
    ],
    ids=["openai", "standard", "v0"],
)
def test_sound_of_langchain_is_heard_everywhere(block: dict[str, Any]) -> None:
    message = HumanMessage([block])
    (audio,) = seen(message, LANGCHAIN, LLAMA).blocks
    assert isinstance(audio, AudioBlock)
    assert audio.resolve_audio().read() == SOUND
    assert audio.format == "wav"
    assert seen(message, LANGCHAIN, PLAIN)["content"] == [
        {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
    ]


def _bedrock_document(kind: str, data: bytes) -> dict[str, Any]:
    return {"document": {"format": kind, "name": "a", "source": {"bytes": data}}}


FILES: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "openai": (
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        },
        PAPER,
        "application/pdf",
    ),
    "standard": (
        {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
        PAPER,
        "application/pdf",
    ),
    "anthropic base64": (ANTHROPIC[3], PAPER, "application/pdf"),
    "anthropic text": (ANTHROPIC[4], b"text", "text/plain"),
    "v0": (V0[3], PAPER, "application/pdf"),
    "bedrock pdf": (_bedrock_document("pdf", PAPER), PAPER, "application/pdf"),
    "bedrock csv": (_bedrock_document("csv", b"a,b"), b"a,b", "text/csv"),
}


@pytest.mark.parametrize("dialect", FILES)
def test_a_file_of_langchain_has_the_same_bytes_everywhere(dialect: str) -> None:
    block, content, mime_type = FILES[dialect]
    message = HumanMessage([block])
    (document,) = seen(message, LANGCHAIN, LLAMA).blocks
    assert isinstance(document, DocumentBlock)
    assert document.resolve_document().read() == content
    assert document.document_mimetype == mime_type
    (plain,) = seen(message, LANGCHAIN, PLAIN)["content"]
    encoded = base64.b64encode(content).decode()
    assert plain["file"]["file_data"] == f"data:{mime_type};base64,{encoded}"


def test_media_of_llama_index_are_seen_by_langchain() -> None:
    blocks = [
        ImageBlock(image=PICTURE, image_mimetype="image/png"),
        AudioBlock(audio=SOUND, format="wav"),
        DocumentBlock(data=PAPER, document_mimetype="application/pdf", title="a.pdf"),
    ]
    found = seen(LlamaMessage(role="user", blocks=blocks), LLAMA, LANGCHAIN)
    assert [
        (block["type"], block["base64"], block["mime_type"]) for block in found.content_blocks
    ] == [
        ("image", PNG, "image/png"),
        ("audio", WAV, "audio/wav"),
        ("file", PDF, "application/pdf"),
    ]


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=lambda block: json.dumps(block, default=str)[:60])
@pytest.mark.parametrize("cls", [HumanMessage, AIMessage])
def test_no_block_of_langchain_hides_a_message_from_others(cls: Any, block: Any) -> None:
    message = cls([{"type": "text", "text": "Look:"}, block])
    assert of_llama(seen(message, LANGCHAIN, LLAMA)).texts[0] == "Look:"
    assert of_plain(seen(message, LANGCHAIN, PLAIN)).texts[0] == "Look:"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "no address"}},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url"},
        {"type": "image"},
        {"type": "input_audio", "input_audio": {"data": WAV}},
        {"type": "input_audio"},
        {"type": "file", "file": {"file_data": None}},
        {"type": "file", "file": "file-1"},
        {"type": "file"},
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": None},
        {},
    ],
    ids=json.dumps,
)
def test_a_block_that_is_incomplete_hides_no_message_from_others(block: Any) -> None:
    """LangChain takes any dict; one of them must not close the conversation to LlamaIndex."""
    message = HumanMessage([{"type": "text", "text": "Look:"}, block])
    assert of_llama(seen(message, LANGCHAIN, LLAMA)).texts == ("Look:",)
    text = seen(message, LANGCHAIN, PLAIN)["content"][0]
    assert text == {"type": "text", "text": "Look:"}


# Reasoning


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "First I look."},
        {"type": "thinking", "thinking": "First I look.", "signature": "EqQB"},
    ],
    ids=["standard", "anthropic"],
)
def test_reasoning_of_langchain_is_thinking_for_llama_index_and_not_said_to_models(
    block: dict[str, Any],
) -> None:
    message = AIMessage([block, {"type": "text", "text": "A cat."}])
    thought, text = seen(message, LANGCHAIN, LLAMA).blocks
    assert isinstance(thought, ThinkingBlock)
    assert thought.content == "First I look."
    assert text == TextBlock(text="A cat.")
    assert seen(message, LANGCHAIN, PLAIN)["content"] == [{"type": "text", "text": "A cat."}]


def test_thinking_of_llama_index_is_not_said_to_anybody_else() -> None:
    message = LlamaMessage(
        role="assistant", blocks=[ThinkingBlock(content="Hm."), TextBlock(text="A cat.")]
    )
    expected = View("assistant", ("A cat.",))
    assert of_langchain(seen(message, LLAMA, LANGCHAIN)) == expected
    assert of_plain(seen(message, LLAMA, PLAIN)) == expected


# Tool calls


class Function(BaseModel):
    name: str
    arguments: str


class OpenAIToolCall(BaseModel):
    """What OpenAI's client gives, and older LlamaIndex keeps as it is."""

    id: str
    type: str = "function"
    function: Function


def _calling(arguments: Any) -> LlamaMessage:
    call = ToolCallBlock(tool_call_id="1", tool_name="f", tool_kwargs=arguments)
    return LlamaMessage(role="assistant", blocks=[call])


@pytest.mark.parametrize(
    "message",
    [
        _calling({"a": [1]}),
        _calling('{"a": [1]}'),
        LlamaMessage(
            role="assistant",
            content="",
            additional_kwargs={
                "tool_calls": [
                    OpenAIToolCall(id="1", function=Function(name="f", arguments='{"a": [1]}'))
                ]
            },
        ),
    ],
    ids=["dict", "text", "OpenAI's object"],
)
def test_a_tool_call_of_llama_index_can_be_run_by_langchain(message: LlamaMessage) -> None:
    found = seen(message, LLAMA, LANGCHAIN)
    assert found.tool_calls == [{"type": "tool_call", "name": "f", "args": {"a": [1]}, "id": "1"}]
    assert found.invalid_tool_calls == []


def test_a_tools_result_of_langchain_is_one_for_llama_index() -> None:
    result = seen(ToolMessage("done", tool_call_id="1", name="f"), LANGCHAIN, LLAMA)
    assert (result.role, result.content) == (MessageRole.TOOL, "done")
    assert result.additional_kwargs == {"tool_call_id": "1", "name": "f"}


def test_arguments_that_are_no_json_are_an_invalid_call_for_langchain() -> None:
    found = seen(_calling('{"a": '), LLAMA, LANGCHAIN)
    (invalid,) = found.invalid_tool_calls
    assert (invalid["id"], invalid["name"], invalid["args"]) == ("1", "f", '{"a": ')
    assert found.tool_calls == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        [{"type": "text", "text": "I look."}],
        [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}],
        [{"type": "tool_call", "id": "1", "name": "f", "args": {"a": 1}}],
        [{"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": 1}'}],
        [{"toolUse": {"toolUseId": "1", "name": "f", "input": {"a": 1}}}],
    ],
    ids=["empty", "text", "anthropic", "standard", "openai responses", "bedrock"],
)
def test_a_tool_call_of_langchain_is_seen_once(content: Any) -> None:
    message = AIMessage(content, tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}])
    blocks = seen(message, LANGCHAIN, LLAMA).blocks
    assert [type(block) for block in blocks if type(block) is not TextBlock] == [ToolCallBlock]
    assert of_llama(seen(message, LANGCHAIN, LLAMA)).calls == (("1", "f", '{"a": 1}'),)
    assert of_plain(seen(message, LANGCHAIN, PLAIN)).calls == (("1", "f", '{"a": 1}'),)
