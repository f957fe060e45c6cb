"""Chat history for LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage

from valkey_memory.adapters import (
    ConversationStore,
    StoreOptions,
    TokenCounter,
    WhenTooLarge,
    with_options,
)

from ._codec import LangChainCodec
from ._saving import Saving


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
            ``whole_turns``, ``refresh_ttl_on_read``, ``on_corrupt``: those of
            ``valkey_memory.MessageStore``, which describes them. ``user_id``, ``model``, ``title``,
            ``count_tokens``: each write keeps a record of the conversation, which
            ``valkey_memory.SessionStore`` reads and lists by user. Tokens are those of the
            messages' ``usage_metadata`` where nothing counts them. ``summary``: a
            ``valkey_memory.Summary``, which makes one of old messages; reading then begins with it,
            as a SystemMessage, which is not stored again where it comes back.

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
        with Saving(self.session_id):
            self.store.replace(self.session_id, messages)

    def get_messages(
        self,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[BaseMessage] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[BaseMessage]:
        """All messages, oldest first, or a window of the newest that a model accepts.

        Examples:
            >>> from langchain_core.messages import AIMessage, HumanMessage
            >>> from langchain_core.messages.utils import count_tokens_approximately
            >>> from langchain_valkey_glide import ValkeyChatMessageHistory
            >>> history = ValkeyChatMessageHistory("alice-3", url="embedded://")
            >>> history.add_messages([HumanMessage("Hello"), AIMessage("Hi, Alice")] * 9)
            >>> len(history.get_messages(max_tokens=50, count_tokens=count_tokens_approximately))
            8

        Args:
            last: At most so many messages.
            max_tokens: At most so many tokens, in whole turns.
            count_tokens: Counts the tokens of a list of messages: ``count_tokens_approximately``
                of LangChain, or a model's ``get_num_tokens_from_messages``. Default: the
                library's own estimate.
            whole_turns: Begin with a turn. Default: where ``max_tokens`` is given.
            when_too_large: ``"keep"`` a newest turn that is larger, or ``"cut"`` it.

        ``valkey_memory.MessageStore.messages`` describes them. One round trip, rarely a second.
        """
        return self.store.messages(
            self.session_id,
            last,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            whole_turns=whole_turns,
            when_too_large=when_too_large,
        )

    async def aget_messages(
        self,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[BaseMessage] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[BaseMessage]:
        """Async ``get_messages``; without arguments all messages."""
        return await self.store.amessages(
            self.session_id,
            last,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            whole_turns=whole_turns,
            when_too_large=when_too_large,
        )

    def last_messages(self, n: int, *, whole_turns: bool = False) -> list[BaseMessage]:
        """The newest ``n`` messages, oldest of them first. One round trip.

        With ``whole_turns`` fewer, so that they begin with a turn.
        """
        return self.store.messages(self.session_id, last=n, whole_turns=whole_turns)

    async def alast_messages(self, n: int, *, whole_turns: bool = False) -> list[BaseMessage]:
        """Async ``last_messages``."""
        return await self.store.amessages(self.session_id, last=n, whole_turns=whole_turns)

    def add_message(self, message: BaseMessage) -> None:
        """Add one message. One atomic round trip."""
        with Saving(self.session_id):
            self.store.append(self.session_id, message)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages in order, all or none. One atomic round trip."""
        with Saving(self.session_id):
            self.store.extend(self.session_id, messages)

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages in order, all or none. One atomic round trip."""
        with Saving(self.session_id):
            await self.store.aextend(self.session_id, messages)

    def replace_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Put ``messages`` in place of all. Readers see the old list or the new one."""
        with Saving(self.session_id):
            self.store.replace(self.session_id, messages)

    async def areplace_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Async ``replace_messages``."""
        with Saving(self.session_id):
            await self.store.areplace(self.session_id, messages)

    def clear(self) -> None:
        """Delete this conversation, and no other. One atomic round trip."""
        self.store.delete(self.session_id)

    async def aclear(self) -> None:
        """Delete this conversation, and no other. One atomic round trip."""
        await self.store.adelete(self.session_id)

    def summary(self) -> str | None:
        """The text of the summary; None before the first."""
        return self.store.summary(self.session_id)

    async def asummary(self) -> str | None:
        """Async ``summary``."""
        return await self.store.asummary(self.session_id)

    def summarize_now(self) -> bool:
        """Summarise all but the newest messages; whether there is a new summary.

        What the model throws is raised.
        """
        return self.store.summarize_now(self.session_id)

    async def asummarize_now(self) -> bool:
        """Async ``summarize_now``."""
        return await self.store.asummarize_now(self.session_id)

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
