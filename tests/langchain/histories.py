"""A chat history seen through its sync or its async face."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain_core.messages import BaseMessage

from ..conftest import Face


class HistoryFace(Face):
    """``Face`` for a history, whose sync reader is a property and whose async one a method."""

    def get_messages(self, *limits: Any, **options: Any) -> list[BaseMessage]:
        if self.is_async:
            found: list[BaseMessage] = asyncio.run(self.store.aget_messages(*limits, **options))
            return found
        if limits or options:
            return list(self.store.get_messages(*limits, **options))
        return list(self.store.messages)

    @property
    def key(self) -> str:
        """Where the conversation is in Valkey."""
        found: str = self.store.key
        return found
