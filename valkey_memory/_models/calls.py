"""Calling what a user gave: a function that is sync, async, or there in both forms.

A model that has only one form serves both kinds of code. A coroutine in sync code runs in an event
loop of its own; a sync function in async code runs in a thread, so that the loop goes on.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Call:
    """A function in its sync and its async form; at least one of them is there."""

    sync: Callable[..., Any] | None = None
    asynchronous: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The result, in sync code."""
        if self.sync is None:
            return _run(self.asynchronous, *arguments)
        result = _called(self.sync, *arguments)
        return _run(lambda: result) if hasattr(result, "__await__") else result

    async def acall(self, *arguments: Any) -> Any:
        """The result, in async code."""
        if self.asynchronous is not None:
            return await self.asynchronous(*arguments)
        assert self.sync is not None  # noqa: S101
        result = await asyncio.to_thread(_called, self.sync, *arguments)
        return await result if hasattr(result, "__await__") else result


def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` returns. A StopIteration of it would end our generators, and a task that
    waits for a thread would wait for ever."""
    try:
        return function(*arguments)
    except StopIteration as error:
        raise RuntimeError(f"{function!r} raised StopIteration") from error


def of_methods(model: object, sync: str, asynchronous: str) -> Call | None:
    """The methods of those names as a ``Call``; None when ``model`` has neither."""
    forms = [
        found if callable(found := getattr(model, name, None)) else None
        for name in (sync, asynchronous)
    ]
    return Call(*forms) if any(forms) else None


def of_function(function: Callable[..., Any]) -> Call:
    """A plain callable as a ``Call``."""
    if any(map(inspect.iscoroutinefunction, (function, type(function).__call__))):
        return Call(asynchronous=function)
    return Call(function)


def check_object(model: object, what: str) -> None:
    """Raise InvalidArgumentError for a class in place of an object of it."""
    if isinstance(model, type):
        raise InvalidArgumentError(f"{model.__name__} is a class, no {what}: pass an object of it")


def _run(function: Callable[..., Awaitable[Any]] | None, *arguments: Any) -> Any:
    """What the awaitable that ``function`` makes gives, from a loop of its own."""
    assert function is not None  # noqa: S101

    async def awaited() -> Any:
        return await function(*arguments)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(context.run, asyncio.run, awaited()).result()
