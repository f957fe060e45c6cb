"""Every operation of a ``VectorIndex`` as a plan. Arguments are checked here, before all else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from numbers import Real
from typing import Any, TypeAlias, TypeVar

from .._arguments import MAXIMUM, TTL, check_count, shown, ttl_to_milliseconds
from .._errors import (
    ConfigurationError,
    DocumentError,
    FilterError,
    IndexMismatchError,
    IndexNotFoundError,
    InvalidArgumentError,
)
from .._filters.dicts import to_filter
from .._filters.expressions import Filter
from .._keys import document_key
from .._plans import Plan
from . import storage
from .documents import Document, Hit, OnCorrupt
from .engine import Engine, Mode, Search, choose_plan, drop_plan
from .questions import Nearest, Question
from .records import prepare, satisfies
from .schema import IndexInfo, IndexSchema
from .storage import Progress
from .vector import from_bytes, length_of, max_marginal_relevance, numpy, pack_vector

T = TypeVar("T")
AnyFilter: TypeAlias = Filter | Mapping[str, Any]


class IndexPlans:
    """The plans, and what they know of the index. Arguments are those of ``VectorIndex``.

    Attributes:
        schema: The index as it was asked for. Its dimension is filled in when it is learned.
        engine: What searches; None before a plan chose it.
        search: As it was asked for.
        exact_limit: Documents that exact search accepts.
    """

    def __init__(
        self,
        schema: IndexSchema,
        search: Search,
        *,
        ttl: TTL | None,
        refresh_ttl_on_read: bool,
        exact_limit: int,
        on_corrupt: OnCorrupt,
    ) -> None:
        if search not in ("auto", "server", "exact"):
            raise ConfigurationError(
                f'search {shown(search)} is unknown: "auto", "server" or "exact"'
            )
        check_count(exact_limit, "exact_limit")
        if on_corrupt not in ("raise", "skip"):
            raise ConfigurationError(
                f'on_corrupt {shown(on_corrupt)} is unknown: "raise" or "skip"'
            )
        if refresh_ttl_on_read and ttl is None:
            raise InvalidArgumentError("refresh_ttl_on_read needs a ttl to refresh to")
        numpy()
        self.schema = schema
        self.engine: Engine | None = None
        self.search: Search = search
        self.exact_limit = exact_limit
        self._on_corrupt = on_corrupt
        self._given = schema
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._read_ttl_ms = self._ttl_ms if refresh_ttl_on_read else None

    def options(self) -> dict[str, Any]:
        """The arguments of a ``VectorIndex`` with such plans, but for its connection."""
        ttl_ms = self._ttl_ms
        return {
            **{each.name: getattr(self._given, each.name) for each in fields(self._given)},
            "search": self.search,
            "ttl": None if ttl_ms is None else timedelta(milliseconds=ttl_ms),
            "refresh_ttl_on_read": self._read_ttl_ms is not None,
            "exact_limit": self.exact_limit,
            "on_corrupt": self._on_corrupt,
        }

    @property
    def ttl_ms(self) -> int | None:
        """How long a document is kept, in milliseconds, where a write does not say."""
        return self._ttl_ms

    @property
    def mode(self) -> Mode | None:
        """Which search is used; None before a plan found out."""
        return None if self.engine is None else self.engine.mode

    def _engine_plan(self, length: int | None = None) -> Plan[Engine]:
        """What searches: chosen once, and once more when the dimension was not known."""
        engine = self.engine
        if engine is None or engine.schema.dimension is None:
            search = self.mode or self.search
            engine = yield from choose_plan(
                self.schema, search, self.exact_limit, self._on_corrupt, length
            )
            self.engine = engine
            self.schema = self.schema.of_dimension(engine.schema.dimension)
        return engine

    def _asked_plan(self, plan: Plan[T]) -> Plan[T]:
        """Run a plan of the engine, and forget the engine if somebody dropped its index."""
        try:
            return (yield from plan)
        except IndexNotFoundError as error:
            self.engine = None
            raise IndexNotFoundError(
                f"{error} It was dropped after this object first used it. The next call makes it "
                "anew, over the documents that are there; wait_until_ready() waits until all of "
                "them can be found."
            ) from error
        except IndexMismatchError:
            # Somebody made it anew in another shape. What was learned of it holds no more.
            self.engine, self.schema = None, self._given
            raise

    def condition(self, value: AnyFilter | None) -> Filter | None:
        """A dict or an expression as a checked filter.

        Raises:
            FilterError: It cannot be served.
        """
        return to_filter(value, self.schema.fields)

    def create_plan(self) -> Plan[Mode]:
        """Make the index, or attach to it."""
        engine = yield from self._engine_plan()
        yield from self._asked_plan(engine.create_plan())
        return engine.mode

    def info_plan(self) -> Plan[IndexInfo | None]:
        engine = yield from self._engine_plan()
        return (yield from self._asked_plan(engine.info_plan()))

    def wait_plan(self, timeout: float) -> Plan[bool]:
        if not _is_number(timeout) or not 0 <= timeout <= MAXIMUM:
            raise InvalidArgumentError(f"timeout must be seconds, 0 or more, not {shown(timeout)}")
        engine = yield from self._engine_plan()
        return (yield from self._asked_plan(engine.wait_plan(timeout)))

    def drop_plan(self, delete_documents: bool) -> Plan[bool]:
        search, self.engine = self.mode or self.search, None
        return (yield from drop_plan(self.schema, search, delete_documents=delete_documents))

    def upsert_plan(
        self, documents: Iterable[Document], ttl: TTL | None, progress: Progress | None
    ) -> Plan[None]:
        ttl_ms = ttl_to_milliseconds(ttl) or self._ttl_ms
        given = _listed(documents, "documents")
        length = self._common_length(given) if self.schema.dimension is None else None
        engine = yield from self._engine_plan(length)
        prepared = [prepare(document, engine.schema, ttl_ms) for document in given]
        check_distinct([document.id for document in prepared])
        keeps_shape = engine.mode == "exact"
        writing = storage.write_plan(prepared, engine.schema, progress, keeps_shape=keeps_shape)
        yield from self._asked_plan(writing)

    def _common_length(self, documents: Sequence[Document]) -> int | None:
        """Numbers in the vector of each document; None when there is no document."""
        length: int | None = None
        for document in documents:
            if not isinstance(document, Document):
                raise DocumentError(f"a document must be a Document, not {shown(document)}")
            where = f"document {shown(document.id)}: its embedding"
            length = length_of(pack_vector(document.embedding, length, where))
        return length

    def checked_ids(self, ids: Iterable[str]) -> list[str]:
        """``ids`` as a list; raise InvalidArgumentError or DocumentError for what is none."""
        if isinstance(ids, str):
            raise InvalidArgumentError(f"ids must be a list of ids, not the string {shown(ids)}")
        found = _listed(ids, "ids")
        for one in found:
            document_key(self.schema.name, one)
        return list(dict.fromkeys(found))

    def delete_plan(self, ids: Iterable[str], value: AnyFilter | None) -> Plan[int]:
        found, condition = self.checked_ids(ids), self.condition(value)
        engine = yield from self._engine_plan()
        schema = engine.schema
        if condition is not None:
            # By their keys, because an index may be behind, and has no field for ids.
            given = yield from storage.read_plan(found, schema, self._on_corrupt, embeddings=False)
            found = [one.id for one in given if satisfies(one, condition, schema)]
        return (yield from storage.delete_plan(found, schema))

    def delete_where_plan(self, value: AnyFilter | None) -> Plan[int]:
        condition = self.condition(value)
        engine = yield from self._engine_plan()
        return (yield from self._asked_plan(engine.delete_where_plan(condition)))

    def get_plan(self, ids: Iterable[str], embeddings: bool) -> Plan[list[Document]]:
        found = self.checked_ids(ids)
        engine = yield from self._engine_plan()
        reading = storage.read_plan(found, engine.schema, self._on_corrupt, embeddings=embeddings)
        return (yield from reading)

    def count_plan(self, value: AnyFilter | None) -> Plan[int]:
        condition = self.condition(value)
        engine = yield from self._engine_plan()
        return (yield from self._asked_plan(engine.count_plan(condition)))

    def search_plan(
        self,
        vector: Sequence[float],
        k: int,
        value: AnyFilter | None,
        min_score: float | None,
        embeddings: bool,
        ef_runtime: int | None,
    ) -> Plan[list[Hit]]:
        check_count(k, "k")
        check_count(ef_runtime, "ef_runtime", optional=True)
        if min_score is not None and not _is_number(min_score):
            raise InvalidArgumentError(
                f"min_score must be a number or None, not {shown(min_score)}"
            )
        known = self.schema.dimension
        query, condition = pack_vector(vector, known, "the query"), self.condition(value)
        engine = yield from self._engine_plan(length_of(query))
        if known is None:  # what is stored may have another dimension
            query = pack_vector(vector, engine.schema.dimension, "the query")
        question = Nearest(query, k, condition, embeddings, ef_runtime)
        hits: list[Hit]
        (hits,) = yield from self._asked_plan(engine.ask_plan([question]))
        if min_score is not None:
            hits = [hit for hit in hits if hit.score >= min_score]
        yield from self.touch_plan(hits)
        return hits

    def touch_plan(self, hits: Sequence[Hit]) -> Plan[None]:
        """Restart the TTL of what a search found, where ``refresh_ttl_on_read`` says so."""
        if self._read_ttl_ms is not None and hits:
            engine = yield from self._engine_plan()
            ids = [hit.document.id for hit in hits]
            yield from storage.touch_plan(ids, engine.schema, self._read_ttl_ms)

    def ask_plan(self, questions: Sequence[Question], *, fresh: bool = True) -> Plan[list[Any]]:
        """Several questions in one round trip. Their filters, and vectors, are checked already.

        Without ``fresh`` they are of one moment with the last one, and exact search needs none.
        """
        length = next((length_of(q.query) for q in questions if isinstance(q, Nearest)), None)
        engine = yield from self._engine_plan(length)
        return (yield from self._asked_plan(engine.ask_plan(questions, fresh=fresh)))

    def packed(self, vector: Sequence[float]) -> bytes:
        """A vector to search for, as ``Nearest`` takes it."""
        return pack_vector(vector, self.schema.dimension, "the query")

    def search_diverse_plan(
        self,
        vector: Sequence[float],
        k: int,
        fetch_k: int,
        lambda_mult: float,
        value: AnyFilter | None,
        embeddings: bool,
    ) -> Plan[list[Hit]]:
        check_diverse(k, fetch_k, lambda_mult)
        found = yield from self.search_plan(vector, fetch_k, value, None, True, None)
        np = numpy()
        query = from_bytes(pack_vector(vector, self.schema.dimension, "the query"))
        vectors = [np.asarray(hit.document.embedding, dtype=np.float32) for hit in found]
        chosen = max_marginal_relevance(query, vectors, k, lambda_mult)
        hits = [found[position] for position in chosen]
        if embeddings:
            return hits
        return [hit._replace(document=_without_embedding(hit.document)) for hit in hits]

    def page_plan(
        self,
        value: AnyFilter | None,
        offset: int,
        limit: int,
        order_by: str | None,
        descending: bool,
        embeddings: bool,
    ) -> Plan[list[Document]]:
        check_count(offset, "offset", minimum=0)
        check_count(limit, "limit")
        check_count(offset + limit, "offset + limit")
        condition = self.condition(value)
        if order_by is not None and (
            not isinstance(order_by, str) or self.schema.fields.get(order_by) != "numeric"
        ):
            raise FilterError(f"order_by {shown(order_by)} must be a field declared as numeric")
        engine = yield from self._engine_plan()
        return (
            yield from self._asked_plan(
                engine.page_plan(
                    condition,
                    offset,
                    limit,
                    embeddings=embeddings,
                    order_by=order_by,
                    descending=descending,
                )
            )
        )


def check_distinct(ids: Sequence[str]) -> None:
    """Raise DocumentError when an id occurs twice in one call."""
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise DocumentError(f"document id {shown(one)} occurs twice in one call")
        seen.add(one)


def check_diverse(k: int, fetch_k: int, lambda_mult: float) -> None:
    """Raise InvalidArgumentError for arguments of maximal marginal relevance that cannot be."""
    check_count(k, "k")
    check_count(fetch_k, "fetch_k")
    if not _is_number(lambda_mult) or not 0 <= lambda_mult <= 1:
        raise InvalidArgumentError(f"lambda_mult must be from 0 to 1, not {shown(lambda_mult)}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # no NaN


def _listed(values: Iterable[T], name: str) -> list[T]:
    if not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{name} must be a list, not {shown(values)}")
    return list(values)


def _without_embedding(document: Document) -> Document:
    return Document(document.id, document.content, document.metadata)
