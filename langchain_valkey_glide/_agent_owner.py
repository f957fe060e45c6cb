"""Whose memory a run of an agent is about, and which conversation it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from langgraph.runtime import Runtime

from valkey_memory import InvalidArgumentError
from valkey_memory.adapters import check_text, shown

Named: TypeAlias = str | Callable[[Runtime[Any]], str]
"""The name of an attribute or a key of a run's context, or a function of its runtime."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Where runs say whose they are.

    Args:
        user_id: Where the user is named.
        session_id: Where the conversation is; where it is not there, it is the thread's id.

    Raises:
        InvalidArgumentError: One of them is no name and no function.
    """

    user_id: Named
    session_id: Named

    def __post_init__(self) -> None:
        for name, value in (("user_id", self.user_id), ("session_id", self.session_id)):
            if not (callable(value) or (isinstance(value, str) and value)):
                raise InvalidArgumentError(
                    f"{name} must be a name in the run's context, or a function of its Runtime, "
                    f"not {shown(value)}"
                )
            if inspect.iscoroutinefunction(value):
                raise InvalidArgumentError(
                    f"{name} must not be an async function: sync runs ask it, too. Look it up "
                    "before the run, and pass it in the run's context"
                )

    def user_of(self, runtime: Runtime[Any]) -> str:
        """The user.

        Raises:
            InvalidArgumentError: The run does not say.
        """
        found = _found(self.user_id, runtime)
        if found is not None:
            return check_text(found, "user_id")
        if callable(self.user_id):
            raise InvalidArgumentError(
                "the run does not say whose memory it is: the function user_id= returned None"
            )
        raise InvalidArgumentError(
            f"the run does not say whose memory it is: its context has no {self.user_id!r}. Call "
            f'the agent with context={{"{self.user_id}": "..."}}, described by context_schema= of '
            "create_agent; or give the middleware user_id=, the name that it has there, or a "
            "function of the Runtime"
        )

    def session_of(self, runtime: Runtime[Any]) -> str:
        """The conversation.

        Raises:
            InvalidArgumentError: The run does not say.
        """
        found = _found(self.session_id, runtime)
        if found is None and runtime.execution_info is not None:
            found = runtime.execution_info.thread_id
        if found is None:
            raise InvalidArgumentError(
                "the run does not say which conversation it is: call the agent with "
                'config={"configurable": {"thread_id": "..."}}, or give the middleware '
                "session_id=, its name in the run's context, or a function of the Runtime"
            )
        if isinstance(found, bool) or not isinstance(found, str | int | float | UUID):
            raise InvalidArgumentError(
                f"session_id must be a string, a number or a UUID, not {shown(found)}"
            )
        return str(found)  # as LangGraph does with threads


def _found(named: Named, runtime: Runtime[Any]) -> Any:
    """What a run says under a name; None where it says nothing."""
    if callable(named):
        return named(runtime)
    if isinstance(runtime.context, Mapping):
        return runtime.context.get(named)
    return getattr(runtime.context, named, None)
