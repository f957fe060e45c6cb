"""The local copy of an index's documents, which exact search compares with. It asks no server."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._errors import ExactSearchLimitError, FilterError
from .._filters.evaluation import Indexed
from .._filters.expressions import Filter
from . import limits, metadata
from .changelog import Changes, milliseconds_of, version_key
from .documents import Document, Hit, OnCorrupt
from .postings import Postings
from .records import parts_of_hash, readable, unreadable, view
from .schema import IndexSchema
from .vector import FLOAT_BYTES, Matrix, Vector, distances, from_bytes, lengths, numpy, similarity

_log = logging.getLogger("valkey_memory")


class _Row(NamedTuple):
    id: str
    content: str
    metadata: bytes
    """JSON text: less memory than dicts, and every result has its own."""
    seen: Indexed
    expires_ms: int
    """Unix milliseconds by the server's clock; negative for never."""


class Read(NamedTuple):
    """A document as it was read: a hash's content, metadata and vector; None when it is gone."""

    id: str
    parts: Sequence[bytes | None] | None
    expires_ms: int


class LocalCopy:
    """The documents of one index, as of the change ``version``. Safe for threads.

    Args:
        schema: The index.
        limit: As many documents as it will hold.
        on_corrupt: What to do with a document that cannot be read.
    """

    def __init__(self, schema: IndexSchema, limit: int, on_corrupt: OnCorrupt = "raise") -> None:
        self.schema = schema
        self.limit = limit
        self.version: str | None = None
        self.nodes: Mapping[str, str] | None = None
        """The run id of each server process of a cluster, by address, as of ``nodes_ms``."""
        self.nodes_ms = 0
        self._on_corrupt = on_corrupt
        self._lock = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        np = numpy()
        self.version = None
        self._open: dict[str, list[str]] = {}
        self._clock_offset_ms = 0
        self._next_expiry_ms = math.inf  # no document expires before
        self._rows: list[_Row] = []
        self._postings = Postings()
        self._position: dict[str, int] = {}
        self._matrix: Matrix = np.zeros((0, self.schema.dimension or 0), dtype=np.float32)
        self._norms: Vector = np.zeros(0, dtype=np.float32)

    def load(
        self,
        documents: Sequence[Read],
        version: str | None,
        clock_offset_ms: int,
        replaces: str | None,
        open_changes: Mapping[str, list[str]],
    ) -> bool:
        """Replace everything, unless another search changed the version ``replaces`` meanwhile.

        Args:
            documents: All of them.
            version: Of the last change that is in them; None if nothing tells of the next one, so
                that the next search has to load again.
            clock_offset_ms: The server's clock less this machine's.
            replaces: The version that the copy had when this began.
            open_changes: Changes by version that may still come in.
        """
        with self._lock:
            if self.version != replaces:
                return False
            self._clear()
            self._clock_offset_ms = clock_offset_ms
            self._apply(documents, version)
            self._open = dict(open_changes)
            return True

    def update(self, documents: Sequence[Read], changes: Changes, now_ms: int) -> None:
        """Take over changed documents, unless another search brought the copy further already.

        Args:
            documents: Those of ``changes``, and those of ``open_ids``.
            changes: What is new in the log.
            now_ms: Unix milliseconds by this machine's clock, before they were read.
        """
        with self._lock:
            if self.version is None or version_key(changes.version) < version_key(self.version):
                return
            self._apply(documents, changes.version)
            over = now_ms + self._clock_offset_ms - limits.CHANGE_SECONDS * 1000
            self._open = {
                version: ids
                for version, ids in (self._open | changes.begun).items()
                if version not in changes.done and milliseconds_of(version) > over
            }

    def open_ids(self) -> list[str]:
        """Documents that may be changed at any moment without a further note."""
        with self._lock:
            return [one for ids in self._open.values() for one in ids]

    def server_now(self, now_ms: int) -> int:
        """The time by the server's clock."""
        return now_ms + self._clock_offset_ms

    def _apply(self, documents: Sequence[Read], version: str | None) -> None:
        try:
            size = (self.schema.dimension or 0) * FLOAT_BYTES
            fitting: list[tuple[_Row, bytes]] = []
            for read in documents:
                row = self._row(read, size)
                if row is None:
                    self._remove(read.id)
                else:
                    fitting.append((row, read.parts[2] or b"" if read.parts else b""))
            # Removing moves rows, so it comes first.
            self._set_vectors([(self._put(row), vector) for row, vector in fitting])
        except BaseException:
            self._clear()
            raise
        self.version = version

    def _row(self, read: Read, size: int) -> _Row | None:
        """What is kept of a document; None for what is none of this index."""
        content, raw, vector = read.parts or (None, None, None)
        if raw is None and vector is None:
            return None  # somebody else's hash
        if len(vector or b"") != size:
            # The server would not index it either.
            length = len(vector or b"") // FLOAT_BYTES
            _log.warning(
                "document %r of index %r is left out: its vector has %d numbers, not %s",
                read.id, self.schema.name, length, self.schema.dimension,
            )  # fmt: skip
            return None
        return readable(self._on_corrupt, self._seen, read, content, raw)

    def _seen(self, read: Read, content: bytes | None, raw: bytes | None) -> _Row:
        text, values = parts_of_hash(read.id, content, raw, self.schema)
        try:
            seen = view(values, text, self.schema)
        except FilterError as error:
            raise unreadable(read.id, self.schema, str(error)) from error
        return _Row(read.id, text, raw or b"{}", seen, read.expires_ms)

    def _put(self, row: _Row) -> int:
        position = self._position.get(row.id)
        if position is None:
            if len(self._rows) >= self.limit:
                raise ExactSearchLimitError(
                    f"index {self.schema.name!r} has more than {self.limit} documents, which is "
                    "as many as exact search compares in the client. Use a server with "
                    'valkey-search (search="server"), or raise exact_limit if the memory and '
                    "the time are there"
                )
            position = self._position[row.id] = len(self._rows)
            self._rows.append(row)
        else:
            self._postings.remove(position, self._rows[position].seen)
            self._rows[position] = row
        self._postings.add(position, row.seen)
        if row.expires_ms >= 0:
            self._next_expiry_ms = min(self._next_expiry_ms, row.expires_ms)
        return position

    def _set_vectors(self, fitting: Sequence[tuple[int, bytes]]) -> None:
        np = numpy()
        if not fitting:
            return
        if len(self._rows) > len(self._matrix):
            more = max(256, len(self._matrix), len(self._rows) - len(self._matrix))
            self._matrix = np.pad(self._matrix, ((0, more), (0, 0)))
            self._norms = np.pad(self._norms, (0, more))
        # One after the other would take longer than all of them together.
        positions = [position for position, _ in fitting]
        vectors = from_bytes(b"".join([vector for _, vector in fitting]))
        block = vectors.reshape(len(fitting), -1)
        self._matrix[positions] = block
        self._norms[positions] = lengths(block)

    def _remove(self, document_id: str) -> None:
        position = self._position.pop(document_id, None)
        if position is None:
            return
        last = len(self._rows) - 1
        self._postings.remove(position, self._rows[position].seen)
        if position != last:
            self._rows[position] = self._rows[last]
            self._postings.remove(last, self._rows[last].seen)
            self._postings.add(position, self._rows[last].seen)
            self._matrix[position] = self._matrix[last]
            self._norms[position] = self._norms[last]
            self._position[self._rows[position].id] = position
        self._rows.pop()

    def _drop_expired(self, now_ms: int) -> None:
        server_now = self.server_now(now_ms)
        if server_now < self._next_expiry_ms:
            return
        expired = [row.id for row in self._rows if 0 <= row.expires_ms <= server_now]
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
        satisfying = self._postings.satisfying(condition, self._rows)
        return list(itertools.islice((p for p in positions if p in satisfying), k))

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
                by_id = sorted(numbers, key=lambda p: self._rows[p].id)
                positions = sorted(by_id, key=numbers.__getitem__, reverse=descending)
            stop = None if limit is None else offset + limit
            return [self._document(p, embeddings=embeddings) for p in positions[offset:stop]]

    def count(self, condition: Filter | None, now_ms: int) -> int:
        """How many documents satisfy ``condition``."""
        with self._lock:
            self._drop_expired(now_ms)
            if condition is None:
                return len(self._rows)
            return len(self._postings.satisfying(condition, self._rows))

    def _satisfying(self, condition: Filter | None) -> list[int]:
        if condition is None:
            return list(range(len(self._rows)))
        return sorted(self._postings.satisfying(condition, self._rows))

    def _document(self, position: int, *, embeddings: bool) -> Document:
        row = self._rows[position]
        embedding = self._matrix[position].tolist() if embeddings else ()
        return Document(row.id, row.content, metadata.loaded(row.metadata), embedding)
