"""Every operation of a ``VectorIndex`` as a plan, on the server or exactly in the client.

It checks arguments and finds out which search there is; the work is ``_index``'s or ``_exact``'s.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, TypeAlias, TypeVar

from .._arguments import TTL, check_count, ttl_to_milliseconds
from .._errors import (
    ConfigurationError,
    DocumentError,
    FilterError,
    IndexNotFoundError,
    InvalidArgumentError,
    SearchUnavailableError,
)
from .._filters.dicts import to_filter
from .._filters.expressions import Filter
from .._plans import Plan
from . import exact as _exact
from . import server as _index
from .documents import Document, Hit, document_key, prepare
from .schema import IndexInfo, IndexSchema
from .vector import from_bytes, max_marginal_relevance, numpy, pack_vector

T = TypeVar("T")
Search: TypeAlias = Literal["auto", "server", "exact"]
Mode: TypeAlias = Literal["server", "exact"]
AnyFilter: TypeAlias = Filter | Mapping[str, Any]

DEFAULT_EXACT_LIMIT = 20_000
_READY_POLL_SECONDS = 0.05

_log = logging.getLogger("valkey_memory")


class IndexPlans:
    """The plans, and what they know of the index. Arguments are those of ``VectorIndex``.

    Attributes:
        server_schema: The index as it is on a search server.
        exact_schema: The same for exact search, which stores hashes.
        mode: Which search is used; None before a plan found out.
        copy: The documents that exact search has in the client.
    """

    def __init__(
        self,
        schema: IndexSchema,
        search: Search,
        *,
        ttl: TTL | None,
        refresh_ttl_on_read: bool,
        exact_limit: int,
    ) -> None:
        if search not in ("auto", "server", "exact"):
            raise ConfigurationError(f'search {search!r} is unknown: "auto", "server" or "exact"')
        check_count(exact_limit, "exact_limit")
        if refresh_ttl_on_read and ttl is None:
            raise InvalidArgumentError("refresh_ttl_on_read needs a ttl to refresh to")
        numpy()
        self.server_schema = schema
        self.exact_schema = replace(schema, storage="hash")
        self.mode: Mode | None = None
        self._search = search
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None
        self.copy = _exact.LocalCopy(self.exact_schema, exact_limit)

    @property
    def _schema(self) -> IndexSchema:
        return self.exact_schema if self.mode == "exact" else self.server_schema

    def ready(self) -> Plan[Mode]:
        """Find out once which search there is, and make the index."""
        if self.mode is None:
            self.mode = yield from self._choose()
        return self.mode

    def _choose(self) -> Plan[Mode]:
        if self._search == "exact":
            return "exact"
        name = self.server_schema.name
        try:
            yield from _index.ensure(self.server_schema)
        except SearchUnavailableError as unavailable:
            if self._search == "server":
                raise
            _log.info("index %r: exact search in the client, because %s", name, unavailable)
            return "exact"
        if self._search == "auto":
            _log.info("index %r: search on the server (valkey-search)", name)
        return "server"

    def _served(self, plan: Plan[T]) -> Plan[T]:
        """Run a plan that needs the server's index, and forget the index if somebody dropped it."""
        try:
            return (yield from plan)
        except IndexNotFoundError as error:
            self.mode = None
            raise IndexNotFoundError(
                f"{error} It was dropped after this object first used it. The next call makes it "
                "anew, over the documents that are there; wait_until_ready() waits until all of "
                "them can be found."
            ) from error

    def _condition(self, value: AnyFilter | None) -> Filter | None:
        return to_filter(value, self.server_schema.fields)

    def _query(self, vector: Sequence[float]) -> bytes:
        return pack_vector(vector, self.server_schema.dimension, "the query")

    def info(self) -> Plan[IndexInfo | None]:
        if (yield from self.ready()) == "exact":
            return None
        return (yield from self._served(_index.info(self._schema)))

    def wait(self, timeout: float) -> Plan[bool]:
        if (yield from self.ready()) == "exact":
            return True
        polls = max(1, round(timeout / _READY_POLL_SECONDS))
        waiting = _index.wait_until_ready(self._schema, polls, _READY_POLL_SECONDS)
        return (yield from self._served(waiting)).ready

    def drop(self, delete_documents: bool) -> Plan[bool]:
        """Without ``ready``, which would make the index, or refuse one that is to be made anew."""
        mode, found = self.mode or self._search, None
        if mode != "exact":
            try:
                found = yield from _index.probe(self.server_schema)
            except SearchUnavailableError:
                if mode != "auto":
                    raise
                mode = "exact"
        self.mode = None
        if mode != "exact":
            return (yield from _index.drop(self.server_schema, found, delete_documents))
        if not delete_documents:
            return False
        ids = yield from _exact.document_ids(self.exact_schema)
        yield from _index.delete_ids(ids, self.exact_schema)
        yield from _index.forget_changes(self.exact_schema)
        return bool(ids)

    def upsert(
        self, documents: Iterable[Document], ttl: TTL | None, progress: _index.Progress | None
    ) -> Plan[None]:
        ttl_ms = ttl_to_milliseconds(ttl) or self._ttl_ms
        yield from self.ready()
        prepared = [prepare(document, self._schema, ttl_ms) for document in documents]
        seen: set[str] = set()
        for document in prepared:
            if document.id in seen:
                raise DocumentError(f"document id {document.id!r} occurs twice in one call")
            seen.add(document.id)
        yield from _index.upsert(prepared, self._schema, progress)

    def _checked_ids(self, ids: Iterable[str]) -> list[str]:
        if isinstance(ids, str):
            raise InvalidArgumentError(f"ids must be a list of ids, not the string {ids!r}")
        if not isinstance(ids, Iterable):
            raise InvalidArgumentError(f"ids must be a list of ids, not {ids!r:.80}")
        found = list(dict.fromkeys(ids))
        for one in found:
            document_key(self._schema, one)
        return found

    def delete(self, ids: Iterable[str]) -> Plan[int]:
        found = self._checked_ids(ids)
        yield from self.ready()
        return (yield from _index.delete_ids(found, self._schema))

    def delete_where(self, value: AnyFilter | None) -> Plan[int]:
        condition = self._condition(value)
        if (yield from self.ready()) == "server":
            return (yield from self._served(_index.delete_matching(condition, self._schema)))
        yield from self._fresh()
        found = self.copy.page(condition, 0, None, _now_ms())
        ids = [document.id for document in found]
        return (yield from _index.delete_ids(ids, self._schema))

    def get(self, ids: Iterable[str], embeddings: bool) -> Plan[list[Document]]:
        found = self._checked_ids(ids)
        yield from self.ready()
        return (yield from _index.get(found, self._schema, embeddings=embeddings))

    def count(self, value: AnyFilter | None) -> Plan[int]:
        condition = self._condition(value)
        if (yield from self.ready()) == "server":
            return (yield from self._served(_index.count(condition, self._schema)))
        yield from self._fresh()
        return self.copy.count(condition, _now_ms())

    def find(
        self,
        vector: Sequence[float],
        k: int,
        value: AnyFilter | None,
        min_score: float | None,
        embeddings: bool,
        ef_runtime: int | None,
    ) -> Plan[list[Hit]]:
        _check_given(k, "k")
        check_count(ef_runtime, "ef_runtime")
        if min_score is not None and not _is_number(min_score):
            raise InvalidArgumentError(f"min_score must be a number or None, not {min_score!r}")
        query, condition = self._query(vector), self._condition(value)
        hits: list[Hit]
        if (yield from self.ready()) == "server":
            search = _index.knn(
                query,
                k,
                condition,
                self._schema,
                embeddings=embeddings,
                # HNSW looks at this many candidates at least; k of them must be found.
                ef_runtime=ef_runtime or (k if k > self._schema.ef_runtime else None),
            )
            hits = yield from self._served(search)
        else:
            yield from self._fresh()
            hits = self.copy.nearest(
                from_bytes(query), k, condition, _now_ms(), embeddings=embeddings
            )
        if min_score is not None:
            hits = [hit for hit in hits if hit.score >= min_score]
        if self._read_ttl_ms is not None and hits:
            ids = [hit.document.id for hit in hits]
            yield from _index.touch(ids, self._schema, self._read_ttl_ms)
        return hits

    def diverse(
        self,
        vector: Sequence[float],
        k: int,
        fetch_k: int,
        lambda_mult: float,
        value: AnyFilter | None,
        embeddings: bool,
    ) -> Plan[list[Hit]]:
        _check_given(k, "k")
        _check_given(fetch_k, "fetch_k")
        if not _is_number(lambda_mult) or not 0 <= lambda_mult <= 1:
            raise InvalidArgumentError(f"lambda_mult must be from 0 to 1, not {lambda_mult!r}")
        found = yield from self.find(vector, max(k, fetch_k), value, None, True, None)
        np = numpy()
        vectors = [np.asarray(hit.document.embedding, dtype=np.float32) for hit in found]
        chosen = max_marginal_relevance(from_bytes(self._query(vector)), vectors, k, lambda_mult)
        hits = [found[position] for position in chosen]
        if embeddings:
            return hits
        return [hit._replace(document=_without_embedding(hit.document)) for hit in hits]

    def page(
        self,
        value: AnyFilter | None,
        offset: int,
        limit: int,
        order_by: str | None,
        descending: bool,
        embeddings: bool,
    ) -> Plan[list[Document]]:
        _check_given(offset, "offset", minimum=0)
        _check_given(limit, "limit")
        condition = self._condition(value)
        if order_by is not None and self.server_schema.fields.get(order_by) != "numeric":
            raise FilterError(f"order_by {order_by!r} must be a field declared as numeric")
        if (yield from self.ready()) == "server":
            listing = _index.page(
                condition,
                offset,
                limit,
                self._schema,
                embeddings=embeddings,
                order_by=order_by,
                descending=descending,
            )
            return (yield from self._served(listing))
        yield from self._fresh()
        return self.copy.page(
            condition,
            offset,
            limit,
            _now_ms(),
            embeddings=embeddings,
            order_by=order_by,
            descending=descending,
        )

    def _fresh(self) -> Plan[None]:
        return _exact.refresh(self.copy, _now_ms())


def _check_given(value: int | None, name: str, *, minimum: int = 1) -> None:
    if value is None:
        raise InvalidArgumentError(f"{name} must be an integer, not None")
    check_count(value, name, minimum=minimum)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _without_embedding(document: Document) -> Document:
    return Document(document.id, document.content, document.metadata)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
