"""LangChain messages as elements and back.

The neutral part holds role, content, name, id and tool calls. What is left of a message, field by
field where it differs from its default, goes under ``lc``; so a new field of LangChain's travels
without a change here. Rebuilding goes through ``_CLASSES`` and nothing else.
"""

from __future__ import annotations

from typing import Any

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
from pydantic_core import PydanticUndefined

from valkey_memory._content import standard_blocks
from valkey_memory._errors import MessageEncodeError
from valkey_memory._messages import parse_arguments, read_tool_call, tool_call
from valkey_memory._wire import Element, to_json

_ROLES: dict[type[BaseMessage], str] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
    FunctionMessage: "function",
    RemoveMessage: "remove",
    HumanMessageChunk: "user",
    AIMessageChunk: "assistant",
    SystemMessageChunk: "system",
    ToolMessageChunk: "tool",
    FunctionMessageChunk: "function",
    ChatMessage: "",  # its own
    ChatMessageChunk: "",
}
_CLASSES = {cls.__name__: cls for cls in _ROLES}
_CLASS_OF_ROLE: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "assistant": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
    "tool": ToolMessage,
    "function": FunctionMessage,
    "remove": RemoveMessage,
}
# LangChain's own mark of OpenAI's developer role on a SystemMessage.
_DEVELOPER = ("__openai_role__", "developer")

_NEUTRAL = {"content", "type", "name", "id", "role", "tool_call_id"}


def _extra_fields(cls: type[BaseMessage]) -> list[tuple[str, Any]]:
    return [
        (
            name,
            None
            if (default := field.get_default(call_default_factory=True)) is PydanticUndefined
            else default,
        )
        for name, field in cls.model_fields.items()
        if name not in _NEUTRAL
    ]


_EXTRA_FIELDS = {cls: _extra_fields(cls) for cls in _ROLES}


def _known_class(message: BaseMessage) -> type[BaseMessage]:
    """The message's class, or for a subclass of the user's the nearest of LangChain's."""
    for cls in type(message).__mro__:
        if cls in _ROLES:
            return cls
    raise MessageEncodeError(
        f"{type(message).__name__} derives from none of LangChain's message classes: "
        f"{', '.join(_CLASSES)}"
    )


class LangChainCodec:
    """Codec of ``langchain_core.messages``. What it writes, it reads back equal."""

    def encode(self, message: BaseMessage) -> Element:
        if not isinstance(message, BaseMessage):
            raise MessageEncodeError(
                f"a message must be a langchain_core BaseMessage, "
                f"not {type(message).__name__}: {message!r:.200}"
            )
        cls = _known_class(message)
        values = message.__dict__
        role = _ROLES[cls] or values["role"]
        content = values["content"]
        element: Element = {
            "role": role,
            "content": content if type(content) is str else to_json(content, "content"),
        }
        lc: dict[str, Any] = {}
        for name, default in _EXTRA_FIELDS[cls]:
            if (value := values.get(name, default)) != default:
                lc[name] = value
        if extra := message.__pydantic_extra__:
            lc["extra"] = extra
        if lc.get("tool_calls"):
            element["tool_calls"] = [
                tool_call(call["id"], call["name"], call["args"]) for call in lc.pop("tool_calls")
            ]
        for name in ("tool_call_id", "name", "id"):
            if (value := values.get(name)) is not None:
                element[name] = value
        if cls is SystemMessage and lc.get("additional_kwargs") == dict((_DEVELOPER,)):
            element["role"] = "developer"
            del lc["additional_kwargs"]
        if cls is not _CLASS_OF_ROLE.get(role):
            lc["class"] = cls.__name__
        if lc:
            element["lc"] = {name: to_json(value, name) for name, value in lc.items()}
        return element

    def decode(self, element: Element) -> BaseMessage:
        role, lc = element["role"], element.get("lc")
        values: dict[str, Any] = {
            "content": element.get("content") or "",
            "name": element.get("name"),
            "id": element.get("id"),
        }
        if lc is None:
            cls = _CLASS_OF_ROLE.get(role, ChatMessage)
            if type(values["content"]) is not str and "li" in element:
                values["content"] = standard_blocks(values["content"])
        else:
            cls = _CLASSES[name] if (name := lc.pop("class", None)) else _CLASS_OF_ROLE[role]
            values.update(lc.pop("extra", ()))
            values.update(lc)
        if cls is ToolMessage or cls is ToolMessageChunk:
            values["tool_call_id"] = element.get("tool_call_id") or ""
        elif issubclass(cls, (ChatMessage, ChatMessageChunk)):
            values["role"] = role
        elif issubclass(cls, FunctionMessage):
            values["name"] = values["name"] or ""
        elif role == "developer":
            values["additional_kwargs"] = dict((_DEVELOPER,))
        if calls := element.get("tool_calls"):
            _add_tool_calls(values, calls)
        message = cls.model_validate(values)
        if cls is AIMessageChunk:
            # Its validators derive calls from chunks anew; what was stored is what was there.
            fields = cls.model_fields.keys() & values.keys()
            message.__dict__.update({name: values[name] for name in fields})
        return message


def _add_tool_calls(values: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """Split neutral tool calls into LangChain's valid and invalid ones."""
    valid, invalid = [], list(values.get("invalid_tool_calls") or ())
    for call in calls:
        call_id, name, text = read_tool_call(call)
        arguments = parse_arguments(text)
        if arguments is None:
            invalid.append(
                {
                    "type": "invalid_tool_call",
                    "id": call_id,
                    "name": name,
                    "args": text,
                    "error": "arguments are not a JSON object",
                }
            )
        else:
            valid.append({"type": "tool_call", "id": call_id, "name": name, "args": arguments})
    values["tool_calls"] = valid
    if invalid:
        values["invalid_tool_calls"] = invalid
