"""Chat history for LangChain."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from valkey_memory.adapters import ConversationStore, StoreOptions, with_options

from ._codec import LangChainCodec

_log = logging.getLogger("valkey_memory")


class ValkeyChatMessageHistory(BaseChatMessageHistory):
    """One conversation's messages, kept in a Valkey List. Native in sync and async.

    Messages come back equal to what was added: class, tool calls, ids, names, usage and response
    metadata, content blocks. Adding any number of messages, with window and TTL, is one atomic
    round trip; so is reading. Nothing connects before the first operation, and objects are cheap:
    make one per request, they share one connection per URL.

    An error of saving is logged (``valkey_memory``, level ERROR) before it is raised, because
    LangChain's ``RunnableWithMessageHistory`` swallows it: the model's answer is returned, and the
    turn is in no history.

    Examples:
        >>> from langchain_core.messages import AIMessage, HumanMessage
        >>> from langchain_valkey_glide import ValkeyChatMessageHistory
        >>> history = ValkeyChatMessageHistory("alice-1", url="embedded://", ttl=3600)
        >>> history.add_messages([HumanMessage("Hello"), AIMessage("Hi, Alice")])
        >>> [message.content for message in history.messages]
        ['Hello', 'Hi, Alice']

    Args:
        session_id: The conversation; any non-empty string. Its key is ``{key_prefix}{session_id}``.
        options: ``url``, ``connection``, ``key_prefix`` (``"chat:"``), ``ttl``, ``max_messages``,
            ``refresh_ttl_on_read``, ``on_corrupt``: those of ``valkey_memory.MessageStore``, which
            describes them.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.MessageStore``.
    """

    @with_options(StoreOptions, ConversationStore)
    def __init__(self, session_id: str, **options: Unpack[StoreOptions]) -> None:
        super().__init__()
        self.session_id = session_id
        self.store: ConversationStore[BaseMessage] = ConversationStore(LangChainCodec(), **options)
        self.key = self.store.key(session_id)

    @property
    def messages(self) -> list[BaseMessage]:
        """All messages, oldest first. One round trip; assigning replaces them, in one too."""
        return self.store.messages(self.session_id)

    @messages.setter
    def messages(self, messages: Sequence[BaseMessage]) -> None:
        with self._logged():
            self.store.replace(self.session_id, messages)

    async def aget_messages(self) -> list[BaseMessage]:
        """All messages, oldest first. One round trip."""
        return await self.store.amessages(self.session_id)

    def last_messages(self, n: int) -> list[BaseMessage]:
        """The newest ``n`` messages, oldest of them first. One round trip."""
        return self.store.messages(self.session_id, last=n)

    async def alast_messages(self, n: int) -> list[BaseMessage]:
        """Async ``last_messages``."""
        return await self.store.amessages(self.session_id, last=n)

    def add_message(self, message: BaseMessage) -> None:
        """Add one message. One atomic round trip."""
        with self._logged():
            self.store.append(self.session_id, message)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages in order, all or none. One atomic round trip."""
        with self._logged():
            self.store.extend(self.session_id, messages)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages in order, all or none. One atomic round trip."""
        with self._logged():
            await self.store.aextend(self.session_id, messages)

    @contextmanager
    def _logged(self) -> Iterator[None]:
        """Log what goes wrong while messages are saved, and raise it."""
        try:
            yield
        except Exception as error:
            name = type(error).__name__
            _log.error("messages of %r were not saved: %s: %s", self.session_id, name, error)
            raise

    def replace_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Put ``messages`` in place of all. Readers see the old list or the new one."""
        with self._logged():
            self.store.replace(self.session_id, messages)

    async def areplace_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Async ``replace_messages``."""
        with self._logged():
            await self.store.areplace(self.session_id, messages)

    def clear(self) -> None:
        """Delete this conversation, and no other. One atomic round trip."""
        self.store.delete(self.session_id)

    async def aclear(self) -> None:
        """Delete this conversation, and no other. One atomic round trip."""
        await self.store.adelete(self.session_id)

    def ttl_left(self) -> float | None:
        """Seconds until the conversation expires; None: never; 0.0: there is none."""
        return self.store.ttl_left(self.session_id)

    async def attl_left(self) -> float | None:
        """Async ``ttl_left``."""
        return await self.store.attl_left(self.session_id)

    def __repr__(self) -> str:
        # Tools that print variables also print what could not be made, and has no store.
        store = getattr(self, "store", None)
        return f"ValkeyChatMessageHistory({self.session_id!r}, {store and store.connection!r})"
