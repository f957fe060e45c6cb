"""Agents of the tests: a chat model that follows a script, and questions put to real graphs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import langchain.agents
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

Line = str | AIMessage | Exception | Callable[[list[BaseMessage]], Any]

create_agent: Any = langchain.agents.create_agent
"""Its overloads are for others to check: here the input is a dict, a command, or None."""


class ScriptedAgent(BaseChatModel):
    """Says the next line of its script; throws what is an exception, asks what is a function.

    ``heard`` has the prompts. Where the script has one line alone that is a function, it is
    asked for ever.
    """

    _script: list[Line] = PrivateAttr()
    _heard: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, *script: Line) -> None:
        super().__init__()
        self._script = list(script)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def heard(self) -> list[list[BaseMessage]]:
        return self._heard

    @property
    def notes(self) -> list[str]:
        """The system message of each prompt."""
        return [
            prompt[0].text if prompt and isinstance(prompt[0], SystemMessage) else ""
            for prompt in self._heard
        ]

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[Any, AIMessage]:
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        with self._lock:
            self._heard.append(list(messages))
            forever = len(self._script) == 1 and callable(self._script[0])
            line = self._script[0] if forever else self._script.pop(0)
        if callable(line):
            line = line(messages)
        if isinstance(line, Exception):
            raise line
        return AIMessage(line) if isinstance(line, str) else line.model_copy()

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
    ) -> Iterator[ChatGenerationChunk]:
        said = self._next(messages)
        words = str(said.content).split(" ")
        for number, word in enumerate(words):
            text = word if number == len(words) - 1 else word + " "
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


def calling(*calls: tuple[str, dict[str, Any]], content: str = "") -> AIMessage:
    """An answer that calls tools: ``calling(("add", {"a": 1}))``."""
    return AIMessage(
        content,
        tool_calls=[
            {"name": name, "args": arguments, "id": f"{name}-{number}", "type": "tool_call"}
            for number, (name, arguments) in enumerate(calls)
        ],
    )


class Asking:
    """Puts questions to agents, in their sync or their async form."""

    def __init__(self, *, is_async: bool) -> None:
        self.is_async = is_async

    def __call__(
        self, agent: Any, question: Any, thread: str = "t", user: str = "mia", **more: Any
    ) -> Any:
        """The state after a run; ``question`` is a text, or the input of the graph."""
        given = {"messages": [("user", question)]} if isinstance(question, str) else question
        config = {"configurable": {"thread_id": thread}}
        context = more.pop("context", {"user_id": user})
        if not self.is_async:
            return agent.invoke(given, config, context=context, **more)
        return asyncio.run(agent.ainvoke(given, config, context=context, **more))

    def stream(self, agent: Any, question: str, thread: str = "t", **more: Any) -> list[Any]:
        given = {"messages": [("user", question)]}
        config = {"configurable": {"thread_id": thread}}
        context = {"user_id": "mia"}
        if not self.is_async:
            return list(agent.stream(given, config, context=context, **more))

        async def read() -> list[Any]:
            chunks = agent.astream(given, config, context=context, **more)
            return [chunk async for chunk in chunks]

        return asyncio.run(read())
