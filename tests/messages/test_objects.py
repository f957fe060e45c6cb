"""Objects as plain data: the dict, list or text of anything, and never a refusal."""

from __future__ import annotations

import array
import collections
import dataclasses
import decimal
import enum
import functools
import inspect
import logging
import os
import pathlib
import signal
import types
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from llama_index.core.schema import TextNode
from pydantic import AnyUrl, BaseModel, HttpUrl, SecretStr

from valkey_memory import MessageEncodeError
from valkey_memory._messages.objects import (
    dict_or_refuse,
    open_dumps,
    open_to_json,
    shortened,
    writable,
)
from valkey_memory._messages.values import dumps, loads, to_json

from .test_values import typed, values


class Colour(enum.Enum):
    RED = (1, 0, 0)
    NONE = None


class Score(BaseModel):
    value: float
    label: Colour = Colour.RED


class Client(BaseModel):
    """As those of OpenAI's client, which has a second, shorter form."""

    role: str
    refusal: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


@dataclasses.dataclass
class Hit:
    id: str
    score: Any
    near: list[Any] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Place:
    row: int


class Point(NamedTuple):
    x: int
    y: Any


class Custom:
    """Knows no form but what Python prints."""

    def __str__(self) -> str:
        return "a custom object"


class Broken:
    def model_dump(self) -> Any:
        raise ValueError("not now")

    def __str__(self) -> str:
        raise TypeError("never")


class DetachedError(Exception):
    """What only the library throws that an object is of."""


class Row:
    def __repr__(self) -> str:
        raise DetachedError


class Lazy:
    def to_dict(self) -> Any:
        raise ConnectionError("the backend is away")

    def __str__(self) -> str:
        return "a lazy object"


class Gone:
    def __fspath__(self) -> str:
        raise OSError("gone")

    def __str__(self) -> str:
        return "a file that is gone"


