"""Documents as they are stored, in JSON or in a hash, and as a search returns them.

JSON, at ``{index}:{id}``, for people and programs to read::

    {"content": "We deployed to ECS", "metadata": {"user_id": "alice", "year": 2026},
     "tags": {"_has": "_any|user_id", "user_id": "alice"}, "numbers": {"year": 2026},
     "words": {}, "embedding": "[0.12,-0.5,...]"}

``content`` and ``metadata`` are what the user gave; ``tags``, ``numbers`` and ``words`` repeat the
declared fields in the form that is indexed. A hash holds the same in the fields ``_content``,
``_metadata`` (JSON text), ``_embedding`` (float32 bytes), ``tags.user_id`` and the like.

The vector is text inside the JSON because that was the smallest and fastest of the forms that
valkey-search indexes: see the measurements in docs/vectors.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import orjson

from .._arguments import shown
from .._errors import DocumentError, FilterError, KeyTypeError
from .._filters.evaluation import Indexed, indexed, matches
from .._filters.expressions import Filter
from .._filters.query import index_tags, index_words
from .._keys import document_ids, document_key
from .._plans import Command
from . import limits
from .documents import Document, OnCorrupt
from .metadata import decoded, encoded, loaded
from .schema import CONTENT, IndexSchema, identifier
from .vector import from_bytes, from_text, pack_vector, to_text

P = ParamSpec("P")
T = TypeVar("T")

METADATA = "_metadata"
"""The field of a hash that has its metadata."""

_log = logging.getLogger("valkey_memory")


class Prepared(NamedTuple):
    """A document, checked and encoded."""

    id: str
    commands: tuple[Command, ...]
    size: int


def view(metadata: Mapping[str, Any], content: str, schema: IndexSchema) -> Indexed:
    """What filters see of a document.

    Raises:
        FilterError: A declared field has a value of another type.
    """
    values = metadata
    if CONTENT in schema.fields:
        values = {**metadata, CONTENT: content}
    return indexed(values, schema.fields)


def satisfies(document: Document, condition: Filter, schema: IndexSchema) -> bool:
    """Whether a document that was read satisfies ``condition``. One that was written before its
    fields were declared, with values of another type, does not: the server does not find it."""
    try:
        return matches(view(document.metadata, document.content, schema), condition)
    except FilterError:
        return False


def prepare(document: Document, schema: IndexSchema, ttl_ms: int | None) -> Prepared:
    """The commands that store ``document``, to run as one transaction.

    Raises:
        DocumentError: Its id, content, metadata or vector cannot be stored, or it is too large.
    """
    if not isinstance(document, Document):
        raise DocumentError(f"a document must be a Document, not {shown(document)}")
    key = document_key(schema.name, document.id)
    where = f"document {document.id!r:.200}"
    if not isinstance(document.content, str):
        raise DocumentError(f"{where}: content must be a string, not {shown(document.content)}")
    if not isinstance(document.metadata, Mapping):
        raise DocumentError(f"{where}: metadata must be a dict, not {shown(document.metadata)}")
    given = dict(document.metadata)
    stored = encoded(given, f"{where}: metadata")
    vector = pack_vector(document.embedding, schema.dimension, f"{where}: its embedding")
    try:
        seen = view(given, document.content, schema)
        encode = _json_commands if schema.storage == "json" else _hash_commands
        commands = encode(key, document.content, stored, seen, vector, schema)
    except (FilterError, orjson.JSONEncodeError, UnicodeEncodeError) as error:
        raise DocumentError(f"{where}: {error}") from error
    if ttl_ms is not None:
        commands = (*commands, ("PEXPIRE", key, str(ttl_ms)))
    size = sum(len(argument) for command in commands for argument in command)
    if size > limits.DOCUMENT_BYTES:
        raise DocumentError(
            f"{where} has {size} bytes; at most {limits.DOCUMENT_BYTES} are allowed"
        )
    return Prepared(document.id, commands, size)


def _json_commands(
    key: str,
    content: str,
    metadata: dict[str, Any],
    seen: Indexed,
    vector: bytes,
    schema: IndexSchema,
) -> tuple[Command, ...]:
    body = orjson.dumps(
        {
            "content": content,
            "metadata": metadata,
            "tags": index_tags(seen),
            "numbers": dict(seen.numbers),
            "words": index_words(seen),
            "embedding": to_text(from_bytes(vector)),
        }
    )
    return (("JSON.SET", key, "$", body),)


def _hash_commands(
    key: str,
    content: str,
    metadata: dict[str, Any],
    seen: Indexed,
    vector: bytes,
    schema: IndexSchema,
) -> tuple[Command, ...]:
    fields: dict[str, str | bytes] = {
        "_content": content.encode(),
        "_metadata": orjson.dumps(metadata),
        "_embedding": vector,
    }
    for name, tags in index_tags(seen).items():
        fields[identifier("hash", "tag", name)] = tags
    for name, number in seen.numbers.items():
        fields[identifier("hash", "numeric", name)] = repr(number)
    for name, text in index_words(seen).items():
        fields[identifier("hash", "text", name)] = text
    # A field that the document had before and has no more must not stay indexed.
    gone = [
        stale
        for name, kind in schema.fields.items()
        if (stale := identifier("hash", kind, name)) not in fields
    ]
    arguments = [argument for pair in fields.items() for argument in pair]
    write: Command = ("HSET", key, *arguments)
    return (("HDEL", key, *gone), write) if gone else (write,)


# Reading

# Where a document's parts are. A search reply names them as the hash does; names that begin with an
# underscore cannot be those of declared fields, which RETURN would give instead.
_JSON_PATHS = {"_content": "$.content", "_metadata": "$.metadata", "_embedding": "$.embedding"}


def _parts(*, embeddings: bool) -> list[str]:
    return list(_JSON_PATHS) if embeddings else ["_content", "_metadata"]


def returned(schema: IndexSchema, *, embeddings: bool) -> list[str]:
    """RETURN's arguments for a document's parts."""
    parts = _parts(embeddings=embeddings)
    if schema.storage == "hash":
        return parts
    return [word for part in parts for word in (_JSON_PATHS[part], "AS", part)]


def from_search(
    found: Mapping[bytes, Mapping[bytes, bytes]], schema: IndexSchema, on_corrupt: OnCorrupt
) -> list[Document | None]:
    """The documents of a search reply, which has their fields by key; None for one that is skipped.

    Raises:
        DocumentError: As ``from_fields``.
    """
    ids = document_ids(schema.name, found)
    if documents := _all_from_fields(ids, found.values()):
        return documents
    return [
        readable(on_corrupt, from_fields, one, fields, schema)
        for one, fields in zip(ids, found.values(), strict=True)
    ]


def _all_from_fields(
    ids: Sequence[str], several: Collection[Mapping[bytes, bytes]]
) -> list[Document | None]:
    """``from_fields`` of each, in half the time; none where one has a vector or is no document."""
    try:
        contents = [(fields.get(b"_content") or b"").decode() for fields in several]
        metadatas = [loaded(fields.get(b"_metadata") or b"{}") for fields in several]
    except ValueError:
        return []
    if any([b"_embedding" in fields for fields in several]):  # noqa: C419 faster
        return []
    if not all([type(metadata) is dict for metadata in metadatas]):  # noqa: C419
        return []
    return list(map(Document, ids, contents, metadatas))


def readable(
    on_corrupt: OnCorrupt, read: Callable[P, T], *args: P.args, **kw: P.kwargs
) -> T | None:
    """What ``read`` gives; None, and a line in the log, where it shall be skipped."""
    try:
        return read(*args, **kw)
    except (DocumentError, KeyTypeError) as error:
        if on_corrupt == "raise":
            raise
        _log.warning("skipped: %s", error)
        return None


def from_fields(document_id: str, fields: Mapping[bytes, bytes], schema: IndexSchema) -> Document:
    """A document from the fields of a search reply or a hash.

    Raises:
        DocumentError: Another program wrote what is no document under a key of the index.
    """
    try:
        embedding: Sequence[float] = ()
        if raw := fields.get(b"_embedding"):
            vector = from_bytes(raw) if schema.storage == "hash" else from_text(raw)
            embedding = vector.tolist()
    except (ValueError, TypeError) as error:
        raise unreadable(document_id, schema, str(error)) from error
    content, metadata = parts_of_hash(
        document_id, fields.get(b"_content"), fields.get(b"_metadata"), schema
    )
    return Document(document_id, content, metadata, embedding)


def parts_of_hash(
    document_id: str, content: bytes | None, metadata: bytes | None, schema: IndexSchema
) -> tuple[str, dict[str, Any]]:
    """Content and metadata from their bytes.

    Raises:
        DocumentError: As ``from_fields``.
    """
    try:
        return _checked(document_id, (content or b"").decode(), loaded(metadata or b"{}"), schema)
    except ValueError as error:
        if isinstance(error, DocumentError):
            raise
        raise unreadable(document_id, schema, str(error)) from error


def _checked(
    document_id: str, content: Any, metadata: Any, schema: IndexSchema
) -> tuple[str, dict[str, Any]]:
    if not isinstance(metadata, dict) or not isinstance(content, str):
        raise unreadable(document_id, schema, "its content is no string or its metadata no dict")
    return content, metadata


def unreadable(document_id: str, schema: IndexSchema, reason: str) -> DocumentError:
    """The error for what is stored where a document should be."""
    return DocumentError(
        f"document {document_id!r} of index {schema.name!r} cannot be read: {reason}. It was left "
        "as it is; write it anew, or delete it by its id"
    )


def read_command(schema: IndexSchema, key: str, *, embeddings: bool) -> Command:
    """The command that reads one document."""
    parts = _parts(embeddings=embeddings)
    if schema.storage == "hash":
        return ("HMGET", key, *parts)
    return ("JSON.GET", key, *(_JSON_PATHS[part] for part in parts))


def from_read(
    document_id: str, reply: Any, schema: IndexSchema, *, embeddings: bool
) -> Document | None:
    """A document from the reply to ``read_command``; None when there is none."""
    if schema.storage == "hash":
        names = [part.encode() for part in _parts(embeddings=embeddings)]
        fields = {name: value for name, value in zip(names, reply, strict=True) if value}
        return from_fields(document_id, fields, schema) if b"_metadata" in fields else None
    if reply is None:
        return None
    try:
        found = orjson.loads(reply)
        vector = found.get("$.embedding") or [""]
        embedding = from_text(vector[0]).tolist() if embeddings and vector[0] else ()
        content = (found["$.content"] or [""])[0]
        metadata = decoded((found["$.metadata"] or [{}])[0])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise unreadable(document_id, schema, str(error)) from error
    return Document(document_id, *_checked(document_id, content, metadata, schema), embedding)
