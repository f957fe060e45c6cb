"""An item, as it is given and handed out, and as its hash has it.

The hash at ``{store}:{namespace}/{key}`` holds ``value`` as JSON, ``created_at`` and ``updated_at``
in Unix seconds by the server's clock; where there are any, ``ttl`` in milliseconds, which reading
restarts, and ``vectors``: the version of the item's documents in the index, and how many there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from .._arguments import shown
from .._errors import DocumentError, InvalidArgumentError
from .entries import Namespace

FIELDS = ("value", "created_at", "updated_at", "ttl", "vectors")
DEPTH = 100
"""Lists and dicts within each other in a value, at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """A value at its place.

    Attributes:
        namespace: Labels, the widest first.
        key: Its name there.
        value: A dict of JSON values.
        created_at: When it was first put, in UTC.
        updated_at: When it was last put.
        score: Of a search by meaning: the similarity, higher is closer. None where it has no
            vector, and of other searches.
    """

    namespace: Namespace
    key: str
    value: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class Vectors(NamedTuple):
    """The documents of an item in the index."""

    version: str
    """Of the item that they were made of: each put has its own, so that none is taken for those of
    another value."""
    size: int

    @classmethod
    def parse(cls, text: bytes) -> Vectors:
        version, _, size = text.decode().partition(":")
        return cls(version, int(size))

    def __str__(self) -> str:
        return f"{self.version}:{self.size}"

    def ids(self) -> list[str]:
        return [f"{self.version}.{number}" for number in range(self.size)]


class Stored(NamedTuple):
    """An item, and what else its hash holds."""

    item: Item
    ttl_ms: int | None
    vectors: Vectors | None


def read(namespace: Namespace, key: str, fields: Sequence[bytes | None]) -> Stored | None:
    """An item from ``FIELDS`` of its hash; None when there is none.

    Raises:
        DocumentError: Another program wrote what is none.
    """
    value, created, updated, ttl, vectors = fields
    if value is None:
        return None
    try:
        found = json.loads(value)
        if not isinstance(found, dict):
            raise ValueError("its value is no JSON object")  # noqa: TRY004 - as all else below
        item = Item(namespace, key, found, _moment(created), _moment(updated))
        return Stored(
            item,
            None if ttl is None else int(ttl),
            None if vectors is None else Vectors.parse(vectors),
        )
    except (ValueError, OverflowError, RecursionError) as error:
        raise DocumentError(
            f"item {shown(key)} in {shown(namespace)} cannot be read: {error}. It was left as it "
            "is; put it anew, or delete it"
        ) from error


def _moment(seconds: bytes | None) -> datetime:
    whole, _, fraction = (seconds or b"").decode().partition(".")
    return _EPOCH + timedelta(seconds=int(whole), microseconds=int(f"{fraction:0<6.6}"))


def encode(value: Mapping[str, Any], namespace: Namespace, key: str) -> tuple[dict[str, Any], str]:
    """``value`` as plain data, which is what a read gives back, and as JSON.

    Raises:
        InvalidArgumentError: It is no dict, or JSON would change or refuse a part of it.
    """
    where = f"the value of {shown(key)} in {shown(namespace)}"
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"{where} must be a dict, not {shown(value)}")
    plain: dict[str, Any] = _plain(value, where, 0)
    try:
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    except ValueError as error:  # an integer of more than 4,300 digits
        raise InvalidArgumentError(f"{where} cannot be stored: {error}") from error
    try:
        text.encode()
    except UnicodeEncodeError:  # escaped, what is no valid Unicode comes back as it is
        text = json.dumps(plain, separators=(",", ":"))
    return plain, text


def _plain(value: Any, where: str, depth: int) -> Any:
    if depth > DEPTH:
        raise InvalidArgumentError(f"{where} is nested more than {DEPTH} levels deep")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise InvalidArgumentError(f"{where} is {value!r}, which is no JSON: use None, or a string")
    if isinstance(value, (list, tuple)):
        return [_plain(one, f"{where}, at {n}", depth + 1) for n, one in enumerate(value)]
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str):
                raise InvalidArgumentError(
                    f"{where} has the name {shown(name)}: names in JSON are strings"
                )
        return {
            name: _plain(one, f"{where}, at {shown(name)}", depth + 1)
            for name, one in value.items()
        }
    raise InvalidArgumentError(
        f"{where} has {shown(value)}: a {type(value).__name__} is no JSON value. Convert it, with "
        "str() or isoformat() for instance"
    )
