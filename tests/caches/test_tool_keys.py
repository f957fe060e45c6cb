"""Keys of tools' results: one for each tool, user and arguments, and read back to these."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from valkey_memory._caches.tool_arguments import canonical, digest
from valkey_memory._keys import slot, tool_claim_key, tool_key, tool_key_of

NAMES = st.text(
    st.one_of(st.sampled_from(":{}%*[]?\\\n\0a3A"), st.characters(codec="utf-8")), min_size=1
)
USERS = st.none() | NAMES
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
A, B = "a" * 64, "b" * 64


@given(NAMES, USERS, NAMES, USERS)
def test_keys_are_apart_and_found_again(
    tool: str, user: str | None, other_tool: str, other_user: str | None
) -> None:
    key = tool_key("p:", tool, A, user)
    claim = tool_claim_key(key)
    assert slot(key) == slot(claim)
    for one in (key.encode(), claim.encode()):
        assert tool_key_of("p:", one) == tool_key_of("p:", one, tool, user) == key
        assert (tool_key_of("p:", one, other_tool) == key) == (tool == other_tool)
        if other_user is not None:
            found = tool_key_of("p:", one, None, other_user) == key
            assert found == (user == other_user)
        assert tool_key_of("q:", one) is None
    same = (tool, user) == (other_tool, other_user)
    assert (tool_key("p:", other_tool, A, other_user) == key) == same
    assert tool_key("p:", tool, B, user) != key


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_the_canonical_text_is_stable(arguments: dict[str, object]) -> None:
    backwards = dict(reversed(arguments.items()))
    assert canonical(backwards) == canonical(arguments)
    assert digest(arguments) != digest(arguments, "lc") != digest(arguments, "li")


@given(st.binary())
def test_any_key_may_lie_there(key: bytes) -> None:
    assert tool_key_of("", key) is None
    assert tool_key_of("p:", b"p:" + key) is None
