"""Asking a chat model for JSON, and reading what it answers, however much stands around it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from .._errors import ConfigurationError
from .._plans import Work
from .calls import Call, of_methods
from .chat import Ask


class Answer(NamedTuple):
    """What a model answered to a request for JSON objects."""

    objects: list[dict[str, Any]]
    """Those that could be read."""
    unreadable: str | None = None
    """What could not be, or why nothing could; None where all was read."""


@dataclass(frozen=True, slots=True)
class AskForObjects(Work):
    """Ask a chat model for a list of JSON objects. The reply is an ``Answer``.

    A LangChain model with structured output is given the schema; any other model the prompt alone,
    and its text is read tolerantly.

    Args:
        model: As in ``Ask``.
        prompt: What it is asked, with a description of the answer.
        schema: A JSON schema with a title, of an object whose field ``field`` is the list.
        field: The name of that field.
    """

    model: Any
    prompt: str
    schema: Mapping[str, Any]
    field: str

    def serve(self) -> Answer:
        structured = _structured(self.model, self.schema)
        if structured is not None:
            return _of_structured(structured(self.prompt), self.field)
        return read_objects(Ask(self.model, self.prompt).serve(), self.field)

    async def aserve(self) -> Answer:
        structured = _structured(self.model, self.schema)
        if structured is not None:
            return _of_structured(await structured.acall(self.prompt), self.field)
        return read_objects(await Ask(self.model, self.prompt).aserve(), self.field)


def _structured(model: Any, schema: Mapping[str, Any]) -> Call | None:
    """How a LangChain model is asked for structured output; None where it has none."""
    make = getattr(model, "with_structured_output", None)
    if not callable(make):
        return None
    try:
        return of_methods(make(dict(schema)), "invoke", "ainvoke")
    except NotImplementedError:
        return None


def _of_structured(answer: object, field: str) -> Answer:
    if isinstance(answer, Mapping) and isinstance(answer.get(field), list):
        return _sorted_out(answer[field])
    return Answer([], f"no object with {field}: {answer!r:.200}")


def _sorted_out(items: list[Any]) -> Answer:
    objects = [_in_unicode(item) for item in items if isinstance(item, dict)]
    others = [item for item in items if not isinstance(item, dict)]
    return Answer(objects, f"no object: {others[0]!r:.200}" if others else None)


def _in_unicode(found: dict[str, Any]) -> dict[str, Any]:
    """``found`` with a mark in place of what is half an emoji, which models leave where they are
    cut off, and no server stores."""
    return {key: _whole(value) if isinstance(value, str) else value for key, value in found.items()}


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_objects(text: str, field: str) -> Answer:
    """The JSON objects of a list in ``text``.

    Read are: the list alone, an object with it as ``field``, one object; fenced, with prose around
    it, with trailing commas, single quotes or comments. Of a list that is cut off, the objects that
    are whole are read, and the rest is told as unreadable.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _tolerant(text, field)
    if isinstance(value, dict):
        value = value.get(field, [value])
    return _sorted_out(value) if isinstance(value, list) else Answer([], f"no list: {text:.200}")


def _tolerant(text: str, field: str) -> Answer:
    start = _start(text, field)
    if start is None:
        return Answer([], f"no JSON: {text.strip():.200}")
    objects: list[dict[str, Any]] = []
    unreadable: str | None = None
    for piece, whole in _pieces(text[start:]):
        found = _repaired(piece) if whole else None
        if found is None:
            unreadable = unreadable or f"not readable: {piece:.200}"
        else:
            objects.append(_in_unicode(found))
    return Answer(objects, unreadable)


def _start(text: str, field: str) -> int | None:
    """Where the list, or the first object, begins."""
    named = text.find(f'"{field}"')
    bracket = text.find("[", max(named, 0))
    brace = text.find("{")
    if named >= 0 and bracket >= 0:
        return bracket
    if brace >= 0 and text.rfind("[", 0, brace) >= 0:
        return text.rfind("[", 0, brace)
    if brace >= 0:
        return brace
    # An empty list is an answer.
    return bracket if bracket >= 0 and text[bracket + 1 :].lstrip().startswith("]") else None


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The outermost ``{...}`` of a list, each with whether it has its end."""
    depth, begin, quoted, escaped = 0, 0, False, False
    for place, character in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "{":
            if not depth:
                begin = place
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            if not depth:
                yield text[begin : place + 1], True
        elif character == "]" and not depth and text[0] == "[":
            return  # what comes after the list is prose
    if depth:
        yield text[begin:], False
    elif text.startswith("["):
        yield text[-200:], False  # no end of the list


def _repaired(piece: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(piece)
    except orjson.JSONDecodeError:
        found = json_repair().loads(piece)
    return found if isinstance(found, dict) and found else None


def json_repair() -> Any:
    try:
        return importlib.import_module("json_repair")
    except ImportError as error:
        raise ConfigurationError(
            "reading a model's JSON needs json-repair, which the extras langchain, llama-index "
            "and memory bring: pip install json-repair"
        ) from error
