"""The nodes of a cluster, kept so that new clients find it when the node that was given hangs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from .. import _keys
from .._plans import Reply

Address: TypeAlias = tuple[str, int]
SLOTS_COMMAND = ("CLUSTER", "SLOTS")


class KnownNodes:
    """A cluster's nodes as they were when last seen; none where there is no cluster."""

    def __init__(self) -> None:
        self._nodes: list[Address] = []
        self._primaries: list[tuple[int, int, Address]] = []  # first slot, last slot

    def remember(self, slots: Reply) -> None:
        """Keep what CLUSTER SLOTS replied: ranges of first, last, primary, and its replicas.

        Where it is an error, or a node does not know its own name, what is known stays.
        """
        if not isinstance(slots, list):
            return
        ranges = [
            (first, last, [_address(node) for node in nodes]) for first, last, *nodes in slots
        ]
        found = [one for _, _, nodes in ranges for one in nodes if one is not None]
        if found:
            self._nodes = list(dict.fromkeys(found))
            self._primaries = [(first, last, p) for first, last, (p, *_) in ranges if p is not None]

    def addresses(self, given: Sequence[Address], silent_key: str = "") -> list[Address]:
        """Where to look for the cluster: at the addresses ``given``, and at the known nodes.

        Args:
            given: By the user.
            silent_key: A key whose primary gave no answer. GLIDE waits for the slowest of the
                addresses, so that node is left out where there are others.
        """
        found = list(dict.fromkeys([*given, *self._nodes]))
        slot = _keys.slot(silent_key)
        silent = {p for first, last, p in self._primaries if silent_key and first <= slot <= last}
        return [one for one in found if one not in silent] or found


def _address(node: Sequence[Reply]) -> Address | None:
    host, port = node[0], node[1]
    return (host.decode(), port) if host not in (None, b"", b"?") else None
