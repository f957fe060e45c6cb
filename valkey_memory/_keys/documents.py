"""Documents of a vector index are at ``{index}:{id}``; its log of changes is its sidecar."""

from __future__ import annotations

from collections.abc import Iterable

from .._arguments import shown
from .._errors import DocumentError
from .names import sidecar


def document_prefix(index: str) -> str:
    """What the keys of an index's documents begin with."""
    return f"{index}:"


def document_key(index: str, document_id: object) -> str:
    """The key of a document.

    Raises:
        DocumentError: An id that is no string, empty, or not valid Unicode.
    """
    if not isinstance(document_id, str) or not document_id:
        raise DocumentError(f"document id must be a non-empty string, not {shown(document_id)}")
    try:
        document_id.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"document id {shown(document_id)}: {error.reason}") from error
    return document_prefix(index) + document_id


def document_id(index: str, key: bytes) -> str:
    """The id of the document at ``key``."""
    return key.decode()[len(document_prefix(index)) :]


def document_ids(index: str, keys: Iterable[bytes]) -> list[str]:
    """``document_id`` of each."""
    begin = len(document_prefix(index))
    return [key.decode()[begin:] for key in keys]


def episode_key(index: str, document_id: str) -> str:
    """The list with the messages of an episode."""
    return sidecar(document_key(index, document_id), "conversation")


def changes_key(index: str) -> str:
    """The stream that tells exact searches which documents changed."""
    return sidecar(index, "changes")


def shape_key(index: str) -> str:
    """What exact search remembers of an index's shape. In the slot of its log of changes."""
    return sidecar(index, "shape")


def probe_key(index: str) -> str:
    """A key that holds nothing, to see whether the server knows a command."""
    return f"{document_prefix(index)}:probe"
