"""A store that is called in one form, and what it must have kept."""

from __future__ import annotations

import asyncio
from typing import Any

from valkey_memory import MessageStore, VectorIndex


class Caller:
    """Calls a store in one form; async calls share a loop, as in an application."""

    def __init__(self, store: MessageStore | VectorIndex, runner: asyncio.Runner | None) -> None:
        self.store = store
        self.runner = runner

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        if self.runner is None:
            return getattr(self.store, method)(*args, **options)
        return self.runner.run(getattr(self.store, f"a{method}")(*args, **options))


def check(acknowledged: list[str], found: list[str]) -> None:
    assert len(found) == len(set(found)), "something is there twice"
    assert not set(acknowledged) - set(found), "something acknowledged is missing"
    order = {text: position for position, text in enumerate(acknowledged)}
    assert [t for t in found if t in order] == acknowledged, "out of order"
