"""The messages of a store as elements of its lists, and back."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

from .._arguments import shown
from .._errors import CorruptMessageError, InvalidArgumentError, MessageEncodeError
from .._interrupts import let_through
from .._messages.codecs import Codec
from .._messages.elements import dump_elements, load_element, load_elements
from .._messages.values import BY_FOREIGN_DATA
from . import summaries

M = TypeVar("M")
OnCorrupt: TypeAlias = Literal["raise", "skip"]

_log = logging.getLogger("valkey_memory")


def several(messages: Iterable[M]) -> Sequence[M]:
    """``messages``, to go through more than once.

    Raises:
        MessageEncodeError: It is one message, or something else.
    """
    if isinstance(messages, (list, tuple)):
        return messages
    if not isinstance(messages, Iterable):
        raise MessageEncodeError(f"messages must be several, not {type(messages).__name__}")
    return list(messages)


class Elements(Generic[M]):
    """What a store's codec makes of messages and of what was read.

    Args:
        codec: The messages'.
        on_corrupt: The store's.
        summaries_left_out: A message that is a summary is not encoded.

    Raises:
        InvalidArgumentError: ``on_corrupt`` is neither ``"raise"`` nor ``"skip"``.
    """

    def __init__(self, codec: Codec[M], on_corrupt: OnCorrupt, *, summaries_left_out: bool) -> None:
        if on_corrupt not in ("raise", "skip"):
            raise InvalidArgumentError(
                f'on_corrupt must be "raise" or "skip", not {shown(on_corrupt)}'
            )
        self.codec = codec
        self._on_corrupt = on_corrupt
        self._summaries_left_out = summaries_left_out

    def encode(self, messages: Sequence[M]) -> list[bytes]:
        """The element of each of ``messages``, stamped with the time.

        Raises:
            MessageEncodeError: One cannot be stored.
        """
        elements = self.codec.encode_all(messages)
        if self._summaries_left_out:
            elements = [one for one in elements if not summaries.is_summary(one)]
        now = time.time_ns() // 1_000_000 if self.codec.timestamps else None
        return dump_elements(elements, now)

    def decode(
        self, key: str, elements: Sequence[bytes], start: int = 0, *, lenient: bool = False
    ) -> list[M]:
        """Messages of ``elements``, the first of which has the index ``start``.

        ``lenient`` where the list was changed already: an error would hide that it was.

        Raises:
            CorruptMessageError: One is no message, and those are not skipped.
        """
        try:
            return self.codec.decode_all(load_elements(elements))
        except BY_FOREIGN_DATA as error:
            failed = error
        messages = []
        for position, raw in enumerate(elements, start):
            try:
                messages.append(self.codec.decode(load_element(raw)))
            except BY_FOREIGN_DATA as error:
                let_through(error)
                corrupt = CorruptMessageError(key, position, f"{type(error).__name__}: {error}")
                if self._on_corrupt == "raise" and not lenient:
                    raise corrupt from error
                _log.warning("skipped: %s", corrupt)
        if len(messages) == len(elements):
            raise failed  # by no element: the application threw it, for a time limit
        return messages

    def decode_deleted(self, key: str, index: int, element: bytes | None) -> M | None:
        """The message of an element that was deleted; None where there was or is none."""
        if element is None:
            return None
        decoded = self.decode(key, [element], index, lenient=True)
        return decoded[0] if decoded else None
