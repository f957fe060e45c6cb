"""ChatMessage to stored JSON and back: equal, whatever it holds, and nothing else can come out."""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import AnyUrl, BaseModel

from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory import MessageEncodeError
from valkey_memory._messages.elements import dump_element, load_element

from .messages import ARGUMENT_TEXTS, PNG, calling, chat_messages, typed

CODEC = LlamaIndexCodec()
MEDIA = [
    (ImageBlock, "image"),
    (AudioBlock, "audio"),
    (VideoBlock, "video"),
    (DocumentBlock, "data"),
]
media = pytest.mark.parametrize(("block", "field"), MEDIA, ids=[field for _, field in MEDIA])


def dumped(message: ChatMessage) -> bytes:
    return dump_element(CODEC.encode(message), 1)


def loaded(raw: bytes) -> ChatMessage:
    """Read alone, and among messages of text, which take a way of their own."""
    alone = CODEC.decode(load_element(raw))
    before, among, after = CODEC.decode_all(
        [load_element(element) for element in (TEXT, raw, TEXT)]
    )
    assert before == after == ChatMessage(role="user", content="text")
    assert before is not after
    assert_same(among, alone)
    assert_same(CODEC.decode_all([load_element(raw)])[0], alone)
    return alone


TEXT = b'{"role": "user", "content": "text", "ts": 1}'


def assert_same(one: ChatMessage, other: ChatMessage) -> None:
    """Equal as pydantic has it, and in what was given: the default of a dump."""
    assert one == other
    assert one.model_dump(exclude_unset=True) == other.model_dump(exclude_unset=True)
    assert one.model_copy(deep=True) == other


def read(**element: Any) -> ChatMessage:
    """What LlamaIndex makes of an element that plain code stored."""
    return loaded(json.dumps({"role": "user", **element}).encode())


@pytest.fixture(scope="module")
def existing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("media") / "picture.png"
    path.write_bytes(PNG)
    return path


# Coming back equal


@given(data=st.data())
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_any_message_comes_back_equal(data: st.DataObject, existing: Path) -> None:
    message = data.draw(chat_messages(existing))
    again = loaded(dumped(message))
    assert again == message
    assert typed(again) == typed(message)


@pytest.mark.parametrize("role", MessageRole)
@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [TextBlock(text="")],
        [TextBlock(text="a"), TextBlock(text="b")],
        [ToolCallBlock(tool_name="t"), TextBlock(text="after")],
        [TextBlock(text=""), ToolCallBlock(tool_name="t", tool_kwargs="not json")],
        [ThinkingBlock(content="hm"), TextBlock(text="a"), ToolCallBlock(tool_name="t")],
    ],
    ids=["none", "empty", "two", "call-first", "empty-and-call", "thinking"],
)
def test_roles_and_the_order_of_blocks(role: MessageRole, blocks: list[Any]) -> None:
    message = ChatMessage(role=role, blocks=blocks)
    assert loaded(dumped(message)) == message


@pytest.mark.parametrize("as_string", [False, True], ids=["Path", "str"])
@pytest.mark.parametrize("block", [ImageBlock, AudioBlock, VideoBlock, DocumentBlock])
def test_a_path_comes_back_with_its_type(
    block: type[BaseModel], as_string: bool, existing: Path
) -> None:
    message = ChatMessage(blocks=[block(path=str(existing) if as_string else existing)])
    again = loaded(dumped(message))
    assert again == message
    assert typed(again) == typed(message)


@pytest.mark.parametrize("text", ARGUMENT_TEXTS)
def test_tool_arguments_that_are_a_string_stay_that_string(text: str) -> None:
    message = ChatMessage(blocks=[ToolCallBlock(tool_name="t", tool_kwargs=text)])
    again = loaded(dumped(message))
    (block,) = again.blocks
    assert isinstance(block, ToolCallBlock)
    assert block.tool_kwargs == text
    assert json.loads(dumped(again)) == json.loads(dumped(message))


