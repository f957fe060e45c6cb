"""The neutral part of an element, and the codec of plain ``{"role", "content"}`` messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .._errors import MessageEncodeError
from .content import standard_blocks
from .elements import Element
from .values import dumps, loads, to_json

M = TypeVar("M")

_BARE_KEYS = ("tool_calls", "tool_call_id", "name")
"""What model APIs accept beside role and content."""


class Codec(Protocol[M]):
    """How one framework's messages become elements and back. Pure; no I/O, no clock."""

    def encode(self, message: M) -> Element:
        """An element without ``ts``. Raises MessageEncodeError."""
        ...

    def decode(self, element: Element) -> M:
        """A fresh message. May raise anything; the caller names key and position."""
        ...

    def decode_all(self, elements: Sequence[Element]) -> list[M]:
        """``decode`` of each, for codecs that are faster at many than one by one."""
        return [self.decode(element) for element in elements]


def tool_call(call_id: str | None, name: str, arguments: Mapping[str, Any] | str) -> Element:
    """A tool call in the neutral form, OpenAI's; arguments that are a string stay as they are."""
    text = arguments if isinstance(arguments, str) else dumps(arguments, "tool call").decode()
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def read_tool_call(call: Mapping[str, Any]) -> tuple[str | None, str, str]:
    """Id, name and argument text of a neutral tool call.

    Raises:
        TypeError, KeyError: It has another form.
    """
    function = call["function"]
    return call.get("id"), function["name"], function.get("arguments") or ""


def parse_arguments(text: str) -> dict[str, Any] | None:
    """Tool call arguments as a dict, or None where a model wrote something else.

    OpenAI's models write nothing at all for a tool without parameters.
    """
    if not text:
        return {}
    try:
        arguments = loads(text)
    except ValueError:
        return None
    if not isinstance(arguments, dict) or not all(type(key) is str for key in arguments):
        return None
    return arguments


class PlainCodec(Codec[Mapping[str, Any]]):
    """Messages as dicts, the way model APIs take them.

    Args:
        extra_keys: Hand out every key of the element (``id``, ``ts``, ``lc``, ``li``, ...) and
            its content as stored. By default only what model APIs accept.
    """

    def __init__(self, *, extra_keys: bool = False) -> None:
        self.extra_keys = extra_keys

    def encode(self, message: Mapping[str, Any]) -> Element:
        if not isinstance(message, Mapping):
            raise MessageEncodeError(
                f"a message must be a dict with role and content, "
                f"not {type(message).__name__}: {message!r:.200}"
            )
        role = message.get("role")
        if not isinstance(role, str) or not role:
            raise MessageEncodeError(f"message has no role: {dict(message)!r:.200}")
        content = message.get("content")
        if not isinstance(content, (str, list)) and not (
            content is None and message.get("tool_calls")
        ):
            raise MessageEncodeError(
                "message content must be a string, a list of blocks, or None beside tool_calls; "
                f"not {type(content).__name__}"
            )
        return {key: to_json(value, f"message[{key!r}]") for key, value in message.items()}

    def decode(self, element: Element) -> dict[str, Any]:
        if self.extra_keys:
            return element
        content = element.get("content")
        if isinstance(content, list):
            content = standard_blocks(content)
        bare = {"role": element["role"], "content": content}
        for key in _BARE_KEYS:
            if key in element:
                bare[key] = element[key]
        return bare
