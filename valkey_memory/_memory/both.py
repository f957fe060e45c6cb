"""A message as it is stored and as a framework has it, side by side."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

from .._messages.codecs import Codec
from .._messages.elements import Element

M = TypeVar("M")


class Both(NamedTuple, Generic[M]):
    """One message in both forms: what a budget looks at, and what is handed out."""

    element: Element
    message: M


class BothCodec(Codec[Both[Any]]):
    """The codec of messages in both forms, made of the one of a framework."""

    def __init__(self, codec: Codec[Any]) -> None:
        self.timestamps = codec.timestamps
        self._codec = codec

    def of_text(self, role: str, text: str) -> Both[Any]:
        """A message that is a text."""
        return self.decode({"role": role, "content": text})

    def of_message(self, message: Any) -> Both[Any]:
        """A message of the framework.

        Raises:
            MessageEncodeError: It cannot be stored.
        """
        return Both(self._codec.encode(message), message)

    def to_element(self, message: Both[Any]) -> Element:
        return message.element

    def decode(self, element: Element) -> Both[Any]:
        return Both(element, self._codec.decode({**element}))

    def tokens(self, message: Both[Any]) -> int | None:
        return self._codec.tokens(message.message)
