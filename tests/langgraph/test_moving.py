"""Threads of savers that count versions in numbers, as langgraph-checkpoint-aws' does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from langgraph_valkey_glide import ValkeySaver

from .checkpoints import chain, config, put

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-checkpoint-aws-or-redis.md"


class Counting(InMemorySaver):
    """A saver with the versions that LangGraph has for those that make none of their own; it stores
    all values with each checkpoint."""

    get_next_version = BaseCheckpointSaver.get_next_version

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, dict[str, Any]] = {}

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self.values[checkpoint["id"]] = dict(checkpoint["channel_values"])
        return super().put(config, checkpoint, metadata, new_versions)

    def whole(self, found: Any) -> Any:
        if found is not None:
            found.checkpoint["channel_values"] = dict(self.values[found.checkpoint["id"]])
        return found

    def get_tuple(self, config: Any) -> Any:
        return self.whole(super().get_tuple(config))

    def list(self, config: Any, **options: Any) -> Any:
        return map(self.whole, super().list(config, **options))


def move(old: Any, new: Any, thread: str) -> None:
    """As the page has it."""
    (block,) = (
        each
        for each in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "def move(" in each
    )
    names: dict[str, Any] = {}
    definitions = block[block.index("def with_text_versions") : block.index("saver = ")]
    exec(definitions, names)  # noqa: S102 - our own
    names["move"](old, new, thread)


def branches(graph: Any) -> list[list[str]]:
    return [state.values.get("seen", []) for state in graph.get_state_history(config("t"))]


def fork(graph: Any) -> None:
    """Go on from behind the first node in another way."""
    behind_a = [one for one in graph.get_state_history(config("t")) if one.next == ("b",)][-1]
    forked = graph.update_state(behind_a.config, {"seen": ["changed"]})
    assert graph.invoke(None, forked)["seen"] == ["start", "a", "changed", "b", "c"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_branches_of_a_moved_thread_stay_apart(url: str, prefix: str, when: str) -> None:
    old = chain("abc", Counting())
    old.invoke({"seen": ["start"]}, config("t"))
    if when == "before":
        fork(old)
    expected = branches(old)
    saver = ValkeySaver(url=url, key_prefix=prefix)
    move(old.checkpointer, saver, "t")
    new = chain("abc", saver)
    assert branches(new) == expected
    if when == "after":
        fork(new)
        assert branches(new)[-len(expected) :] == expected
    assert new.invoke({"seen": ["again"]}, config("t"))["seen"][-4:] == ["again", "a", "b", "c"]


def test_branches_of_a_thread_with_numbers_stay_apart(url: str, prefix: str) -> None:
    """One that was put as it is, and goes on with numbers."""
    saver = ValkeySaver(url=url, key_prefix=prefix)
    put(saver, config("t"), versions={"__start__": 1})
    graph = chain("abc", saver)
    graph.invoke({"seen": ["start"]}, config("t"))
    expected = branches(graph)
    fork(graph)
    assert branches(graph)[-len(expected) :] == expected
