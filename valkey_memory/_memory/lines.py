"""A user's export as lines: those of conversations, and behind them the user's documents.

Each index has a line with its shape, and each of its documents one. The vector is base64 of its
float32 bytes, so that it comes back exactly and no model is needed::

    {"type":"index","name":"memory","dimension":3,"metric":"cosine",...,"fields":{"user_id":"tag"}}
    {"type":"memory","index":"memory","id":"0a1b","content":"Mara cannot swim.",
     "metadata":{"user_id":"mara","kind":"fact"},"embedding":"AACAPwAAAAAAAAAA","ttl_ms":null}

An episode has the elements of its conversation, too, as messages have theirs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .._conversations.transfer import Whole, decode, encode, line_of, read_mixed_lines
from .._errors import ConfigurationError, DocumentError, ExportFileError
from .._vectors.documents import Document
from .._vectors.metadata import decoded, encoded
from .._vectors.schema import IndexSchema
from .._vectors.vector import FLOAT_BYTES, from_bytes, pack_vector

_SHAPE = ("name", "dimension", "metric", "algorithm", "storage", "fields")


@dataclass(frozen=True, slots=True)
class Stored:
    """A document of an index, with all that is kept of it."""

    index: str
    document: Document
    ttl_ms: int | None = None
    conversation: list[bytes] = field(default_factory=list)
    """Of an episode: its elements."""


Item: TypeAlias = Whole | IndexSchema | Stored


def index_line(schema: IndexSchema) -> bytes:
    return line_of({"type": "index", **{name: getattr(schema, name) for name in _SHAPE}})


def stored_line(stored: Stored) -> bytes:
    document = stored.document
    where = f"document {document.id!r}"
    vector = pack_vector(document.embedding, None, where)
    elements = [encode(element) for element in stored.conversation]
    return line_of(
        {
            "type": "memory",
            "index": stored.index,
            "id": document.id,
            "content": document.content,
            "metadata": encoded(document.metadata, where),
            "embedding": base64.b64encode(vector).decode(),
            "ttl_ms": stored.ttl_ms,
            **({"conversation": elements} if elements else {}),
        }
    )


def read_items(lines: Iterable[bytes], name: str) -> Iterator[Item]:
    """What is in a user's export, in order: conversations, and for each index its documents.

    Raises:
        ExportFileError: It is damaged, or no export; says in which line.
    """
    others: dict[str, Callable[[dict[str, Any]], Item]]
    others = {"index": _read_index, "memory": _read_stored}
    return read_mixed_lines(lines, name, others)


def _read_index(line: dict[str, Any]) -> IndexSchema:
    try:
        return IndexSchema(**{name: line[name] for name in _SHAPE})
    except (KeyError, TypeError, ConfigurationError) as error:
        raise ValueError(f"it describes no index: {error}") from error


def _read_stored(line: dict[str, Any]) -> Stored:
    index, document_id, content = (line.get(name) for name in ("index", "id", "content"))
    metadata, ttl = line.get("metadata"), line.get("ttl_ms")
    elements = line.get("conversation", [])
    if not (isinstance(index, str) and isinstance(content, str) and isinstance(metadata, dict)):
        raise ValueError("it lacks its index, content or metadata")  # noqa: TRY004 - of the file
    if not (isinstance(document_id, str) and document_id and isinstance(elements, list)):
        raise ValueError("it has no id, or its conversation is no list")
    if ttl is not None and (type(ttl) is not int or not 0 <= ttl < 2**53):
        raise ValueError(f"ttl_ms is {ttl!r}")
    vector = base64.b64decode(str(line.get("embedding", "")), validate=True)
    if not vector or len(vector) % FLOAT_BYTES:
        raise ValueError("it has no embedding")
    document = Document(document_id, content, decoded(metadata), from_bytes(vector).tolist())
    return Stored(index, document, ttl, [decode(element) for element in elements])


@dataclass(slots=True)
class Contents:
    """What a user's export holds, as far as it is checked before it is written."""

    user_id: str
    sessions: dict[str, None] = field(default_factory=dict)
    shapes: dict[str, IndexSchema] = field(default_factory=dict)
    documents: dict[str, dict[str, None]] = field(default_factory=dict)
    """Ids by index."""

    @property
    def size(self) -> int:
        """Conversations and documents."""
        return len(self.sessions) + sum(map(len, self.documents.values()))


def contents_of(lines: Iterable[bytes], name: str, user_id: str) -> Contents:
    """What the export of ``user_id`` holds, once it is known to be whole and theirs alone.

    Raises:
        ExportFileError: It is damaged, or has something of another user.
    """
    contents = Contents(user_id)
    for item in read_items(lines, name):
        if isinstance(item, Whole):
            _check_owner(
                item.record.get("user_id", user_id), f"the conversation {item.id!r}", name, user_id
            )
            _check_once(item.id in contents.sessions, f"the conversation {item.id!r}", name)
            contents.sessions[item.id] = None
        elif isinstance(item, IndexSchema):
            _check_once(item.name in contents.shapes, f"the index {item.name!r}", name)
            contents.shapes[item.name] = item
            contents.documents[item.name] = {}
        else:
            what = f"the memory {item.document.id!r}"
            _check_owner(item.document.metadata.get("user_id"), what, name, user_id)
            known = contents.documents.get(item.index)
            if known is None:
                raise ExportFileError(f"{name} has {what} before the shape of its index")
            _check_once(item.document.id in known, what, name)
            _check_vector(item, contents.shapes[item.index], name)
            known[item.document.id] = None
    return contents


def _check_owner(owner: object, what: str, name: str, user_id: str) -> None:
    if owner != user_id:
        raise ExportFileError(f"{name} is of {user_id!r}, but {what} in it is of {owner!r}")


def _check_once(known: bool, what: str, name: str) -> None:
    if known:
        raise ExportFileError(f"{name} has {what} twice")


def _check_vector(stored: Stored, shape: IndexSchema, name: str) -> None:
    try:
        pack_vector(stored.document.embedding, shape.dimension, "its embedding")
    except DocumentError as error:
        raise ExportFileError(f"{name}, memory {stored.document.id!r}: {error}") from error
