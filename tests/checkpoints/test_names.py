"""Names are unambiguous and sort as their parts do; records come back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valkey_memory import InvalidArgumentError
from valkey_memory._checkpoints.names import name, part, text_of, texts_of
from valkey_memory._checkpoints.records import (
    New,
    Write,
    pack_links,
    pack_value,
    pack_writes,
    unpack_links,
    unpack_value,
    unpack_writes,
)
from valkey_memory._keys import slot, thread_keys, thread_of

TEXTS = st.text(st.one_of(st.sampled_from("\0\1\2a"), st.characters(exclude_categories=["Cs"])))
PARTS = st.lists(TEXTS, min_size=2, max_size=2)


@given(PARTS)
def test_parts_come_back(parts: list[str]) -> None:
    assert texts_of(name(*parts)) == parts


@given(PARTS, PARTS)
def test_names_sort_as_their_parts(one: list[str], other: list[str]) -> None:
    assert (name(*one) < name(*other)) == (one < other)
    assert (name(*one) == name(*other)) == (one == other)


def test_a_part_is_text() -> None:
    with pytest.raises(InvalidArgumentError, match="Unicode"):
        part("\ud800")


@given(TEXTS, st.binary())
def test_values_come_back(form: str, data: bytes) -> None:
    assert unpack_value(pack_value((form, data))) == (form, data)


@given(st.lists(st.tuples(TEXTS, st.integers(-4, 10**6), TEXTS, TEXTS, st.binary())))
def test_writes_come_back(made: list[tuple[str, int, str, str, bytes]]) -> None:
    writes = [
        Write(path, "task", idx, channel, (form, data)) for path, idx, channel, form, data in made
    ]
    assert list(unpack_writes("task", b"".join(pack_writes(writes)))) == writes


@given(TEXTS.filter(bool), st.dictionaries(TEXTS, TEXTS), st.lists(TEXTS))
def test_links_come_back(parent: str, versions: dict[str, str], replayed: list[str]) -> None:
    new = New("", "c", parent, None, ("", b""), versions, {}, (), lambda _: ("", b""), replayed)
    found, channels = unpack_links(pack_links(new))
    assert found == parent
    assert {text_of(channel): text_of(version) for channel, version in channels} == versions


@given(TEXTS.filter(bool))
def test_thread_ids_come_back_from_keys(thread_id: str) -> None:
    keys = thread_keys("graph:", thread_id)
    assert thread_of("graph:", keys[1].encode()) == thread_id
    assert thread_of("graph:", keys[0].encode()) is None
    assert slot(keys[0]) == slot(keys[1])


@pytest.mark.parametrize(
    "key",
    [b"{graph:}:values", b"graph:a:values", b"{graph:a}:value", b"{chat:a}:values", b"\xff",
     b"{graph:a}b}:values", b"{graph:%61%7}:valuesx"],
)  # fmt: skip
def test_a_key_that_is_no_threads(key: bytes) -> None:
    assert thread_of("graph:", key) is None
