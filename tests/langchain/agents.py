"""Agents with a scripted model, for tests of what stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult


class Scripted(BaseChatModel):
    """Says one message after the other, and begins again at the end."""

    script: list[AIMessage]
    said: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        message = self.script[self.said % len(self.script)]
        self.said += 1
        return ChatResult(generations=[ChatGeneration(message=message.model_copy())])

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        return self


def calling(*calls: tuple[str, dict[str, Any]], **fields: Any) -> AIMessage:
    """A message that calls tools."""
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": arguments, "id": f"call_{n}"}
            for n, (name, arguments) in enumerate(calls)
        ],
        **fields,
    )
