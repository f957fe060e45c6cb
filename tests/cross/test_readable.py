"""Any message of one framework can be read in the other, and says the same. Pure; no server."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
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
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage

from ..langchain.strategies import any_message, texts, values
from .codecs import LANGCHAIN, LLAMA, PLAIN, seen

pure = settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def texts_of(content: Any) -> list[str]:
    """What a content of LangChain's or of plain code says, without what is empty."""
    if isinstance(content, str):
        content = [content]
    found: list[Any] = []
    for block in content or ():
        if isinstance(block, str):
            found.append(block)
        elif block.get("type") in (None, "text", "input_text", "output_text"):
            found.append(block.get("text"))
    return [text for text in found if text and isinstance(text, str)]


def with_results(content: Any) -> Any:
    """A content with what Anthropic's blocks of tools' results hold in their place.

    LlamaIndex has no block for a result, so it is read as text.
    """
    if isinstance(content, str):
        return content
    found: list[Any] = []
    for block in content:
        is_result = isinstance(block, dict) and block.get("type") == "tool_result"
        found += block["content"] if is_result else [block]
    return found


def texts_of_llama(message: LlamaMessage) -> list[str]:
    return [block.text for block in message.blocks if type(block) is TextBlock and block.text]


@pure
@given(any_message)
def test_llama_index_reads_the_text_of_any_message_of_langchain(message: BaseMessage) -> None:
    found = seen(message, LANGCHAIN, LLAMA)
    assert texts_of_llama(found) == texts_of(with_results(message.content))


@pure
@given(any_message)
def test_llama_index_reads_the_calls_of_any_message_of_langchain(message: BaseMessage) -> None:
    found = seen(message, LANGCHAIN, LLAMA)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    assert [
        {
            "type": "tool_call",
            "id": block.tool_call_id,
            "name": block.tool_name,
            "args": block.tool_kwargs,
        }
        for block in found.blocks
        if isinstance(block, ToolCallBlock)
    ] == calls


@pure
@given(any_message)
def test_plain_code_reads_the_text_of_any_message_of_langchain(message: BaseMessage) -> None:
    found = seen(message, LANGCHAIN, PLAIN)
    assert found.keys() <= {"role", "content", "tool_calls", "tool_call_id", "name"}
    assert texts_of(found["content"]) == texts_of(message.content)


media = st.binary(min_size=1, max_size=20)
urls = st.sampled_from(["https://example.com/a.png", "s3://bucket/key"])
call_arguments = st.dictionaries(texts, values, max_size=2) | st.sampled_from(
    ['{"a": 1}', "{}", "{cut", "", "[1]"]
)
text_blocks = st.builds(TextBlock, text=texts)
llama_blocks = st.one_of(
    text_blocks,
    st.builds(ImageBlock, image=media, image_mimetype=st.just("image/png")),
    st.builds(ImageBlock, url=urls, detail=st.sampled_from([None, "low"])),
    st.builds(AudioBlock, audio=media, format=st.sampled_from(["wav", "mp3"])),
    st.builds(AudioBlock, url=urls),
    st.builds(VideoBlock, video=media, video_mimetype=st.just("video/mp4")),
    st.builds(DocumentBlock, data=media, document_mimetype=st.just("application/pdf")),
    st.builds(DocumentBlock, url=urls),
    st.builds(CachePoint, cache_control=st.just({"type": "ephemeral"})),
    st.builds(CitableBlock, title=texts, source=texts, content=st.lists(text_blocks, max_size=2)),
    st.builds(
        CitationBlock,
        cited_content=text_blocks,
        source=texts,
        title=texts,
        additional_location_info=st.dictionaries(texts, st.integers(), max_size=1),
    ),
    st.builds(
        ThinkingBlock,
        content=st.none() | texts,
        num_tokens=st.none() | st.integers(0, 9),
        additional_information=st.dictionaries(texts, values, max_size=1),
    ),
    st.builds(
        ToolCallBlock, tool_call_id=st.none() | texts, tool_name=texts, tool_kwargs=call_arguments
    ),
)
any_llama_message = st.builds(
    LlamaMessage,
    role=st.sampled_from(MessageRole),
    content=texts | st.lists(llama_blocks, max_size=4),
    additional_kwargs=st.fixed_dictionaries(
        {}, optional={"tool_call_id": texts, "name": texts, "anything": values}
    ),
)


@pure
@given(any_llama_message)
def test_langchain_reads_the_text_of_any_message_of_llama_index(message: LlamaMessage) -> None:
    found = seen(message, LLAMA, LANGCHAIN)
    assert texts_of(found.content) == texts_of_llama(message)


@pure
@given(any_llama_message)
def test_plain_code_reads_the_text_of_any_message_of_llama_index(message: LlamaMessage) -> None:
    found = seen(message, LLAMA, PLAIN)
    assert found.keys() <= {"role", "content", "tool_calls", "tool_call_id", "name"}
    assert texts_of(found["content"]) == texts_of_llama(message)


def _is_object(arguments: Any) -> bool:
    try:
        return isinstance(json.loads(arguments or "{}"), dict)
    except ValueError:
        return False


@pure
@given(any_llama_message)
def test_langchain_reads_the_calls_of_an_assistant_of_llama_index(message: LlamaMessage) -> None:
    message.role = MessageRole.ASSISTANT
    found = seen(message, LLAMA, LANGCHAIN)
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    valid = [b for b in calls if isinstance(b.tool_kwargs, dict) or _is_object(b.tool_kwargs)]
    invalid = [block for block in calls if block not in valid]
    assert [(call["id"], call["name"], call["args"]) for call in found.tool_calls] == [
        (
            block.tool_call_id,
            block.tool_name,
            block.tool_kwargs
            if isinstance(block.tool_kwargs, dict)
            else json.loads(block.tool_kwargs or "{}"),
        )
        for block in valid
    ]
    assert [(call["id"], call["name"], call["args"]) for call in found.invalid_tool_calls] == [
        (block.tool_call_id, block.tool_name, block.tool_kwargs) for block in invalid
    ]
