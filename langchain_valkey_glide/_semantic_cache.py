"""``ValkeySemanticCache``: LangChain's cache of models' answers to questions that mean the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.embeddings import Embeddings
from langchain_core.outputs import Generation

from valkey_memory import CacheStats, ConfigurationError, ValkeyConnection, VectorIndex
from valkey_memory.adapters import (
    EXACT_LIMIT,
    THRESHOLD,
    TTL,
    Found,
    OnError,
    Search,
    SemanticCache,
    hide_url,
)

from ._generations import GenerationsCodec, without_ids
from ._prompts import CONTEXTS, Context, asked


class ValkeySemanticCache(BaseCache):
    """A model's answers to the same question, or to one that means the same, in Valkey.

    The same prompt is found first, without embedding. Else, where the prompt ends with a text of
    the user, the most similar question is looked for: of the same model and settings, the same
    namespace, and by default with the same messages before it, so that "tell me more" never gets
    the answer of another conversation. Images and whatever else stands in the last message must be
    the same; a prompt that ends with a tool's result is found only as it is.

    Kept and left out is what ``ValkeyCache`` keeps and leaves out. The message of an answer to a
    similar question comes without its id. Safe to share between threads and event loops. Async
    methods are native.

    Examples:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_valkey_glide import LocalEmbeddings, ValkeySemanticCache
        >>> cache = ValkeySemanticCache(
        ...     LocalEmbeddings(), threshold=0.8, url="embedded://", ttl=3600
        ... )
        >>> model = FakeListChatModel(responses=["Paris.", "I do not know."], cache=cache)
        >>> model.invoke("What is the capital of France?").content
        'Paris.'
        >>> model.invoke("What's the capital of France?").content
        'Paris.'
        >>> model.invoke("What is the currency of Japan?").content
        'I do not know.'
        >>> cache.stats()
        CacheStats(hits=1, misses=2, stores=2, semantic_hits=1, waits=0)

    Args:
        embedding: The embedding model. Another model needs another ``index_name``.
        threshold: The least similarity of two questions with one answer: their cosine, more than 0
            and at most 1. It depends on the embedding model: ``choose_threshold`` finds it from
            questions of yours. 0.92, the default, is careful with most.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) for which an answer is kept. None, the default: for ever.
        namespace: A tenant, or a version of your prompts: no other sees its answers. None, the
            default, is a namespace of its own.
        user_id: Whose answers: no other user sees them, and ``UserData(indexes=["answers"])``
            counts, exports and erases them. None, the default, is for what everybody may see.
        context: What must be the same before the question: ``"conversation"``, all messages;
            ``"system"``, the system messages; ``"ignore"``, nothing.
        index_name: The index of all answers, which tenants and models share; answers are at
            ``{index_name}:{id}``.
        dimension: Numbers per vector; by default known from the model, or learned.
        search: ``"server"``, ``"exact"``, or ``"auto"``: the server's if it has valkey-search.
        exact_limit: How many answers, of all namespaces, an exact search reads at most.
        on_error: ``"raise"``, or ``"warn"``: while the server or the embedding model fails, the
            model is asked, with a warning in the log ``valkey_memory``.

    Attributes:
        index: The index underneath: counts, ``info``, ``drop``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        IndexMismatchError: An index of that name exists in another shape.
        ExactSearchLimitError: Exact search, and more answers than ``exact_limit``.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method. What the
            embedding model throws comes as it is.
    """

    def __init__(
        self,
        embedding: Embeddings,
        *,
        threshold: float = THRESHOLD,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        ttl: TTL | None = None,
        namespace: str | None = None,
        user_id: str | None = None,
        context: Context = "conversation",
        index_name: str = "answers",
        dimension: int | None = None,
        search: Search = "auto",
        exact_limit: int = EXACT_LIMIT,
        on_error: OnError = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        if context not in CONTEXTS:
            raise ConfigurationError(f"context {context!r:.100} is unknown: use one of {CONTEXTS}")
        self._context: Context = context
        self._answers: SemanticCache[Sequence[Generation]] = SemanticCache(
            GenerationsCodec(),
            embedding,
            threshold=threshold,
            url=url,
            connection=connection,
            index_name=index_name,
            namespace=namespace,
            user_id=user_id,
            ttl=ttl,
            dimension=dimension,
            search=search,
            exact_limit=exact_limit,
            on_error=on_error,
        )
        self.connection = self._answers.connection

    @property
    def index(self) -> VectorIndex:
        """The index underneath: counts, ``info``, ``drop``."""
        return self._answers.index

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answer to this prompt or to a similar one, or None.

        One round trip where the prompt is known; else an embedding and one round trip more. The
        first call of a process finds the index, in up to four more.
        """
        return _generations(self._answers.get(asked(prompt, llm_string, self._context)))

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Async ``lookup``."""
        return _generations(await self._answers.aget(asked(prompt, llm_string, self._context)))

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer, in place of one to the same prompt. One round trip.

        The vector is that of the ``lookup`` before, so nothing is embedded twice.
        """
        self._answers.set(asked(prompt, llm_string, self._context), return_val)

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Async ``update``."""
        await self._answers.aset(asked(prompt, llm_string, self._context), return_val)

    # The base class takes any keywords, misspelt ones among them.
    def clear(  # type: ignore[override]
        self, *, llm_string: str | None = None, all_namespaces: bool = False
    ) -> None:
        """Delete the answers of this cache's namespace, and with a ``user_id`` of that user only.

        Round trips: three per 500 answers where the server's index surely has all of them; in a
        cluster, and with exact search, it walks the keyspace.

        Args:
            llm_string: Those of one model with its settings only, as ``lookup`` gets it.
            all_namespaces: Those of every namespace and user in the index.
        """
        self._answers.clear(llm_string, all_namespaces=all_namespaces)

    async def aclear(  # type: ignore[override]
        self, *, llm_string: str | None = None, all_namespaces: bool = False
    ) -> None:
        """Async ``clear``."""
        await self._answers.aclear(llm_string, all_namespaces=all_namespaces)

    def stats(self) -> CacheStats:
        """Hits, misses and stores of this object since it was made. Nothing is sent."""
        return self._answers.stats()

    def __getstate__(self) -> dict[str, Any]:
        return {**self._answers.options(), "context": self._context}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        options = self._answers.options()
        shown = {
            name: options[name] for name in ("index_name", "namespace", "user_id", "threshold")
        }
        told = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"ValkeySemanticCache({self.connection!r}, {told})"


def _generations(found: Found[Sequence[Generation]] | None) -> RETURN_VAL_TYPE | None:
    if found is None:
        return None
    if found.similarity is not None:
        without_ids(found.answer)
    return found.answer
