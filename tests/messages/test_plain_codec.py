"""Messages as dicts: the short way that most take leads where the general one does."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from valkey_memory import MessageEncodeError
from valkey_memory._messages.codecs import PlainCodec


class Text(str):
    __slots__ = ()


_texts = st.text(max_size=3) | st.builds(Text, st.text(max_size=3))
_values = _texts | st.none() | st.integers() | st.lists(st.just({"type": "text", "text": "x"}))
_keys = st.sampled_from(["role", "content", Text("role"), Text("content"), "ts", "name", "lc"])


def told(message: Mapping[str, Any]) -> list[tuple[str, Any]] | str:
    """What becomes of it: the element with its order, or the error."""
    try:
        return list(PlainCodec().to_element(message).items())
    except MessageEncodeError as error:
        return str(error)


@given(st.dictionaries(_keys, _values, max_size=3))
@example({"role": "user", "content": "x"})
@example({"content": "x", "role": "user"})
@example({"role": "", "content": "x"})
@example({"role": "user", "content": Text("x")})
@example({Text("role"): "user", Text("content"): "x"})
def test_the_short_way_leads_where_the_general_one_does(message: dict[str, Any]) -> None:
    found = told(message)
    assert found == told(MappingProxyType(message))  # which is no dict, and so takes the general
    if not isinstance(found, str):
        assert all(type(key) is str for key, _ in found)


def test_an_element_is_no_part_of_what_was_given() -> None:
    message = {"role": "user", "content": "x"}
    PlainCodec().to_element(message)["ts"] = 1
    assert message == {"role": "user", "content": "x"}
