"""A memory block that keeps a running summary, for LlamaIndex's ``Memory``."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import BaseMemoryBlock
from pydantic import PrivateAttr

from valkey_memory import InvalidArgumentError, Summary, ValkeyConnection
from valkey_memory.adapters import (
    CHARACTERS_PER_TOKEN,
    TTL,
    ConversationStore,
    Prompt,
    hide_url,
    message_line,
)

from ._codec import LlamaIndexCodec

_PENDING = "Since then:"
_PENDING_AT_MOST = 200
"""So many messages that are not summarised yet are given out, the oldest."""


class ValkeySummaryBlock(BaseMemoryBlock[str]):
    """What ``Memory`` no longer has room for, as one summary per session.

    Messages that ``Memory`` flushes are stored in Valkey first, in one round trip, and then folded
    into the summary. Where the model fails they stay there, are given out as they are, and are
    tried again with the next ones: so none is lost, in any process.

    Examples:
        >>> from llama_index.core.llms import ChatMessage
        >>> from llama_index.core.memory import Memory
        >>> from llama_index_valkey_glide import ValkeyDBChatStore, ValkeySummaryBlock
        >>> def scripted_model(prompt):  # yours: an LLM of LlamaIndex, such as Settings.llm
        ...     return "The user says hello a lot."
        >>> memory = Memory.from_defaults(
        ...     session_id="alice-5",
        ...     chat_store=ValkeyDBChatStore(url="embedded://"),
        ...     memory_blocks=[ValkeySummaryBlock(scripted_model, url="embedded://")],
        ...     token_limit=60,
        ...     token_flush_size=10,
        ... )
        >>> for number in range(9):
        ...     memory.put(ChatMessage(role="user", content=f"Hello for the {number}th time"))
        ...     memory.put(ChatMessage(role="assistant", content="Hello"))
        >>> "The user says hello a lot." in memory.get()[0].content
        True

    Args:
        model: An LLM of LlamaIndex, a chat model of LangChain, or a function from a prompt to a
            text, sync or async.
        url: See ``valkey_memory.ValkeyConnection.from_url``; by default ``VALKEY_URL`` or
            localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What its keys start with, before the session id. It must not be that of a chat
            store.
        ttl: Seconds (or a timedelta) after which a session's summary expires; each flush restarts
            it.
        max_tokens: See ``valkey_memory.Summary``.
        prompt: See ``valkey_memory.Summary``.
        lease: See ``valkey_memory.Summary``.
        name: In the memory's template.
        description: Likewise.
        priority: 0, the default, is never truncated.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses.
    """

    _codec: LlamaIndexCodec = PrivateAttr(default_factory=LlamaIndexCodec)
    _store: ConversationStore[ChatMessage] = PrivateAttr()

    def __init__(
        self,
        model: Any,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "summary:",
        ttl: TTL | None = None,
        max_tokens: int | None = None,
        prompt: Prompt | None = None,
        lease: TTL = 120,
        name: str = "summary",
        description: str | None = "What was said earlier in this conversation.",
        priority: int = 0,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        summary = Summary(
            model,
            keep_last=0,
            when_over=0,
            max_tokens=max_tokens,
            prompt=prompt,
            archive=False,
            lease=lease,
        )
        store = ConversationStore(
            LlamaIndexCodec(),
            url=url,
            connection=connection,
            key_prefix=key_prefix,
            ttl=ttl,
            summary=summary,
        )
        super().__init__(name=name, description=description, priority=priority)
        self._store = store

    async def aput(
        self,
        messages: list[ChatMessage],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        """Store messages and fold them into the session's summary."""
        if from_short_term_memory and not self.accept_short_term_memory:
            return
        if session_id is None:
            await self._aput(messages)
        else:
            await self._store.aextend(session_id, messages)

    async def _aput(self, messages: list[ChatMessage]) -> None:
        sessions = {str(message.additional_kwargs.get("session_id", "")) for message in messages}
        if len(sessions) > 1 or "" in sessions:
            raise InvalidArgumentError(
                "aput needs session_id=, or messages that all have the same in additional_kwargs"
            )
        for session_id in sessions:
            await self._store.aextend(session_id, messages)

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        session_id = block_kwargs.get("session_id")
        if session_id is None:
            raise InvalidArgumentError("aget needs session_id=")
        text = await self._store.asummary(session_id) or ""
        pending = await self._store.apage(session_id, 0, _PENDING_AT_MOST)
        lines = [message_line(self._codec.encode(message)) for message in pending]
        return "\n".join(filter(None, [text, *([_PENDING, *lines] if lines else [])]))

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """The text, shorter by so many tokens of 4 characters at its end; None if none is left."""
        length = len(content) - tokens_to_truncate * CHARACTERS_PER_TOKEN
        return content[:length] if length > 0 else None

    async def adelete(self, session_id: str) -> bool:
        """Delete a session's summary, which ``Memory.reset`` leaves; whether there was one."""
        return await self._store.adelete(session_id)
