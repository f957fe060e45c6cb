"""What all caches of answers share: how an answer becomes bytes, and what a failure does.

An entry that cannot be read, because another version or program wrote it, is a miss with a warning
in the log ``valkey_memory``; the next answer takes its place.
"""

from __future__ import annotations

import logging
from typing import Protocol, TypeVar

from .._arguments import OnError
from .._attempts import attempted_plan
from .._errors import ConfigurationError, InvalidArgumentError
from .._interrupts import let_through
from .._messages.values import BY_FOREIGN_CODE, BY_FOREIGN_DATA
from .._plans import Plan

T = TypeVar("T")

_log = logging.getLogger("valkey_memory")


class AnswerCodec(Protocol[T]):
    """How answers become bytes, and back."""

    def encode(self, answer: T) -> bytes | None:
        """None for what is not worth keeping. May raise what is in ``values.BY_FOREIGN_CODE``."""
        ...

    def decode(self, raw: bytes) -> T:
        """May raise what is in ``values.BY_FOREIGN_DATA``."""
        ...


def readable(codec: AnswerCodec[T], raw: bytes, name: str) -> list[T]:
    """The answer; nothing, with a warning, where ``raw`` cannot be read."""
    try:
        return [codec.decode(raw)]
    except BY_FOREIGN_DATA as error:
        let_through(error)
        _log.warning("cache entry %s cannot be read, and is a miss: %r", name, error)
        return []


def storable(codec: AnswerCodec[T], answer: T) -> bytes | None:
    """The answer's bytes; None, with a warning, for what has none.

    It was paid for, and so the call that made it does not fail for that.
    """
    try:
        return codec.encode(answer)
    except BY_FOREIGN_CODE as error:
        let_through(error)
        _log.warning("not cached: %r", error)
        return None


def forgiving_plan(plan: Plan[T], instead: T, on_error: OnError) -> Plan[T]:
    """``plan``; where it fails and ``on_error`` says so, a warning and ``instead``.

    Arguments that cannot be are the caller's, and raise in any case.
    """
    if on_error == "raise":
        return (yield from plan)
    try:
        return (yield from attempted_plan(plan))
    except (InvalidArgumentError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001 - embedding models throw anything
        _log.warning("the cache failed, and was passed over: %r", error)
        return instead
