"""The neutral part of an element, and the codec of plain ``{"role", "content"}`` messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from .._errors import MessageEncodeError
from .._interrupts import let_through
from .content import standard_blocks
from .dialects import is_plain
from .elements import FRAMEWORK_KEYS, Element
from .objects import as_dict, dict_or_refuse, open_dumps, shortened
from .usage import tokens_of_usage
from .values import BY_FOREIGN_CODE, loads, to_json

M = TypeVar("M")

_BARE_KEYS = ("tool_calls", "tool_call_id", "name")
"""What model APIs accept beside role and content."""
_ROLE_AND_CONTENT = "role", "content"
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio", "images")


class Codec(Protocol[M]):
    """How one framework's messages become elements and back. Pure; no I/O, no clock."""

    timestamps: bool = True
    """Whether elements are stamped with the time."""

    def to_element(self, message: M) -> Element:
        """An element; ``ts`` only where the message has one. May raise anything."""
        ...

    def encode(self, message: M) -> Element:
        """``encode_all`` of one."""
        return self.encode_all((message,))[0]

    def encode_all(self, messages: Sequence[M]) -> list[Element]:
        """``to_element`` of each, with one error for whatever a message of an unexpected form
        makes fail.

        Raises:
            MessageEncodeError: One cannot be stored.
        """
        elements = []
        try:
            for message in messages:
                elements.append(self.to_element(message))
            return elements
        except MessageEncodeError:
            raise
        except RecursionError:
            raise MessageEncodeError(
                "message cannot be stored: it is nested too deep, or contains itself"
            ) from None
        except BY_FOREIGN_CODE as error:
            let_through(error)
            raise MessageEncodeError(
                f"{type(message).__name__} cannot be stored: {type(error).__name__}: {error}"
            ) from error

    def decode(self, element: Element) -> M:
        """A fresh message, which may be made of ``element``'s own parts.

        May raise what is in ``values.BY_FOREIGN_DATA``; the caller names key and position.
        """
        ...

    def tokens(self, message: M) -> int | None:
        """How many tokens the model's API said that ``message`` took; None where it did not."""
        return None

    def decode_all(self, elements: Sequence[Element]) -> list[M]:
        """``decode`` of each, for codecs that are faster at many than one by one."""
        return [self.decode(element) for element in elements]


def read_tool_call(call: Mapping[str, Any]) -> tuple[str | None, str, str]:
    """Id, name and argument text of a neutral tool call.

    Raises:
        TypeError, KeyError: It has another form.
    """
    function = call["function"]
    arguments = function.get("arguments") or ""
    if isinstance(arguments, Mapping):  # Ollama's
        arguments = open_dumps(arguments, "tool call").decode()
    return call.get("id"), function["name"], arguments


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
    """Messages as dicts, the way model APIs take them. What it writes, it reads back equal.

    Args:
        extra_keys: Hand out every key of the element (``ts``, ``lc``, ``li``, ...) and its content
            as stored, also where a framework wrote it.
        timestamps: Stamp elements with ``ts``.
    """

    def __init__(self, *, extra_keys: bool = False, timestamps: bool = True) -> None:
        self.extra_keys = extra_keys
        self.timestamps = timestamps

    def to_element(self, message: Mapping[str, Any]) -> Element:
        if type(message) is dict and tuple(message) == _ROLE_AND_CONTENT:  # as most
            role, content = message.values()
            if type(role) is str and role and type(content) is str:
                return {"role": role, "content": content}
        # OpenAI's client gives its messages as objects.
        is_mapping = type(message) is dict or isinstance(message, Mapping)
        given = message if is_mapping else as_dict(message)
        if given is None:
            raise MessageEncodeError(
                f"a message must be a dict with role and content, "
                f"not {type(message).__name__}: {shortened(message)}"
            )
        _check(given)
        element: Element = {
            str.__str__(key): value
            if type(value) is str
            else to_json(value, f"message[{key!r}]", objects=dict_or_refuse)
            for key, value in given.items()
        }
        if "ts" in element:  # not at the end, where the store's own is
            element = {"ts": element.pop("ts"), **element}
        return element

    def tokens(self, message: Mapping[str, Any]) -> int | None:
        if type(message) is dict or isinstance(message, Mapping):
            return tokens_of_usage(message.get("usage"))
        return None

    def decode(self, element: Element) -> dict[str, Any]:
        if self.extra_keys:
            return element
        if is_plain(element):
            if type(element.get("ts")) is int and next(reversed(element)) == "ts":
                del element["ts"]
            return element
        content = element.get("content")
        if isinstance(content, list):
            content = standard_blocks(content)
        bare = {"role": element["role"], "content": content}
        for key in _BARE_KEYS:
            if key in element:
                bare[key] = element[key]
        return bare


def _check(message: Mapping[str, Any]) -> None:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise MessageEncodeError(f"message has no role: {shortened(dict(message))}")
    for key in message:
        if not isinstance(key, str):
            raise MessageEncodeError(f"keys of a message are strings, not {shortened(key)}")
        if key in FRAMEWORK_KEYS:
            raise MessageEncodeError(
                f"message has the key {key!r}, which is reserved for what a framework's own store "
                "writes. Leave it out, or use that store"
            )
    if isinstance(content, (str, list)):
        return
    says_otherwise = any(message.get(key) for key in _INSTEAD_OF_CONTENT)
    if content is not None or not (
        says_otherwise or (role == "assistant" and "content" in message)
    ):
        raise MessageEncodeError(
            "message content must be a string, a list of blocks, or None where an assistant says "
            f"something else, tool_calls for instance; not {type(content).__name__}"
        )
