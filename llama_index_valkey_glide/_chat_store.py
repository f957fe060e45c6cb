"""``BaseChatStore``: what ChatMemoryBuffer and the older memories take."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore

from valkey_memory.adapters import TokenCounter, WhenTooLarge

from ._fields import ChatStoreFields


class ValkeyChatStore(ChatStoreFields, BaseChatStore):
    """Conversations in Valkey for LlamaIndex's memories, native in sync and async.

    Each ``key`` is a conversation, one Valkey List; ``langchain_valkey_glide`` and plain code read
    the same lists. Every method is one round trip and changes a conversation atomically; nothing
    connects before the first. Messages come back equal and fresh on each read.

    Examples:
        >>> from llama_index.core.llms import ChatMessage
        >>> from llama_index.core.memory import ChatMemoryBuffer
        >>> from llama_index_valkey_glide import ValkeyChatStore
        >>> store = ValkeyChatStore(url="embedded://", ttl=3600)
        >>> memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="alice-1")
        >>> memory.put(ChatMessage(role="user", content="Hello"))
        >>> [message.content for message in store.get_messages("alice-1")]
        ['Hello']

    Args:
        url: See ``valkey_memory.ValkeyConnection.from_url``; by default ``VALKEY_URL`` or
            localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) until a conversation expires; each write restarts it. None,
            the default, sets no expiry and keeps one that is there.
        max_messages: After each write only the newest so many are kept. Default: all; a memory
            buffer needs no window, because it cuts what it reads to its token limit, at the
            beginning of a turn. A window counts messages: the first one may be an answer or a
            tool's result, and a buffer within its limit reads it so.
        whole_turns: ``max_messages`` keeps whole turns, so that the first message is the user's. A
            newest turn of more messages stays whole.
        key_prefix: What every Valkey key starts with; no braces.
        refresh_ttl_on_read: Reading restarts the TTL too, in the same round trip.
        on_corrupt: What to do with an element that is no message: ``"raise"``, or ``"skip"`` it
            with a warning in the log ``valkey_memory``.
        user_id: Whose conversations they are: each write keeps a record of its conversation, which
            ``valkey_memory.SessionStore`` reads and lists by user. ``model``, ``title``: for it.
        count_tokens: Counts tokens for the record: a function of a list of messages. Default: the
            usage that messages carry in ``additional_kwargs``. Not written down.
        summary: A ``valkey_memory.Summary``, which makes one of old messages; ``get_messages`` then
            begins with it, as a system message, which is not stored again where it comes back.
            Indexes are those of the messages, without it. Not written down.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.MessageStore``.
    """

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Put ``messages`` in place of all. Readers see the old list or the new one."""
        self._store.replace(key, messages)

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Async ``set_messages``."""
        await self._store.areplace(key, messages)

    def get_messages(
        self,
        key: str,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[ChatMessage] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[ChatMessage]:
        """All messages, oldest first, or a window of the newest that a model accepts.

        A fresh list of fresh messages.

        Args:
            key: The conversation.
            last: At most so many messages.
            max_tokens: At most so many tokens, in whole turns.
            count_tokens: Counts the tokens of a list of messages, as LlamaIndex's
                ``TokenCounter().estimate_tokens_in_messages`` does. Default: the library's own
                estimate.
            whole_turns: Begin with a turn. Default: where ``max_tokens`` is given.
            when_too_large: ``"keep"`` a newest turn that is larger, or ``"cut"`` it.

        ``valkey_memory.MessageStore.messages`` describes them.
        """
        return self._store.messages(
            key,
            last,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            whole_turns=whole_turns,
            when_too_large=when_too_large,
        )

    async def aget_messages(
        self,
        key: str,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[ChatMessage] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[ChatMessage]:
        """Async ``get_messages``."""
        return await self._store.amessages(
            key,
            last,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            whole_turns=whole_turns,
            when_too_large=when_too_large,
        )

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Add at the end, or before index ``idx`` as ``list.insert`` does."""
        if idx is None:
            self._store.append(key, message)
        else:
            self._store.insert(key, idx, message)

    async def async_add_message(
        self, key: str, message: ChatMessage, idx: int | None = None
    ) -> None:
        """Async ``add_message``."""
        if idx is None:
            await self._store.aappend(key, message)
        else:
            await self._store.ainsert(key, idx, message)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Delete the conversation and return its messages; None if there is none."""
        return self._store.take(key) or None

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """Async ``delete_messages``."""
        return await self._store.atake(key) or None

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the message at ``idx``, negative from the end, and return it; None if none."""
        return self._store.delete_at(key, idx)

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Async ``delete_message``."""
        return await self._store.adelete_at(key, idx)

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Delete the newest message and return it; None if there is none."""
        return self._store.delete_last(key)

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """Async ``delete_last_message``."""
        return await self._store.adelete_last(key)

    def get_keys(self) -> list[str]:
        """All conversations under ``key_prefix``. Walks the keyspace with SCAN, never KEYS."""
        return self._store.sessions()

    async def aget_keys(self) -> list[str]:
        """Async ``get_keys``."""
        return await self._store.asessions()
