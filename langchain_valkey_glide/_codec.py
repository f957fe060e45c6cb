"""LangChain messages as elements and back.

The neutral part holds role, content, name, id and tool calls. What is left of a message, field by
field where it differs from its default, goes under ``lc``; so a new field of LangChain's travels
without a change here. Rebuilding goes through ``_CLASSES`` and nothing else.
"""

from __future__ import annotations

import copy
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

from valkey_memory import MessageEncodeError
from valkey_memory.adapters import (
    Codec,
    Element,
    from_dialect,
    is_plain,
    is_text,
    open_to_json,
    parse_arguments,
    plain_data,
    read_tool_call,
    to_json,
    tokens_of_usage,
    tool_call,
)

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
_OPENAI_ROLE = "__openai_role__"
"""Where a SystemMessage's additional_kwargs say that its role is OpenAI's developer."""

_NO_USAGE = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
_CALL_KEYS = {"type", "id", "name", "args"}
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
_TEXT_ALONE: dict[type[BaseMessage], dict[str, Any]] = {
    cls: cls(content="").__dict__ for cls in (HumanMessage, AIMessage, SystemMessage)
}
_EXTRA_NAMES = {cls: {name for name, _ in fields} for cls, fields in _EXTRA_FIELDS.items()}
_ALL_NAMES = {cls: set(cls.model_fields) for cls in _ROLES}


def _known_class(message: BaseMessage) -> type[BaseMessage]:
    """For a message of a user's subclass the nearest of LangChain's classes."""
    if not isinstance(message, BaseMessage):
        raise MessageEncodeError(
            f"a message must be a langchain_core BaseMessage, "
            f"not {type(message).__name__}: {message!r:.200}"
        )
    for cls in type(message).__mro__:
        if cls in _ROLES:
            return cls
    raise MessageEncodeError(
        f"{type(message).__name__} derives from none of LangChain's message classes: "
        f"{', '.join(_CLASSES)}"
    )


def _is_text_alone(message: BaseMessage) -> bool:
    """Whether it says nothing but its text, as most do. To know takes half the time of the rest."""
    values = message.__dict__
    # These defaults are empty, so they equal nothing that holds something.
    if {**values, "content": ""} != _TEXT_ALONE[type(message)]:
        return False
    return type(values["content"]) is str and not message.__pydantic_extra__


