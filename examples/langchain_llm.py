"""A LangChain chat model as LlamaIndex's LLM, so that the demo's two halves talk to one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import trim_messages
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CompletionResponseGen,
    CustomLLM,
    LLMMetadata,
)


class LangChainLLM(CustomLLM):
    """Text in, text out; no streaming, no tools."""

    model: Any
    """A LangChain ``BaseChatModel``."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True)

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        # A window may begin in the middle of a turn; some models want a user's message first.
        whole_turns = trim_messages(
            [(message.role.value, message.content or "") for message in messages],
            max_tokens=len(messages),
            token_counter=len,
            start_on="human",
            include_system=True,
        )
        answer = self.model.invoke(whole_turns)
        return ChatResponse(message=ChatMessage(role="assistant", content=answer.text))

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self.model.invoke(prompt).text)

    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        raise NotImplementedError("the demo does not stream")
