"""The local copy of an index's documents, which exact search compares with. It asks no server."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from .._errors import ExactSearchLimitError, FilterError
from .._filters.evaluation import Indexed, matches
from .._filters.expressions import Filter
from .changelog import version_key
from .documents import Document, Hit
from .records import unreadable, view
from .schema import IndexSchema
from .vector import Matrix, Vector, distances, numpy, similarity


@dataclass(slots=True)
class _Row:
    document: Document
    seen: Indexed
    expires_ms: int
    """Unix milliseconds by the server's clock; -1 for never."""


class Read(NamedTuple):
    """A document as it was read; None when it is gone."""

    id: str
    document: Document | None
    expires_ms: int


class LocalCopy:
    """The documents of one index, as of the change ``version``. Safe for threads.

    Args:
        schema: The index.
        limit: As many documents as it will hold.
    """

    def __init__(self, schema: IndexSchema, limit: int) -> None:
        self.schema = schema
        self.limit = limit
        self.version: str | None = None
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        np = numpy()
        self.version = None
        self._clock_offset_ms = 0
        self._next_expiry_ms = math.inf  # no document expires before
        self._rows: list[_Row] = []
        self._position: dict[str, int] = {}
        self._matrix: Matrix = np.zeros((0, self.schema.dimension or 0), dtype=np.float32)
        self._norms: Vector = np.zeros(0, dtype=np.float32)

    def load(
        self, documents: Iterable[Read], version: str, clock_offset_ms: int, replaces: str | None
    ) -> bool:
        """Replace everything, unless another search changed the version ``replaces`` meanwhile."""
        with self._lock:
            if self.version != replaces:
                return False
            self._clear()
            self._clock_offset_ms = clock_offset_ms
            self._apply(documents, version)
            return True

    def update(self, documents: Iterable[Read], version: str) -> None:
        """Take over changed documents, unless another search brought the copy further already."""
        with self._lock:
            if self.version is not None and version_key(version) > version_key(self.version):
                self._apply(documents, version)

    def _apply(self, documents: Iterable[Read], version: str) -> None:
        try:
            for read in documents:
                if read.document is None:
                    self._remove(read.id)
                else:
                    self._put(read.document, read.expires_ms)
        except BaseException:
            self._clear()
            raise
        self.version = version

    def _put(self, document: Document, expires_ms: int) -> None:
        np = numpy()
        position = self._position.get(document.id)
        if position is None:
            if len(self._rows) >= self.limit:
                raise ExactSearchLimitError(
                    f"index {self.schema.name!r} has more than {self.limit} documents, which is "
                    "as many as exact search compares in the client. Use a server with "
                    'valkey-search (search="server"), or raise exact_limit if the memory and '
                    "the time are there"
                )
            position = self._position[document.id] = len(self._rows)
            self._rows.append(_Row(document, Indexed({}, {}, {}), -1))
            if position == len(self._matrix):
                more = max(256, position)
                self._matrix = np.pad(self._matrix, ((0, more), (0, 0)))
                self._norms = np.pad(self._norms, (0, more))
        vector = np.asarray(document.embedding, dtype=np.float32)
        self._matrix[position] = vector
        self._norms[position] = np.linalg.norm(vector.astype(np.float64))
        # The vector is in the matrix; a list of floats would be eight times as large.
        bare = Document(document.id, document.content, document.metadata)
        try:
            seen = view(bare.metadata, bare.content, self.schema)
        except FilterError as error:
            raise unreadable(document.id, self.schema, str(error)) from error
        self._rows[position] = _Row(bare, seen, expires_ms)
        if expires_ms >= 0:
            self._next_expiry_ms = min(self._next_expiry_ms, expires_ms)

    def _remove(self, document_id: str) -> None:
        position = self._position.pop(document_id, None)
        if position is None:
            return
        last = len(self._rows) - 1
        if position != last:
            self._rows[position] = self._rows[last]
            self._matrix[position] = self._matrix[last]
            self._norms[position] = self._norms[last]
            self._position[self._rows[position].document.id] = position
        self._rows.pop()

    def _drop_expired(self, now_ms: int) -> None:
        server_now = now_ms + self._clock_offset_ms
        if server_now < self._next_expiry_ms:
            return
        expired = [row.document.id for row in self._rows if 0 <= row.expires_ms <= server_now]
        for gone in expired:
            self._remove(gone)
        expiries = (row.expires_ms for row in self._rows if row.expires_ms >= 0)
        self._next_expiry_ms = min(expiries, default=math.inf)

    def nearest(
        self, query: Vector, k: int, condition: Filter | None, now_ms: int, *, embeddings: bool
    ) -> list[Hit]:
        """The ``k`` nearest documents that satisfy ``condition``, nearest first.

        Args:
            query: The vector to compare with.
            k: At most so many.
            condition: A checked filter, or None.
            now_ms: Unix milliseconds by this machine's clock.
            embeddings: Return the documents' vectors too.
        """
        with self._lock:
            self._drop_expired(now_ms)
            size = len(self._rows)
            if not size:
                return []
            metric = self.schema.metric
            found = distances(self._matrix[:size], query, metric, self._norms[:size])
            return [
                Hit(
                    self._document(position, embeddings=embeddings),
                    similarity(float(found[position]), metric),
                )
                for position in self._nearest(found, k, condition)
            ]

    def _nearest(self, found: Vector, k: int, condition: Filter | None) -> list[int]:
        np = numpy()
        positions: list[int]
        if condition is None:
            some = np.argpartition(found, k - 1)[:k] if k < len(found) else np.arange(len(found))
            positions = some[np.argsort(found[some], kind="stable")].tolist()
            return positions
        positions = np.argsort(found, kind="stable").tolist()
        rows = self._rows
        satisfying = (p for p in positions if matches(rows[p].seen, condition))
        return list(itertools.islice(satisfying, k))

    def page(
        self,
        condition: Filter | None,
        offset: int,
        limit: int | None,
        now_ms: int,
        *,
        embeddings: bool = False,
        order_by: str | None = None,
        descending: bool = False,
    ) -> list[Document]:
        """Documents that satisfy ``condition``, by the numeric field ``order_by`` if given."""
        with self._lock:
            self._drop_expired(now_ms)
            positions = self._satisfying(condition)
            if order_by is not None:
                numbers = {
                    p: number
                    for p in positions
                    if (number := self._rows[p].seen.numbers.get(order_by)) is not None
                }
                # As on the server, documents without the field are left out.
                positions = sorted(numbers, key=numbers.__getitem__, reverse=descending)
            stop = None if limit is None else offset + limit
            return [self._document(p, embeddings=embeddings) for p in positions[offset:stop]]

    def count(self, condition: Filter | None, now_ms: int) -> int:
        """How many documents satisfy ``condition``."""
        with self._lock:
            self._drop_expired(now_ms)
            return len(self._satisfying(condition))

    def _satisfying(self, condition: Filter | None) -> list[int]:
        return [
            position
            for position, row in enumerate(self._rows)
            if condition is None or matches(row.seen, condition)
        ]

    def _document(self, position: int, *, embeddings: bool) -> Document:
        row = self._rows[position].document
        # Metadata is the caller's to change; the copy here is not.
        metadata = orjson.loads(orjson.dumps(row.metadata))
        embedding = self._matrix[position].tolist() if embeddings else ()
        return Document(row.id, row.content, metadata, embedding)
