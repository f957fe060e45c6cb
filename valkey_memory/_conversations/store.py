"""Message lists: one store over any codec, sync and async, each method one line over a plan."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from .. import _keys
from .._arguments import TTL, check_count, check_index, ttl_to_milliseconds
from .._errors import CorruptMessageError, InvalidArgumentError
from .._messages.codecs import Codec, PlainCodec
from .._messages.elements import dump_element, load_element, load_elements
from .._plans import Plan
from .._server.connection import ValkeyConnection, choose_connection
from . import plans as _conversation

M = TypeVar("M")
T = TypeVar("T")
OnCorrupt: TypeAlias = Literal["raise", "skip"]

_log = logging.getLogger("valkey_memory")


class ConversationStore(Generic[M]):
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
    ) -> None:
        check_count(max_messages, "max_messages")
        if on_corrupt not in ("raise", "skip"):
            raise InvalidArgumentError(f'on_corrupt must be "raise" or "skip", not {on_corrupt!r}')
        if refresh_ttl_on_read and ttl is None:
            raise InvalidArgumentError("refresh_ttl_on_read needs a ttl to refresh to")
        self._codec = codec
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._key_prefix = _keys.check_prefix(key_prefix)
        self._window = max_messages
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None
        self._on_corrupt = on_corrupt
        self.connection = choose_connection(url, connection)

    # Writing

    def append(self, session_id: str, message: M) -> None:
        """Add a message at the end, trim to the window, restart the TTL."""
        self._run(self._append(session_id, [message]))

    async def aappend(self, session_id: str, message: M) -> None:
        """Async ``append``."""
        await self._arun(self._append(session_id, [message]))

    def extend(self, session_id: str, messages: Iterable[M], *, archived: bool = False) -> None:
        """Add messages at the end, in order, all or none. No messages: no round trip.

        Args:
            session_id: The conversation.
            messages: What to add. The first that cannot be stored raises, and none is added.
            archived: Add to the archived list, which has no window.
        """
        self._run(self._append(session_id, messages, archived))

    async def aextend(
        self, session_id: str, messages: Iterable[M], *, archived: bool = False
    ) -> None:
        """Async ``extend``."""
        await self._arun(self._append(session_id, messages, archived))

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
        self._run(self._replace(session_id, messages, archived, whole))

    async def areplace(
        self,
        session_id: str,
        messages: Iterable[M],
        *,
        archived: bool = False,
        whole: bool = False,
    ) -> None:
        """Async ``replace``."""
        await self._arun(self._replace(session_id, messages, archived, whole))

    def insert(self, session_id: str, index: int, message: M) -> None:
        """Insert before ``index`` as ``list.insert`` does; out of range means at that end."""
        self._run(self._insert(session_id, index, message))

    async def ainsert(self, session_id: str, index: int, message: M) -> None:
        """Async ``insert``."""
        await self._arun(self._insert(session_id, index, message))

    # Reading

    def messages(self, session_id: str, last: int | None = None) -> list[M]:
        """The messages, oldest first; fresh objects on each call.

        Args:
            session_id: The conversation; an unknown one is empty.
            last: Only the newest ``last``, at least 1. Default: all.
        """
        return self._run(self._messages(session_id, last))

    async def amessages(self, session_id: str, last: int | None = None) -> list[M]:
        """Async ``messages``."""
        return await self._arun(self._messages(session_id, last))

    def page(self, session_id: str, offset: int, limit: int) -> list[M]:
        """At most ``limit`` messages from index ``offset``, which counts from the oldest, 0."""
        return self._run(self._page(session_id, offset, limit))

    async def apage(self, session_id: str, offset: int, limit: int) -> list[M]:
        """Async ``page``."""
        return await self._arun(self._page(session_id, offset, limit))

    def archived(self, session_id: str, *, and_active: bool = False) -> list[M]:
        """The archived messages, oldest first, followed by the active ones when asked."""
        return self._run(self._archived(session_id, and_active))

    async def aarchived(self, session_id: str, *, and_active: bool = False) -> list[M]:
        """Async ``archived``."""
        return await self._arun(self._archived(session_id, and_active))

    def count(self, session_id: str) -> int:
        """How many messages are active. 0 for an unknown conversation."""
        return self._run(_conversation.count(self._key(session_id)))

    async def acount(self, session_id: str) -> int:
        """Async ``count``."""
        return await self._arun(_conversation.count(self._key(session_id)))

    def count_all(self, session_id: str) -> tuple[int, int]:
        """How many messages are active, and how many archived, at one moment."""
        return self._run(_conversation.count_all(self._key(session_id)))

    async def acount_all(self, session_id: str) -> tuple[int, int]:
        """Async ``count_all``."""
        return await self._arun(_conversation.count_all(self._key(session_id)))

    def sessions(self) -> list[str]:
        """The ids of all conversations under the prefix, sorted; also those archived altogether.

        Walks the whole keyspace with SCAN, on every primary of a cluster: about one round trip per
        1,000 keys. Conversations that come or go meanwhile may be in it or not.
        """
        return self._run(_conversation.session_ids(self._key_prefix))

    async def asessions(self) -> list[str]:
        """Async ``sessions``."""
        return await self._arun(_conversation.session_ids(self._key_prefix))

    # Deleting and archiving

    def delete_at(self, session_id: str, index: int) -> M | None:
        """Delete the message at ``index``, negative from the end, and return it; None if none."""
        return self._run(self._delete_at(session_id, index))

    async def adelete_at(self, session_id: str, index: int) -> M | None:
        """Async ``delete_at``."""
        return await self._arun(self._delete_at(session_id, index))

    def delete_last(self, session_id: str) -> M | None:
        """Delete the newest message and return it; None if there is none."""
        return self._run(self._delete_last(session_id))

    async def adelete_last(self, session_id: str) -> M | None:
        """Async ``delete_last``."""
        return await self._arun(self._delete_last(session_id))

    def delete_oldest(self, session_id: str, n: int) -> list[M]:
        """Delete the oldest ``n`` messages, fewer if there are fewer, and return them."""
        return self._run(self._delete_oldest(session_id, n))

    async def adelete_oldest(self, session_id: str, n: int) -> list[M]:
        """Async ``delete_oldest``."""
        return await self._arun(self._delete_oldest(session_id, n))

    def archive_oldest(self, session_id: str, n: int) -> list[M]:
        """Move the oldest ``n`` messages to the end of the archived list and return them."""
        return self._run(self._archive_oldest(session_id, n))

    async def aarchive_oldest(self, session_id: str, n: int) -> list[M]:
        """Async ``archive_oldest``."""
        return await self._arun(self._archive_oldest(session_id, n))

    def delete(self, session_id: str) -> bool:
        """Delete the conversation, its archived messages included; whether there was one."""
        return self._run(_conversation.clear(self._key(session_id)))

    async def adelete(self, session_id: str) -> bool:
        """Async ``delete``."""
        return await self._arun(_conversation.clear(self._key(session_id)))

    def delete_archived(self, session_id: str) -> bool:
        """Delete the archived messages only; whether there were any."""
        return self._run(_conversation.delete_archived(self._key(session_id)))

    async def adelete_archived(self, session_id: str) -> bool:
        """Async ``delete_archived``."""
        return await self._arun(_conversation.delete_archived(self._key(session_id)))

    def take(self, session_id: str, *, keep_archived: bool = False) -> list[M]:
        """``delete``, returning the active messages.

        Args:
            session_id: The conversation.
            keep_archived: Delete the active messages only.
        """
        return self._run(self._take(session_id, keep_archived))

    async def atake(self, session_id: str, *, keep_archived: bool = False) -> list[M]:
        """Async ``take``."""
        return await self._arun(self._take(session_id, keep_archived))

    # Expiry

    def set_ttl(self, session_id: str, ttl: TTL | None) -> bool:
        """Let the conversation expire in ``ttl``, or never when None; False if there is none.

        The next write with this store's own ``ttl`` starts that one again.
        """
        return self._run(self._set_ttl(session_id, ttl))

    async def aset_ttl(self, session_id: str, ttl: TTL | None) -> bool:
        """Async ``set_ttl``."""
        return await self._arun(self._set_ttl(session_id, ttl))

    def refresh_ttl(self, session_id: str) -> bool:
        """Restart the store's TTL without writing; False if there is no such conversation."""
        return self._run(self._refresh_ttl(session_id))

    async def arefresh_ttl(self, session_id: str) -> bool:
        """Async ``refresh_ttl``."""
        return await self._arun(self._refresh_ttl(session_id))

    def ttl_left(self, session_id: str) -> float | None:
        """Seconds until the conversation expires; None: never; 0.0: there is none."""
        return self._run(self._ttl_left(session_id))

    async def attl_left(self, session_id: str) -> float | None:
        """Async ``ttl_left``."""
        return await self._arun(self._ttl_left(session_id))

    # Plans: arguments checked and encoded, replies decoded.

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    def _key(self, session_id: str) -> str:
        return _keys.list_key(self._key_prefix, session_id)

    def _append(self, session_id: str, messages: Iterable[M], archived: bool = False) -> Plan[None]:
        return _conversation.append(
            self._key(session_id),
            self._encode(messages),
            ttl_ms=self._ttl_ms,
            window=self._window,
            archived=archived,
        )

    def _replace(
        self, session_id: str, messages: Iterable[M], archived: bool, whole: bool
    ) -> Plan[None]:
        return _conversation.replace(
            self._key(session_id),
            self._encode(messages),
            ttl_ms=self._ttl_ms,
            window=self._window,
            archived=archived,
            whole=whole,
        )

    def _insert(self, session_id: str, index: int, message: M) -> Plan[None]:
        check_index(index)
        return _conversation.insert(
            self._key(session_id),
            index,
            self._encode([message])[0],
            ttl_ms=self._ttl_ms,
            window=self._window,
        )

    def _messages(self, session_id: str, last: int | None) -> Plan[list[M]]:
        check_count(last, "last")
        key = self._key(session_id)
        elements = yield from _conversation.read(
            key, 0 if last is None else -last, -1, ttl_ms=self._read_ttl_ms
        )
        return self._decode(key, elements, 0 if last is None else -len(elements))

    def _page(self, session_id: str, offset: int, limit: int) -> Plan[list[M]]:
        check_count(offset, "offset", minimum=0)
        check_count(limit, "limit")
        key = self._key(session_id)
        elements = yield from _conversation.read(
            key, offset, offset + limit - 1, ttl_ms=self._read_ttl_ms
        )
        return self._decode(key, elements, offset)

    def _archived(self, session_id: str, and_active: bool) -> Plan[list[M]]:
        key = self._key(session_id)
        archived, active = yield from _conversation.read_archived(key, and_active=and_active)
        older = self._decode(_keys.sidecar(key, _keys.ARCHIVED), archived)
        return older + self._decode(key, active)

    def _delete_at(self, session_id: str, index: int) -> Plan[M | None]:
        check_index(index)
        key = self._key(session_id)
        element = yield from _conversation.delete_at(key, index, ttl_ms=self._ttl_ms)
        return self._decode_deleted(key, index, element)

    def _delete_last(self, session_id: str) -> Plan[M | None]:
        key = self._key(session_id)
        element = yield from _conversation.delete_last(key, ttl_ms=self._ttl_ms)
        return self._decode_deleted(key, -1, element)

    def _delete_oldest(self, session_id: str, n: int) -> Plan[list[M]]:
        check_count(n, "n")
        key = self._key(session_id)
        elements = yield from _conversation.delete_oldest(key, n, ttl_ms=self._ttl_ms)
        return self._decode(key, elements, lenient=True)

    def _archive_oldest(self, session_id: str, n: int) -> Plan[list[M]]:
        check_count(n, "n")
        key = self._key(session_id)
        elements = yield from _conversation.archive_oldest(key, n, ttl_ms=self._ttl_ms)
        return self._decode(key, elements, lenient=True)

    def _take(self, session_id: str, keep_archived: bool) -> Plan[list[M]]:
        key = self._key(session_id)
        plan = _conversation.take_all if keep_archived else _conversation.delete
        elements = yield from plan(key)
        return self._decode(key, elements, lenient=True)

    def _set_ttl(self, session_id: str, ttl: TTL | None) -> Plan[bool]:
        return _conversation.set_ttl(self._key(session_id), ttl_to_milliseconds(ttl))

    def _refresh_ttl(self, session_id: str) -> Plan[bool]:
        if self._ttl_ms is None:
            raise InvalidArgumentError("this store has no ttl to refresh to: make it with ttl=")
        return _conversation.set_ttl(self._key(session_id), self._ttl_ms)

    def _ttl_left(self, session_id: str) -> Plan[float | None]:
        milliseconds = yield from _conversation.ttl_left(self._key(session_id))
        if milliseconds < 0:
            return None if milliseconds == -1 else 0.0
        return max(milliseconds, 1) / 1000  # PTTL says 0 during the last millisecond

    def _encode(self, messages: Iterable[M]) -> list[bytes]:
        now = time.time_ns() // 1_000_000
        return [dump_element(self._codec.encode(message), now) for message in messages]

    def _decode(
        self, key: str, elements: Sequence[bytes], start: int = 0, *, lenient: bool = False
    ) -> list[M]:
        """Messages of ``elements``, the first of which has the index ``start``.

        ``lenient`` where the list was changed already: an error would hide that it was.
        """
        try:
            return self._codec.decode_all(load_elements(elements))
        except Exception:  # noqa: BLE001 - found and raised below
            messages = []
        for position, raw in enumerate(elements, start):
            try:
                messages.append(self._codec.decode(load_element(raw)))
            except Exception as error:  # a codec meets whatever was stored; all of it has one name
                corrupt = CorruptMessageError(key, position, f"{type(error).__name__}: {error}")
                if self._on_corrupt == "raise" and not lenient:
                    raise corrupt from error
                _log.warning("skipped: %s", corrupt)
        return messages

    def _decode_deleted(self, key: str, index: int, element: bytes | None) -> M | None:
        if element is None:
            return None
        decoded = self._decode(key, [element], index, lenient=True)
        return decoded[0] if decoded else None


