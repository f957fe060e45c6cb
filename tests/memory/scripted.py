"""A chat model of the tests: it says what it was told to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any


class ScriptedModel:
    """A function from a prompt to a text.

    Args:
        answer: The text, what makes it of the prompt, or an exception to throw.
        seconds: How long it takes.
        meanwhile: What happens while it thinks.
    """

    def __init__(
        self,
        answer: str | Callable[[str], Any] | Exception = "",
        *,
        seconds: float = 0,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        self.answer = answer
        self.seconds = seconds
        self.meanwhile = meanwhile
        self.prompts: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> Any:
        with self._lock:
            self.prompts.append(prompt)
            number = len(self.prompts)
        time.sleep(self.seconds)
        self.meanwhile()
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return self.answer(prompt)
        return self.answer or f"summary {number}"


class AsyncScriptedModel(ScriptedModel):
    """The same as a coroutine function."""

    async def __call__(self, prompt: str) -> Any:
        seconds, self.seconds = self.seconds, 0
        await asyncio.sleep(seconds)
        return super().__call__(prompt)


def shown(prompt: str) -> tuple[str, list[str]]:
    """The summary so far and the messages in a prompt."""
    _, _, rest = prompt.partition("Summary so far:\n")
    before, _, rest = rest.partition("\n\nNew messages:\n")
    messages, _, _ = rest.rpartition("\n\nNew summary:")
    return before, messages.splitlines()
