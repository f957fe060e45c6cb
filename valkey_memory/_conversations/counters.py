"""Counters of tokens, which users give: for windows, and for records."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from .._arguments import MAXIMUM, shown
from .._errors import InvalidArgumentError

M = TypeVar("M")
TokenCounter: TypeAlias = Callable[[list[M]], int]
"""Says how many tokens messages are."""


def check_counter(count_tokens: object) -> None:
    """Raise InvalidArgumentError for what cannot be called."""
    if count_tokens is not None and not callable(count_tokens):
        raise InvalidArgumentError(
            "count_tokens must be a callable of a list of messages that returns an integer, "
            f"not {shown(count_tokens)}"
        )


def checked_count(found: object) -> int:
    """What a counter returned; InvalidArgumentError if that is no count."""
    if inspect.iscoroutine(found):
        found.close()
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAXIMUM:
        raise InvalidArgumentError(
            f"count_tokens must return an integer from 0 to 2**53, not {shown(found)}"
        )
    return found