class Remote(collections.abc.Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise OSError("the network is down")

    def __iter__(self) -> Any:
        raise OSError("the network is down")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "a mapping far away"


class Inspecting:
    """Holds the frame of its caller, as libraries do that look where they are called."""

    def to_dict(self) -> Any:
        caller = inspect.currentframe().f_back  # type: ignore[union-attr]
        raise ValueError(caller)

    def __str__(self) -> str:
        return "an inspecting object"


class Referent:
    pass


def _of_nothing() -> Any:
    referent = Referent()
    return weakref.proxy(referent)


ANSWER = np.array([[1, 2], [3, 4]])
OPEN: dict[str, tuple[Any, Any]] = {
    "pydantic": (Score(value=0.5), {"value": 0.5, "label": (1, 0, 0)}),
    "client": (Client(role="assistant"), {"role": "assistant"}),
    "document": (
        Document("text", metadata={"page": np.int64(3)}, id="d1"),
        {"id": "d1", "metadata": {"page": 3}, "page_content": "text", "type": "Document"},
    ),
    "dataclass": (
        Hit("a", Score(value=1)),
        {"id": "a", "score": {"value": 1.0, "label": (1, 0, 0)}, "near": []},
    ),
    "enum": (Colour.RED, (1, 0, 0)),
    "enum of None": (Colour.NONE, "NONE"),
    "array": (ANSWER, [[1, 2], [3, 4]]),
    "array of floats": (np.zeros(2, np.float32), [0.0, 0.0]),
    "array of the library": (array.array("d", [1.5]), [1.5]),
    "numpy scalar": (np.float32(0.5), 0.5),
    "path": (pathlib.PurePosixPath("/a/b.pdf"), "/a/b.pdf"),
    "url": (AnyUrl("https://a.example/b"), "https://a.example/b"),
    "http url": (HttpUrl("https://a.example/b"), "https://a.example/b"),
    "bytearray": (bytearray(b"x"), b"x"),
    "memoryview": (memoryview(b"x"), b"x"),
    "range": (range(3), [0, 1, 2]),
    "deque": (collections.deque([1, (2,)]), [1, (2,)]),
    "keys": ({"a": 1}.keys(), ["a"]),
    "values": ({"a": 1}.values(), [1]),
    "mapping": (types.MappingProxyType({"a": Colour.RED}), {"a": (1, 0, 0)}),
    "named tuple": (Point(1, Colour.RED), (1, (1, 0, 0))),
    "nested in a tuple": ((1, (Score(value=1.0),)), (1, ({"value": 1.0, "label": (1, 0, 0)},))),
    "in a set": ({Colour.RED}, {(1, 0, 0)}),
    "dataclass in a set": ({Place(1)}, [{"row": 1}]),
    "dataclass as key": ({Place(1): 2}, {"Place(row=1)": 2}),
    "enum as key": ({Colour.RED: 2}, {(1, 0, 0): 2}),
    "user string": (collections.UserString("abc"), "abc"),
    "huge integer as key": ({10**5000: 1}, {10**5000: 1}),
    "surrogate": ("caf\udce9", "caf\udce9"),
    "surrogate in a path": (pathlib.PurePosixPath("caf\udce9"), "caf\udce9"),
}
AS_TEXT: dict[str, tuple[Any, str]] = {
    "custom": (Custom(), "a custom object"),
    "custom as key": ({Custom(): 1}, "a custom object"),
    "broken": (Broken(), "<tests.messages.test_objects.Broken object>"),
    "broken as key": ({Row(): 1}, "<tests.messages.test_objects.Row object>"),
    "of a library's own error": (Row(), "<tests.messages.test_objects.Row object>"),
    "of a backend that is away": (Lazy(), "a lazy object"),
    "of code that looks at frames": (Inspecting(), "an inspecting object"),
    "path that is gone": (Gone(), "a file that is gone"),
    "mapping far away": (Remote(), "a mapping far away"),
    "dead proxy": (_of_nothing(), "<weakref.ProxyType object>"),
    "exception": (KeyError("x"), "KeyError('x')"),
    "class": (Custom, "<class 'tests.messages.test_objects.Custom'>"),
    "function": (len, "<built-in function len>"),
    "generator": ((x for x in "ab"), "<generator object"),
    "secret": (SecretStr("hunter2"), "**********"),
    "time without nanoseconds": (np.datetime64("2026-01-02T03:04:05.1", "ns"), "2026-01-02T03:04"),
    "long double": (np.longdouble(1) / 3, "0.3333"),
}


@pytest.mark.parametrize(("value", "expected"), OPEN.values(), ids=OPEN)
def test_an_object_comes_back_in_its_plain_form(
    value: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert typed(loads(open_dumps(value, "artifact"))) == typed(expected)
    assert caplog.messages == []


@pytest.mark.parametrize(("value", "expected"), AS_TEXT.values(), ids=AS_TEXT)
def test_what_has_no_plain_form_is_stored_as_text_with_a_warning(
    value: Any, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "valkey_memory"):
        found = loads(open_dumps({"a": (value,)}, "artifact"))["a"][0]
    (text,) = found if isinstance(found, dict) else [found]
    assert text.startswith(expected)
    (message,) = caplog.messages
    assert message.startswith("artifact['a'][0]")
    assert message.endswith("is stored as text")
    assert "hunter2" not in message


@given(values)
@settings(deadline=None)
def test_what_has_an_exact_form_is_stored_in_it(value: Any) -> None:
    assert open_dumps(value, "x") == dumps(value)


def _nested(levels: int, wrap: Any) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPS = {
    "list": lambda v: [v],
    "tuple": lambda v: (v,),
    "dict": lambda v: {"a": v},
    "tagged dict": lambda v: {1: v},
    "dataclass": lambda v: Hit("a", v),
}


@pytest.mark.parametrize("levels", [90, 130, 300, 1000, 5000])
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_nesting_is_kept_or_cut_and_can_be_read(wrap: Any, levels: int) -> None:
    value = _nested(levels, wrap)
    raw = open_dumps(value, "x")
    assert len(raw) < 20_000
    found = loads(raw)
    if levels == 90 and wrap is not WRAPS["tagged dict"] and wrap is not WRAPS["dataclass"]:
        assert found == value


def _cycles() -> dict[str, Any]:
    as_dict: dict[str, Any] = {"a": 1}
    as_dict["self"] = as_dict["again"] = as_dict
    as_list: list[Any] = [1]
    as_list += [as_list] * 5
    hit = Hit("a", None)
    hit.near = [hit, hit, hit]
    within = {"kept": (1, 2), "cycle": [as_dict]}
    return {
        "dict": as_dict,
        "list": as_list,
        "dataclass": hit,
        "within": within,
        "dataclass within": {"kept": (1, 2), "set": {(3,)}, "hit": hit},
        "dict without end": {"kept": (1, 2), "end": Endless()},
        "code without end": {"kept": (1, 2), "end": Recursive()},
        "key": {"kept": (1, 2), "of": {_recursive_key(): 1}},
    }


def test_objects_that_all_refer_to_each_other_are_shown_once_each() -> None:
    hits = [Hit(str(number), Colour.RED) for number in range(30)]
    for hit in hits:
        hit.near = [other for other in hits if other is not hit]
    raw = open_dumps({"kept": [Colour.RED, Colour.RED], "hit": hits[0]}, "x")
    assert len(raw) < 100_000
    assert raw.count(b'"score"') == 30
    assert loads(raw)["kept"] == [(1, 0, 0), (1, 0, 0)]


@pytest.mark.parametrize("kind", ["dataclass", "ordered dict", "dict"])
def test_nesting_beside_what_contains_itself_is_kept(kind: str) -> None:
    wraps: dict[str, Any] = {
        "dataclass": lambda inner: Hit("a", inner),
        "ordered dict": lambda inner: collections.OrderedDict(score=inner),
        "dict": lambda inner: {"score": inner},
    }
    found: Any = loads(open_dumps({"a": _cycles()["dict"], "b": _nested(60, wraps[kind])}, "x"))
    found = found["b"]
    for _ in range(60):
        found = found["score"]
    assert found == 1


class Endless:
    def to_dict(self) -> Any:
        return {"a": Endless(), "b": Endless()}


class Recursive:
    def to_dict(self) -> Any:
        return self.to_dict()


def _recursive_key() -> Any:
    place = Place(1)
    object.__setattr__(place, "row", (place,))
    return Key(place)


class Key(NamedTuple):
    place: Place

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize("kind", _cycles())
def test_a_value_that_contains_itself_is_cut(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    raw = open_dumps(_cycles()[kind], "artifact")
    assert len(raw) < (200_000 if kind == "dict without end" else 20_000)
    found: Any = loads(raw)
    assert "artifact contains itself" in caplog.text
    # A field of a message stays what it is, or the message could not be read.
    stays: Any = list if kind == "list" else dict
    assert type(found) is stays
    if kind == "dict":
        assert found["a"] == 1
    elif kind == "key":
        assert found.keys() == {"kept", "of"}
    elif kind not in ("list", "dataclass"):
        assert found["kept"] == (1, 2)
    if kind == "dataclass within":
        assert found["set"] == {(3,)}
        assert found["hit"]["id"] == "a"


def _prints(value: Any) -> bool:
    try:
        return bool(repr(value)) and value.__class__ is not None
    except Exception:
        return False  # and hypothesis prints what it draws


SOME = [value for value, _ in (*OPEN.values(), *AS_TEXT.values())]
surrogates = st.text(st.characters() | st.sampled_from("\ud800\udfff\udce9"), max_size=8)
objects = st.recursive(
    values | surrogates | st.sampled_from(list(filter(_prints, SOME))),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(surrogates | st.sampled_from([Colour.RED, Place(1)]), inner, max_size=3)
        | inner.map(lambda value: Hit("x", value))
    ),
    max_leaves=8,
)


@given(objects)
@settings(deadline=None, max_examples=200)
def test_any_value_is_stored_and_read_and_stored_the_same_again(value: Any) -> None:
    once = loads(open_dumps(value, "x"))
    assert typed(loads(open_dumps(once, "x"))) == typed(once)


class TimeIsOverError(Exception):
    """What an application throws from a signal handler."""


@dataclasses.dataclass
class Interrupted:
    """The signal comes while its own code runs; the form that it has, it has without."""

    method: str

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "method"):
            os.kill(os.getpid(), signal.SIGUSR1)
        return object.__getattribute__(self, name)

    def model_dump(self) -> Any:
        return {"row": self.row}

    def __str__(self) -> str:
        return self.text

    row = 1
    text = "text"


@contextmanager
def handled(handler: Any) -> Iterator[None]:
    previous = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("thrown", [TimeIsOverError, TimeoutError, RuntimeError, ValueError])
@pytest.mark.parametrize("form", ["named", "stars", "method", "partial"])
@pytest.mark.parametrize("place", ["value", "key"])
def test_what_a_signal_handler_throws_is_not_swallowed(
    thrown: type[Exception], form: str, place: str
) -> None:
    late = thrown("the time is over")

    def stop() -> None:
        raise late

    class Limit:
        def strike(self, number: int, frame: Any) -> None:
            stop()

    def handler(number: int, frame: Any) -> None:
        stop()

    forms: dict[str, Any] = {
        "named": handler,
        "stars": lambda *_: stop(),
        "method": Limit().strike,
        "partial": functools.partial(lambda _, *args: stop(), 1),
    }
    value: Any = Interrupted("row") if place == "value" else {_Interrupting(): 1}
    with handled(forms[form]), pytest.raises(thrown) as raised:
        open_to_json({"a": value}, "x")
    assert raised.value is late


class _Interrupting:
    def __str__(self) -> str:
        os.kill(os.getpid(), signal.SIGUSR1)
        return "text"

    def __repr__(self) -> str:
        return self.__str__()


def test_what_foreign_code_throws_while_a_signal_is_handled_is_none_of_the_handler_s() -> None:
    def handler(*_: Any) -> None:
        found.append(open_to_json({"a": Broken()}, "x"))

    found: list[Any] = []
    with handled(handler):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert found == [{"a": "<tests.messages.test_objects.Broken object>"}]


def test_strict_places_take_the_dict_of_an_object_and_refuse_the_rest() -> None:
    assert to_json([Client(role="user")], objects=dict_or_refuse) == [{"role": "user"}]
    with pytest.raises(MessageEncodeError, match=r"m\['a'\] is .*Custom"):
        to_json({"a": Custom()}, "m", objects=dict_or_refuse)
    with pytest.raises(MessageEncodeError, match="Meta"):
        to_json(Score, objects=dict_or_refuse)


def test_objects_of_the_frameworks_have_a_dict() -> None:
    assert loads(open_dumps(HumanMessage("Hi"), "x"))["content"] == "Hi"
    assert loads(open_dumps(TextNode(text="Hi"), "x"))["text"] == "Hi"


def test_short_texts_never_fail() -> None:
    assert len(shortened(_nested(5000, WRAPS["dict"]))) < 100
    assert len(shortened("x" * 10_000)) < 200
    assert "Broken" in shortened(Broken())
    assert shortened(decimal.Decimal("1.5")) == "Decimal('1.5')"


def test_what_is_written_fits_into_json() -> None:
    deep = to_json(_nested(240, WRAPS["list"]))
    assert "..." in str(writable(deep))
    assert writable({"a": "\ud800"}) == {"a": {"~": "str", "v": "7aCA"}}
