"""``AsyncDBChatStore``: what the current ``Memory`` takes."""

from __future__ import annotations

from typing import ClassVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import TokenCounter, WhenTooLarge, check_count

from ._fields import ChatStoreFields


def _checked(status: MessageStatus | str) -> MessageStatus:
    """A status by its name, too."""
    try:
        return MessageStatus(status)
    except ValueError:
        known = ", ".join(one.value for one in MessageStatus)
        raise InvalidArgumentError(f"status must be one of {known}, not {status!r}") from None


class ValkeyDBChatStore(ChatStoreFields, AsyncDBChatStore):
    """Conversations in Valkey for LlamaIndex's ``Memory``, archiving included.

    Active messages are the Valkey List of the conversation, archived ones a second list beside it
    in the same cluster slot. Every method is one round trip and changes both atomically. ``Memory``
    may call it from any event loop, also through its sync wrappers.

    Examples:
        >>> from llama_index.core.llms import ChatMessage
        >>> from llama_index.core.memory import Memory
        >>> from llama_index_valkey_glide import ValkeyDBChatStore
        >>> memory = Memory.from_defaults(
        ...     session_id="alice-2", chat_store=ValkeyDBChatStore(url="embedded://")
        ... )
        >>> memory.put(ChatMessage(role="user", content="Hello"))
        >>> [message.content for message in memory.get()]
        ['Hello']

    Args:
        url: See ``valkey_memory.ValkeyConnection.from_url``; by default ``VALKEY_URL`` or
            localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) until a conversation expires, archived messages included;
            each write restarts it. None, the default, sets no expiry and keeps one that is there.
        max_messages: After each write only the newest so many active messages are kept; those cut
            off are deleted, not archived, and the first that is left may be an answer or a tool's
            result. Default: all; ``Memory`` archives by itself.
        whole_turns: ``max_messages`` keeps whole turns, so that the first message is the user's. A
            newest turn of more messages stays whole.
        key_prefix: What every Valkey key starts with; no braces.
        refresh_ttl_on_read: Reading active messages restarts the TTL too, in the same round trip.
        on_corrupt: What to do with an element that is no message: ``"raise"``, or ``"skip"`` it
            with a warning in the log ``valkey_memory``.
        user_id: Whose conversations they are: each write keeps a record of its conversation, which
            ``valkey_memory.SessionStore`` reads and lists by user. ``model``, ``title``: for it.
        count_tokens: Counts tokens for the record: a function of a list of messages. Default: the
            usage that messages carry in ``additional_kwargs``. Not written down.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses; see ``valkey_memory.MessageStore``.
    """

    _takes_summary: ClassVar[bool] = False

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyDBChatStore"

    async def get_messages(
        self,
        key: str,
        status: MessageStatus | None = MessageStatus.ACTIVE,
        limit: int | None = None,
        offset: int | None = None,
        *,
        last: int | None = None,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[ChatMessage] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[ChatMessage]:
        """Messages of ``status``, oldest first; of any status when None, archived ones first.

        Args:
            key: The conversation.
            status: ``MessageStatus.ACTIVE`` by default.
            limit: At most so many, from the oldest. Default: all.
            offset: Skip so many of the oldest. Default: 0.
            last: A window of the newest active messages, without ``limit`` and ``offset``, and so
                are the following, as in ``ValkeyChatStore.get_messages``: at most so many messages.
            max_tokens: At most so many tokens, in whole turns.
            count_tokens: Counts the tokens of a list of messages.
            whole_turns: Begin with a turn. Default: where ``max_tokens`` is given.
            when_too_large: ``"keep"`` a newest turn that is larger, or ``"cut"`` it.

        Raises:
            valkey_memory.InvalidArgumentError: Options of a window beside ``limit``, ``offset`` or
                another status, or wrong ones.
        """
        check_count(limit, "limit", minimum=0, optional=True)
        check_count(offset, "offset", minimum=0, optional=True)
        status = None if status is None else _checked(status)
        options = (last, max_tokens, count_tokens, whole_turns)
        if when_too_large != "keep" or any(option is not None for option in options):
            if limit is not None or offset is not None or status is not MessageStatus.ACTIVE:
                raise InvalidArgumentError(
                    "last, max_tokens and the other options of a window are for active messages, "
                    "without limit and offset, which count from the oldest"
                )
            return await self._store.amessages(
                key,
                last,
                max_tokens=max_tokens,
                count_tokens=count_tokens,
                whole_turns=whole_turns,
                when_too_large=when_too_large,
            )
        if limit == 0:
            return []
        start = offset or 0
        if status is MessageStatus.ACTIVE:
            if limit is not None:
                return await self._store.apage(key, start, limit)
            return (await self._store.amessages(key))[start:]
        messages = await self._store.aarchived(key, and_active=status is None)
        return messages[start:] if limit is None else messages[start : start + limit]

    async def count_messages(
        self, key: str, status: MessageStatus | None = MessageStatus.ACTIVE
    ) -> int:
        """How many messages have ``status``; all of them when None."""
        status = None if status is None else _checked(status)
        active, archived = await self._store.acount_all(key)
        if status is None:
            return active + archived
        return active if status is MessageStatus.ACTIVE else archived

    async def add_message(
        self, key: str, message: ChatMessage, status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add a message at the end."""
        await self.add_messages(key, [message], status)

    async def add_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Add messages at the end, in order, all or none."""
        await self._store.aextend(
            key, messages, archived=_checked(status) is MessageStatus.ARCHIVED
        )

    async def set_messages(
        self, key: str, messages: list[ChatMessage], status: MessageStatus = MessageStatus.ACTIVE
    ) -> None:
        """Put ``messages``, with ``status``, in place of all; those of the other status go too.

        As in LlamaIndex's own SQL store: afterwards the conversation is ``messages``.
        """
        await self._store.areplace(
            key, messages, archived=_checked(status) is MessageStatus.ARCHIVED, whole=True
        )

    async def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Delete the active message at index ``idx``, negative from the end, and return it."""
        return await self._store.adelete_at(key, idx)

    async def delete_messages(self, key: str, status: MessageStatus | None = None) -> None:
        """Delete the messages of ``status``; the whole conversation when None."""
        if status is None:
            await self._store.adelete(key)
        elif _checked(status) is MessageStatus.ACTIVE:
            await self._store.areplace(key, [])
        else:
            await self._store.adelete_archived(key)

    async def delete_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Delete the oldest ``n`` active messages and return them."""
        check_count(n, "n", minimum=0)
        return await self._store.adelete_oldest(key, n) if n else []

    async def archive_oldest_messages(self, key: str, n: int) -> list[ChatMessage]:
        """Move the oldest ``n`` active messages to the archived ones and return them."""
        check_count(n, "n", minimum=0)
        return await self._store.aarchive_oldest(key, n) if n else []

    async def get_keys(self) -> list[str]:
        """All conversations under ``key_prefix``, also those that are archived altogether.

        Sorted. Walks the keyspace with SCAN, never KEYS.
        """
        return await self._store.asessions()
