"""``cached_tool``: a ``FunctionTool`` whose calls are paid for once."""

from __future__ import annotations

import inspect
from typing import Any

from llama_index.core.tools import FunctionTool, ToolOutput
from pydantic import BaseModel

from valkey_memory import InvalidArgumentError, ToolCache
from valkey_memory.adapters import TTL, ResultForm, check_span, check_text, shown

from ._blocks import build_block, fields_of

_BLOCK, _BLOCKS = "block", "blocks"
"""What a tool returned whose output is one content block, or a list of them."""


def cached_tool(
    tool: FunctionTool, cache: ToolCache, *, ttl: TTL | None = None, user_id: str | None = None
) -> FunctionTool:
    """``tool`` with its results in Valkey: a call that was made before is answered from there.

    It has the metadata, parameters and callbacks of ``tool``, works wherever that works
    (``FunctionAgent``, ``ReActAgent``, sync and async), and gives the same ``ToolOutput``. Equal
    calls at the same time run the tool once. Not cached are errors, raised or as an output that
    ``is_error``, and outputs that JSON cannot hold without loss, which is logged in
    ``valkey_memory``. A workflow ``Context`` that the tool takes is not part of the key: cache only
    tools whose result depends on their arguments.

    Examples:
        >>> from llama_index.core.tools import FunctionTool
        >>> from llama_index_valkey_glide import cached_tool
        >>> from valkey_memory import ToolCache
        >>> def search(query: str) -> str:
        ...     print("searching")
        ...     return f"about {query}"
        >>> cache = ToolCache(url="embedded://", ttl=3600)
        >>> tool = cached_tool(FunctionTool.from_defaults(search), cache)
        >>> tool.call(query="tea").content
        searching
        'about tea'
        >>> tool.call(query="tea").content
        'about tea'

    Args:
        tool: The tool; it stays as it is.
        cache: Where the results are: a ``valkey_memory.ToolCache``, for any number of tools.
        ttl: Seconds (or a timedelta) for the results of this tool. Default: that of the cache.
        user_id: Whose results they are, where the tool answers each user differently. Such a tool
            is made per user. Default: everybody's.

    Raises:
        InvalidArgumentError: An argument cannot work.

    Round trips: one for a hit, two for a miss.
    """
    if not isinstance(tool, FunctionTool):
        raise InvalidArgumentError(f"tool must be a FunctionTool, not {shown(tool)}")
    if not isinstance(cache, ToolCache):
        raise InvalidArgumentError(f"cache must be a valkey_memory.ToolCache, not {shown(cache)}")
    if ttl is not None:
        check_span(ttl, "ttl of results")
    if user_id is not None:
        check_text(user_id, "user_id")
    return _CachedTool(tool, cache, ttl, user_id)


class _CachedTool(FunctionTool):
    """A function tool before another one, which it calls where the cache has no result."""

    def __init__(
        self, tool: FunctionTool, cache: ToolCache, ttl: TTL | None, user_id: str | None
    ) -> None:
        super().__init__(
            fn=tool.fn,
            async_fn=tool.async_fn,
            metadata=tool.metadata,
            partial_params=tool.partial_params,
        )
        # What agents look at; FunctionTool finds it in a signature that ``fn`` may have lost.
        self._real_fn = tool.real_fn
        self.requires_context = tool.requires_context
        self.ctx_param_name = tool.ctx_param_name
        self._tool, self._cache, self._ttl, self._user_id = tool, cache, ttl, user_id

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """The output of a call, from the cache where it is there."""
        return self._cache.get_or_call(
            self.metadata.get_name(),
            self._arguments(args, kwargs),
            lambda: self._tool.call(*args, **kwargs),
            user_id=self._user_id,
            ttl=self._ttl,
            form=_FORM,
        )

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Async ``call``."""

        async def call() -> ToolOutput:
            return await self._tool.acall(*args, **kwargs)

        return await self._cache.aget_or_call(
            self.metadata.get_name(),
            self._arguments(args, kwargs),
            call,
            user_id=self._user_id,
            ttl=self._ttl,
            form=_FORM,
        )

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments by their names, without a workflow's context."""
        given = {**self.partial_params, **kwargs}
        try:
            found = dict(inspect.signature(self.real_fn).bind_partial(*args, **given).arguments)
        except (TypeError, ValueError):  # the tool says what is wrong with them
            found = {**given, "*": args}
        found.pop(self.ctx_param_name or "", None)
        return found


def _dump(output: ToolOutput) -> dict[str, Any]:
    raw = output.raw_output
    stored = {
        "blocks": [fields_of(block) for block in output.blocks],
        "tool_name": output.tool_name,
        "raw_input": output.raw_input,
    }
    if isinstance(raw, BaseModel) and [raw] == output.blocks:
        return {**stored, "raw_is": _BLOCK}
    if type(raw) is list and raw and raw == output.blocks:
        return {**stored, "raw_is": _BLOCKS}
    return {**stored, "raw_output": raw}


def _load(stored: Any) -> ToolOutput:
    fields = dict(stored)
    blocks: list[Any] = [build_block(one) for one in fields.pop("blocks")]
    raw_is = fields.pop("raw_is", None)
    if raw_is is not None:
        fields["raw_output"] = blocks if raw_is == _BLOCKS else blocks[0]
    return ToolOutput(blocks=blocks, **fields)


def _is_kept(output: Any) -> bool:
    return type(output) is ToolOutput and not output.is_error


_FORM = ResultForm("li", _dump, _load, _is_kept)
