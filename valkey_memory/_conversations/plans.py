"""Every operation of a store as a plan: arguments checked and encoded, replies decoded."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Generic, TypeVar

from .. import _keys
from .._arguments import (
    TTL,
    check_count,
    check_index,
    check_once,
    ttl_to_milliseconds,
)
from .._errors import InvalidArgumentError
from .._messages.codecs import Codec
from .._messages.tokens import count_tokens as estimated_tokens
from .._plans import Change, Plan, WriteToken, change_plan
from . import changes, summaries
from .counters import TokenCounter, checked_count
from .elements import Elements, OnCorrupt, several
from .listing import session_ids_plan
from .records import Listing, Note, Recorder, RecordOptions
from .summaries import Summarizer, check_summarizer
from .window_plans import (
    NOTHING_ABOVE,
    Above,
    WhenTooLarge,
    check_limits,
    check_whole_turns,
    window_plan,
)

M = TypeVar("M")
T = TypeVar("T")

_NEW_TOKEN = WriteToken()


class ConversationPlans(Generic[M]):
    """The plans of one store. Arguments are those of ``MessageStore``."""

    def __init__(
        self,
        codec: Codec[M],
        *,
        key_prefix: str,
        ttl: TTL | None,
        max_messages: int | None,
        refresh_ttl_on_read: bool,
        on_corrupt: OnCorrupt,
        whole_turns: bool = False,
        user_id: str | None = None,
        model: str | None = None,
        title: str | None = None,
        count_tokens: TokenCounter[M] | None = None,
        summary: Summarizer | None = None,
    ) -> None:
        check_count(max_messages, "max_messages", optional=True)
        check_whole_turns(whole_turns, max_messages)
        if refresh_ttl_on_read and ttl is None:
            raise InvalidArgumentError("refresh_ttl_on_read needs a ttl to refresh to")
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._key_prefix = _keys.check_prefix(key_prefix)
        self._window = max_messages
        self._whole_turns = whole_turns
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None
        check_summarizer(summary, max_messages)
        self._summary = summary
        self._elements = Elements(codec, on_corrupt, summaries_left_out=summary is not None)
        self._recorder = Recorder(codec, key_prefix, user_id, model, title, count_tokens)

    def key(self, session_id: str) -> str:
        return _keys.list_key(self._key_prefix, session_id)

    # Writing

    def _write_plan(
        self,
        session_id: str,
        change: Change[Any],
        note: Note | None = None,
        *,
        listing: Listing = "touch",
        reading: Change[Any] | None = None,
    ) -> Plan[Any]:
        """Send ``change``, and note it where records are kept.

        ``reading`` comes before it, in the same step, and its result is returned.
        """
        ttl_ms = self._ttl_ms
        return self._recorder.write_plan(
            session_id, change, note, listing=listing, ttl_ms=ttl_ms, reading=reading
        )

    def _add_plan(
        self, session_id: str, change: Change[None], number: int, note: Note | None
    ) -> Plan[None]:
        """Send ``change``, which adds so many messages, and summarise where it is time."""
        if self._summary is None:
            return self._write_plan(session_id, change, note, listing="enter")
        return self._add_and_summarize_plan(session_id, change, number, note, self._summary)

    def _add_and_summarize_plan(
        self,
        session_id: str,
        change: Change[None],
        number: int,
        note: Note | None,
        summary: Summarizer,
    ) -> Plan[None]:
        key = self.key(session_id)
        before = yield from self._write_plan(
            session_id, change, note, listing="enter", reading=changes.count(key)
        )
        if before + number > summary.when_over:
            yield from summary.after_write_plan(key, strict=self._window is None)

    def _delete_plan(self, session_id: str, change: Change[T]) -> Plan[T]:
        """Send ``change``, which leaves nothing, so no token either. It is not repeated."""
        return self._write_plan(session_id, change, listing="leave")

    def _expire_plan(self, session_id: str, ttl_ms: int | None) -> Plan[bool]:
        change = changes.expire(self.key(session_id), ttl_ms)
        return self._recorder.write_plan(session_id, change, ttl_ms=ttl_ms)

    def _read_plan(self, session_id: str, change: Change[T]) -> Plan[T]:
        """Send ``change``, which only looks, and refresh the TTL where reading does that."""
        ttl_ms = self._read_ttl_ms
        if ttl_ms is None:
            return change_plan(change)
        refresh = changes.expire(self.key(session_id), ttl_ms)
        return self._recorder.write_plan(session_id, refresh, ttl_ms=ttl_ms, reading=change)

    def append_plan(
        self,
        session_id: str,
        messages: Iterable[M],
        archived: bool = False,
        once: str | None = None,
        record: RecordOptions | None = None,
    ) -> Plan[None]:
        name = None if once is None else f"once:{check_once(once)}"
        key, messages = self.key(session_id), several(messages)
        elements = self._elements.encode(messages)
        note = self._recorder.note(messages, record)
        if elements:
            change = changes.append(
                key,
                elements,
                ttl_ms=self._ttl_ms,
                window=self._window,
                whole_turns=self._whole_turns,
                archived=archived,
                token=(yield _NEW_TOKEN) if name is None else name,
            )
            if archived:
                yield from self._write_plan(session_id, change, note, listing="enter")
            else:
                yield from self._add_plan(session_id, change, len(elements), note)

    def replace_plan(
        self, session_id: str, messages: Iterable[M], archived: bool, whole: bool
    ) -> Plan[None]:
        key, messages = self.key(session_id), several(messages)
        elements = self._elements.encode(messages)
        change = changes.replace(
            key,
            elements,
            ttl_ms=self._ttl_ms,
            window=self._window,
            whole_turns=self._whole_turns,
            archived=archived,
            whole=whole,
            token=(yield _NEW_TOKEN),
        )
        if self._summary is None:
            yield from self._write_plan(session_id, change, listing="enter")
            return
        # Messages with their summary among them are what was read, edited; others are new.
        stays = not whole and (archived or len(elements) < len(messages))
        first: Change[Any] = changes.count(key) if stays else summaries.delete(key)
        yield from self._write_plan(session_id, change, listing="enter", reading=first)
        if not archived and len(elements) > self._summary.when_over:
            yield from self._summary.after_write_plan(key, strict=self._window is None)

    def insert_plan(self, session_id: str, index: int, message: M) -> Plan[None]:
        check_index(index)
        key, elements = self.key(session_id), self._elements.encode([message])
        if not elements:
            return
        change = changes.insert(
            key,
            index,
            elements[0],
            ttl_ms=self._ttl_ms,
            window=self._window,
            whole_turns=self._whole_turns,
            token=(yield _NEW_TOKEN),
        )
        note = self._recorder.note([message])
        yield from self._add_plan(session_id, change, len(elements), note)

    # Reading

    def messages_plan(
        self,
        session_id: str,
        last: int | None = None,
        max_tokens: int | None = None,
        count_tokens: TokenCounter[M] | None = None,
        whole_turns: bool | None = None,
        when_too_large: WhenTooLarge = "keep",
    ) -> Plan[list[M]]:
        limits = check_limits(last, max_tokens, count_tokens, whole_turns, when_too_large)
        key, start = self.key(session_id), 0 if last is None else -last
        read_plan = partial(self._read_with_summary_plan, session_id, count_tokens)
        if limits.whole_turns or max_tokens is not None:
            return (
                yield from window_plan(key, limits, count_tokens, self._elements.decode, read_plan)
            )
        above, elements = yield from read_plan(changes.read(key, start, -1))
        messages = self._elements.decode(key, elements, 0 if last is None else -len(elements))
        return [*above.messages, *messages] if above.messages else messages

    def _read_with_summary_plan(
        self, session_id: str, count_tokens: TokenCounter[M] | None, change: Change[T]
    ) -> Plan[tuple[Above[M], T]]:
        """What ``change`` reads, and above it the summary, in stores that have one made."""
        if self._summary is None:
            return NOTHING_ABOVE, (yield from self._read_plan(session_id, change))
        text, found = yield from self._read_plan(session_id, summaries.with_text(change))
        if not text:
            return NOTHING_ABOVE, found
        element = summaries.element(text)
        tokens = estimated_tokens([element])
        messages = [self._elements.codec.decode(element)]
        if count_tokens is not None:
            tokens = checked_count(count_tokens(messages))
        return Above(messages, tokens), found

    # Summaries

    def summary_plan(self, session_id: str) -> Plan[str | None]:
        return change_plan(summaries.read_field(self.key(session_id), "text"))

    def summary_error_plan(self, session_id: str) -> Plan[str | None]:
        return change_plan(summaries.read_field(self.key(session_id), "error"))

    def summarize_plan(self, session_id: str) -> Plan[bool]:
        if self._summary is None:
            raise InvalidArgumentError("this store has nothing to summarise with: pass summary=")
        return self._summary.now_plan(self.key(session_id), strict=self._window is None)

    def page_plan(self, session_id: str, offset: int, limit: int) -> Plan[list[M]]:
        check_count(offset, "offset", minimum=0)
        check_count(limit, "limit")
        key = self.key(session_id)
        change = changes.read(key, offset, offset + limit - 1)
        elements = yield from self._read_plan(session_id, change)
        return self._elements.decode(key, elements, offset)

    def archived_plan(self, session_id: str, and_active: bool) -> Plan[list[M]]:
        key = self.key(session_id)
        archived, active = yield from change_plan(changes.read_archived(key, and_active=and_active))
        older = self._elements.decode(_keys.sidecar(key, _keys.ARCHIVED), archived)
        return older + self._elements.decode(key, active)

    def count_plan(self, session_id: str) -> Plan[int]:
        return change_plan(changes.count(self.key(session_id)))

    def count_all_plan(self, session_id: str) -> Plan[tuple[int, int]]:
        return change_plan(changes.count_all(self.key(session_id)))

    def sessions_plan(self) -> Plan[list[str]]:
        return session_ids_plan(self._key_prefix)

    # Deleting and archiving

    def delete_at_plan(self, session_id: str, index: int) -> Plan[M | None]:
        check_index(index)
        key = self.key(session_id)
        token = yield _NEW_TOKEN
        change = changes.delete_at(key, index, ttl_ms=self._ttl_ms, token=token)
        element = yield from self._write_plan(session_id, change)
        return self._elements.decode_deleted(key, index, element)

    def delete_last_plan(self, session_id: str) -> Plan[M | None]:
        key = self.key(session_id)
        token = yield _NEW_TOKEN
        change = changes.delete_last(key, ttl_ms=self._ttl_ms, token=token)
        element = yield from self._write_plan(session_id, change)
        return self._elements.decode_deleted(key, -1, element)

    def delete_oldest_plan(self, session_id: str, n: int) -> Plan[list[M]]:
        check_count(n, "n")
        key = self.key(session_id)
        token = yield _NEW_TOKEN
        change = changes.delete_oldest(key, n, ttl_ms=self._ttl_ms, token=token)
        elements = yield from self._write_plan(session_id, change)
        return self._elements.decode(key, elements, lenient=True)

    def archive_oldest_plan(self, session_id: str, n: int) -> Plan[list[M]]:
        check_count(n, "n")
        key = self.key(session_id)
        token = yield _NEW_TOKEN
        change = changes.archive_oldest(key, n, ttl_ms=self._ttl_ms, token=token)
        elements = yield from self._write_plan(session_id, change)
        return self._elements.decode(key, elements, lenient=True)

    def take_plan(self, session_id: str, keep_archived: bool) -> Plan[list[M]]:
        key = self.key(session_id)
        if keep_archived:
            change = changes.take(key, keep_sidecars=True, token=(yield _NEW_TOKEN))
            elements = yield from self._write_plan(session_id, change)
        else:
            change = changes.take(key, keep_sidecars=False)
            elements = yield from self._delete_plan(session_id, change)
        return self._elements.decode(key, elements, lenient=True)

    def delete_plan(self, session_id: str) -> Plan[bool]:
        return self._delete_plan(session_id, changes.delete(self.key(session_id)))

    def delete_archived_plan(self, session_id: str) -> Plan[bool]:
        change = changes.delete_archived(self.key(session_id), token=(yield _NEW_TOKEN))
        deleted: bool = yield from self._write_plan(session_id, change)
        return deleted

    # Expiry

    def set_ttl_plan(self, session_id: str, ttl: TTL | None) -> Plan[bool]:
        return self._expire_plan(session_id, ttl_to_milliseconds(ttl))

    def refresh_ttl_plan(self, session_id: str) -> Plan[bool]:
        if self._ttl_ms is None:
            raise InvalidArgumentError("this store has no ttl to refresh to: make it with ttl=")
        return self._expire_plan(session_id, self._ttl_ms)

    def ttl_left_plan(self, session_id: str) -> Plan[float | None]:
        milliseconds = yield from change_plan(changes.ttl_left(self.key(session_id)))
        if milliseconds < 0:
            return None if milliseconds == -1 else 0.0
        return max(milliseconds, 1) / 1000  # PTTL says 0 during the last millisecond
