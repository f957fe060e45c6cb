"""Embedding objects that ``--embedding module:attribute`` names."""

from __future__ import annotations

from llama_index.core.base.embeddings.base import BaseEmbedding

from llama_index_valkey_glide import LangChainEmbedding

from ..models.words import Words

TWO = Words(2)
WORDS = Words(64)


def make() -> Words:
    return Words(64)


def llama() -> BaseEmbedding:
    return LangChainEmbedding(Words(64))


NOTHING = object
