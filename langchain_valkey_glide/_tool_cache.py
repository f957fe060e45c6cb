"""``ValkeyToolCacheMiddleware``: an agent's tools, each call paid for once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias, Unpack

from langchain.agents.middleware import AgentMiddleware, ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command

from valkey_memory import InvalidArgumentError, ToolCache
from valkey_memory.adapters import (
    TTL,
    ResultForm,
    ToolCacheOptions,
    check_span,
    check_text,
    shown,
    with_options,
)

Result: TypeAlias = ToolMessage | Command[Any]
Tools: TypeAlias = Mapping[str, TTL | None] | Iterable[str | BaseTool]
UserOf: TypeAlias = Callable[[ToolCallRequest], str | None]

_STORED = ("content", "name", "artifact", "additional_kwargs", "response_metadata")
"""What is kept of a message. Its id and its call's are those of one occasion."""


class ValkeyToolCacheMiddleware(AgentMiddleware[Any, Any, Any]):
    """Results of an agent's tools in Valkey: a call that was made before is answered from there.

    For ``create_agent(middleware=[...])``, sync and async. Only the tools that are named are
    cached, by their name and the arguments that the model wrote; equal calls at the same time, of
    parallel tool calls, other threads or other processes, run the tool once. A result comes back
    with content, artifact, name and status; ``tool_call_id`` is that of the call.

    List it last. What stands before it sees every call, and may approve, edit or retry it; what
    stands behind it sees only those that were not answered from the cache, and what that makes of a
    call is stored as the answer to the call as it was before.

    Not cached are errors, raised or as ``ToolMessage(status="error")``; a ``Command``, because it
    changes the state of one agent; and a content or artifact that JSON cannot hold without loss,
    which is logged in ``valkey_memory``. What a tool reads beside its arguments (injected state,
    store, runtime) is not part of the key: name only tools whose result depends on their arguments,
    and, with ``user``, on who asks.

    Examples:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeMessagesListChatModel
        >>> from langchain_core.messages import AIMessage
        >>> from langchain_valkey_glide import ValkeyToolCacheMiddleware
        >>> def search(query: str) -> str:
        ...     "Search the web."
        ...     return f"about {query}"
        >>> class Scripted(FakeMessagesListChatModel):  # in place of a chat model
        ...     def bind_tools(self, tools, **options):
        ...         return self
        >>> call = {"name": "search", "args": {"query": "tea"}, "id": "call_1"}
        >>> model = Scripted(responses=[AIMessage("", tool_calls=[call]), AIMessage("Done.")])
        >>> cached = ValkeyToolCacheMiddleware({"search": 3600}, url="embedded://")
        >>> agent = create_agent(model, [search], middleware=[cached])
        >>> for _ in range(2):
        ...     state = agent.invoke({"messages": [("user", "What is tea?")]})
        >>> cached.cache.stats()
        CacheStats(hits=1, misses=1, stores=1, semantic_hits=0, waits=0)

    Args:
        tools: The tools whose results are cached, or their names; or a dict of names to TTLs, in
            seconds or as a timedelta, None for ``ttl``.
        user: Says whose the result of a call is, from the request: ``lambda request:
            request.runtime.context.user_id``. A user gets nobody else's results; a call that has no
            user (None or ``""``) is not cached. Default: results are everybody's.
        shared: Names of tools whose results are everybody's although ``user`` is given.
        options: Those of ``valkey_memory.ToolCache``: ``url`` or ``connection``, ``key_prefix``,
            ``ttl`` (3600 seconds) of tools without their own, ``lease`` (60 seconds), ``on_error``
            (``"warn"`` runs a tool without its cache while the server is down).

    Attributes:
        cache: The ``valkey_memory.ToolCache``, to clear it and for its statistics.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.

    Round trips: one for a hit, two for a miss.
    """

    @with_options(ToolCacheOptions, ToolCache)
    def __init__(
        self,
        tools: Tools,
        *,
        user: UserOf | None = None,
        shared: Collection[str] = (),
        **options: Unpack[ToolCacheOptions],
    ) -> None:
        super().__init__()
        self.cache = ToolCache(**options)
        self._ttls = _ttls(tools)
        if user is not None and not callable(user):
            raise InvalidArgumentError(
                f"user must be a function of the request that returns a user id, not {shown(user)}"
            )
        if isinstance(shared, str) or not set(shared) <= self._ttls.keys():
            raise InvalidArgumentError(
                f"shared must be names among those of tools, not {shown(shared)}"
            )
        self._user, self._shared = user, frozenset(shared)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]
    ) -> Result:
        """The result of a tool call, from the cache where it is there."""
        tool = request.tool_call["name"]
        user_id = self._user_of(request)
        if not self._caches(tool, user_id):
            return handler(request)
        return self.cache.get_or_call(
            tool,
            request.tool_call["args"],
            lambda: handler(request),
            user_id=user_id,
            ttl=self._ttls[tool],
            form=_form(request),
        )

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        """Async ``wrap_tool_call``."""
        tool = request.tool_call["name"]
        user_id = self._user_of(request)
        if not self._caches(tool, user_id):
            return await handler(request)

        async def call() -> Result:
            return await handler(request)

        return await self.cache.aget_or_call(
            tool,
            request.tool_call["args"],
            call,
            user_id=user_id,
            ttl=self._ttls[tool],
            form=_form(request),
        )

    def _user_of(self, request: ToolCallRequest) -> str | None:
        """Whose the result is; ``""`` where nobody can tell, None where it is everybody's."""
        tool = request.tool_call["name"]
        if self._user is None or tool in self._shared or tool not in self._ttls:
            return None
        return self._user(request) or ""

    def _caches(self, tool: str, user_id: str | None) -> bool:
        return tool in self._ttls and user_id != ""


def _ttls(tools: Tools) -> dict[str, TTL | None]:
    """The TTL of each tool by its name, None for that of the cache."""
    if isinstance(tools, str | BaseTool) or not isinstance(tools, Iterable):
        raise InvalidArgumentError(
            f"tools must be names, or a dict of names and TTLs, not {shown(tools)}"
        )
    ttls = tools if isinstance(tools, Mapping) else {}
    found: dict[str, TTL | None] = {}
    for tool in tools:
        name = check_text(tool.name if isinstance(tool, BaseTool) else tool, "a tool's name")
        found[name] = ttls.get(name)
        if (ttl := found[name]) is not None:
            check_span(ttl, f"the ttl of results of {name!r}")
    if not found:
        raise InvalidArgumentError("tools names no tool: nothing would be cached")
    return found


def _form(request: ToolCallRequest) -> ResultForm[Result]:
    """How the result of one call is stored, and comes back as that of another."""

    def load(stored: Any) -> Result:
        return ToolMessage(tool_call_id=request.tool_call["id"], **stored)

    return ResultForm("lc", _stored, load, _is_kept)


def _stored(message: Any) -> dict[str, Any]:
    return {name: getattr(message, name) for name in _STORED}


def _is_kept(result: Result) -> bool:
    return type(result) is ToolMessage and result.status == "success"
