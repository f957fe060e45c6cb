"""A chat model that needs no network, and knows nothing but the history it is given.

It answers by looking through the earlier messages, so a right answer proves that they were there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

_NAME = re.compile(r"\b(?:I am|I'm|my name is) ([A-Z]\w+)")
_COMMON = set(
    re.findall(r"\w+", "a an and are do does how i in is it my of on our the to we what you")
)


def _sentences(text: str) -> list[str]:
    return re.findall(r"[^.!?]+[.!?]?", text)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower())) - _COMMON


def reply(earlier: Sequence[str], question: str) -> str:
    """What the model answers.

    Args:
        earlier: What the user said before, oldest first; the model's whole memory.
        question: What the user says now.
    """
    told = [sentence.strip() for text in earlier for sentence in _sentences(text)]
    names = [match[1] for text in (*earlier, question) if (match := _NAME.search(text))]
    asked = [sentence for sentence in told if sentence.endswith("?")]
    facts = [sentence for sentence in told if sentence not in asked]
    if "ask first" in question:
        return f'Your first question was: "{asked[0]}"' if asked else "You have not asked anything."
    if "my name" in question:
        return f"Your name is {names[-1]}." if names else "You have not told me your name."
    if not question.endswith("?"):
        return f"Hello {names[-1]}, I will remember that." if names else "I will remember that."
    best = max(facts, key=lambda fact: len(_words(fact) & _words(question)), default="")
    if not _words(best) & _words(question):
        return "You have not told me."
    return f'{names[-1] + ", you" if names else "You"} told me: "{best}"'


class OfflineChatModel(BaseChatModel):
    """``reply`` as a LangChain chat model."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        *earlier, question = [message.text for message in messages if message.type == "human"]
        answer = AIMessage(reply(earlier, question))
        return ChatResult(generations=[ChatGeneration(message=answer)])
