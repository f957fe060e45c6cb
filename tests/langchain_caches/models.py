"""Chat models that count their calls; nobody else pays for them either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field

USAGE = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}


class Counting(BaseChatModel):
    """Answers with the number of the call; with a tool's call where ``tool`` names one."""

    name_: str = "counting"
    tool: str = ""
    calls: list[list[BaseMessage]] = Field(default_factory=list)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.calls.append(messages)
        number = len(self.calls)
        calls: list[Any] = []
        if self.tool:
            calls = [{"name": self.tool, "args": {"n": [number]}, "id": f"call-{number}"}]
        message = AIMessage(
            f"answer {number}",
            tool_calls=calls,
            usage_metadata=USAGE,
            response_metadata={"model_name": "counting", "finish_reason": "stop"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    @property
    def _llm_type(self) -> str:
        return "counting"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"name": self.name_}


class Streaming(Counting):
    """The same, word by word."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.calls.append(messages)
        for part in ("answer", f" {len(self.calls)}"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=part))
