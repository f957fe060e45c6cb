"""The shape of an index: what FT.CREATE is told, and how FT.INFO's answer differs from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from .._arguments import shown
from .._errors import ConfigurationError, IndexMismatchError
from .._filters.expressions import FieldType
from .._filters.query import HAS, SEPARATOR
from .._keys import document_prefix
from .._plans import Command
from . import limits
from .vector import METRICS, Metric

Storage: TypeAlias = Literal["json", "hash"]
STORAGES: tuple[Storage, ...] = ("json", "hash")
Algorithm: TypeAlias = Literal["hnsw", "flat"]

EMBEDDING = "_embedding"
"""The vector's attribute. Names with a leading underscore are the index's own."""

CONTENT = "content"
"""Declared as text, this field is the document's content, not a metadata key."""

FIELD_TYPES: tuple[FieldType, ...] = ("tag", "numeric", "text")

_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")
_INDEX_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_GROUPS: dict[FieldType, str] = {"tag": "tags", "numeric": "numbers", "text": "words"}


def identifier(storage: Storage, kind: FieldType, name: str) -> str:
    """Where an indexed field is in a document: a JSON path, or a field of the hash."""
    return f"$.{_GROUPS[kind]}.{name}" if storage == "json" else f"{_GROUPS[kind]}.{name}"