class LangChainCodec(Codec[BaseMessage]):
    """Codec of ``langchain_core.messages``. What it writes, it reads back equal.

    But objects come back as their dict, list or text; see ``valkey_memory.adapters.plain_data``.
    """

    def tokens(self, message: BaseMessage) -> int | None:
        return tokens_of_usage(getattr(message, "usage_metadata", None))

    def to_element(self, message: BaseMessage) -> Element:
        cls = type(message)
        if cls in _TEXT_ALONE and _is_text_alone(message):
            return {"role": _ROLES[cls], "content": message.content}
        if cls not in _ROLES:
            cls = _known_class(message)
        values = message.__dict__
        role = _ROLES[cls] or values["role"]
        content = values["content"]
        if type(content) is not str:
            if not isinstance(content, (str, list)):
                raise MessageEncodeError(f"content is {type(content).__name__}, no string or list")
            content = to_json(content, "content", objects=plain_data)
        element: Element = {"role": role, "content": content}
        lc: dict[str, Any] = {}
        for name, default in _EXTRA_FIELDS[cls]:
            value = values.get(name, default)
            # Identity and types first: they are fast, and what users put into artifacts may answer
            # == with neither true nor false.
            if value is not default and (type(value) is not type(default) or value != default):
                lc[name] = value
        extra = message.__pydantic_extra__ or {}
        if type(message) is not cls:  # a user's subclass: its fields travel as extra ones
            own = values.keys() - cls.model_fields.keys()
            extra = {**extra, **{name: values[name] for name in own}}
        if extra:
            lc["extra"] = extra
        if calls := lc.get("tool_calls"):
            element["tool_calls"] = _neutral_calls(calls)
            if all(_is_standard(call) for call in calls):
                del lc["tool_calls"]  # the neutral form says it all
        for name in ("tool_call_id", "name", "id"):
            if (value := values.get(name)) is not None:
                element[name] = value
        if role == "system" and _is_developer(lc.get("additional_kwargs")):
            element["role"] = "developer"
            kwargs = lc.pop("additional_kwargs")
            if len(kwargs) > 1:
                lc["additional_kwargs"] = {k: v for k, v in kwargs.items() if k != _OPENAI_ROLE}
        if cls is not _CLASS_OF_ROLE.get(role):
            lc["class"] = cls.__name__
        # Without lc an element is plain code's, which gets back all of it as it is.
        if lc or "id" in element or type(content) is not str:
            element["lc"] = {name: open_to_json(value, name) for name, value in lc.items()}
        return element

    def decode(self, element: Element) -> BaseMessage:
        if is_plain(element) and not is_text(element):
            element = from_dialect(element)
        role, lc = element["role"], element.get("lc")
        content = element.get("content")
        values: dict[str, Any] = {"content": "" if content is None else content}
        for name in ("name", "id"):
            if name in element:
                values[name] = element[name]
        if lc is None:
            cls = _CLASS_OF_ROLE.get(role, ChatMessage)
            if "beside" in element and cls is AIMessage:
                values["additional_kwargs"] = element["beside"]
            if "is_error" in element:
                values["status"] = "error"
        else:
            cls = _class_of(role, lc)
            if lc:
                values.update(_own_fields(cls, element, lc))
        if cls is ToolMessage or cls is ToolMessageChunk:
            values["tool_call_id"] = element.get("tool_call_id") or ""
        elif issubclass(cls, (ChatMessage, ChatMessageChunk)):
            values["role"] = role
        elif issubclass(cls, FunctionMessage):
            values.setdefault("name", "")
        elif role == "developer":
            values["additional_kwargs"] = {
                **values.get("additional_kwargs", {}),
                _OPENAI_ROLE: "developer",
            }
        elif role == "system" and _OPENAI_ROLE in values.get("additional_kwargs", ()):
            del values["additional_kwargs"][_OPENAI_ROLE]  # the role is what the element says
        assigned_calls = values.pop("tool_calls", None)
        if calls := element.get("tool_calls"):
            _add_tool_calls(values, calls)
        checked = {**values}  # a validator adds to what it is given
        if issubclass(cls, AIMessage) and isinstance(usage := values.get("usage_metadata"), dict):
            # LangChain gives a hit of its cache a usage of total_cost alone, and refuses that here.
            checked["usage_metadata"] = _NO_USAGE | usage
        # All of pydantic's validation, without LangChain's __init__ in front, which only sorts
        # arguments and takes as long.
        message: BaseMessage = cls.__pydantic_validator__.validate_python(
            checked, self_instance=cls.__new__(cls)
        )
        if lc and issubclass(cls, AIMessage):
            # Validators derive calls from chunks and additional_kwargs anew, and drop what a call
            # has beyond its form; what was stored is what was there.
            if assigned_calls is not None:
                values["tool_calls"] = assigned_calls
            for name, default in _EXTRA_FIELDS[cls]:
                message.__dict__[name] = values.get(name, copy.copy(default))
        return message


def _class_of(role: str, lc: dict[str, Any]) -> type[BaseMessage]:
    """The class that ``lc`` names, unless it would change what the role says."""
    of_role = _CLASS_OF_ROLE.get(role, ChatMessage)
    if (name := lc.get("class")) is None:
        return of_role
    cls = _CLASSES[name]
    if _ROLES[cls] in ("", role) or issubclass(cls, of_role):
        return cls
    return of_role


def _own_fields(cls: type[BaseMessage], element: Element, lc: dict[str, Any]) -> dict[str, Any]:
    """What ``lc`` says of the class's own fields and of extra ones; of neutral ones nothing."""
    names = _EXTRA_NAMES[cls]
    own = {name: value for name, value in lc.items() if name in names}
    if extra := lc.get("extra"):
        taken = _ALL_NAMES[cls]
        own.update((name, value) for name, value in dict(extra).items() if name not in taken)
    if "tool_calls" in own and _neutral_calls(own["tool_calls"]) != element.get("tool_calls"):
        del own["tool_calls"]
    return own


def _is_developer(additional_kwargs: Any) -> bool:
    return isinstance(additional_kwargs, dict) and (
        additional_kwargs.get(_OPENAI_ROLE) == "developer"
    )


def _neutral_calls(calls: list[dict[str, Any]]) -> list[Element]:
    return [tool_call(call.get("id"), call["name"], call["args"]) for call in calls]


def _is_standard(call: dict[str, Any]) -> bool:
    return call.keys() == _CALL_KEYS and all(type(key) is str for key in call["args"])


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
