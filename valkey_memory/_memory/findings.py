"""What the checks know, and what they say: facts and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .._errors import ValkeyMemoryError
from .._server.nodes import Node
from .._vectors.discovery import FoundIndex
from .._vectors.engine import Search

Level: TypeAlias = Literal["ok", "warning", "problem"]
Version: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check: what was found, and for what is not ok its cause and the way out.

    Attributes:
        check: What was looked at: ``"eviction"``, ``"persistence"``, ``"index"``, ...
        level: ``"problem"``: it fails, or loses what is remembered. ``"warning"``: a risk that may
            be meant so. ``"ok"``, of the command ``doctor`` only.
        what: What was found, in one line.
        cause: Why it is so, or what comes of it.
        fix: What to do about it.
    """

    check: str
    level: Level
    what: str
    cause: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Conversations:
    """How the conversations that were looked at expire."""

    looked_at: int = 0
    without_ttl: Sequence[str] = ()
    more: bool = False
    """Whether there are more that were not looked at."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Which of the conversations that were looked at wait for extraction of facts."""

    looked_at: int = 0
    session_ids: Sequence[str] = ()
    more: bool = False
    """Whether there are more that were not looked at."""


@dataclass(frozen=True, slots=True)
class MemoryIndex:
    """The index of a ``LongTermMemory``, as the program wants it, and what stands against that."""

    name: str
    search: Search
    exact_limit: int
    misfit: str = ""
    """Why its next call refuses what is stored."""
    documents: int = 0
    """Those that no index of the server has."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks know."""

    wheels: Mapping[str, str | None] = field(default_factory=dict)
    address: str = ""
    failure: ValkeyMemoryError | None = None
    """Why nothing more could be asked."""
    cluster: bool = False
    nodes: Sequence[Node] = ()
    search_commands: bool | None = None
    json_commands: bool | None = None
    listed: Sequence[str] | None = None
    """The names of valkey-search's indexes; None where the user may not list them."""
    conversations: Conversations | None = None
    indexes: Sequence[FoundIndex] | None = None
    """None where the server would not list them."""
    index: str | None = None
    """The index that was asked about."""
    dimension: int | None = None
    """The dimension that it should have."""
    memory: MemoryIndex | None = None
    """None unless a program asks for advice on its own."""
    waiting: Waiting | None = None
    """None where facts are not extracted, or nothing may be read of that."""


def version(text: str) -> Version:
    """``"9.1.2"`` as numbers that can be compared; what is no number ends it."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def module_version(number: int) -> Version:
    """A module's version number as valkey-search and valkey-json count: a byte for each part."""
    return number >> 16, number >> 8 & 255, number & 255


def dotted(numbers: Version) -> str:
    """``(1, 2, 0)`` as ``"1.2.0"``."""
    return ".".join(map(str, numbers))
