"""Documents and hits: what a user gives to an index, and what a search gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Document:
    """A text with metadata and its vector.

    Attributes:
        id: Any non-empty string, unique in its index.
        content: The text.
        metadata: JSON values by name, returned with their own types.
        embedding: The vector. Searches leave it empty unless asked for it.
    """

    id: str
    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    embedding: Sequence[float] = ()


class Hit(NamedTuple):
    """A document that a search found, with its similarity: higher is closer."""

    document: Document
    score: float