@media
def test_media_from_an_open_file_that_was_read_before(block: type[BaseModel], field: str) -> None:
    opened = io.BytesIO(PNG)
    message = ChatMessage(blocks=[block(**{field: opened})])
    opened.read()
    assert getattr(loaded(dumped(message)).blocks[0], field) == base64.b64encode(PNG)


class Function(BaseModel):
    name: str
    arguments: str


class ToolCallObject(BaseModel):
    """As the OpenAI client's ChatCompletionMessageToolCall."""

    id: str
    type: str = "function"
    function: Function


def test_the_openai_clients_tool_call_objects_come_back_as_dicts() -> None:
    call = ToolCallObject(id="c1", function=Function(name="add", arguments='{"a":1}'))
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    raw = dumped(message)
    assert json.loads(raw)["tool_calls"] == [call.model_dump()]
    assert loaded(raw).additional_kwargs == {"tool_calls": [call.model_dump()]}


class Usage(BaseModel):
    total: int
    by_model: dict[str, list[Function]]
    at: dt.datetime


def test_objects_in_additional_kwargs_come_back_as_plain_data() -> None:
    """As docs/concepts/wire-format.md says."""
    function = Function(name="add", arguments="{}")
    usage = Usage(total=3, by_model={"m": [function]}, at=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    kwargs = {"usage": usage, "page": AnyUrl("https://a.example/b"), "file": Path("/x/y")}
    message = ChatMessage(role="assistant", content="x", additional_kwargs={"deep": [kwargs]})
    expected = {
        "usage": {"total": 3, "by_model": {"m": [function.model_dump()]}, "at": usage.at},
        "page": "https://a.example/b",
        "file": "/x/y",
    }
    assert loaded(dumped(message)).additional_kwargs == {"deep": [expected]}
    assert message.additional_kwargs == {"deep": [kwargs]}  # as it was


# What is stored


def test_a_text_message_is_stored_as_a_plain_one() -> None:
    raw = dumped(ChatMessage(role="user", content="Hello"))
    assert json.loads(raw) == {"role": "user", "content": "Hello", "ts": 1}


def test_a_tool_call_and_its_result_are_stored_in_the_neutral_form() -> None:
    assert json.loads(dumped(calling("add", "c1", a=2, b=[3]))) == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "add", "arguments": '{"a":2,"b":[3]}'},
            }
        ],
        "li": {"blocks": ["tool_call"]},
        "ts": 1,
    }
    result = ChatMessage(
        role="tool", content="5", additional_kwargs={"tool_call_id": "c1", "name": "add"}
    )
    assert json.loads(dumped(result)) == {
        "role": "tool",
        "content": "5",
        "tool_call_id": "c1",
        "name": "add",
        "ts": 1,
    }


@pytest.mark.parametrize(
    "block",
    [
        ImageBlock(image=PNG),
        ImageBlock(image=PNG, detail="high"),
        ImageBlock(url=f"data:image/png;base64,{base64.b64encode(PNG).decode()}"),
        AudioBlock(audio=PNG, format="mp3"),
        AudioBlock(audio=PNG),
        VideoBlock(video=PNG),
        DocumentBlock(data=PNG, title="t"),
        CitableBlock(title="t", source="s", content=[ImageBlock(image=PNG)]),
        CitationBlock(
            title="t",
            source="s",
            cited_content=ImageBlock(image=PNG),
            additional_location_info={},
        ),
    ],
    ids=[
        "image",
        "image-detail",
        "image-data-url",
        "audio",
        "audio-no-format",
        "video",
        "document",
        "citable",
        "citation",
    ],
)
def test_media_is_stored_once_as_base64(block: BaseModel) -> None:
    raw = dumped(ChatMessage(content=[TextBlock(text="look"), block]))
    assert raw.count(base64.b64encode(PNG)) == 1


