"""What LangChain gives a cache as the prompt, read as a question and what stands around it.

A chat model's prompt is a JSON dump of messages. It is read as data; no object is made of it. The
text of a last message of the user is what may be compared by meaning. All else must be the same:
the messages before, as far as the model sees them, and whatever else the last message holds. A
prompt that does not end with a text of the user, as within a loop of tools, has no such question.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import Asked, shown

Context: TypeAlias = Literal["conversation", "system", "ignore"]
"""What of the messages before the question must be the same: all, the system's, or nothing."""

CONTEXTS: tuple[Context, ...] = ("conversation", "system", "ignore")
_UNSEEN = ("id", "response_metadata", "usage_metadata")
"""What a model is not sent of a message, and what differs between two equal conversations."""
_USER = ("HumanMessage", "HumanMessageChunk")
_SYSTEM = ("SystemMessage", "SystemMessageChunk")

_Message: TypeAlias = dict[str, Any]


def asked(prompt: str, llm_string: str, context: Context) -> Asked:
    """The question of a prompt.

    Args:
        prompt: As LangChain gives it to a cache.
        llm_string: The model and its settings, as LangChain gives them.
        context: What must be the same before the question.

    Raises:
        InvalidArgumentError: ``prompt`` or ``llm_string`` is no text.
    """
    for name, value in (("prompt", prompt), ("llm_string", llm_string)):
        if not isinstance(value, str):
            raise InvalidArgumentError(f"{name} must be a string, not {shown(value)}")
    messages = _messages(prompt)
    if messages is None:  # of a model without messages, or of somebody's own kind
        return Asked(llm_string, "prompt", prompt)
    before, last = messages[:-1], messages[-1]
    text = _text(last)
    if text is None:
        return Asked(llm_string, _canonical(["messages", messages]), None)
    around = [_kind(last), {name: v for name, v in last["kwargs"].items() if name != "content"}]
    return Asked(llm_string, _canonical(["question", _counted(before, context), around]), text)


def _messages(prompt: str) -> list[_Message] | None:
    """The messages of a dump; None where ``prompt`` is none."""
    if not prompt.startswith("["):
        return None
    try:
        found = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not found or not all(map(_is_dumped, found)):
        return None
    return [_as_seen(message) for message in found]


def _is_dumped(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.get("lc") == 1
        and isinstance(value.get("id"), list)
        and bool(value["id"])
    )


def _as_seen(message: _Message) -> _Message:
    """A message without what the model does not see. One that cannot be dumped has no kwargs."""
    kwargs = message.get("kwargs")
    if not isinstance(kwargs, dict):
        return message
    return {**message, "kwargs": {name: v for name, v in kwargs.items() if name not in _UNSEEN}}


def _kind(message: _Message) -> str:
    return str(message["id"][-1])


def _counted(before: Sequence[_Message], context: Context) -> list[_Message]:
    if context == "conversation":
        return list(before)
    if context == "system":
        return [message for message in before if _kind(message) in _SYSTEM]
    return []


def _text(message: _Message) -> str | None:
    """All that a message of the user says; None where it is another's, or more than text."""
    if _kind(message) not in _USER or not isinstance(message.get("kwargs"), dict):
        return None
    content = message["kwargs"].get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    texts = [_block_text(block) for block in content]
    said = [text for text in texts if text is not None]
    return "\n".join(said) if len(said) == len(texts) else None


def _block_text(block: object) -> str | None:
    """A block's text; None where it is or has anything else, such as a mark for a model's cache."""
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.keys() == {"type", "text"} and block["type"] == "text":
        return block["text"] if isinstance(block["text"], str) else None
    return None


def _canonical(value: object) -> str:
    """The same text for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
