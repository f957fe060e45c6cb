"""What plain code stored, for any API, as the frameworks read it: calls, results, text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.base.llms.types import (
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from valkey_memory import MessageStore, ValkeyConnection

from ..messages.plain import MESSAGES, PNG_URL, URL, beside, contents
from .codecs import LANGCHAIN, LLAMA, PLAIN, seen
from .faces import SESSION, LlamaFace, View, of_langchain, of_llama

SEARCH = ("search", '{"q": "cats"}')
SAID: dict[str, View] = {
    "anthropic text with cache control": View("user", ("Long.",)),
    "anthropic images": View("user", ("Which cat?",), (PNG_URL, URL)),
    "anthropic document with citations": View("user", ("What colour?",)),
    "anthropic thinking and tool use": View(
        "assistant", ("One moment.",), calls=(("toolu_1", *SEARCH), ("toolu_2", "now", "{}"))
    ),
    "anthropic tool use alone": View("assistant", calls=(("toolu_1", "search", '{"q": "c"}'),)),
    "anthropic tool result": View("tool", ("2 cats",), answers="toolu_1"),
    "anthropic tool result that failed": View("tool", ("no network",), answers="toolu_1"),
    "anthropic text with citations": View("assistant", ("Green.",)),
    "anthropic server tools": View("assistant", ("Found.",)),
    "bedrock text": View("user", ("Hello",)),
    "bedrock image and document": View("user", ("Look.",), (PNG_URL,)),
    "bedrock tool use": View("assistant", ("One moment.",), calls=(("t1", *SEARCH),)),
    "bedrock tool result": View("tool", ("2 cats",), answers="t1"),
    "bedrock tool result in JSON": View("tool", ('{"cats":2}',), answers="t1"),
    "openai text": View("user", ("Hello",)),
    "openai developer": View("developer", ("Be brief.",)),
    "openai image": View("user", ("Look.",), (PNG_URL,)),
    "openai tool call": View("assistant", calls=(("call_1", *SEARCH),)),
    "openai tool call without content": View("assistant", calls=(("call_1", *SEARCH),)),
    "openai tool result": View("tool", ("2 cats",), answers="call_1"),
    "openai function call": View("assistant"),
    "openai function result": View("function", ("2 cats",)),
    "openai refusal": View("assistant"),
    "openai refusal block": View("assistant"),
    "openai audio": View("assistant"),
    "openai all that the API gives": View("assistant", ("Hello",)),
    "openai nothing": View("assistant"),
    "openai responses": View("assistant", ("Hello",)),
    "other reasoning_content": View("assistant", ("4",)),
    "other ollama images": View("user", ("Look.",), (PNG_URL,)),
    "other ollama image bytes": View("user", ("Look.",), (PNG_URL,)),
    "other ollama image path": View("user", ("Look.",)),
    "other ollama tool call": View("assistant", calls=((None, *SEARCH),)),
    "other own keys": View("user", ("Hi",)),
    "other own ts": View("user", ("Hi",)),
    "other own ts that is text": View("user", ("Hi",)),
    "other values that JSON lacks": View("user", ("Hi",)),
    "other empty content": View("user"),
    "other no blocks": View("assistant"),
}


def test_langchain_reads_calls_results_and_text_of_any_api(
    plain: MessageStore, langchain: Any
) -> None:
    plain.extend(SESSION, [MESSAGES[name] for name in SAID])
    found = langchain.get_messages()
    assert dict(zip(SAID, map(of_langchain, found), strict=True)) == SAID
    assert plain.messages(SESSION) == [MESSAGES[name] for name in SAID]


def test_llama_index_reads_calls_results_and_text_of_any_api(
    plain: MessageStore, llama: LlamaFace
) -> None:
    plain.extend(SESSION, [MESSAGES[name] for name in SAID])
    found = llama.get_messages()
    assert dict(zip(SAID, map(of_llama, found), strict=True)) == SAID
    assert plain.messages(SESSION) == [MESSAGES[name] for name in SAID]


def test_elements_of_other_programs_are_read_the_same(
    connection: ValkeyConnection, prefix: str, langchain: Any, llama: LlamaFace
) -> None:
    """Without a time and the tags of this library: what any program writes with RPUSH."""
    bare = MessageStore(connection=connection, key_prefix=prefix, timestamps=False)
    names = [name for name in SAID if json.loads(json.dumps(_bare(name))) == MESSAGES[name]]
    assert len(names) > 25
    bare.extend(SESSION, [MESSAGES[name] for name in names])
    expected = [SAID[name] for name in names]
    assert [of_langchain(message) for message in langchain.get_messages()] == expected
    assert [of_llama(message) for message in llama.get_messages()] == expected


def _bare(name: str) -> Any:
    try:
        json.dumps(MESSAGES[name])
    except TypeError:
        return None
    return MESSAGES[name]


def in_langchain(name: str) -> BaseMessage:
    found: BaseMessage = seen(MESSAGES[name], PLAIN, LANGCHAIN)
    return found


def in_llama(name: str) -> LlamaMessage:
    found: LlamaMessage = seen(MESSAGES[name], PLAIN, LLAMA)
    return found


# What the view does not show


def test_langchain_keeps_the_blocks_that_its_own_classes_send_back() -> None:
    """langchain-anthropic and langchain-aws send the content on as it is."""
    for name in ("thinking and tool use", "images", "text with citations", "two tool results"):
        message = in_langchain(f"anthropic {name}")
        assert message.content == MESSAGES[f"anthropic {name}"]["content"]


def test_a_result_that_failed_is_one_for_langchain() -> None:
    failed = in_langchain("anthropic tool result that failed")
    assert isinstance(failed, ToolMessage)
    assert failed.status == "error"
    succeeded = in_langchain("anthropic tool result")
    assert isinstance(succeeded, ToolMessage)
    assert succeeded.status == "success"


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("openai refusal", {"refusal": "I cannot."}),
        ("openai function call", {"function_call": {"name": "search", "arguments": "{}"}}),
        ("openai audio", {"audio": MESSAGES["openai audio"]["audio"]}),
        ("other reasoning_content", {"reasoning_content": "2 and 2"}),
        ("other ollama tool call", {"reasoning_content": "I search."}),
    ],
)
def test_what_openai_has_beside_the_content_is_where_langchain_keeps_it(
    name: str, kwargs: dict[str, Any]
) -> None:
    message = in_langchain(name)
    assert isinstance(message, AIMessage)
    assert message.additional_kwargs == kwargs


def test_what_openai_has_beside_the_content_is_where_llama_index_keeps_it() -> None:
    assert in_llama("openai refusal").additional_kwargs == {"refusal": "I cannot."}
    assert in_llama("openai audio").additional_kwargs.keys() == {"audio"}
    assert in_llama("openai tool result").additional_kwargs == {"tool_call_id": "call_1"}


@pytest.mark.parametrize(
    ("name", "thought"),
    [
        ("anthropic thinking and tool use", "I search."),
        ("bedrock tool use", "I search."),
        ("other reasoning_content", "2 and 2"),
        ("other ollama tool call", "I search."),
    ],
)
def test_reasoning_is_thinking_for_llama_index(name: str, thought: str) -> None:
    first = in_llama(name).blocks[0]
    assert isinstance(first, ThinkingBlock)
    assert first.content == thought
    if name.startswith("anthropic"):  # which takes its thinking back with the signature only
        assert first.additional_information == {"signature": "EqQBCgIYAg=="}


def test_documents_are_documents_for_llama_index() -> None:
    blocks = in_llama("bedrock image and document").blocks
    assert [type(block) for block in blocks] == [ImageBlock, DocumentBlock, TextBlock]
    document = in_llama("anthropic document with citations").blocks[0]
    assert isinstance(document, DocumentBlock)
    assert document.resolve_document().read() == b"Grass is green."


def test_several_results_in_one_message_are_text_in_one_message() -> None:
    """A message is one message in every reader; LlamaIndex has no block for a result."""
    message = in_llama("anthropic two tool results")
    assert message.role == MessageRole.USER
    assert message.content == "2 cats\n12:00"
    kept = in_langchain("anthropic two tool results")
    assert isinstance(kept, HumanMessage)
    assert kept.content == MESSAGES["anthropic two tool results"]["content"]


def test_a_path_is_no_image() -> None:
    (block,) = in_llama("other ollama image path").blocks
    assert block == TextBlock(text="Look.")
    assert in_langchain("other ollama image path").content == "Look."


@given(content=contents, rest=beside)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_what_a_message_store_takes_closes_no_conversation(content: Any, rest: Any) -> None:
    """Whatever plain code wrote, frameworks read a message with its role and text."""
    message = {"role": "assistant", "content": content, **rest}
    langchain, llama = seen(message, PLAIN, LANGCHAIN), seen(message, PLAIN, LLAMA)
    assert langchain.type in ("ai", "tool")
    assert llama.role in (MessageRole.ASSISTANT, MessageRole.TOOL)
    if isinstance(content, str) and not rest.get("images"):
        assert langchain.content == content
        assert (llama.content or "") == content
    for block in llama.blocks:
        assert not isinstance(block, ToolCallBlock) or isinstance(block.tool_name, str)
        assert getattr(block, "path", None) is None
