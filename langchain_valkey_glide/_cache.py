"""``ValkeyCache``: LangChain's cache of models' answers to the same prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.caches import RETURN_VAL_TYPE, BaseCache
from langchain_core.outputs import Generation

from valkey_memory import CacheStats, InvalidArgumentError, ValkeyConnection
from valkey_memory.adapters import TTL, ExactCache, OnError, Place, check_text, hide_url

from ._generations import GenerationsCodec


class ValkeyCache(BaseCache):
    """A model's answers to exactly the same prompt, in Valkey, for all processes.

    Use it with ``set_llm_cache(cache)``, or for one model with ``model.cache = cache``. All
    generations are kept, with tool calls, usage and metadata, as JSON; only LangChain's own classes
    of messages and generations are rebuilt. Answers that failed or say nothing are not kept. One
    that cannot be read is a miss, with a warning in the log ``valkey_memory``.

    Safe to share between threads and event loops. Async methods are native.

    Examples:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> from langchain_valkey_glide import ValkeyCache
        >>> cache = ValkeyCache(url="embedded://", ttl=3600)
        >>> model = FakeListChatModel(responses=["Paris.", "It is Paris."], cache=cache)
        >>> model.invoke("What is the capital of France?").content
        'Paris.'
        >>> model.invoke("What is the capital of France?").content  # no second call
        'Paris.'
        >>> cache.stats()
        CacheStats(hits=1, misses=1, stores=1, semantic_hits=0, waits=0)

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        ttl: Seconds (or a timedelta) for which an answer is kept. None, the default: for ever.
        namespace: A tenant, or a version of your prompts: no other sees its answers. None, the
            default, is a namespace of its own.
        key_prefix: What every key starts with; no braces.
        on_error: ``"raise"``, or ``"warn"``: while the server fails, the model is asked, with a
            warning in the log ``valkey_memory``.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        ttl: TTL | None = None,
        namespace: str | None = None,
        key_prefix: str = "llm:cache:",
        on_error: OnError = "raise",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._namespace = None if namespace is None else check_text(namespace, "namespace")
        self._entries: ExactCache[Sequence[Generation]] = ExactCache(
            GenerationsCodec(),
            key_prefix,
            url=url,
            connection=connection,
            ttl=ttl,
            on_error=on_error,
        )
        self.connection = self._entries.connection

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """The answer to this prompt of this model, or None. One round trip."""
        place = self._place(prompt, llm_string)
        return self._entries.get([place]).get(place)

    async def alookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        """Async ``lookup``."""
        place = self._place(prompt, llm_string)
        return (await self._entries.aget([place])).get(place)

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Keep an answer, in place of one that there is. One round trip."""
        self._entries.set({self._place(prompt, llm_string): (return_val, None)})

    async def aupdate(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        """Async ``update``."""
        await self._entries.aset({self._place(prompt, llm_string): (return_val, None)})

    # The base class takes any keywords, misspelt ones among them.
    def clear(  # type: ignore[override]
        self, *, llm_string: str | None = None, all_namespaces: bool = False
    ) -> None:
        """Delete the answers of this cache's namespace.

        It walks the keyspace once, by pages of about 1,000 keys.

        Args:
            llm_string: Those of one model with its settings only, as ``lookup`` gets it.
            all_namespaces: Those of every namespace under the key prefix, and of every model.
        """
        self._entries.clear([self._scopes(llm_string, all_namespaces)])

    async def aclear(  # type: ignore[override]
        self, *, llm_string: str | None = None, all_namespaces: bool = False
    ) -> None:
        """Async ``clear``."""
        await self._entries.aclear([self._scopes(llm_string, all_namespaces)])

    def stats(self) -> CacheStats:
        """Hits, misses and stores of this object since it was made. Nothing is sent."""
        return self._entries.stats()

    def _scopes(self, llm_string: str | None, all_namespaces: bool) -> tuple[tuple[str, ...], ...]:
        """What ``clear`` deletes, or, with a model, where its answers are."""
        if all_namespaces:
            if llm_string is not None:
                raise InvalidArgumentError(
                    "clear takes llm_string= or all_namespaces=True, not both: the answers of a "
                    "model are kept by namespace"
                )
            return ()
        namespace = () if self._namespace is None else (self._namespace,)
        return (namespace,) if llm_string is None else (namespace, (llm_string,))

    def _place(self, prompt: str, llm_string: str) -> Place:
        return Place((*self._scopes(None, False), (llm_string,)), prompt)

    def __getstate__(self) -> dict[str, Any]:
        return {**self._entries.options(), "namespace": self._namespace}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"ValkeyCache({self.connection!r}, namespace={self._namespace!r})"
