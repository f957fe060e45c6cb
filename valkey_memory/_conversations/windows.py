"""Windows: where turns begin in a conversation, and which of its newest messages fit.

A turn begins where the user speaks, and lasts until the user speaks again. Exactly: with a run of
system, developer and user messages that holds a user's and is not followed by a tool's result. A
user's message that carries tool results, which is how Anthropic and Bedrock take them, does not
begin one. So what begins with a turn is what model APIs accept, and no tool call is apart from its
results.

All is pure, and works on elements. One that could not be read is an empty dict, which belongs to
the turn that it is in. ``turn_scripts`` has the same rule in Lua.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from .._messages.elements import Element

Kind: TypeAlias = Literal["system", "user", "result", "other"]
Part: TypeAlias = tuple[int, int]
"""Elements from an index to before another."""
Count: TypeAlias = Callable[[Sequence[Part]], int]
"""The tokens of the elements of some parts, together."""

_KINDS: dict[str, Kind] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "tool": "result",
    "function": "result",
}
_OPENING = ("system", "user")


class Limits(NamedTuple):
    """What a window may hold."""

    last: int | None = None
    """At most so many messages."""
    max_tokens: int | None = None
    whole_turns: bool = True
    """It begins with a turn; else with any message."""
    cut: bool = False
    """A newest turn that is too large is cut; else it is taken whole."""


class Window(NamedTuple):
    """Which elements were chosen."""

    parts: list[Part]
    """One, or two where the newest turn was cut in its middle; none where there is nothing."""
    too_large: bool = False
    """The newest turn, or message, is larger than the limits."""


def _blocks(element: Element) -> Iterator[Mapping[str, Any]]:
    content = element.get("content")
    if isinstance(content, list):
        yield from (block for block in content if isinstance(block, Mapping))


def kind(element: Element) -> Kind:
    """What an element is to the order of messages."""
    found = _KINDS.get(element.get("role", ""), "other")
    if found == "user" and type(element.get("content")) is not str:
        for block in _blocks(element):
            if block.get("type") == "tool_result" or "toolResult" in block:
                return "result"
    return found


def turn_starts(elements: Sequence[Element], *, from_beginning: bool = True) -> list[int]:
    """The indexes at which turns begin.

    Args:
        elements: A conversation, or its end.
        from_beginning: Nothing came before them. Else a turn that the first one belongs to may
            have begun earlier.
    """
    starts = []
    begin: int | None = None
    inside, spoken = not from_beginning, False
    for index, found in enumerate(map(kind, elements)):
        if found in _OPENING:
            if not inside:
                begin, inside, spoken = index, True, False
            spoken = spoken or found == "user"
        else:
            if begin is not None and spoken and found != "result":
                starts.append(begin)
            begin, inside = None, False
    if begin is not None and spoken:
        starts.append(begin)
    return starts


def trim_start(elements: Sequence[Element], keep: int) -> int:
    """Where a stored list begins that shall hold about ``keep`` messages, and whole turns.

    With the first turn among the newest ``keep``. Where none begins there the newest turn is longer
    than that, and stays whole; where there is no turn at all the messages are counted.
    """
    cut = len(elements) - keep
    if cut <= 0:
        return 0
    starts = turn_starts(elements)
    later = (start for start in starts if start >= cut)
    return next(later, starts[-1] if starts else cut)


def is_finished(elements: Sequence[Element]) -> bool:
    """Whether a conversation ends with an answer that calls no tool, so that the user is next."""
    return bool(elements) and kind(elements[-1]) == "other" and not any(_calls(elements[-1]))


def choose(
    elements: Sequence[Element],
    limits: Limits,
    count: Count,
    *,
    complete: bool,
    counts_any: bool = False,
) -> Window | None:
    """The longest end of a conversation within ``limits``.

    It is never empty for want of room: the newest turn is in it, whole or cut. Before a user has
    spoken there is no turn; then it is the system messages at the end.

    Args:
        elements: The end of the conversation.
        limits: What may be in the window.
        count: Asked for tokens where ``limits`` have some, turn by turn from the newest.
        complete: ``elements`` are the whole conversation.
        counts_any: ``count`` takes any part, not only what begins with a turn.

    Returns:
        The window, or None when that depends on what came before ``elements``.
    """
    size, last = len(elements), limits.last
    if limits.whole_turns:
        starts = turn_starts(elements, from_beginning=complete)
    else:
        starts = list(range(size))
    if not starts:
        return Window(_system_at_the_end(elements)) if complete else None
    begin, room = size, limits.max_tokens
    for start in reversed(starts):
        if last is not None and size - start > last:
            break
        if room is not None:
            room -= count([(start, begin)])
            if room < 0:
                break
        begin = start
    else:
        if not complete and (last is None or size <= last):
            # What is seen of the turn before may be too large already.
            seen = count([(0, begin)]) if room is not None and counts_any and begin else 0
            if room is None or seen <= room:
                return None
    if begin < size:
        return Window([(begin, size)])
    if limits.cut and limits.whole_turns:
        return Window(_cut(elements, starts[-1], limits, count), too_large=True)
    return Window([(starts[-1], size)], too_large=True)


def _system_at_the_end(elements: Sequence[Element]) -> list[Part]:
    begin = len(elements)
    while begin and kind(elements[begin - 1]) == "system":
        begin -= 1
    return [(begin, len(elements))] if begin < len(elements) else []


def _cut(elements: Sequence[Element], begin: int, limits: Limits, count: Count) -> list[Part]:
    """What the user said in the turn at ``begin``, and its newest steps that fit.

    A step is an answer of the model, with the results of the tools that it called. One whose
    results are not all there yet can only be the newest.
    """
    size, body = len(elements), begin
    while body < size and kind(elements[body]) in _OPENING:
        body += 1
    kept = size
    for step in reversed(range(body, size)):
        if kind(elements[step]) != "other":
            continue
        parts = [(begin, body), (step, size)]
        if kept < size and not _is_answered(elements[step:kept]):
            break
        if limits.last is not None and body - begin + size - step > limits.last:
            break
        if limits.max_tokens is not None and count(parts) > limits.max_tokens:
            break
        kept = step
    return [(begin, body), (kept, size)] if kept < size else [(begin, body)]


def _is_answered(step: Sequence[Element]) -> bool:
    answered = {answer for element in step for answer in _answers(element)}
    return answered.issuperset(_calls(step[0]))


def _calls(element: Element) -> Iterator[object]:
    """The ids of the tool calls in an assistant's message."""
    lc = element.get("lc")
    invalid = lc.get("invalid_tool_calls") if isinstance(lc, dict) else None
    for calls in (element.get("tool_calls"), invalid):
        if isinstance(calls, list):
            yield from (call.get("id") for call in calls if isinstance(call, Mapping))
    for block in _blocks(element):
        if block.get("type") == "tool_use":
            yield block.get("id")
        if isinstance(use := block.get("toolUse"), Mapping):
            yield use.get("toolUseId")


def _answers(element: Element) -> Iterator[object]:
    """The ids of the tool calls that a message answers."""
    if kind(element) != "result":
        return
    yield element.get("tool_call_id")
    for block in _blocks(element):
        if block.get("type") == "tool_result":
            yield block.get("tool_use_id")
        if isinstance(result := block.get("toolResult"), Mapping):
            yield result.get("toolUseId")