@dataclass(frozen=True, slots=True)
class IndexSchema:
    """An index of documents with one vector each.

    Args:
        name: The index; its documents' keys are ``{name}:{id}``.
        dimension: Numbers per vector, 1 to 32,768; None where that is not known yet.
        fields: Metadata fields that can be filtered, ``"tag"``, ``"numeric"`` or ``"text"``.
        storage: ``"json"`` documents, or the smaller ``"hash"``.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"`` (inner product).
        algorithm: ``"hnsw"``, approximate and fast, or ``"flat"``, exact: it compares every vector.
        m: HNSW: links per node. More recall and memory with more.
        ef_construction: HNSW: candidates looked at when a vector is added.
        ef_runtime: HNSW: candidates looked at in a search. More recall and time with more; a filter
            that few documents pass needs more.

    Raises:
        ConfigurationError: Any of it cannot work.
    """

    name: str
    dimension: int | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    storage: Storage = "json"
    metric: Metric = "cosine"
    algorithm: Algorithm = "hnsw"
    m: int = 16
    ef_construction: int = 64
    ef_runtime: int = 100

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _INDEX_NAME.match(self.name):
            raise ConfigurationError(
                f"index name {shown(self.name)} must be 1 to 128 letters, digits and _.- and begin "
                "with a letter or digit; no colon, which ends it in keys: an index 'a' would take "
                "in the documents of 'a:b'"
            )
        for option, value, allowed in (
            ("storage", self.storage, ("json", "hash")),
            ("metric", self.metric, METRICS),
            ("algorithm", self.algorithm, ("hnsw", "flat")),
        ):
            if not isinstance(value, str) or value not in allowed:
                raise ConfigurationError(
                    f"{option} {shown(value)} is unknown: use one of {allowed}"
                )
        for option, number, maximum in (
            ("dimension", 1 if self.dimension is None else self.dimension, limits.DIMENSION),
            ("m", self.m, 2_000_000),
            ("ef_construction", self.ef_construction, 4096),
            ("ef_runtime", self.ef_runtime, 4096),
        ):
            if (
                isinstance(number, bool)
                or not isinstance(number, int)
                or number not in range(1, maximum + 1)
            ):
                raise ConfigurationError(f"{option} must be 1 to {maximum}, not {shown(number)}")
        if not isinstance(self.fields, Mapping):
            raise ConfigurationError(
                f'metadata fields must be a dict such as {{"year": "numeric"}}, not '
                f"{shown(self.fields)}"
            )
        object.__setattr__(self, "fields", dict(self.fields))  # the caller's may change
        for name, kind in self.fields.items():
            if not isinstance(name, str) or not _FIELD_NAME.match(name):
                raise ConfigurationError(
                    f"metadata field {shown(name)} must be letters, digits and _ and begin with "
                    "a letter"
                )
            if not isinstance(kind, str) or kind not in FIELD_TYPES:
                raise ConfigurationError(
                    f"metadata field {name!r} has the type {shown(kind)}: use one of {FIELD_TYPES}"
                )
        if self.fields.get(CONTENT, "text") != "text":
            raise ConfigurationError(
                f"{CONTENT!r} is the document's content: declare it as text, or rename the field"
            )

    @property
    def prefix(self) -> str:
        return document_prefix(self.name)

    def of_dimension(self, dimension: int | None) -> IndexSchema:
        """This schema; with ``dimension`` where its own is not known."""
        if dimension is None or self.dimension is not None:
            return self
        return replace(self, dimension=dimension)

    @property
    def metadata_fields(self) -> dict[str, FieldType]:
        """The declared fields that come from metadata."""
        return {name: kind for name, kind in self.fields.items() if name != CONTENT}

    def create_command(self) -> Command:
        """FT.CREATE. Tags are case-sensitive; text has no stemming and no stop words, so that
        filters mean the same in the server and in Python."""
        vector_identifier = "$.embedding" if self.storage == "json" else EMBEDDING
        attributes: list[str] = [
            "TYPE", "FLOAT32", "DIM", str(self.dimension),
            "DISTANCE_METRIC", self.metric.upper(),
        ]  # fmt: skip
        if self.algorithm == "hnsw":
            attributes += [
                "M", str(self.m),
                "EF_CONSTRUCTION", str(self.ef_construction),
                "EF_RUNTIME", str(self.ef_runtime),
            ]  # fmt: skip
        tag = ("TAG", "SEPARATOR", SEPARATOR, "CASESENSITIVE")
        declared: list[str] = [identifier(self.storage, "tag", HAS), "AS", HAS, *tag]
        options: dict[FieldType, tuple[str, ...]] = {
            "tag": tag,
            "numeric": ("NUMERIC",),
            "text": ("TEXT", "NOSTEM"),
        }
        for name, kind in self.fields.items():
            declared += [identifier(self.storage, kind, name), "AS", name, *options[kind]]
        has_text = "text" in self.fields.values()
        return (
            "FT.CREATE", self.name, "ON", self.storage.upper(), "PREFIX", "1", self.prefix,
            *(("STOPWORDS", "0") if has_text else ()),
            "SCHEMA", *declared,
            vector_identifier, "AS", EMBEDDING, "VECTOR", self.algorithm.upper(),
            str(len(attributes)), *attributes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """What the server says of an index (FT.INFO).

    Attributes:
        name: The index.
        storage: ``"json"`` or ``"hash"``.
        prefixes: Of the keys that it indexes.
        fields: Attribute name to ``"tag"``, ``"numeric"`` or ``"text"``, the index's own included.
        dimension: Numbers per vector; 0 if it has no vector field named ``_embedding``.
        metric: ``"cosine"``, ``"l2"`` or ``"ip"``.
        algorithm: ``"hnsw"`` or ``"flat"``.
        ef_runtime: HNSW's; 0 for flat.
        documents: How many are indexed.
        failures: Documents that were stored and could not be indexed.
        ready: Whether all keys that were there before the index are indexed.
    """

    name: str
    storage: Storage
    prefixes: tuple[str, ...]
    fields: Mapping[str, str]
    dimension: int
    metric: str
    algorithm: str
    ef_runtime: int
    documents: int
    failures: int
    ready: bool


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _pairs(items: Any) -> dict[str, Any]:
    """A flat list of names and values as a dict; words without a value are dropped."""
    if isinstance(items, Mapping):
        return {_text(name): value for name, value in items.items()}
    return {_text(items[i]): items[i + 1] for i in range(0, len(items) - 1, 2)}


def _integer(value: Any) -> int:
    return int(float(_text(value))) if value not in (None, b"", "") else 0


def parse_info(reply: Any) -> IndexInfo:
    """FT.INFO's reply as an ``IndexInfo``."""
    info = _pairs(reply)
    definition = _pairs(info["index_definition"])
    fields: dict[str, str] = {}
    vector: dict[str, Any] = {}
    for attribute in info["attributes"]:
        described = _pairs(attribute)
        name, kind = _text(described["attribute"]), _text(described["type"]).lower()
        if kind == "vector" and name == EMBEDDING:
            vector = _pairs(described["index"])
        else:
            fields[name] = kind
    algorithm = _pairs(vector.get("algorithm", ()))
    return IndexInfo(
        name=_text(info["index_name"]),
        storage="json" if _text(definition["key_type"]).lower() == "json" else "hash",
        prefixes=tuple(map(_text, definition["prefixes"])),
        fields=fields,
        dimension=_integer(vector.get("dimensions")),
        metric=_text(vector.get("distance_metric", "")).lower(),
        algorithm=_text(algorithm.get("name", "")).lower(),
        ef_runtime=_integer(algorithm.get("ef_runtime")),
        documents=_integer(info.get("num_docs")),
        failures=_integer(info.get("hash_indexing_failures")),
        ready=is_ready(reply),
    )


def is_ready(reply: Any) -> bool:
    """Whether FT.INFO's reply says that all keys that were there before the index are in it."""
    return _text(_pairs(reply).get("state", "ready")) == "ready"


def check_fits(info: IndexInfo, schema: IndexSchema) -> None:
    """Raise IndexMismatchError when an existing index cannot serve ``schema``, saying why.

    HNSW's parameters may differ: they change speed and recall, not meaning.
    """
    problems: list[str] = []

    def compare(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            problems.append(f"{what} is {found}, not {wanted}")

    compare("its storage", info.storage, schema.storage)
    if not info.dimension:
        problems.append(f"it has no vector field {EMBEDDING}")
    else:
        compare("its dimension", info.dimension, schema.dimension)
        compare("its metric", info.metric, schema.metric)
        compare("its algorithm", info.algorithm, schema.algorithm)
    if info.prefixes != (schema.prefix,):
        problems.append(_other_keys(info, schema))
    for name, kind in {HAS: "tag", **schema.fields}.items():
        if name not in info.fields:
            problems.append(f"it lacks the {kind} field {name}")
        else:
            compare(f"its field {name}", info.fields[name], kind)
    if problems:
        raise IndexMismatchError(
            f"index {schema.name!r} exists, but {'; '.join(problems)}. Use another index_name, "
            "declare what is there, or drop the index (its documents can stay) to make it anew"
        )


def check_prefixes(info: IndexInfo, schema: IndexSchema) -> None:
    """Raise IndexMismatchError when an existing index has other keys than ``schema``'s documents,
    or more: their ids would be wrong, and they are not ours to delete."""
    if info.prefixes != (schema.prefix,):
        raise IndexMismatchError(
            f"index {schema.name!r} exists, but {_other_keys(info, schema)}. Its documents are not "
            "this library's to delete: drop the index alone"
        )


def _other_keys(info: IndexInfo, schema: IndexSchema) -> str:
    return f"it indexes {', '.join(info.prefixes) or 'every key'}, not {schema.prefix}"