# Reading what others stored


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ({"content": "Hi"}, ChatMessage(role="user", content="Hi")),
        ({"role": "system", "content": "Be"}, ChatMessage(role="system", content="Be")),
        ({"role": "developer", "content": ""}, ChatMessage(role="developer", content="")),
        ({"role": "critic", "content": "Hm"}, ChatMessage(role="user", content="Hm")),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ChatMessage(role="user", blocks=[TextBlock(text="a"), TextBlock(text="b")]),
        ),
        (
            {"role": "tool", "content": "5", "tool_call_id": "c1", "name": "add"},
            ChatMessage(
                role="tool", content="5", additional_kwargs={"tool_call_id": "c1", "name": "add"}
            ),
        ),
        (
            {
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
                ]
            },
            ChatMessage(role="user", blocks=[ImageBlock(url="https://example.com/cat.png")]),
        ),
        (
            {
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
                ]
            },
            ChatMessage(
                role="user", blocks=[ImageBlock(image=b"iVBORw==", image_mimetype="image/png")]
            ),
        ),
        (
            {
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "UQ==", "format": "mp3"}}
                ]
            },
            ChatMessage(role="user", blocks=[AudioBlock(audio=b"UQ==", format="mp3")]),
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]},
            ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm")]),
        ),
        ({"content": [{"type": "hologram", "x": 1}]}, ChatMessage(role="user", blocks=[])),
        ({"content": None}, ChatMessage(role="user", blocks=[])),
    ],
)
def test_plain_messages_are_read(element: dict[str, Any], message: ChatMessage) -> None:
    assert read(**element) == message


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize(
    ("arguments", "tool_kwargs"), [('{"a": 1}', {"a": 1}), ("oops", "oops"), ("", {})]
)
def test_plain_tool_calls_are_read(
    content: str | None, arguments: str, tool_kwargs: dict[str, Any] | str
) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    assert read(role="assistant", content=content, tool_calls=[call]) == ChatMessage(
        role="assistant",
        blocks=[ToolCallBlock(tool_call_id="c1", tool_name="add", tool_kwargs=tool_kwargs)],
    )


@pytest.mark.parametrize(
    "foreign",
    [
        {"type": "file", "url": "https://example.com/a.pdf", "mime_type": "application/pdf"},
        {"type": "file", "file_id": "file-1"},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "image", "file_id": "file-1"},
        {"type": "image_url", "image_url": {"url": "cat.png"}},
        {"type": "image", "url": "cat.png"},
    ],
    ids=["file-url", "file-id", "openai-file-id", "image-id", "image_url-path", "image-path"],
)
def test_a_block_that_llama_index_cannot_express_leaves_the_rest_readable(
    foreign: dict[str, Any],
) -> None:
    """All of them are what LangChain or OpenAI users store."""
    assert read(content=[foreign, {"type": "text", "text": "see above"}]).content == "see above"


@media
@pytest.mark.parametrize("beside", ["nothing", "url", "media"])
def test_a_message_stays_what_it_was_when_its_local_file_is_gone(
    block: type[BaseModel], field: str, beside: str, tmp_path: Path
) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(PNG)
    others: dict[str, dict[str, Any]]
    others = {"url": {"url": "https://example.com/cat.png"}, "media": {field: PNG}}
    message = ChatMessage(
        blocks=[TextBlock(text="look"), block(path=path, **others.get(beside, {}))]
    )
    raw = dumped(message)
    path.unlink()
    again = loaded(raw)
    assert again == message
    assert typed(again) == typed(message)
    assert dumped(again) == raw
    assert json.loads(again.model_dump_json())["blocks"][1]["path"] == str(path)


