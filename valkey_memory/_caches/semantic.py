"""``SemanticCache``: answers to the same question, or to one that means the same.

An answer is a document of a vector index: its id is the hash of all that the question is, its text
what is embedded, its tags the scope that a search never leaves. So the same question is found by
its key, without embedding, and a similar one by one search.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from .._arguments import (
    TTL,
    OnError,
    check_on_error,
    check_text,
    shown,
    ttl_to_milliseconds,
)
from .._errors import ConfigurationError, DocumentError, InvalidArgumentError
from .._filters.expressions import And, FieldType, Filter, TagIn
from .._keys import digest, document_key
from .._messages.values import is_unicode
from .._plans import Now, Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection
from .._vectors.documents import Document
from .._vectors.engine import Search
from .._vectors.limits import EXACT_LIMIT
from .._vectors.matching import find_plan
from .._vectors.storage import delete_plan
from .._vectors.text_index import TextIndex
from .answers import AnswerCodec, forgiving_plan, readable, storable
from .counts import CacheStats, Counts

T = TypeVar("T")

_log = logging.getLogger("valkey_memory")

FIELDS: dict[str, FieldType] = {
    "namespace": "tag",
    "model": "tag",
    "context": "tag",
    "user_id": "tag",
}
THRESHOLD = 0.92
_GRACE_MS = 60_000
"""An entry that is there so long after its time has lost its expiry, and is none. Clocks differ by
less."""
_VECTORS = 256
"""So many vectors of questions that were missed are kept until their answers come."""


class Asked(NamedTuple):
    """A question, in the parts that matter to a cache.

    Attributes:
        model: What answers, with all its settings.
        context: All else that the answer depends on.
        text: What is compared by meaning; None where only the same question will do.
    """

    model: str
    context: str
    text: str | None


class Found(NamedTuple, Generic[T]):
    """An answer, and how similar its question is; None where it is the same."""

    answer: T
    similarity: float | None = None


class SemanticCache(Generic[T]):
    """Answers by meaning, in scopes. Every method has an async twin with the prefix ``a``.

    Args:
        codec: How answers become bytes.
        embedding: A model of LangChain or LlamaIndex, or a function from texts to vectors. Both
            sides are embedded as documents, since both are questions.
        threshold: The least similarity, the cosine, more than 0 and at most 1.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        index_name: The index of all answers.
        namespace: A tenant, who sees no other's answers. None is one of its own.
        user_id: Whose answers; others do not see them, and ``UserData`` erases them.
        ttl: Seconds (or a timedelta) for which an entry is kept. None, the default: for ever.
        dimension: Numbers per vector; by default known from the model, or learned.
        search: As in ``VectorIndex``.
        exact_limit: As in ``VectorIndex``.
        on_error: ``"raise"``, or ``"warn"``: a failure is a miss, with a warning.
    """

    def __init__(
        self,
        codec: AnswerCodec[T],
        embedding: Any,
        *,
        threshold: float = THRESHOLD,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        index_name: str = "answers",
        namespace: str | None = None,
        user_id: str | None = None,
        ttl: TTL | None = None,
        dimension: int | None = None,
        search: Search = "auto",
        exact_limit: int = EXACT_LIMIT,
        on_error: OnError = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        for name, value in (("namespace", namespace), ("user_id", user_id)):
            if value is not None:
                check_text(value, name)
        self._codec = codec
        self._threshold = check_threshold(threshold)
        self._namespace = namespace
        self._user_id = user_id
        self._ttl = ttl
        self._ttl_ms = ttl_to_milliseconds(ttl)
        self._on_error = check_on_error(on_error)
        self._texts = TextIndex(
            embedding,
            index_name,
            dimension,
            fields=FIELDS,
            url=url,
            connection=connection,
            storage="hash",
            search=search,
            # HNSW misses some where many questions are nearly the same and a filter is narrow.
            algorithm="flat",
            ttl=ttl,
            exact_limit=exact_limit,
            on_corrupt="skip",
        )
        self._given_dimension = dimension
        self._counts = Counts()
        self._vectors: dict[str, Sequence[float]] = {}
        self.index = self._texts.index
        self.connection = self.index.connection

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal one, but for the codec."""
        plans = self.index.plans
        return {
            "embedding": self._texts.embedding,
            "threshold": self._threshold,
            "connection": self.connection,
            "index_name": self.index.name,
            "namespace": self._namespace,
            "user_id": self._user_id,
            "ttl": self._ttl,
            "dimension": self._given_dimension,
            "search": plans.search,
            "exact_limit": plans.exact_limit,
            "on_error": self._on_error,
        }

    def stats(self) -> CacheStats:
        """What became of the calls of this object. Nothing is sent."""
        return self._counts.stats()

    # Sync and async

    def get(self, asked: Asked) -> Found[T] | None:
        """The answer to the same question: one round trip. Else to the most similar one of the same
        scope that reaches the threshold: one embedding and one round trip more."""
        return self.index.run(self._get_plan(asked))

    async def aget(self, asked: Asked) -> Found[T] | None:
        """Async ``get``."""
        return await self.index.arun(self._get_plan(asked))

    def set(self, asked: Asked, answer: T) -> None:
        """Store an answer. One round trip; the vector is that of the ``get`` before, if any."""
        self.index.run(self._set_plan(asked, answer))

    async def aset(self, asked: Asked, answer: T) -> None:
        """Async ``set``."""
        await self.index.arun(self._set_plan(asked, answer))

    def clear(self, model: str | None = None, *, all_namespaces: bool = False) -> int:
        """Delete entries; how many there were.

        By default those of the namespace, and with a ``user_id`` of that user.

        Args:
            model: Those of this model only.
            all_namespaces: Of every namespace and user.
        """
        return self.index.run(self._clear_plan(model, all_namespaces))

    async def aclear(self, model: str | None = None, *, all_namespaces: bool = False) -> int:
        """Async ``clear``."""
        return await self.index.arun(self._clear_plan(model, all_namespaces))

    # Plans

    def _get_plan(self, asked: Asked) -> Plan[Found[T] | None]:
        question = self._question(asked)
        found = yield from forgiving_plan(self._find_plan(question), None, self._on_error)
        self._counts.add(
            hits=found is not None,
            misses=found is None,
            semantic_hits=found is not None and found.similarity is not None,
        )
        return found

    def _find_plan(self, question: _Question) -> Plan[Found[T] | None]:
        plans = self.index.plans
        now_ms: int = yield Now()
        for document in (yield from plans.get_plan([question.id], False)):
            for answer in self._answers(document, now_ms):
                return Found(answer)
        if question.text is None:
            return None
        (vector,) = yield from self._texts.embed_plan([question.text])
        scope = question.scope()
        hits = yield from plans.search_plan(vector, 1, scope, self._threshold, False, None)
        for hit in hits:
            for answer in self._answers(hit.document, now_ms):
                return Found(answer, hit.score)
        self._keep(question.id, vector)
        return None

    def _set_plan(self, asked: Asked, answer: T) -> Plan[None]:
        raw = storable(self._codec, answer)
        if raw is None:
            return
        plan = self._write_plan(self._question(asked), raw)
        stored = yield from forgiving_plan(plan, False, self._on_error)
        self._counts.add(stores=stored)

    def _write_plan(self, question: _Question, raw: bytes) -> Plan[bool]:
        vector = self._vectors.pop(question.id, None)
        if vector is None:
            vector = yield from self._vector_plan(question.text)
        metadata: dict[str, Any] = {**question.tags(), "answer": raw.decode()}
        if self._ttl_ms is not None:
            metadata["expires_ms"] = (yield Now()) + self._ttl_ms
        document = Document(question.id, question.text or "", metadata, vector)
        try:
            yield from self.index.plans.upsert_plan([document], None, None)
        except DocumentError as error:  # too large; it was paid for all the same
            _log.warning("not cached: %s", error)
            return False
        return True

    def _vector_plan(self, text: str | None) -> Plan[Sequence[float]]:
        """The vector of ``text``. What has none is near nothing: its vector is zero."""
        if text is None and self.index.dimension is not None:
            return [0.0] * self.index.dimension
        (vector,) = yield from self._texts.embed_plan([text or "dimension"])
        return vector if text is not None else [0.0] * len(vector)

    def _clear_plan(self, model: str | None, all_namespaces: bool) -> Plan[int]:
        self._vectors.clear()
        conditions: list[Filter] = []
        if not all_namespaces:
            conditions.append(TagIn("namespace", (_name(self._namespace),)))
            if self._user_id is not None:
                conditions.append(TagIn("user_id", (self._user_id,)))
        if model is not None:
            if not isinstance(model, str):
                raise InvalidArgumentError(f"a model must be a string, not {shown(model)}")
            conditions.append(TagIn("model", (digest(model),)))
        if not conditions:
            return (yield from self.index.plans.delete_where_plan(None))
        cleared = 0
        # Not by a filter alone: an index in a cluster follows the writes after a moment.
        found = yield from find_plan(self.index.name, And(tuple(conditions)), FIELDS)
        for schema, ids in found:
            cleared += yield from delete_plan(ids, schema)
        return cleared

    # Parts

    def _question(self, asked: Asked) -> _Question:
        model, context, text = asked
        if text is not None and not (text.strip() and is_unicode(text)):
            # No model embeds it. The same question is found all the same.
            context, text = digest(context, text), None
        return _Question(self._namespace, self._user_id, model, context, text)

    def _answers(self, document: Document, now_ms: int) -> list[T]:
        """The document's answer; none where it is over or cannot be read."""
        key = document_key(self.index.name, document.id)
        expires_ms, answer = (document.metadata.get(name) for name in ("expires_ms", "answer"))
        if isinstance(expires_ms, int | float) and expires_ms + _GRACE_MS < now_ms:
            return []
        return readable(self._codec, str(answer).encode(errors="surrogatepass"), key)

    def _keep(self, question_id: str, vector: Sequence[float]) -> None:
        """Keep a vector for ``set``: who was told of no answer is about to pay for one."""
        if len(self._vectors) >= _VECTORS:
            self._vectors.clear()  # at worst some are embedded again
        self._vectors[question_id] = vector


