"""Asking a chat model of any framework, or a plain callable; and the step of a plan that asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidArgumentError
from .._plans import Work
from .calls import Call, check_object, of_function, of_methods


@dataclass(frozen=True, slots=True)
class Ask(Work):
    """A step that asks a chat model. The reply is the text of its answer.

    Args:
        model: A LangChain chat model or LLM, a LlamaIndex LLM, or a callable that takes the prompt
            and returns a text, sync or async.
        prompt: A text. LangChain's models take a list of messages as well.
    """

    model: Any
    prompt: str | Sequence[Any]

    def serve(self) -> str:
        call, read = _asking(self.model, self.prompt)
        return read(call(self.prompt))

    async def aserve(self) -> str:
        call, read = _asking(self.model, self.prompt)
        return read(await call.acall(self.prompt))


def check_chat_model(model: object) -> None:
    """Raise InvalidArgumentError for what ``Ask`` cannot ask."""
    _asking(model, "")


def _asking(model: Any, prompt: str | Sequence[Any]) -> tuple[Call, Callable[[object], str]]:
    """How ``model`` is asked, and how its answer is read."""
    check_object(model, "chat model")
    if (langchain := of_methods(model, "invoke", "ainvoke")) is not None:
        return langchain, _content
    if not isinstance(prompt, str):
        raise InvalidArgumentError(
            f"the prompt of {type(model).__name__} must be a string, not {type(prompt).__name__}: "
            "only LangChain's models take messages"
        )
    if (llama_index := of_methods(model, "complete", "acomplete")) is not None:
        return llama_index, _text
    if callable(model):
        return of_function(model), _plain
    raise InvalidArgumentError(
        f"{type(model).__name__} is no chat model: pass one of LangChain (invoke) or LlamaIndex "
        "(complete), or a function from a prompt to a text"
    )


def _content(answer: object) -> str:
    """The text of a LangChain message, or what an LLM of LangChain says."""
    content = getattr(answer, "content", answer)
    if isinstance(content, list):
        return "".join(map(_block, content))
    return _plain(content)


def _block(block: object) -> str:
    """The text of a content block; nothing for an image, a tool call and the like."""
    if isinstance(block, str):
        return block
    text = block.get("text") if isinstance(block, dict) and block.get("type") == "text" else ""
    return text if isinstance(text, str) else ""


def _text(answer: object) -> str:
    return _plain(getattr(answer, "text", None))


def _plain(answer: object) -> str:
    if not isinstance(answer, str):
        raise InvalidArgumentError(f"the chat model answered {type(answer).__name__}, no text")
    return answer
