"""Every ChatMessage there can be, as hypothesis strategies, and a comparison that sees types."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import provisional
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
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
from pydantic import BaseModel

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


def said(*texts: str) -> list[ChatMessage]:
    """A conversation of user messages."""
    return [ChatMessage(role="user", content=text) for text in texts]


def texts_of(messages: list[ChatMessage]) -> list[str | None]:
    return [message.content for message in messages]


def calling(name: str, call_id: str | None = "call-1", **arguments: Any) -> ChatMessage:
    """An assistant message that calls a tool and says nothing."""
    call = ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[call])


def typed(value: Any) -> Any:
    """``value`` with the type of each part, so that 1, True and 1.0 differ, and Path and str."""
    if isinstance(value, BaseModel):
        return type(value), typed(dict(value))
    if isinstance(value, dict):
        return dict, sorted(((typed(k), typed(v)) for k, v in value.items()), key=repr)
    if isinstance(value, (list, tuple)):
        return type(value), [typed(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted((typed(item) for item in value), key=repr)
    return type(value), value


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


texts = st.text(max_size=20)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20)
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
hashable = scalars | st.tuples(texts, st.integers())
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(texts | st.sampled_from(["~", "v"]), inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=8,
)
fields = st.dictionaries(texts | st.sampled_from(["~", "v"]), values, max_size=4)

# Real magic numbers, bytes that are base64 already, base64 that looks like a magic number.
MAGIC = [
    b"",
    PNG[:8],
    b"\xff\xd8\xff\xe0",
    b"GIF89a",
    b"ID3\x03",
    b"RIFF\x00\x00\x00\x00WAVE",
    b"\x00\x00\x00\x18ftypmp42",
    b"%PDF-1.7",
    b"aGVsbG8=",
    b"BMAA",
    base64.b64decode("BMAA"),
]
media = maybe(st.tuples(st.sampled_from(MAGIC), st.binary(max_size=20)).map(b"".join))
urls = maybe(
    provisional.urls()
    | st.sampled_from(
        [
            "https://example.com/cat.png",
            "https://user:pass@example.com:8443/a%20b/movie.mp4?x=1&y=%7E#frag",
            "s3://bucket/key.pdf",
            "data:image/png;base64,iVBORw0KGgo=",
            "data:audio/mpeg;base64,SUQzAw==",
            "data:,plain",
            "file:///tmp/x.wav",
        ]
    )
)
mimetypes = maybe(st.sampled_from(["", "image/png", "audio/mpeg", "application/pdf", "a;base64,b"]))
ARGUMENT_TEXTS = [
    "",
    "null",
    "[]",
    "{}",
    '{"a": 1}',
    '{ "a":1.0 }',
    '{"a": ',
    '{"~":"tuple","v":[1]}',
    '{"~":"uuid","v":5}',
    '{"~":"dict","v":[[1,2]]}',
    '{"~":"no such tag","v":1}',
]
argument_texts = texts | st.sampled_from(ARGUMENT_TEXTS)

# Tool calls in the dict form that LlamaIndex's OpenAI class keeps in additional_kwargs.
openai_calls = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {"name": texts}, optional={"arguments": maybe(argument_texts)}
            ),
        },
        optional={"id": maybe(texts), "index": st.integers(0, 5)},
    ),
    min_size=1,
    max_size=3,
)
known_kwargs = st.fixed_dictionaries(
    {},
    optional={
        "tool_call_id": texts | st.integers(),
        "name": texts | st.none(),
        "tool_calls": openai_calls | st.lists(values, max_size=2) | st.none(),
        "session_id": texts,
    },
)

# Composites rather than builds, whose representations become megabytes.


@st.composite
def text_blocks(draw: st.DrawFn) -> TextBlock:
    return TextBlock(text=draw(texts))


@st.composite
def image_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> ImageBlock:
    return ImageBlock(
        image=draw(media),
        path=draw(paths),
        url=draw(urls),
        image_mimetype=draw(mimetypes),
        detail=draw(maybe(texts)),
    )


@st.composite
def audio_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> AudioBlock:
    return AudioBlock(
        audio=draw(media),
        path=draw(paths),
        url=draw(urls),
        format=draw(maybe(texts | st.sampled_from(["mp3", "wav"]))),
    )


@st.composite
def video_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> VideoBlock:
    return VideoBlock(
        video=draw(media),
        path=draw(paths),
        url=draw(urls),
        video_mimetype=draw(mimetypes),
        detail=draw(maybe(texts)),
        fps=draw(maybe(st.integers())),
    )


@st.composite
def document_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> DocumentBlock:
    return DocumentBlock(
        data=draw(media),
        path=draw(paths | paths.map(lambda path: path and str(path)) | st.just("no/such.pdf")),
        url=draw(urls),
        title=draw(maybe(texts)),
        document_mimetype=draw(mimetypes),
    )


@st.composite
def cache_points(draw: st.DrawFn) -> CachePoint:
    return CachePoint(cache_control=CacheControl(type=draw(texts), ttl=draw(texts)))


@st.composite
def citable_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> CitableBlock:
    inner = text_blocks() | image_blocks(paths) | document_blocks(paths)
    return CitableBlock(
        title=draw(texts), source=draw(texts), content=draw(st.lists(inner, max_size=3))
    )


@st.composite
def citation_blocks(draw: st.DrawFn, paths: st.SearchStrategy[Path | None]) -> CitationBlock:
    return CitationBlock(
        cited_content=draw(text_blocks() | image_blocks(paths)),
        source=draw(texts),
        title=draw(texts),
        additional_location_info=draw(st.dictionaries(texts, st.integers(), max_size=3)),
    )


@st.composite
def thinking_blocks(draw: st.DrawFn) -> ThinkingBlock:
    return ThinkingBlock(
        content=draw(maybe(texts)),
        num_tokens=draw(maybe(st.integers())),
        additional_information=draw(fields),
    )


@st.composite
def tool_call_blocks(draw: st.DrawFn) -> ToolCallBlock:
    return ToolCallBlock(
        tool_call_id=draw(maybe(texts)),
        tool_name=draw(texts),
        tool_kwargs=draw(fields | argument_texts),
    )


def blocks(path: Path) -> st.SearchStrategy[Any]:
    """Every content block. ``path`` is a file that exists."""
    paths = st.none() | st.just(path)
    return st.one_of(
        text_blocks(),
        image_blocks(paths),
        audio_blocks(paths),
        video_blocks(paths),
        document_blocks(paths),
        cache_points(),
        citable_blocks(paths),
        citation_blocks(paths),
        thinking_blocks(),
        tool_call_blocks(),
    )


@st.composite
def chat_messages(draw: st.DrawFn, path: Path) -> ChatMessage:
    """Any message, of any role, with any blocks in any order. ``path`` is a file that exists."""
    kwargs = draw(fields) | draw(known_kwargs)
    kwargs.pop("images", None)  # LlamaIndex makes blocks of these
    return ChatMessage(
        role=draw(st.sampled_from(MessageRole)),
        blocks=draw(st.lists(blocks(path), max_size=5)),
        additional_kwargs=kwargs,
    )
