"""LlamaIndex's stores behind one small interface, and what a message says in any framework."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, SystemMessage
from llama_index.core.base.llms.types import ChatMessage as LlamaMessage
from llama_index.core.base.llms.types import ImageBlock, TextBlock, ToolCallBlock

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from valkey_memory import ValkeyConnection

SESSION = "s1"


class LlamaFace(Protocol):
    """The conversation ``s1``, as LlamaIndex reads and writes it."""

    def get_messages(self) -> list[LlamaMessage]: ...

    def add_messages(self, messages: list[LlamaMessage]) -> None: ...


class SyncChatStore:
    def __init__(self, connection: ValkeyConnection, prefix: str) -> None:
        self.store = ValkeyChatStore(connection=connection, key_prefix=prefix)

    def get_messages(self) -> list[LlamaMessage]:
        return self.store.get_messages(SESSION)

    def add_messages(self, messages: list[LlamaMessage]) -> None:
        for message in messages:
            self.store.add_message(SESSION, message)


class AsyncChatStore(SyncChatStore):
    def get_messages(self) -> list[LlamaMessage]:
        return asyncio.run(self.store.aget_messages(SESSION))

    def add_messages(self, messages: list[LlamaMessage]) -> None:
        async def add() -> None:
            for message in messages:
                await self.store.async_add_message(SESSION, message)

        asyncio.run(add())


class DBChatStore:
    def __init__(self, connection: ValkeyConnection, prefix: str) -> None:
        self.store = ValkeyDBChatStore(connection=connection, key_prefix=prefix)

    def get_messages(self) -> list[LlamaMessage]:
        return asyncio.run(self.store.get_messages(SESSION))

    def add_messages(self, messages: list[LlamaMessage]) -> None:
        asyncio.run(self.store.add_messages(SESSION, messages))


LLAMA_FACES: dict[str, Callable[[ValkeyConnection, str], LlamaFace]] = {
    "chat store": SyncChatStore,
    "chat store async": AsyncChatStore,
    "db chat store": DBChatStore,
}


@dataclass(frozen=True)
class View:
    """What a message says, whoever reads it."""

    role: str
    texts: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    calls: tuple[tuple[str | None, str, str], ...] = ()
    """Id, name, and arguments as JSON with sorted keys."""
    answers: str | None = None
    """The id of the tool call that this is the result of."""


def _call(call_id: str | None, name: str, arguments: Any) -> tuple[str | None, str, str]:
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    return call_id, name, json.dumps(arguments, sort_keys=True)


def _openai_calls(calls: Any) -> tuple[tuple[str | None, str, str], ...]:
    return tuple(
        _call(call.get("id"), call["function"]["name"], call["function"]["arguments"])
        for call in calls or ()
    )


_LANGCHAIN_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def of_langchain(message: BaseMessage) -> View:
    """A view through LangChain's own ``content_blocks``."""
    role = _LANGCHAIN_ROLES.get(message.type, message.type)
    if isinstance(message, ChatMessage):
        role = message.role
    elif isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__", role)
    blocks: list[Any] = message.content_blocks
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return View(
        role,
        tuple(block["text"] for block in blocks if block["type"] == "text" and block["text"]),
        tuple(
            block.get("url") or f"data:{block['mime_type']};base64,{block['base64']}"
            for block in blocks
            if block["type"] == "image"
        ),
        tuple(_call(call["id"], call["name"], call["args"]) for call in calls),
        getattr(message, "tool_call_id", None),
    )


def of_llama(message: LlamaMessage) -> View:
    """A view through LlamaIndex's blocks and the additional_kwargs that its LLMs read."""
    blocks = message.blocks
    images = [block for block in blocks if isinstance(block, ImageBlock)]
    calls = tuple(
        _call(block.tool_call_id, block.tool_name, block.tool_kwargs)
        for block in blocks
        if isinstance(block, ToolCallBlock)
    )
    return View(
        {"chatbot": "assistant", "model": "assistant"}.get(message.role.value, message.role.value),
        tuple(block.text for block in blocks if isinstance(block, TextBlock) and block.text),
        tuple(
            f"data:{block.image_mimetype};base64,{block.image.decode()}"
            if isinstance(block.image, bytes)
            else str(block.url)
            for block in images
        ),
        calls + _openai_calls(message.additional_kwargs.get("tool_calls")),
        message.additional_kwargs.get("tool_call_id"),
    )


def of_plain(message: Mapping[str, Any]) -> View:
    """A view as OpenAI's chat API has it."""
    content = message["content"]
    blocks: list[dict[str, Any]] = content or []
    if isinstance(content, str):
        blocks = [{"type": "text", "text": content}]
    return View(
        message["role"],
        tuple(block["text"] for block in blocks if block.get("type") == "text" and block["text"]),
        tuple(block["image_url"]["url"] for block in blocks if block.get("type") == "image_url"),
        _openai_calls(message.get("tool_calls")),
        message.get("tool_call_id"),
    )