class _Question(NamedTuple):
    """A question in its scope, and what is stored of both."""

    namespace: str | None
    user_id: str | None
    model: str
    context: str
    text: str | None

    @property
    def id(self) -> str:
        """The hash of all of it."""
        return digest(*self.tags().values(), "" if self.text is None else self.text)

    def tags(self) -> dict[str, str]:
        """What entries are found and cleared by. Where there is no text, no search finds it."""
        kind = "exact" if self.text is None else "text"
        tags = {
            "namespace": _name(self.namespace),
            "model": digest(self.model),
            "context": digest(kind, _name(self.user_id), self.context),
        }
        return tags if self.user_id is None else {**tags, "user_id": self.user_id}

    def scope(self) -> Filter:
        """What a similar question must have in common with this one."""
        return And(tuple(TagIn(name, (value,)) for name, value in self.tags().items()))


def _name(value: str | None) -> str:
    """A tag for any text, and another one for none."""
    return digest() if value is None else digest(value)


def check_threshold(threshold: float) -> float:
    """Return ``threshold``; raise ConfigurationError unless it is more than 0 and at most 1."""
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, (int, float))
        or not 0 < threshold <= 1
    ):
        raise ConfigurationError(
            f"threshold must be a similarity of more than 0 and at most 1, not {shown(threshold)}"
        )
    return threshold
