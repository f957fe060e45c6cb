"""What an agent's runs were told at their first call of the model, for the later ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from valkey_memory import Context

_MOST_RUNS = 1_000
"""So many are kept. Of those that never end, broken off by an error for instance, the oldest go."""

RunKey: TypeAlias = tuple[int, str, str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """A run of an agent, from its first call of the model on.

    Attributes:
        question: What it answers.
        before: The ids of the messages that were there when it began.
        context: What memory knows; None where that could not be had.
    """

    question: HumanMessage
    before: frozenset[str]
    context: Context[BaseMessage] | None
    control: object = field(repr=False, compare=False)
    """What tells the run from others. It is held here, so that no other can take its place."""


def run_key(runtime: Runtime[Any], user_id: str, session_id: str) -> RunKey:
    """Which run it is, by the control that LangGraph gives each; and which agent inside of it."""
    info = runtime.execution_info
    agent = "" if info is None else info.checkpoint_ns.rpartition("|")[0]
    return id(runtime.control), agent, user_id, session_id


class Runs:
    """The runs of an agent in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: OrderedDict[RunKey, Run] = OrderedDict()

    def get(self, key: RunKey) -> Run | None:
        """A run, if it is known."""
        with self._lock:
            found = self._runs.get(key)
            if found is not None:
                self._runs.move_to_end(key)
            return found

    def add(self, key: RunKey, run: Run) -> Run:
        """Keep a run, and return it."""
        if run.control is not None:  # without one it could be taken for any other
            with self._lock:
                self._runs[key] = run
                while len(self._runs) > _MOST_RUNS:
                    self._runs.popitem(last=False)
        return run

    def end(self, key: RunKey) -> None:
        """Forget a run."""
        with self._lock:
            self._runs.pop(key, None)

    def __len__(self) -> int:
        return len(self._runs)
