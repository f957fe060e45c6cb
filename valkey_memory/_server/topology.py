"""How a cluster takes many commands at once, and which node has which slot."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from .._plans import AskFacts, AskPrimaries, Plan, Request
from .nodes import read_info

_PIPELINES = "pipelines"
_SINCE = (9, 1, 2)


def takes_pipelines_plan(operation: str) -> Plan[bool]:
    """Whether every primary takes a pipeline of writes to indexed keys.

    Servers of 9.0.0 to 9.1.1 hang on that. One round trip, and none once it is known.
    """
    facts: dict[str, Any] = yield AskFacts(operation)
    if _PIPELINES not in facts:
        replies = yield AskPrimaries(operation, ("INFO", "server"))
        if any(isinstance(reply, Exception) for reply in replies.values()):
            return False  # that is not known, and asked again
        infos = [read_info(reply) for reply in replies.values()]
        facts[_PIPELINES] = all(
            _version(info.get("valkey_version", "")) >= _SINCE for info in infos
        )
    found: bool = facts[_PIPELINES]
    return found


def _version(text: str) -> tuple[int, ...]:
    """``9.1.2-rc1`` as numbers; nothing for a server that is no Valkey."""
    return tuple(int(part) for part in text.partition("-")[0].split(".") if part.isdigit())


def nodes_of_slots_plan(operation: str) -> Plan[Callable[[int], int]]:
    """A function that numbers the node of a slot. One round trip."""
    (ranges,) = yield Request(operation, (("CLUSTER", "SLOTS"),), repeatable=True)
    return _numbering(ranges)


def _numbering(ranges: Sequence[Any]) -> Callable[[int], int]:
    """From CLUSTER SLOTS: ranges of first and last slot, the primary, and its replicas."""
    owned = sorted((int(first), str(owner)) for first, _, owner, *_ in ranges)
    starts = [first for first, _ in owned]
    numbers = {owner: number for number, owner in enumerate(sorted({o for _, o in owned}))}
    return lambda slot: numbers[owned[max(0, bisect_right(starts, slot) - 1)][1]] if owned else 0
