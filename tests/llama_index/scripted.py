"""A function-calling LLM that says what its script says, in every way that LlamaIndex asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import BaseTool
from pydantic import PrivateAttr


class ScriptedLLM(FunctionCallingLLM):
    """Answers with the next line of its script, and keeps what it heard.

    Args:
        script: Answers in order: texts, or whole messages, for tool calls.
    """

    _script: list[ChatMessage] = PrivateAttr()
    _heard: list[list[ChatMessage]] = PrivateAttr(default_factory=list)

    def __init__(self, *script: str | ChatMessage) -> None:
        super().__init__()
        self._script = [
            ChatMessage(role="assistant", content=line) if isinstance(line, str) else line
            for line in script
        ]

    @classmethod
    def class_name(cls) -> str:
        return "ScriptedLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=4096,
            num_output=64,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name="scripted",
        )

    @property
    def heard(self) -> list[list[ChatMessage]]:
        """The messages of each call, as they were at that time."""
        return self._heard

    @property
    def lines_left(self) -> int:
        return len(self._script)

    def _next(self, messages: Sequence[ChatMessage]) -> ChatMessage:
        self._heard.append([message.model_copy(deep=True) for message in messages])
        assert self._script, "the script has no more lines"
        return self._script.pop(0)

    @staticmethod
    def _parts(line: ChatMessage) -> Generator[ChatResponse, None, None]:
        """A line as a stream: word by word, then the whole with its tool calls."""
        words, said = (line.content or "").split(" "), ""
        for number, word in enumerate(words):
            delta = word if number == 0 else f" {word}"
            said += delta
            message = ChatMessage(role=line.role, blocks=[TextBlock(text=said)])
            if number == len(words) - 1:
                message = line.model_copy(deep=True)
            yield ChatResponse(message=message, delta=delta)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return ChatResponse(message=self._next(messages))

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self.chat(messages)

    def stream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> Generator[ChatResponse, None, None]:
        return self._parts(self._next(messages))

    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> AsyncGenerator[ChatResponse, None]:
        parts = self._parts(self._next(messages))

        async def stream() -> AsyncGenerator[ChatResponse, None]:
            for part in parts:
                yield part

        return stream()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        line = self._next([ChatMessage(role="user", content=prompt)])
        return CompletionResponse(text=line.content or "")

    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        return self.complete(prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError("no engine here streams completions")

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError("no engine here streams completions")

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return {"messages": chat_history or [], "tools": tools}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return [
            ToolSelection(
                tool_id=block.tool_call_id or "",
                tool_name=block.tool_name,
                tool_kwargs=block.tool_kwargs,
            )
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock) and isinstance(block.tool_kwargs, dict)
        ]
