"""What of a user's memory fits into a prompt: shares of tokens for its parts. All is pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from .._arguments import check_count, shown
from .._conversations.counters import TokenCounter, check_counter, checked_count
from .._conversations.windows import turn_starts
from .._errors import InvalidArgumentError
from .._messages.codecs import PlainCodec
from .._messages.elements import Element
from .._messages.tokens import CHARACTERS_PER_TOKEN, count_tokens
from .both import Both
from .context import HEADINGS, INTRODUCTION, Context, LeftOut, Part, fact_line, recalled_line
from .memories import Memory

M = TypeVar("M")
PlainCounter: TypeAlias = TokenCounter[Mapping[str, Any]]

SHARES: Mapping[str, float] = {"summary": 1 / 8, "facts": 1 / 8, "recalled": 1 / 4}
"""Of ``max_tokens``, at most. What a part does not use is the newest messages'."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a context may be, and who counts them. ``budget`` checks the arguments.

    Attributes:
        max_tokens: Of everything in the prompt; None for no limit.
        shares: The part of it that each kind of note may take.
        count_tokens: Counts plain messages; None for the library's estimate.
    """

    max_tokens: int | None
    shares: Mapping[str, float]
    count_tokens: PlainCounter | None

    def less(self, reserve: int) -> Budget:
        """The budget without so many tokens; at least one is left."""
        check_count(reserve, "reserve", minimum=0)
        if self.max_tokens is None:
            return self
        return replace(self, max_tokens=max(self.max_tokens - reserve, 1))

    def count(self, elements: Sequence[Element]) -> int:
        """The tokens of messages."""
        if self.count_tokens is None:
            return count_tokens(elements)
        plain = PlainCodec()
        return checked_count(self.count_tokens([plain.decode({**one}) for one in elements]))

    def count_text(self, text: str) -> int:
        """The tokens of a part of a system message, or a little more."""
        if self.count_tokens is None:
            return math.ceil(len(text) / CHARACTERS_PER_TOKEN)
        return self.count([{"role": "system", "content": text}])


def budget(
    max_tokens: int | None,
    shares: Mapping[str, float] | None,
    counter: PlainCounter | None,
) -> Budget:
    """``Budget`` of a constructor's arguments.

    Raises:
        InvalidArgumentError: One of them cannot be.
    """
    check_count(max_tokens, "max_tokens", optional=True)
    check_counter(counter)
    if max_tokens is None and shares is not None:
        raise InvalidArgumentError("shares needs max_tokens, which they are shares of")
    given = {} if shares is None else shares
    if not isinstance(given, Mapping) or not given.keys() <= SHARES.keys():
        raise InvalidArgumentError(
            f"shares must be a dict with some of {', '.join(SHARES)}, not {shown(shares)}"
        )
    for part, share in given.items():
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
            raise InvalidArgumentError(
                f"the share of {part} must be a number from 0 to 1, not {shown(share)}"
            )
    found = {**SHARES, **given}
    if sum(found.values()) > 1:
        raise InvalidArgumentError(f"shares are more than 1 together: {shown(found)}")
    return Budget(max_tokens, found, counter)


@dataclass(frozen=True, slots=True)
class Found(Generic[M]):
    """What there is for a context, before anything is left out.

    Attributes:
        question: The question.
        summary: Of the conversation.
        facts: The newest.
        recalled: The best first; facts among them.
        k: At most so many of ``recalled``.
        messages: The newest of the conversation, from a turn's beginning on.
        left_out: What was not even read.
        seen: Ids of messages that the model is given by others.
    """

    question: Both[M]
    summary: str
    facts: Sequence[Memory]
    recalled: Sequence[Memory]
    k: int
    messages: Sequence[Both[M]]
    left_out: Sequence[LeftOut] = ()
    seen: Set[str] = frozenset()


class _Parts(NamedTuple):
    """What is in a context, its question aside."""

    summary: str
    facts: Sequence[Memory]
    recalled: Sequence[Memory]
    messages: Sequence[Both[Any]]
    left_out: Sequence[LeftOut]


def choose(found: Found[M], budget: Budget, system_message: Callable[[str], Both[M]]) -> Context[M]:
    """The context of what fits.

    The question and the newest turn are in it whatever they take, and whole. Of the room that they
    leave each kind of note takes at most its share, in the order of summary, facts, recalled; older
    turns take all the rest.
    """
    parts = _all(found) if budget.max_tokens is None else _fitting(found, budget, budget.max_tokens)
    context = Context(
        found.question.message,
        parts.summary,
        parts.facts,
        parts.recalled,
        [one.message for one in parts.messages],
        parts.left_out,
        system_message=lambda text: system_message(text).message,
    )
    text = context.system_text()
    head = [system_message(text)] if text else []
    elements = [one.element for one in (*head, *parts.messages, found.question)]
    return replace(context, tokens=budget.count(elements))


def _all(found: Found[Any]) -> _Parts:
    recalled = _recalled(found, found.facts)
    return _Parts(found.summary, found.facts, recalled, found.messages, found.left_out)


def _fitting(found: Found[Any], budget: Budget, max_tokens: int) -> _Parts:
    elements = [one.element for one in found.messages]
    turns = sorted({0, *turn_starts(elements)})
    newest = turns.pop()
    room = max_tokens - budget.count([*elements[newest:], found.question.element])
    notes = _Notes(budget, max_tokens, room)
    summary = notes.cut(found.summary)
    facts = notes.take("facts", found.facts, fact_line)
    recalled = notes.take("recalled", _recalled(found, facts), recalled_line)
    begin, room = newest, notes.room
    for start in reversed(turns):
        room -= budget.count(elements[start:begin])
        if room < 0:
            break
        begin = start
    left_out = [*found.left_out, *notes.left_out]
    if begin:
        left_out.append(LeftOut("messages", begin, notes.why))
    return _Parts(summary, facts, recalled, found.messages[begin:], left_out)


def _recalled(found: Found[Any], facts: Sequence[Memory]) -> list[Memory]:
    """What was recalled and is not told elsewhere in the context."""
    told = {one.id for one in facts}
    said = {one.element.get("id") for one in found.messages} - {None} | found.seen
    new = [one for one in found.recalled if one.id not in told and one.message_id not in said]
    return new[: found.k]


class _Notes:
    """Takes notes as long as there is room.

    Attributes:
        room: Tokens that are left for all that follows.
        left_out: What was not taken.
    """

    def __init__(self, budget: Budget, max_tokens: int, room: int) -> None:
        self.room = max(room, 0)
        self.left_out: list[LeftOut] = []
        self.why = f"max_tokens={max_tokens}"
        self._budget = budget
        self._max_tokens = max_tokens
        # It stands above the first note, and is part of no share.
        self._introduction = budget.count([{"role": "system", "content": INTRODUCTION + "\n\n"}])

    def take(
        self, part: Part, memories: Sequence[Memory], line: Callable[[Memory], str]
    ) -> list[Memory]:
        """Those of ``memories`` that fit into the part's share, in order; a long one may be passed
        over for a shorter one behind it."""
        allowed = self._allowed(part)
        spent = self._heading(part)
        taken: list[Memory] = []
        for memory in memories:
            cost = self._budget.count_text(line(memory) + "\n")
            if spent + cost <= allowed:
                spent += cost
                taken.append(memory)
        if taken:
            self._spend(spent)
        self._note(part, len(memories) - len(taken))
        return taken

    def cut(self, summary: str) -> str:
        """The beginning of ``summary`` that fits into its share, up to a word's end."""
        if not summary:
            return ""
        allowed = self._allowed("summary") - self._heading("summary")
        kept = summary
        while kept and (cost := self._budget.count_text(kept + "\n")) > allowed:
            shorter = min(len(kept) * max(allowed, 0) // cost, len(kept) - 1)
            kept = kept[:shorter]
        if kept != summary:
            kept = (kept.rpartition(" ")[0] or kept).rstrip()
        if kept:
            cost = self._budget.count_text(kept + "\n")
            self._spend(self._heading("summary") + cost)
        self._note("summary", len(summary) - len(kept))
        return kept

    def _allowed(self, part: Part) -> int:
        share = int(self._max_tokens * self._budget.shares[part])
        return min(share, self.room - self._introduction)

    def _heading(self, part: Part) -> int:
        return self._budget.count_text(HEADINGS[part] + "\n\n")

    def _spend(self, tokens: int) -> None:
        self.room -= tokens + self._introduction
        self._introduction = 0

    def _note(self, part: Part, number: int) -> None:
        if number:
            self.left_out.append(LeftOut(part, number, self.why))
