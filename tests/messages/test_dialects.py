"""Plain messages of each API in the neutral form that frameworks are built from."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from valkey_memory._messages.codecs import parse_arguments, read_tool_call
from valkey_memory._messages.dialects import from_dialect, is_plain, is_text, tool_call
from valkey_memory._messages.elements import dump_element, load_element

from .plain import MESSAGES, OPENAI, PNG, PNG_BYTES, PNG_URL, beside, contents

SEARCH = tool_call("toolu_1", "search", {"q": "cats"})

NEUTRAL: dict[str, dict[str, Any]] = {
    "anthropic tool use alone": {"tool_calls": [tool_call("toolu_1", "search", {"q": "c"})]},
    "anthropic thinking and tool use": {"tool_calls": [SEARCH, tool_call("toolu_2", "now", {})]},
    "anthropic tool result": {"role": "tool", "tool_call_id": "toolu_1", "content": "2 cats"},
    "anthropic tool result that failed": {
        "role": "tool",
        "tool_call_id": "toolu_1",
        "content": "no network",
        "is_error": True,
    },
    "bedrock text": {"content": [{"type": "text", "text": "Hello"}]},
    "bedrock tool use": {"tool_calls": [tool_call("t1", "search", {"q": "cats"})]},
    "bedrock tool result": {"role": "tool", "tool_call_id": "t1", "content": "2 cats"},
    "bedrock tool result in JSON": {
        "role": "tool",
        "tool_call_id": "t1",
        "content": '{"cats":2}',
    },
    "openai tool call": {
        "content": None,
        "tool_calls": [tool_call("call_1", "search", '{"q": "cats"}')],
    },
    "openai refusal": {"content": None, "beside": {"refusal": "I cannot."}},
    "openai function call": {
        "content": None,
        "beside": {"function_call": {"name": "search", "arguments": "{}"}},
    },
    "openai audio": {"content": None, "beside": {"audio": OPENAI["audio"]["audio"]}},
    "openai function result": {"role": "function", "name": "search", "content": "2 cats"},
    "other reasoning_content": {"content": "4", "beside": {"reasoning_content": "2 and 2"}},
    "other ollama tool call": {
        "content": "",
        "tool_calls": [tool_call(None, "search", {"q": "cats"})],
        "beside": {"reasoning_content": "I search."},
    },
    "other ollama tool result": {"role": "tool", "name": "search", "content": "2 cats"},
    "other ollama image path": {"content": "Look."},
    **{
        f"other ollama image{kind}": {
            "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": PNG_URL}},
            ]
        }
        for kind in ("s", " bytes")
    },
    "other no blocks": {"role": "assistant", "content": []},
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_message_of_an_api_in_the_neutral_form(name: str) -> None:
    found = from_dialect(MESSAGES[name])
    expected = NEUTRAL[name]
    assert {key: found.get(key) for key in expected} == expected
    assert found.keys() - expected.keys() <= {"role", "content", "id", "name"}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_the_message_itself_stays_as_it_was(message: dict[str, Any]) -> None:
    before = repr(message)
    found = from_dialect(message)
    assert repr(message) == before
    assert is_plain(message)
    assert is_plain(found)


@given(content=st.none() | contents, rest=beside)
@settings(deadline=None, max_examples=300)
def test_a_message_of_any_form_is_read_with_its_role_and_text(content: Any, rest: Any) -> None:
    found = from_dialect({"role": "user", "content": content, **rest})
    assert found["role"] in ("user", "tool")
    if isinstance(content, str) and not rest.get("images"):
        assert found["content"] == content
    for call in found.get("tool_calls", ()):
        call_id, name, arguments = read_tool_call(call)
        assert call_id is None or isinstance(call_id, str)
        assert isinstance(name, str)
        assert isinstance(arguments, str)


@pytest.mark.parametrize("content", [5, True, 1.5, b"x", (1,)])
def test_a_content_that_is_none_is_an_error(content: Any) -> None:
    with pytest.raises(ValueError, match="its content is a JSON"):
        from_dialect({"role": "user", "content": content})


@pytest.mark.parametrize(
    "image",
    ["/etc/hostname", "cat.png", "../../x", "file:///etc/hostname", "", None, 5, {"path": "/etc"}],
)
def test_a_path_is_no_image_and_is_not_opened(image: Any) -> None:
    found = from_dialect({"role": "user", "content": "Look.", "images": [image, PNG]})
    assert isinstance(found["content"], list)
    images = [block for block in found["content"] if block["type"] == "image_url"]
    assert images[-1]["image_url"]["url"] == PNG_URL
    assert all(block["image_url"]["url"].startswith("data:image/png;base64,") for block in images)


def test_arguments_with_a_lone_surrogate_are_written_with_the_escape_of_json() -> None:
    call = tool_call("1", "f", '{"a": "caf\udce9"}')
    assert call["function"]["arguments"] == '{"a": "caf\\udce9"}'
    raw = dump_element({"role": "assistant", "content": None, "tool_calls": [call]}, ts=1)
    assert load_element(raw)["tool_calls"] == [call]


def test_arguments_of_objects_are_read_as_they_were() -> None:
    arguments = {"a": (1, b"x"), "b": "caf\udce9"}
    _, _, text = read_tool_call(tool_call("1", "f", arguments))
    assert parse_arguments(text) == arguments


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"role": "user", "content": "x"}, True),
        ({"role": "user", "content": "x", "ts": 1}, True),
        ({"role": "user", "content": ""}, False),
        ({"role": "user", "content": ["x"]}, False),
        ({"role": "user", "content": "x", "name": "n"}, False),
        ({"role": "user", "content": "x", "lc": {}}, False),
        ({"role": "user", "ts": 1}, False),
    ],
)
def test_most_messages_are_text(element: Any, expected: bool) -> None:
    assert is_text(element) is expected


def test_bytes_of_an_image_are_the_same_as_their_base64() -> None:
    by_bytes = from_dialect({"role": "user", "content": "", "images": [PNG_BYTES]})
    assert by_bytes == from_dialect({"role": "user", "content": "", "images": [PNG]})