class MessageStore(ConversationStore[Mapping[str, Any]]):
    """Conversations as plain ``{"role", "content"}`` dicts, for code without a framework.

    A conversation is one Valkey List at ``{key_prefix}{session_id}``, one JSON message per element:
    what other GLIDE code writes there with RPUSH is read here, and the other way round. Messages
    that LangChain or LlamaIndex stored come out as a model API takes them.

    Every method is one round trip, and atomic where it changes something; every method has an async
    twin with the prefix ``a``. Safe to share between threads and event loops.

    Examples:
        >>> from valkey_memory import MessageStore
        >>> store = MessageStore(url="embedded://", ttl=3600, max_messages=100)
        >>> store.extend("alice-1", [
        ...     {"role": "user", "content": "What is Valkey?"},
        ...     {"role": "assistant", "content": "A key-value store."},
        ... ])
        >>> store.messages("alice-1", last=1)
        [{'role': 'assistant', 'content': 'A key-value store.'}]

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What every key starts with; no braces. Change it per application or tenant.
        ttl: Seconds (or a timedelta) after which a conversation expires. Each write restarts it.
            None, the default, sets no expiry and keeps one that is there.
        max_messages: The window: after each write only the newest so many are kept. Default: all.
            It counts messages, not turns: the first one may be an answer or a tool's result.
        refresh_ttl_on_read: Reading restarts the TTL too, in the same round trip.
        on_corrupt: What to do with an element that is no message: ``"raise"`` CorruptMessageError,
            or ``"skip"`` it with a warning in the log ``valkey_memory``. It stays in the list.
        extra_keys: Hand out every stored key (``id``, ``ts``, ``lc``, ``li``) and content as it was
            written. By default only what model APIs accept, because they refuse unknown keys.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; an argument cannot work.
        InvalidSessionIdError, MessageEncodeError: From a method, before anything was sent.
        CorruptMessageError: From a reading method.
        ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "chat:",
        ttl: TTL | None = None,
        max_messages: int | None = None,
        refresh_ttl_on_read: bool = False,
        on_corrupt: OnCorrupt = "raise",
        extra_keys: bool = False,
    ) -> None:
        super().__init__(
            PlainCodec(extra_keys=extra_keys),
            url=url,
            connection=connection,
            key_prefix=key_prefix,
            ttl=ttl,
            max_messages=max_messages,
            refresh_ttl_on_read=refresh_ttl_on_read,
            on_corrupt=on_corrupt,
        )
