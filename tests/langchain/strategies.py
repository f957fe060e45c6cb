"""Hypothesis strategies for every LangChain message, and an equality stricter than ``==``."""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from .content import ALL_BLOCKS

# Python values

texts = st.text(max_size=20)
timezones = st.integers(-86_399, 86_399).map(lambda s: dt.timezone(dt.timedelta(seconds=s)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.sampled_from([-(2**63) - 1, -(2**63), 2**64 - 1, 2**64, 10**40])
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | timezones)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
)
hashables = st.recursive(
    scalars,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=2),
    max_leaves=4,
)
# "~" and "v" are what the library's own tagged objects consist of; "type" and "lc" what
# LangChain's serialised objects do.
keys = st.sampled_from(["~", "v", "type", "lc", "kwargs", "id"]) | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
    ),
    max_leaves=6,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)

# What messages are made of

names = st.none() | texts
# Free blocks have no "type": LangChain's own validators stumble over one that is no string.
free_blocks = st.dictionaries(texts | hashables, values, max_size=3)
# Copies, because those validators change blocks in place.
blocks = st.sampled_from(ALL_BLOCKS).map(copy.deepcopy) | free_blocks
contents = texts | st.lists(texts | blocks, max_size=4)
argument_texts = (
    st.dictionaries(keys, json_values, max_size=3).map(json.dumps)
    | st.sampled_from(["", "{", '{"q": "ca', "[1]", "null", "not json", '{"x": Infinity}'])
    | texts
)
raw_tool_calls = st.fixed_dictionaries(
    {
        "id": st.text(min_size=1, max_size=8),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {
                "name": texts,
                "arguments": st.dictionaries(keys, json_values, max_size=2).map(json.dumps)
                | st.just("{cut"),
            }
        ),
    }
)


def _tool_calls(arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    call = {"name": texts, "args": st.dictionaries(texts, arguments, max_size=3), "id": names}
    return st.lists(st.fixed_dictionaries(call), max_size=3)


invalid_tool_calls = st.lists(
    st.fixed_dictionaries({"name": names, "args": names, "id": names, "error": names}), max_size=2
)
tool_call_chunks = st.lists(
    st.fixed_dictionaries(
        {
            "name": names,
            "args": st.none() | argument_texts,
            "id": names,
            "index": st.none() | st.integers(0, 5),
        }
    ),
    min_size=1,
    max_size=3,
)
token_counts = st.integers(0, 10**6)
usage_metadata = st.none() | st.fixed_dictionaries(
    {"input_tokens": token_counts, "output_tokens": token_counts, "total_tokens": token_counts},
    optional={
        "input_token_details": st.fixed_dictionaries(
            {}, optional={"audio": token_counts, "cache_read": token_counts}
        ),
        "output_token_details": st.fixed_dictionaries({}, optional={"reasoning": token_counts}),
    },
)
_metadata = st.dictionaries(keys | hashables, values, max_size=3)
_OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "additional_kwargs": _metadata,
    "response_metadata": _metadata,
    "name": names,
    "id": names | st.integers(0, 99),
    # Attributes that no class declares; two of them are keys of the stored element.
    "mood": values,
    "extra": values,
    "ts": values,
}


def _build(
    cls: type[BaseMessage],
    required: dict[str, st.SearchStrategy[Any]] | None = None,
    /,
    **optional: st.SearchStrategy[Any],
) -> st.SearchStrategy[Any]:
    required = {"content": contents} | (required or {})
    optional = {
        name: found for name, found in (_OPTIONAL | optional).items() if name not in required
    }
    fields = st.fixed_dictionaries(required, optional=optional)
    return fields.map(lambda kwargs: cls(**kwargs))


def _ai(cls: type[BaseMessage]) -> st.SearchStrategy[Any]:
    shared: dict[str, st.SearchStrategy[Any]]
    shared = {"invalid_tool_calls": invalid_tool_calls, "usage_metadata": usage_metadata}
    by_provider = _build(
        cls,
        {
            "additional_kwargs": st.fixed_dictionaries(
                {"tool_calls": st.lists(raw_tool_calls, min_size=1, max_size=3)}
            )
        },
        usage_metadata=usage_metadata,
    )
    if cls is AIMessage:
        return _build(cls, tool_calls=_tool_calls(values), **shared) | by_provider
    position = st.sampled_from([None, "last"])
    v1 = {"response_metadata": st.just({"output_version": "v1"})}
    return (
        # LangChain makes chunks of the calls with json.dumps, or calls of the chunks.
        _build(cls, tool_calls=_tool_calls(json_values), **shared)
        | _build(cls, {"tool_call_chunks": tool_call_chunks}, chunk_position=position, **shared)
        | _build(cls, v1, tool_call_chunks=tool_call_chunks, chunk_position=position)
        | by_provider
    )


def _system(cls: type[BaseMessage]) -> st.SearchStrategy[Any]:
    developer = {"__openai_role__": "developer"}
    extra = st.dictionaries(texts, values, max_size=1).map(lambda kwargs: kwargs | developer)
    return _build(cls) | _build(cls, {"additional_kwargs": st.just(developer) | extra})


def _tool(cls: type[BaseMessage]) -> st.SearchStrategy[Any]:
    return _build(
        cls,
        {"tool_call_id": texts | st.uuids() | st.integers()},
        artifact=values,
        status=st.sampled_from(["success", "error"]),
    )


def _chat(cls: type[BaseMessage]) -> st.SearchStrategy[Any]:
    known = st.sampled_from(["user", "assistant", "system", "developer", "tool", "function"])
    return _build(cls, {"role": known | texts})


def _remove(cls: Callable[..., BaseMessage]) -> st.SearchStrategy[Any]:
    optional = {name: found for name, found in _OPTIONAL.items() if name != "id"}
    fields = st.fixed_dictionaries({"id": texts}, optional=optional)
    return fields.map(lambda kwargs: cls(**kwargs))


MESSAGES: dict[type[BaseMessage], st.SearchStrategy[Any]] = {
    HumanMessage: _build(HumanMessage),
    HumanMessageChunk: _build(HumanMessageChunk),
    AIMessage: _ai(AIMessage),
    AIMessageChunk: _ai(AIMessageChunk),
    SystemMessage: _system(SystemMessage),
    SystemMessageChunk: _system(SystemMessageChunk),
    ToolMessage: _tool(ToolMessage),
    ToolMessageChunk: _tool(ToolMessageChunk),
    FunctionMessage: _build(FunctionMessage, {"name": texts}),
    FunctionMessageChunk: _build(FunctionMessageChunk, {"name": texts}),
    ChatMessage: _chat(ChatMessage),
    ChatMessageChunk: _chat(ChatMessageChunk),
    RemoveMessage: _remove(RemoveMessage),
}
any_message: st.SearchStrategy[BaseMessage] = st.one_of(*MESSAGES.values())


def exact(value: Any) -> Any:
    """``value`` with the type of everything in it, because ``1 == 1.0 == True == Decimal(1)``."""
    kind = type(value)
    if kind is dict:
        return kind, frozenset((exact(key), exact(item)) for key, item in value.items())
    if kind in (list, tuple):
        return kind, tuple(exact(item) for item in value)
    if kind in (set, frozenset):
        return kind, frozenset(exact(item) for item in value)
    return kind, value


def assert_same(found: BaseMessage, expected: BaseMessage) -> None:
    """Equal, of the same class, and equal in type all the way down."""
    assert type(found) is type(expected)
    assert found == expected
    assert exact(found.__dict__) == exact(expected.__dict__)
    assert exact(found.__pydantic_extra__) == exact(expected.__pydantic_extra__)
