"""What was said in a message of any framework: who, what, and under which id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._arguments import check_text, shown
from .._errors import InvalidArgumentError
from .._messages.content import block_type
from .memories import FIRST_MS, LAST_MS, message_name

ROLES = ("user", "assistant")
"""Whose messages are remembered by default: no instructions of the system, no results of tools."""

_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "chatbot": "assistant"}
"""What LangChain and some models' APIs call them."""
_TEXT_BLOCKS = ("text", "input_text", "output_text")


@dataclass(frozen=True, slots=True)
class Said:
    """A message, as far as it is remembered.

    Attributes:
        role: ``"user"``, ``"assistant"``, ``"system"``, ``"tool"``, or another one.
        text: Its texts; no payloads of tools, no reasoning, no images.
        name: Who said it, where it tells.
        message_id: Its own id, where it has one.
        time_ms: When, where it tells; in Unix milliseconds.
    """

    role: str
    text: str
    name: str | None = None
    message_id: str | None = None
    time_ms: int | None = None


def said(message: object) -> Said:
    """What is said in a message: a dict with ``role`` and ``content``, or one of LangChain's or
    LlamaIndex's.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    if isinstance(message, Mapping):
        role, content = message.get("role"), message.get("content")
        own = {key: message.get(key) for key in ("name", "id")}
        time = message.get("ts")
    else:
        role = getattr(message, "role", None) or getattr(message, "type", None)
        content = getattr(message, "blocks", None) or getattr(message, "content", None)
        more = getattr(message, "additional_kwargs", None)
        extra: Mapping[str, Any] = more if isinstance(more, Mapping) else {}
        own = {key: getattr(message, key, None) or extra.get(key) for key in ("name", "id")}
        time = None
    role = getattr(role, "value", role)  # LlamaIndex has an enum
    if not isinstance(role, str) or not role:
        raise InvalidArgumentError(
            "a message must be a dict with role and content, or a message of LangChain or "
            f"LlamaIndex, not {shown(message)}"
        )
    role = _ROLES.get(role, role)
    name, message_id = (own[key] if isinstance(own[key], str) else None for key in ("name", "id"))
    return Said(role, "\n".join(_texts(content)).strip(), name, message_id or None, _time(time))


def _time(value: object) -> int | None:
    """A time in Unix milliseconds; None for what cannot be one, whoever wrote that."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if FIRST_MS <= value <= LAST_MS else None


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for block in content if isinstance(content, Sequence) else ():
        if isinstance(block, str):
            yield block
            continue
        if isinstance(block, Mapping):
            kind, text = block_type(block), block.get("text")
        else:
            kind, text = getattr(block, "block_type", ""), getattr(block, "text", None)
        if kind in _TEXT_BLOCKS and isinstance(text, str):
            yield text


def said_all(messages: Iterable[object]) -> list[Said]:
    """``said`` of each.

    Raises:
        InvalidArgumentError: Something is no message, or no list of them.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        raise InvalidArgumentError(f"messages must be a list of messages, not {shown(messages)}")
    found = [said(message) for message in messages]
    for one in found:
        if one.text:
            check_text(one.text, "the text of a message")
    return found


def chosen(messages: Iterable[object], roles: Sequence[str], min_length: int) -> list[Said]:
    """Those of ``messages`` that are remembered."""
    found = said_all(messages)
    return [one for one in found if one.role in roles and len(one.text) >= max(min_length, 1)]


def names_of(
    messages: Sequence[Said], user_id: str, session_id: str, time_ms: int | None
) -> list[str]:
    """The id of each as a memory: the same for the same message, however often it is given.

    A message is known by its own id; without one, by who says what, at ``time_ms`` if it was given,
    and as the how-manieth of its like in this call.
    """
    times = Counter[tuple[str, ...]]()
    found = []
    for one in messages:
        identity: tuple[str, ...]
        if one.message_id is not None:
            identity = ("id", one.message_id)
        else:
            known = one.time_ms if time_ms is None else time_ms
            identity = ("said", one.role, one.name or "", one.text, str(known))
        times[identity] += 1
        found.append(message_name(user_id, session_id, *identity, str(times[identity])))
    return found


def when(one: Said, given_ms: int | None, now_ms: int) -> int:
    """When a message was said, in Unix milliseconds: as given, as it tells itself, or now."""
    return next(time for time in (given_ms, one.time_ms, now_ms) if time is not None)
