"""Tools of LlamaIndex before the cache: the same outputs, each paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from llama_index.core.schema import TextNode
from llama_index.core.tools import FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool, call_tool
from llama_index.core.workflow import Context
from pydantic import Field

from llama_index_valkey_glide import cached_tool
from valkey_memory import InvalidArgumentError, ToolCache, ValkeyConnection

from .scripted import ScriptedLLM

pytestmark = [
    pytest.mark.filterwarnings("ignore:The `__fields:pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:pydantic.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within:DeprecationWarning"),
]

RUNS: list[Any] = []


def search(query: str, limit: float = 5) -> str:
    """Search the web."""
    RUNS.append((query, limit))
    return f"about {query}"


async def asearch(query: str, limit: float = 5) -> str:
    """Search the web."""
    await asyncio.sleep(0.05)
    return search(query, limit)


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


@pytest.fixture
def connection(paired_connection: ValkeyConnection) -> ValkeyConnection:
    return paired_connection


@pytest.fixture
def cache(connection: ValkeyConnection, prefix: str) -> ToolCache:
    return ToolCache(connection=connection, key_prefix=prefix)


@pytest.fixture
def call(is_async: bool) -> Callable[..., ToolOutput]:
    """Calls a tool in its sync or its async form."""

    def call(tool: FunctionTool, *args: Any, **kwargs: Any) -> ToolOutput:
        if is_async:
            return asyncio.run(tool.acall(*args, **kwargs))
        return tool.call(*args, **kwargs)

    return call


def fields(output: ToolOutput) -> dict[str, Any]:
    return {**output.__dict__, "blocks": [block.model_dump() for block in output.blocks]}


@pytest.mark.parametrize("function", [search, asearch])
def test_a_call_is_made_once(cache: ToolCache, call: Any, function: Any) -> None:
    plain = FunctionTool.from_defaults(function, return_direct=True)
    tool = cached_tool(plain, cache)
    assert tool.metadata is plain.metadata
    first = call(tool, query="tea")
    again = call(tool, query="tea")
    assert fields(again) == fields(first) == fields(call(plain, query="tea"))
    assert again.content == "about tea"
    assert len(RUNS) == 2
    assert (cache.stats().hits, cache.stats().misses) == (1, 1)


def test_however_it_is_called(cache: ToolCache) -> None:
    tool = cached_tool(FunctionTool.from_defaults(search), cache)
    tool("tea", 1)
    tool(query="tea", limit=1.0)
    tool.call("tea", limit=1)
    call_tool(tool, {"query": "tea", "limit": 1})
    asyncio.run(acall_tool(tool, {"limit": 1, "query": "tea"}))
    assert RUNS == [("tea", 1)]


def test_partial_params_are_arguments(cache: ToolCache, call: Any) -> None:
    tools = [
        cached_tool(FunctionTool.from_defaults(search, partial_params={"limit": n}), cache)
        for n in (1, 2)
    ]
    for tool in tools * 2:
        call(tool, query="tea")
    assert RUNS == [("tea", 1), ("tea", 2)]
    assert tools[0](query="tea").raw_input == {"args": (), "kwargs": {"limit": 1, "query": "tea"}}


def test_fields_with_defaults(cache: ToolCache, call: Any) -> None:
    def find(query: str, limit: int = Field(default=3, description="How many.")) -> str:
        RUNS.append(limit)
        return f"{limit} of {query}"

    tool = cached_tool(FunctionTool.from_defaults(find), cache)
    for _ in range(2):
        assert call(tool, query="tea").content == "3 of tea"
    assert RUNS == [3]


def a_block() -> Any:
    return TextBlock(text="a")


def two_blocks() -> Any:
    return [TextBlock(text="a"), ImageBlock(image=b"aGVsbG8=", image_mimetype="image/png")]


def an_address() -> Any:
    return ImageBlock(url="https://example.org/tea.png")


def data() -> Any:
    return {"rows": [(1, 2.5), None], 1: b"x"}


def nothing() -> Any:
    return None


def an_empty_list() -> Any:
    return []


@pytest.mark.parametrize("f", [a_block, two_blocks, an_address, data, nothing, an_empty_list])
def test_outputs_come_back_equal(cache: ToolCache, call: Any, f: Any) -> None:
    plain = FunctionTool.from_defaults(f)
    tool = cached_tool(plain, cache)
    first, again = call(tool), call(tool)
    assert cache.stats().hits == 1
    assert again == first
    assert fields(again) == fields(first) == fields(call(plain))


def test_callbacks_are_part_of_the_output(cache: ToolCache, call: Any) -> None:
    tool = cached_tool(FunctionTool.from_defaults(search, callback=lambda r: f"<{r}>"), cache)
    assert [call(tool, query="tea").content for _ in range(2)] == ["<about tea>"] * 2
    assert len(RUNS) == 1


def test_what_is_not_cached(cache: ToolCache, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    def node() -> Any:
        RUNS.append("node")
        return TextNode(text="tea")

    def fails() -> Any:
        RUNS.append("fails")
        raise ValueError("no")

    def error(result: Any) -> ToolOutput:
        return ToolOutput(content=f"no {result}", tool_name="t", is_error=True, raw_input={})

    tool = cached_tool(FunctionTool.from_defaults(node), cache)
    assert [call(tool).content for _ in range(2)] == ["tea", "tea"]
    assert "of the tool 'node' is not cached" in caplog.text
    tool = cached_tool(FunctionTool.from_defaults(search, callback=error), cache)
    assert [call(tool, query="t").is_error for _ in range(2)] == [True, True]
    tool = cached_tool(FunctionTool.from_defaults(fails), cache)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            call(tool)
    assert len(RUNS) == 6


def test_arguments_that_the_tool_has_not(cache: ToolCache, call: Any) -> None:
    tool = cached_tool(FunctionTool.from_defaults(search), cache)
    for _ in range(2):
        with pytest.raises(TypeError, match="wrong"):
            call(tool, wrong=1)
        with pytest.raises(TypeError):
            call(tool, 1, 2, 3)


def test_users_and_ttls(cache: ToolCache, call: Any) -> None:
    plain = FunctionTool.from_defaults(search)
    for _ in range(2):
        for user in ("alice", "bob", None):
            call(cached_tool(plain, cache, user_id=user, ttl=60), query="tea")
    assert len(RUNS) == 3
    assert cache.clear(user_id="bob") == 1


async def test_equal_calls_at_the_same_time(cache: ToolCache) -> None:
    tool = cached_tool(FunctionTool.from_defaults(async_fn=asearch), cache)
    outputs = await asyncio.gather(*(tool.acall(query="tea") for _ in range(20)))
    assert {output.content for output in outputs} == {"about tea"}
    assert len(RUNS) == 1


def test_a_context_is_no_argument(cache: ToolCache) -> None:
    async def count(ctx: Context, step: int) -> str:
        RUNS.append(step)
        assert ctx is not None
        return f"step {step}"

    count.__annotations__["ctx"] = Context  # FunctionTool reads no annotation in quotes
    tool = cached_tool(FunctionTool.from_defaults(async_fn=count), cache)
    assert (tool.requires_context, tool.ctx_param_name) == (True, "ctx")
    context: Any = object()
    for _ in range(2):
        output = asyncio.run(tool.acall(ctx=context, step=1))
        assert output.raw_input["kwargs"] == {"step": 1}
    assert RUNS == [1]


@pytest.mark.parametrize("agent_class", [FunctionAgent, ReActAgent])
async def test_in_agents(cache: ToolCache, agent_class: Any) -> None:
    tool = cached_tool(FunctionTool.from_defaults(async_fn=asearch, name="search"), cache)
    if agent_class is FunctionAgent:
        block = ToolCallBlock(tool_call_id="1", tool_name="search", tool_kwargs={"query": "tea"})
        call: Any = ChatMessage(role="assistant", blocks=[block])
        answer = "Tea."
    else:
        call = 'Thought: I look.\nAction: search\nAction Input: {"query": "tea"}'
        answer = "Thought: I can answer without using any more tools.\nAnswer: Tea."
    agent = agent_class(tools=[tool], llm=ScriptedLLM(call, call, answer))
    found = await agent.run("What is tea?")
    assert str(found) == "Tea."
    assert [call.tool_output.content for call in found.tool_calls] == ["about tea"] * 2
    assert RUNS == [("tea", 5)]


def test_what_cannot_work() -> None:
    cache = ToolCache(url="valkey://localhost:1")
    tool = FunctionTool(search, ToolMetadata("d", "search"))
    for wrong in ({"tool": search}, {"cache": "valkey://"}, {"ttl": 0}, {"user_id": ""}):
        given: dict[str, Any] = {"tool": tool, "cache": cache, **wrong}
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            cached_tool(**given)
