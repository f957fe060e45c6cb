"""Commands of many documents, sent over the nodes of a cluster.

In a transaction they cannot be: valkey-search 1.2.1 leaves what came in one out of searches that
another shard coordinates, for as long as nothing else is written in one. A pipeline goes to all
nodes at once, each with its part. A server of 9.0.0 to 9.1.1 hangs on a pipeline of indexed writes;
there every node is sent one command at a time, and all nodes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .._errors import ValkeyMemoryError
from .._keys import document_key, slot
from .._plans import Lanes, Plan, Reply, Request
from .._server.topology import nodes_of_slots_plan, takes_pipelines_plan
from .records import Prepared

Answers: TypeAlias = dict[str, list[Reply] | ValkeyMemoryError]
"""By id: the replies to a document's commands, or the error of the first that failed."""


def scattered_plan(operation: str, documents: Sequence[Prepared], index: str) -> Plan[Answers]:
    """Send the commands of ``documents``, those of one document in order."""
    if len(documents) > 1 and (yield from takes_pipelines_plan(operation)):
        return (yield from _pipelined_plan(operation, documents))
    return (yield from _in_lanes_plan(operation, documents, index))


def _pipelined_plan(operation: str, documents: Sequence[Prepared]) -> Plan[Answers]:
    commands = tuple(command for document in documents for command in document.commands)
    replies = yield Request(operation, commands, errors_as_replies=True, repeatable=True)
    found: Answers = {}
    start = 0
    for document in documents:
        own = replies[start : start + len(document.commands)]
        start += len(document.commands)
        found[document.id] = next((r for r in own if isinstance(r, ValkeyMemoryError)), own)
    return found


def _in_lanes_plan(operation: str, documents: Sequence[Prepared], index: str) -> Plan[Answers]:
    lanes: dict[int, list[Prepared]] = {0: list(documents)}
    if len(documents) > 1:
        node_of = yield from nodes_of_slots_plan(operation)
        lanes = {}
        for document in documents:
            lanes.setdefault(node_of(slot(document_key(index, document.id))), []).append(document)
    replies = yield Lanes(
        tuple(
            tuple(
                Request(operation, (command,), repeatable=True)
                for one in lane
                for command in one.commands
            )
            for lane in lanes.values()
        )
    )
    found: Answers = {}
    for lane, answers in zip(lanes.values(), replies, strict=True):
        rest = iter(answers)
        error: ValkeyMemoryError | None = None
        for document in lane:
            own: list[Reply] = []
            for _ in document.commands:
                reply = next(rest, None) if error is None else error
                if isinstance(reply, ValkeyMemoryError):
                    error = reply
                else:
                    own += reply or []
            found[document.id] = own if error is None else error
    return found
