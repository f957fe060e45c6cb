"""Message lists: one store over any codec, sync and async, each method one line over a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypedDict, TypeVar, Unpack

from .._arguments import TTL
from .._messages.codecs import Codec
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .counters import TokenCounter
from .elements import OnCorrupt
from .plans import ConversationPlans
from .records import RecordOptions
from .summaries import Summarizer
from .upkeep import Upkeep
from .window_plans import WhenTooLarge

M = TypeVar("M")
T = TypeVar("T")


class StoreOptions(TypedDict, total=False):
    """Keyword arguments of every store of conversations. ``MessageStore`` describes them."""

    url: str | None
    connection: ValkeyConnection | None
    key_prefix: str
    ttl: TTL | None
    max_messages: int | None
    refresh_ttl_on_read: bool
    on_corrupt: OnCorrupt
    whole_turns: bool
    user_id: str | None
    model: str | None
    title: str | None
    count_tokens: TokenCounter[Any] | None
    summary: Summarizer | None


class ConversationStore(Upkeep, Generic[M]):
    """Conversations of any framework's messages; ``MessageStore`` is the one of plain dicts.

    Each method is one round trip, atomic where it changes something. Each comes in a sync form and
    in an async form with the prefix ``a``. ``MessageStore`` describes the arguments.

    What deletes or archives messages returns those that it could read; one that it could not is
    logged, because an error would hide that the change was made.
    """

    def __init__(
        self,
        codec: Codec[M],
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "chat:",
        ttl: TTL | None = None,
        max_messages: int | None = None,
        refresh_ttl_on_read: bool = False,
        on_corrupt: OnCorrupt = "raise",
        whole_turns: bool = False,
        user_id: str | None = None,
        model: str | None = None,
        title: str | None = None,
        count_tokens: TokenCounter[M] | None = None,
        summary: Summarizer | None = None,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._plans = ConversationPlans(
            codec,
            key_prefix=key_prefix,
            ttl=ttl,
            max_messages=max_messages,
            refresh_ttl_on_read=refresh_ttl_on_read,
            on_corrupt=on_corrupt,
            whole_turns=whole_turns,
            user_id=user_id,
            model=model,
            title=title,
            count_tokens=count_tokens,
            summary=summary,
        )
        self.connection = choose_connection(url, connection)

    def key(self, session_id: str) -> str:
        """The key of the conversation's list. Nothing is sent.

        Raises:
            InvalidSessionIdError: ``session_id`` cannot become a key.
        """
        return self._plans.key(session_id)

    # Writing

    def append(
        self,
        session_id: str,
        message: M,
        *,
        once: str | None = None,
        **record: Unpack[RecordOptions],
    ) -> None:
        """Add a message at the end, trim to the window, restart the TTL.

        Args:
            session_id: The conversation.
            message: What to add.
            once: See ``extend``.
            record: See ``extend``.
        """
        self._run(self._plans.append_plan(session_id, [message], False, once, record))

    async def aappend(
        self,
        session_id: str,
        message: M,
        *,
        once: str | None = None,
        **record: Unpack[RecordOptions],
    ) -> None:
        """Async ``append``."""
        await self._arun(self._plans.append_plan(session_id, [message], False, once, record))

    def extend(
        self,
        session_id: str,
        messages: Iterable[M],
        *,
        archived: bool = False,
        once: str | None = None,
        **record: Unpack[RecordOptions],
    ) -> None:
        """Add messages at the end, in order, all or none. No messages: no round trip.

        Args:
            session_id: The conversation.
            messages: What to add. The first that cannot be stored raises, and none is added.
            archived: Add to the archived list, which has no window.
            once: A name for this write, of 1 to 256 bytes, such as the id of a request or a
                job. A write of that name that is among the last 100 of the conversation is not made
                again, whichever process asks; so it can be repeated by whoever does not know
                whether it was made.
            record: ``user_id``, ``model``, ``title``: for the conversation's record, instead of the
                store's. ``tokens``: how many it counts for these messages, instead of what
                ``count_tokens`` or the messages say.
        """
        self._run(self._plans.append_plan(session_id, messages, archived, once, record))

    async def aextend(
        self,
        session_id: str,
        messages: Iterable[M],
        *,
        archived: bool = False,
        once: str | None = None,
        **record: Unpack[RecordOptions],
    ) -> None:
        """Async ``extend``."""
        await self._arun(self._plans.append_plan(session_id, messages, archived, once, record))

    def replace(
        self,
        session_id: str,
        messages: Iterable[M],
        *,
        archived: bool = False,
        whole: bool = False,
    ) -> None:
        """Put ``messages`` in place of all. Readers see the old list or the new one.

        Args:
            session_id: The conversation.
            messages: What it holds from now on; none empties it.
            archived: Replace the archived messages, and not the active ones.
            whole: Delete those of the other list, so that ``messages`` are the whole conversation.
        """
        self._run(self._plans.replace_plan(session_id, messages, archived, whole))

    async def areplace(
        self,
        session_id: str,
        messages: Iterable[M],
        *,
        archived: bool = False,
        whole: bool = False,
    ) -> None:
        """Async ``replace``."""
        await self._arun(self._plans.replace_plan(session_id, messages, archived, whole))

    def insert(self, session_id: str, index: int, message: M) -> None:
        """Insert before ``index`` as ``list.insert`` does; out of range means at that end."""
        self._run(self._plans.insert_plan(session_id, index, message))

    async def ainsert(self, session_id: str, index: int, message: M) -> None:
        """Async ``insert``."""
        await self._arun(self._plans.insert_plan(session_id, index, message))

    # Reading

    def messages(
        self,
        session_id: str,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[M] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[M]:
        """The messages, oldest first; fresh objects on each call. All, or a window of the newest.

        A window of whole turns begins where the user speaks, or with the system messages directly
        before, and no tool call is apart from its results: so model APIs accept it.

        Args:
            session_id: The conversation; an unknown one is empty.
            last: Only the newest ``last``, at least 1. Default: all.
            max_tokens: Only the newest that are so many tokens together, at least 1.
            count_tokens: Counts them: a function of a list of messages that returns an int. It is
                called once per turn, from the newest. Default: characters / 4, and 4 per message;
                765 for an image, a sound or a file.
            whole_turns: Begin with a turn. Default: where ``max_tokens`` is given.
            when_too_large: What to do where the newest turn alone is beyond the limits; a window is
                never empty for that. ``"keep"`` takes it whole. ``"cut"`` takes what the user said
                and the model's newest answers, with their tools' results, that fit. Both say so in
                the log ``valkey_memory``.

        Raises:
            InvalidArgumentError: An argument is wrong, or ``count_tokens`` returned no count.

        Round trips: one; with ``max_tokens`` rarely a second, where messages are far larger on the
        server than in tokens, as images are.
        """
        return self._run(
            self._plans.messages_plan(
                session_id, last, max_tokens, count_tokens, whole_turns, when_too_large
            )
        )

    async def amessages(
        self,
        session_id: str,
        last: int | None = None,
        *,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[M] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> list[M]:
        """Async ``messages``."""
        return await self._arun(
            self._plans.messages_plan(
                session_id, last, max_tokens, count_tokens, whole_turns, when_too_large
            )
        )

    def page(self, session_id: str, offset: int, limit: int) -> list[M]:
        """At most ``limit`` messages from index ``offset``, which counts from the oldest, 0."""
        return self._run(self._plans.page_plan(session_id, offset, limit))

    async def apage(self, session_id: str, offset: int, limit: int) -> list[M]:
        """Async ``page``."""
        return await self._arun(self._plans.page_plan(session_id, offset, limit))

    def archived(self, session_id: str, *, and_active: bool = False) -> list[M]:
        """The archived messages, oldest first, followed by the active ones when asked."""
        return self._run(self._plans.archived_plan(session_id, and_active))

    async def aarchived(self, session_id: str, *, and_active: bool = False) -> list[M]:
        """Async ``archived``."""
        return await self._arun(self._plans.archived_plan(session_id, and_active))

    def count(self, session_id: str) -> int:
        """How many messages are active. 0 for an unknown conversation."""
        return self._run(self._plans.count_plan(session_id))

    async def acount(self, session_id: str) -> int:
        """Async ``count``."""
        return await self._arun(self._plans.count_plan(session_id))

    def count_all(self, session_id: str) -> tuple[int, int]:
        """How many messages are active, and how many archived, at one moment."""
        return self._run(self._plans.count_all_plan(session_id))

    async def acount_all(self, session_id: str) -> tuple[int, int]:
        """Async ``count_all``."""
        return await self._arun(self._plans.count_all_plan(session_id))

    def sessions(self) -> list[str]:
        """The ids of all conversations under the prefix, sorted; also those archived altogether.

        Walks the whole keyspace with SCAN, on every primary of a cluster: about one round trip per
        1,000 keys. Conversations that come or go meanwhile may be in it or not.
        """
        return self._run(self._plans.sessions_plan())

    async def asessions(self) -> list[str]:
        """Async ``sessions``."""
        return await self._arun(self._plans.sessions_plan())

    # Deleting and archiving

    def delete_at(self, session_id: str, index: int) -> M | None:
        """Delete the message at ``index``, negative from the end, and return it; None if none."""
        return self._run(self._plans.delete_at_plan(session_id, index))

    async def adelete_at(self, session_id: str, index: int) -> M | None:
        """Async ``delete_at``."""
        return await self._arun(self._plans.delete_at_plan(session_id, index))

    def delete_last(self, session_id: str) -> M | None:
        """Delete the newest message and return it; None if there is none."""
        return self._run(self._plans.delete_last_plan(session_id))

    async def adelete_last(self, session_id: str) -> M | None:
        """Async ``delete_last``."""
        return await self._arun(self._plans.delete_last_plan(session_id))

    def delete_oldest(self, session_id: str, n: int) -> list[M]:
        """Delete the oldest ``n`` messages, fewer if there are fewer, and return them."""
        return self._run(self._plans.delete_oldest_plan(session_id, n))

    async def adelete_oldest(self, session_id: str, n: int) -> list[M]:
        """Async ``delete_oldest``."""
        return await self._arun(self._plans.delete_oldest_plan(session_id, n))

    def archive_oldest(self, session_id: str, n: int) -> list[M]:
        """Move the oldest ``n`` messages to the end of the archived list and return them."""
        return self._run(self._plans.archive_oldest_plan(session_id, n))

    async def aarchive_oldest(self, session_id: str, n: int) -> list[M]:
        """Async ``archive_oldest``."""
        return await self._arun(self._plans.archive_oldest_plan(session_id, n))

    def delete(self, session_id: str) -> bool:
        """Delete the conversation, its archived messages included; whether there was one."""
        return self._run(self._plans.delete_plan(session_id))

    async def adelete(self, session_id: str) -> bool:
        """Async ``delete``."""
        return await self._arun(self._plans.delete_plan(session_id))

    def delete_archived(self, session_id: str) -> bool:
        """Delete the archived messages only; whether there were any."""
        return self._run(self._plans.delete_archived_plan(session_id))

    async def adelete_archived(self, session_id: str) -> bool:
        """Async ``delete_archived``."""
        return await self._arun(self._plans.delete_archived_plan(session_id))

    def take(self, session_id: str, *, keep_archived: bool = False) -> list[M]:
        """``delete``, returning the active messages.

        Args:
            session_id: The conversation.
            keep_archived: Delete the active messages only.
        """
        return self._run(self._plans.take_plan(session_id, keep_archived))

    async def atake(self, session_id: str, *, keep_archived: bool = False) -> list[M]:
        """Async ``take``."""
        return await self._arun(self._plans.take_plan(session_id, keep_archived))
