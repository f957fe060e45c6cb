"""One call of a tool through the cache: a hit, or a claim and the tool, or waiting for who has it.

Equal calls that run at the same time, in threads, tasks or processes, are one: the first claims the
making of the result, the others wait for it. They wait for two holders at most: one may die and one
may fail, and then each runs the tool by itself, as without a cache. So a tool that always fails
does not queue its callers one behind the other.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import uuid4

from .. import _keys
from .._arguments import OnError, check_text
from .._errors import (
    CommandError,
    InvalidArgumentError,
    MessageEncodeError,
    ValkeyMemoryError,
)
from .._models.calls import Call
from .._plans import Pause, Plan, Request, Scan, Work, change_plan
from .counts import Counts
from .tool_arguments import digest
from .tool_claims import Entry, Held
from .tool_results import FORMS, ResultForm

T = TypeVar("T")

_log = logging.getLogger("valkey_memory")

_HOLDERS = 2
"""So many holders a call waits for, one after the other."""
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CallPlans:
    """The plans of a cache of tools' results.

    Args:
        key_prefix: Of its keys.
        lease_ms: How long a claim holds.
        on_error: Whether an error of the cache is raised, or logged and the tool run without it.
        counts: Of what happens.
    """

    key_prefix: str
    lease_ms: int
    on_error: OnError
    counts: Counts

    def entry(
        self, tool: str, arguments: Mapping[str, Any], user_id: str | None, form: str
    ) -> Entry:
        """Where the result of a call is, or will be."""
        key = _keys.tool_key(self.key_prefix, tool, digest(arguments, form), user_id)
        return Entry(tool, key)

    def get_or_call_plan(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        call: Call,
        *,
        user_id: str | None,
        ttl_ms: int,
        form: ResultForm[T],
    ) -> Plan[T]:
        """The result of a call: the stored one, or the tool's, which is then stored."""
        token = ""
        try:
            entry = self.entry(tool, arguments, user_id, form.name)
            found = yield from self._claimed_plan(entry, form)
            if not isinstance(found, str):
                self.counts.add(hits=1)
                return found.result
            token = found
        except InvalidArgumentError:
            raise
        except ValkeyMemoryError as error:
            if self.on_error == "raise":
                raise
            _log.warning("the tool %r runs without its cache: %s", tool, error)
        self.counts.add(misses=1)
        outcome: _Outcome = yield _Ran(call)
        if token:
            yield from self._settled_plan(entry, token, outcome, form, ttl_ms)
        if outcome.error is not None:
            raise outcome.error
        return outcome.result  # type: ignore[no-any-return]

    def _claimed_plan(self, entry: Entry, form: ResultForm[T]) -> Plan[_Hit[T] | str]:
        """A hit, or the token of a claim; an empty one where the tool is better run at once.

        One round trip, and one for each look while somebody else has the claim.
        """
        token: str = yield _NewToken()
        holders: list[bytes] = []
        pause = _FIRST_PAUSE
        while True:
            found = yield from change_plan(entry.look(token, self.lease_ms))
            if found is None:
                return token
            if not isinstance(found, Held):
                try:
                    return _Hit(form.from_text(found))
                except ValueError as error:
                    _log.warning("dropped an unreadable result at %r: %s", entry.key, error)
                    yield from change_plan(entry.drop(found))
                    continue
            if found.holder not in holders:
                if len(holders) == _HOLDERS or found.left_ms < 0:
                    return ""
                if not holders:
                    self.counts.add(waits=1)
                holders.append(found.holder)
                pause = _FIRST_PAUSE
            yield Pause(min(pause, (found.left_ms + 1) / 1000))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _settled_plan(
        self, entry: Entry, token: str, outcome: _Outcome, form: ResultForm[T], ttl_ms: int
    ) -> Plan[None]:
        """Store what the tool gave, or give the claim up. One round trip.

        It raises nothing of ours: never at the price of what the tool gave.
        """
        text = None
        if outcome.error is None and form.keep(outcome.result):
            try:
                text = form.to_text(outcome.result)
            except MessageEncodeError as error:
                _log.warning("a result of the tool %r is not cached: %s", entry.tool, error)
        try:
            if text is not None:
                yield from self._stored_plan(entry, token, text, ttl_ms)
            else:
                yield from change_plan(entry.release(token))
        except CommandError as error:  # refused, so others shall not wait for it
            _log.warning("%s", error)
            with contextlib.suppress(ValkeyMemoryError):  # then the lease ends it
                yield from change_plan(entry.release(token))
        except ValkeyMemoryError as error:
            _log.warning("%s", error)

    def _stored_plan(self, entry: Entry, token: str, text: bytes, ttl_ms: int) -> Plan[None]:
        if (yield from change_plan(entry.store(token, text, ttl_ms))):
            self.counts.add(stores=1)
            return
        _log.warning(
            "a result of the tool %r is not cached: the cache was cleared, or the tool ran longer "
            "than lease=%g seconds",
            entry.tool,
            self.lease_ms / 1000,
        )

    def delete_plan(
        self, tool: str, arguments: Mapping[str, Any], user_id: str | None
    ) -> Plan[bool]:
        """Delete one result, in whatever form. One round trip."""
        entries = [self.entry(tool, arguments, user_id, form) for form in FORMS]
        return bool((yield from _deleted_plan(f"delete a result of the tool {tool!r}", entries)))

    def clear_plan(self, tool: str | None, user_id: str | None) -> Plan[int]:
        """Delete all results, or a tool's, or a user's; how many. It walks the keyspace."""
        for name, value in (("tool", tool), ("user_id", user_id)):
            if value is not None:
                check_text(value, name)
        operation = "clear the results of tools"
        pattern = _keys.tool_keys_pattern(self.key_prefix)
        deleted, cursor = 0, None
        while True:
            page = yield Scan(operation, pattern, None, cursor)
            keys = {
                found
                for key in page.keys
                if (found := _keys.tool_key_of(self.key_prefix, key, tool, user_id)) is not None
            }
            entries = [Entry(tool or "", key) for key in sorted(keys)]
            for start in range(0, len(entries), _AT_ONCE):
                deleted += yield from _deleted_plan(operation, entries[start : start + _AT_ONCE])
            cursor = page.cursor
            if cursor is None:
                return deleted


def _deleted_plan(operation: str, entries: list[Entry]) -> Plan[int]:
    """Delete some results with their claims; how many there were. One round trip."""
    commands = tuple(command for entry in entries for command in entry.delete_commands())
    replies = yield Request(operation, commands, repeatable=True)
    return sum(replies[::2])


class _Hit(NamedTuple, Generic[T]):
    """What was stored."""

    result: T


class _NewToken(Work):
    """A name for whoever claims. The reply is a string."""

    __slots__ = ()

    def serve(self) -> str:
        return uuid4().hex

    async def aserve(self) -> str:
        return self.serve()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a tool gave, or what it threw."""

    result: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Ran(Work):
    """Run the tool. The reply is its outcome.

    What it throws is no failure of the plan, which has a claim to give up first: also when the task
    is cancelled, or somebody presses Ctrl-C.
    """

    call: Call

    def serve(self) -> _Outcome:
        try:
            return _Outcome(self.call())
        except BaseException as error:  # noqa: BLE001 - raised once the claim is given up
            return _Outcome(error=error)

    async def aserve(self) -> _Outcome:
        try:
            return _Outcome(await self.call.acall())
        except BaseException as error:  # noqa: BLE001
            return _Outcome(error=error)
