"""Documents and hits: what a user gives to an index, and what a search gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

OnCorrupt: TypeAlias = Literal["raise", "skip"]
"""What to do with a document that cannot be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with metadata and its vector.

    Attributes:
        id: Any non-empty string, unique in its index.
        content: The text.
        metadata: By name: JSON values, dates, UUIDs, Decimals, tuples, sets, bytes and NumPy
            scalars. They come back equal and with their own types; NumPy's as Python's numbers.
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
