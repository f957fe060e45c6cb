"""Arguments that many operations take: TTLs, counts, indexes, and options that are passed on.

All are checked before anything is sent.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar, cast

from ._errors import InvalidArgumentError
from ._interrupts import let_through
from ._secrets import hide_url

TTL: TypeAlias = int | float | timedelta
OnError: TypeAlias = Literal["raise", "warn"]
"""What becomes of a failure: it is raised, or it is logged and the work goes on without."""
F = TypeVar("F", bound=Callable[..., Any])


_LONGEST_SHOWN = 200


def shown(value: object) -> str:
    """``value`` as errors show it: its ``repr``, shortened. Never fails."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # an integer of 4,300 digits; deep nesting
        let_through(error)
        text = f"a very long {type(value).__name__}"
    except Exception as error:  # noqa: BLE001 - an object's own code throws anything
        let_through(error)
        text = f"a {type(value).__name__} object"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def ttl_to_milliseconds(ttl: TTL | None, name: str = "ttl") -> int | None:
    """A TTL as PEXPIRE takes it.

    Raises:
        InvalidArgumentError: Not a number of seconds or a timedelta, or not more than 0.
    """
    if ttl is None:
        return None
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InvalidArgumentError(f"{name} must be seconds or a timedelta, not {shown(ttl)}")
    way_out = "; for no expiry pass None" if name.endswith("ttl") else ""
    if seconds >= MAXIMUM / 1000:
        raise InvalidArgumentError(
            f"{name} must be less than 9e12 seconds, not {shown(ttl)}{way_out}"
        )
    if not seconds >= 0.001:
        raise InvalidArgumentError(f"{name} must be more than 0 seconds, not {shown(ttl)}{way_out}")
    return round(seconds * 1000)


def check_span(span: TTL, name: str) -> int:
    """Milliseconds of a span of time that must end.

    Raises:
        InvalidArgumentError: It is none.
    """
    found = ttl_to_milliseconds(span, name)
    if found is None:
        raise InvalidArgumentError(f"{name} must be seconds or a timedelta, not None")
    return found


MAXIMUM = 2**53
"""Of counts and indexes. The server's own integers have 64 bits; Lua's, in scripts, 53."""


def check_count(value: int | None, name: str, *, minimum: int = 1, optional: bool = False) -> None:
    """Raise InvalidArgumentError unless ``value`` is an int from ``minimum`` to 2**53.

    ``optional`` allows None, too.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InvalidArgumentError(
            f"{name} must be an integer of at least {minimum}, not {shown(value)}"
        )
    if value > MAXIMUM:
        raise InvalidArgumentError(f"{name} must be at most 2**53, not {shown(value)}")


def check_index(index: int) -> None:
    if isinstance(index, bool) or not isinstance(index, int):
        raise InvalidArgumentError(f"index must be an integer, not {shown(index)}")
    if abs(index) > MAXIMUM:
        raise InvalidArgumentError(f"index must be within 2**53, not {shown(index)}")


def check_text(value: object, name: str) -> str:
    """Return ``value``; raise InvalidArgumentError unless it is a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(f"{name} must be a non-empty string, not {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{name} {shown(value)} is not valid Unicode: {error.reason}"
        ) from error
    return value


def check_on_error(on_error: OnError) -> OnError:
    """Return ``on_error``; raise InvalidArgumentError for what is none."""
    if on_error not in ("raise", "warn"):
        raise InvalidArgumentError(f'on_error must be "raise" or "warn", not {shown(on_error)}')
    return on_error


_LONGEST_NAME = 256


def check_once(once: str) -> str:
    """Return ``once``; raise InvalidArgumentError when it cannot be the name of a write."""
    try:
        if isinstance(once, str) and 0 < len(once.encode()) <= _LONGEST_NAME:
            return once
    except UnicodeEncodeError:
        pass
    raise InvalidArgumentError(
        f"once must be a string of 1 to {_LONGEST_NAME} bytes in UTF-8, not {shown(once)}"
    )


def with_options(options: type, source: Callable[..., Any]) -> Callable[[F], F]:
    """Have ``help`` and ``inspect.signature`` name the options that a function passes on.

    A URL among its arguments hides its password before the function's variables have it.

    Args:
        options: The TypedDict of its ``**options``.
        source: What takes them in the end, and has their defaults.
    """
    known = inspect.signature(source).parameters

    def name_them(function: F) -> F:
        @functools.wraps(function)
        def hide_url_and_call(*arguments: Any, **keywords: Any) -> Any:
            if "url" in keywords:
                keywords["url"] = hide_url(keywords["url"])
            return function(*arguments, **keywords)

        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        passed_on = [known[name] for name in options.__annotations__]
        hide_url_and_call.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*own, *passed_on]
        )
        return cast("F", hide_url_and_call)

    return name_them
