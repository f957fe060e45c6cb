"""The three codecs, and a message on its way from one to another."""

from __future__ import annotations

from typing import Any

from langchain_valkey_glide._codec import LangChainCodec
from llama_index_valkey_glide._codec import LlamaIndexCodec
from valkey_memory._messages.codecs import Codec, PlainCodec
from valkey_memory._messages.elements import dump_element, load_element

LANGCHAIN, LLAMA, PLAIN = LangChainCodec(), LlamaIndexCodec(), PlainCodec()


def seen(message: Any, writer: Codec[Any], reader: Codec[Any]) -> Any:
    """The message as ``reader`` has it after ``writer`` stored it, through real JSON."""
    return reader.decode_all([load_element(dump_element(writer.encode(message), ts=1))])[0]
