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

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from .._errors import DocumentError, FilterError
from .._filters.evaluation import Indexed, indexed
from .._filters.query import index_tags, index_words
from .._keys import document_id, document_key
from .._plans import Command
from . import limits
from .documents import Document
from .schema import CONTENT, IndexSchema, identifier
from .vector import from_bytes, from_text, pack_vector, to_text


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


def check_json(value: Any, where: str, depth: int = 0) -> None:
    """Raise DocumentError unless JSON gives ``value`` back as it is."""
    if value is None or type(value) in (str, bool):
        return
    if depth > limits.METADATA_DEPTH:
        raise DocumentError(
            f"{where:.200}... is nested more than {limits.METADATA_DEPTH} levels deep"
        )
    if type(value) is int:
        if not -(2**63) <= value < 2**64:
            raise DocumentError(f"{where} is {value}, beyond 64 bits: store it as a string")
    elif type(value) is float:
        if value - value != 0:  # NaN and the infinities
            raise DocumentError(f"{where} is {value!r}, which JSON cannot hold")
    elif type(value) is list:
        for index, item in enumerate(value):
            check_json(item, f"{where}[{index}]", depth + 1)
    elif type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise DocumentError(f"{where} has the key {key!r}, which is no string")
            check_json(item, f"{where}[{key!r}]", depth + 1)
    else:
        raise DocumentError(
            f"{where} is {type(value).__name__}, which JSON cannot hold: "
            "use strings, numbers, booleans, None, lists and dicts"
        )


def prepare(document: Document, schema: IndexSchema, ttl_ms: int | None) -> Prepared:
    """The commands that store ``document``, to run as one transaction.

    Raises:
        DocumentError: Its id, content, metadata or vector cannot be stored, or it is too large.
    """
    key = document_key(schema.name, document.id)
    where = f"document {document.id!r}"
    if not isinstance(document.content, str):
        raise DocumentError(f"{where}: content must be a string, not {document.content!r:.80}")
    if not isinstance(document.metadata, Mapping):
        raise DocumentError(f"{where}: metadata must be a dict, not {document.metadata!r:.80}")
    metadata = dict(document.metadata)
    check_json(metadata, f"{where}: metadata")
    vector = pack_vector(document.embedding, schema.dimension, f"{where}: its embedding")
    try:
        seen = view(metadata, document.content, schema)
        encode = _json_commands if schema.storage == "json" else _hash_commands
        commands = encode(key, document.content, metadata, seen, vector, schema)
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
    found: Mapping[bytes, Mapping[bytes, bytes]], schema: IndexSchema
) -> list[Document]:
    """The documents of a search reply, which has their fields by key.

    Raises:
        DocumentError: As ``from_fields``.
    """
    return [
        from_fields(document_id(schema.name, key), fields, schema) for key, fields in found.items()
    ]


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
        content = fields.get(b"_content", b"").decode()
        metadata = orjson.loads(fields.get(b"_metadata", b"{}"))
    except (ValueError, TypeError) as error:
        raise unreadable(document_id, schema, str(error)) from error
    return _read(document_id, content, metadata, embedding, schema)


def _read(
    document_id: str, content: Any, metadata: Any, embedding: Sequence[float], schema: IndexSchema
) -> Document:
    if not isinstance(metadata, dict) or not isinstance(content, str):
        raise unreadable(document_id, schema, "its content is no string or its metadata no dict")
    return Document(document_id, content, metadata, embedding)


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
    found = orjson.loads(reply)
    vector = found.get("$.embedding") or [""]
    try:
        embedding = from_text(vector[0]).tolist() if embeddings and vector[0] else ()
    except (ValueError, TypeError) as error:
        raise unreadable(document_id, schema, str(error)) from error
    content, metadata = (found["$.content"] or [""])[0], (found["$.metadata"] or [{}])[0]
    return _read(document_id, content, metadata, embedding, schema)