@pytest.mark.parametrize(
    "around",
    [
        lambda image: CitableBlock(title="t", source="s", content=[image]),
        lambda image: CitationBlock(
            title="t", source="s", cited_content=image, additional_location_info={}
        ),
    ],
    ids=["citable", "citation"],
)
def test_a_message_stays_readable_when_a_cited_local_file_is_gone(
    around: Callable[[ImageBlock], BaseModel], tmp_path: Path
) -> None:
    path = tmp_path / "gone.png"
    path.write_bytes(PNG)
    raw = dumped(ChatMessage(blocks=[TextBlock(text="look"), around(ImageBlock(path=path))]))
    path.unlink()
    again = loaded(raw)
    assert again.content == "look"
    cited = again.blocks[1]
    assert isinstance(cited, (CitableBlock, CitationBlock))
    (image,) = cited.nested_blocks
    assert isinstance(image, ImageBlock)
    assert image.path == path


# What is refused


@pytest.mark.parametrize(
    "block",
    [
        {"block_type": "os.system", "text": "x"},
        {"block_type": "chat_message", "role": "user"},
        {"block_type": "llama_index.core.schema.TextNode", "text": "x"},
        {"text": "no type"},
        {"block_type": None},
        "image",
        7,
        None,
    ],
)
def test_an_unknown_block_type_is_an_error(block: Any) -> None:
    with pytest.raises((KeyError, TypeError, StopIteration)):
        read(content="", li={"blocks": [block]})


@pytest.mark.parametrize(
    "li",
    [
        {"blocks": ["content", "content"]},
        {"blocks": ["tool_call"]},
        {"fields": 5},
        {"blocks": 5},
        "li",
    ],
)
def test_a_framework_part_that_does_not_fit_is_an_error(li: Any) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError, StopIteration, RuntimeError)):
        read(content="x", li=li)


def test_nothing_stored_names_a_class_to_load() -> None:
    hints = {
        "class_name": "ImageNode",
        "__class__": "os.system",
        "py/object": "os.system",
        "__pydantic_value__": 1,
        "qualified_name": "subprocess.Popen",
        "lc": 1,
        "type": "constructor",
        "id": ["os", "system"],
    }
    message = read(
        content="x",
        **{name: hint for name, hint in hints.items() if name != "type"},
        li={"kwargs": hints, "blocks": ["content", {"block_type": "thinking"} | hints]},
    )
    assert typed(message) == typed(
        ChatMessage(
            role="user",
            blocks=[TextBlock(text="x"), ThinkingBlock()],
            additional_kwargs=hints,
        )
    )


@pytest.mark.parametrize("value", ["Hello", {"role": "user"}, None, TextBlock(text="x")])
def test_only_chat_messages_are_encoded(value: Any) -> None:
    with pytest.raises(MessageEncodeError, match="must be a llama_index ChatMessage"):
        CODEC.encode(value)


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(content="\ud800"),
        ChatMessage(blocks=[ToolCallBlock(tool_name="\ud800")]),
    ],
    ids=["text", "tool"],
)
def test_a_lone_surrogate_in_the_neutral_part_is_refused(message: ChatMessage) -> None:
    with pytest.raises(MessageEncodeError):
        dumped(message)


def changed(message: Any, **fields: Any) -> Any:
    """The message as code leaves it that assigns fields; LlamaIndex validates none of them."""
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "message",
    [
        changed(ChatMessage(content="x"), role="pirate"),
        changed(ChatMessage(content="x"), role=["user"]),
        changed(ChatMessage(content="x"), blocks=["text"]),
        changed(ChatMessage(content="x"), blocks=None),
        changed(ChatMessage(content="x"), additional_kwargs=5),
        changed(ChatMessage(content="x"), blocks=[changed(TextBlock(text="x"), text=5)]),
    ],
    ids=["role", "list as role", "blocks", "no blocks", "kwargs", "text"],
)
def test_a_message_of_another_form_is_refused_by_our_own_error(message: ChatMessage) -> None:
    with pytest.raises(MessageEncodeError):
        dumped(message)


def test_deep_tool_arguments_in_a_string_stay_that_string() -> None:
    text = '{"~":' + "[" * 900 + "]" * 900 + "}"
    message = ChatMessage(blocks=[ToolCallBlock(tool_name="t", tool_kwargs=text)])
    assert loaded(dumped(message)) == message
