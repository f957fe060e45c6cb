"""Items of a store are at ``{store}:{namespace}/{key}``, each label and the key encoded.

The sorted sets that list all of them, or some, share one slot.
"""

from __future__ import annotations

import re

from .names import sidecar

_PART = re.compile(r"[%/{}\x00-\x1f\x7f]")


def item_key(store: str, namespace: tuple[str, ...], key: str) -> str:
    """The key of an item: ``store:users/alice/profile``."""
    parts = (_PART.sub(lambda m: f"%{ord(m[0]):02X}", part) for part in (*namespace, key))
    return f"{store}:{'/'.join(parts)}"


def entries_key(store: str) -> str:
    """The sorted set that lists a store's items."""
    return sidecar(store, "items")


def missing_key(store: str) -> str:
    """The sorted set of listed items that were not there when they were met, by the time then."""
    return sidecar(store, "missing")


def unindexed_key(store: str) -> str:
    """The sorted set of listed items that the index does not tell of."""
    return sidecar(store, "unindexed")


def expiring_key(store: str) -> str:
    """The sorted set of listed items that have a TTL, by when to look whether they are there."""
    return sidecar(store, "expiring")


def item_index(store: str) -> str:
    """The vector index of a store's items. No name of a store has a dot, so it is no store's."""
    return f"{store}.vectors"
