"""Reading a window of a conversation: as many of its newest turns as fit, in one round trip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from .._arguments import MAXIMUM, check_count, shown
from .._errors import InvalidArgumentError
from .._messages import tokens
from .._messages.elements import Element, readable
from .._plans import Change, Plan, change_plan
from . import changes, windows
from .counters import TokenCounter, check_counter, checked_count
from .turn_scripts import READ_END
from .windows import Limits, Part

M = TypeVar("M")
WhenTooLarge: TypeAlias = Literal["keep", "cut"]

# English text has about 4 bytes per token. Short messages are as much JSON as text, and beside an
# answer LangChain stores a kilobyte of what the model's API said of it. To read two or three times
# what is needed takes less time than a second round trip.
_BYTES_PER_TOKEN = 12
_BYTES_AT_LEAST = 8192
_GROWTH = 8
"""So many times more is read where that was not enough."""

_log = logging.getLogger("valkey_memory")


class Decode(Protocol[M]):
    """Messages of elements, the first of which has the index ``start``."""

    def __call__(
        self, key: str, elements: Sequence[bytes], start: int = 0, *, lenient: bool = False
    ) -> list[M]: ...


class Above(NamedTuple, Generic[M]):
    """What stands above a window and is no message of the conversation: its summary."""

    messages: Sequence[M] = ()
    tokens: int = 0
    """Of them, where somebody counts."""


NOTHING_ABOVE: Above[Any] = Above()


class Tail(NamedTuple):
    """The end of a conversation."""

    length: int
    """Of the whole conversation."""
    elements: list[bytes]


def check_limits(
    last: int | None,
    max_tokens: int | None,
    count_tokens: TokenCounter[M] | None,
    whole_turns: bool | None,
    when_too_large: WhenTooLarge,
) -> Limits:
    """The limits of a window.

    Raises:
        InvalidArgumentError: An argument is wrong.
    """
    check_count(last, "last", optional=True)
    check_count(max_tokens, "max_tokens", optional=True)
    check_counter(count_tokens)
    if count_tokens is not None and max_tokens is None:
        raise InvalidArgumentError("count_tokens needs max_tokens to count up to")
    if whole_turns is not None and not isinstance(whole_turns, bool):
        raise InvalidArgumentError(
            f"whole_turns must be True, False or None, not {shown(whole_turns)}"
        )
    if when_too_large not in ("keep", "cut"):
        raise InvalidArgumentError(
            f'when_too_large must be "keep" or "cut", not {shown(when_too_large)}'
        )
    if whole_turns is None:
        whole_turns = max_tokens is not None
    return Limits(last, max_tokens, whole_turns, when_too_large == "cut")


def check_whole_turns(whole_turns: bool, max_messages: int | None) -> None:
    """Raise InvalidArgumentError where a store cannot keep whole turns."""
    if not isinstance(whole_turns, bool):
        raise InvalidArgumentError(f"whole_turns must be True or False, not {shown(whole_turns)}")
    if whole_turns and max_messages is None:
        raise InvalidArgumentError("whole_turns needs max_messages, a window that begins with one")


def read_end(key: str, most: int | None, enough: int | None) -> Change[Tail]:
    """The newest elements: at most ``most``, and no more once they are ``enough`` bytes."""
    if most is None and enough is None:
        whole = changes.read(key, 0, -1)
        return Change(
            whole.operation,
            key,
            whole.commands,
            lambda replies: Tail(len(replies[0]), replies[0]),
            read_only=True,
        )
    limits = ("" if limit is None else str(limit) for limit in (most, enough))
    command = ("EVAL_RO", READ_END, "1", key, *limits)
    return Change(
        f"read {key!r}", key, (command,), lambda replies: Tail(*replies[0][:2]), read_only=True
    )


@dataclass(frozen=True, slots=True)
class _View(Generic[M]):
    """The end of a conversation as elements, as messages and as tokens."""

    key: str
    tail: Tail
    elements: list[Element]
    decode: Decode[M]
    count_tokens: TokenCounter[M] | None

    @property
    def first(self) -> int:
        """The index of the first element in the conversation."""
        return self.tail.length - len(self.elements)

    def messages(self, parts: Sequence[Part], *, lenient: bool = False) -> list[M]:
        found: list[M] = []
        for start, stop in parts:
            raws = self.tail.elements[start:stop]
            found += self.decode(self.key, raws, self.first + start, lenient=lenient)
        return found

    def count(self, parts: Sequence[Part]) -> int:
        if self.count_tokens is not None:
            # What cannot be read may turn out to be outside of the window.
            return checked_count(self.count_tokens(self.messages(parts, lenient=True)))
        chosen = (self.elements[start:stop] for start, stop in parts)
        return tokens.count_tokens(chain.from_iterable(chosen))


def window_plan(
    key: str,
    limits: Limits,
    count_tokens: TokenCounter[M] | None,
    decode: Decode[M],
    read_plan: Callable[[Change[Tail]], Plan[tuple[Above[M], Tail]]],
) -> Plan[list[M]]:
    """The messages of the window, oldest first. ``read_plan`` makes the first read.

    The tokens of what stands above the window are taken from its limit.
    """
    most = None if limits.last is None else limits.last + 1  # one more shows where a turn begins
    enough = None if limits.max_tokens is None else _bytes_for(limits.max_tokens)
    above, tail = yield from read_plan(read_end(key, most, enough))
    if above.tokens and limits.max_tokens is not None:
        limits = limits._replace(max_tokens=max(limits.max_tokens - above.tokens, 1))
    while True:
        view = _View(key, tail, readable(tail.elements), decode, count_tokens)
        window = windows.choose(
            view.elements,
            limits,
            view.count,
            complete=view.first == 0,
            counts_any=count_tokens is None,
        )
        if window is not None:
            break
        most, enough = _more(most), _more(enough)
        tail = yield from change_plan(read_end(key, most, enough))
    if window.too_large:
        _warn(key, limits, window)
    return [*above.messages, *view.messages(window.parts)]


def _bytes_for(max_tokens: int) -> int:
    return min(max_tokens * _BYTES_PER_TOKEN + _BYTES_AT_LEAST, MAXIMUM)


def _more(limit: int | None) -> int | None:
    return None if limit is None else min(limit * _GROWTH, MAXIMUM)


def _warn(key: str, limits: Limits, window: windows.Window) -> None:
    named = {"max_tokens": limits.max_tokens, "last": limits.last}
    over = " and ".join(f"{name}={limit}" for name, limit in named.items() if limit is not None)
    if not limits.whole_turns:
        done = "it is sent whole"
    elif limits.cut:
        length = sum(stop - start for start, stop in window.parts)
        done = f"it was cut to {length} messages"
    else:
        done = 'it is sent whole; when_too_large="cut" would cut it'
    what = "turn" if limits.whole_turns else "message"
    _log.warning("the newest %s of %r is larger than %s: %s", what, key, over, done)
