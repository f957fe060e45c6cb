"""A small embedding model that runs in this process, without the network: wordllama."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._arguments import shown
from .._errors import ConfigurationError, InvalidArgumentError

_SHIPPED = 256
# The package has its weights for 256 numbers. They are trained so that the first 64 and 128 are
# embeddings, too; weights of 512 and 1,024 would have to be downloaded.
_DIMENSIONS = (64, 128, _SHIPPED)

_PIECE = 20_000
"""Characters that are read at once: that holds the GIL, and takes 100 bytes per token."""


class LocalEmbedding:
    """A small embedding model that needs no network and no account. For first steps and tests.

    The vector of a text is the mean of those of its words, so it knows what a text is about, and
    not the order of its words. Mainly for English. It is a model like any other for whatever takes
    one here; ``langchain_valkey_glide.LocalEmbeddings`` and
    ``llama_index_valkey_glide.LocalEmbedding`` are the same for what wants the frameworks' types.

    The first text loads the model, once for the process, whatever the number of objects and
    threads. Needs the extra ``local``: wordllama, whose weights come in its package.

    Examples:
        >>> from valkey_memory import LocalEmbedding
        >>> model = LocalEmbedding()
        >>> len(model.embed_query("How do I deploy my service?"))
        256

    Args:
        dimension: Numbers per vector: 256, the default, 128 or 64.

    Raises:
        InvalidArgumentError: Another dimension; from methods, what is no text.
        ConfigurationError: From methods: wordllama is not installed, or lacks its weights.
    """

    def __init__(self, dimension: int = _SHIPPED) -> None:
        if type(dimension) is not int or dimension not in _DIMENSIONS:
            raise InvalidArgumentError(
                f"dimension must be 64, 128 or 256, which wordllama brings, not {shown(dimension)}"
            )
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        """Numbers per vector."""
        return self._dimension

    @property
    def dimensions(self) -> int:
        """``dimension``, by the name that stores look for, so that they need not ask the model."""
        return self._dimension

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of ``texts``, in order.

        A text has the same vector here and in ``embed_query``, whatever stands beside it. An empty
        one has zeros, which are similar to nothing.
        """
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise InvalidArgumentError(f"texts must be a list of strings, not {shown(texts)}")
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of ``text``."""
        if not isinstance(text, str):
            raise InvalidArgumentError(f"a text to embed must be a string, not {shown(text)}")
        model = _model()
        vector: Any = None
        tokens = 0
        for piece in _pieces(text):
            try:
                ids = model.tokenizer.encode(piece, add_special_tokens=False).ids
            except TypeError as error:  # what it says of surrogates
                raise InvalidArgumentError(
                    f"a text to embed must be valid Unicode, not {shown(text)}"
                ) from error
            total = model.embedding[ids, : self._dimension].sum(axis=0)
            vector = total if vector is None else vector + total
            tokens += len(ids)
        return (vector / tokens).tolist() if tokens else [0.0] * self._dimension

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """``embed_documents`` in a thread."""
        return await asyncio.to_thread(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """``embed_query`` in a thread."""
        return await asyncio.to_thread(self.embed_query, text)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dimension={self._dimension})"


def _pieces(text: str) -> Iterator[str]:
    """``text`` in parts that end between words, where there are spaces.

    The space goes: the tokenizer puts one before each text, and so finds the same tokens.
    """
    start = 0
    while len(text) - start > _PIECE:
        space = text.rfind(" ", start + 1, start + _PIECE)
        end = start + _PIECE if space < 0 else space
        yield text[start:end]
        start = end + (space >= 0)
    yield text[start:]


_lock = threading.Lock()


def _model() -> Any:
    with _lock:  # threads that begin together load it once
        return _load()


@functools.cache
def _load() -> Any:
    try:
        with _logging_left_alone():
            wordllama: Any = importlib.import_module("wordllama")
    except ImportError as error:
        raise ConfigurationError(
            "the local embedding model needs wordllama: pip install 'valkey-glide-memory[local]'"
        ) from error
    # By default it looks for its tokenizer outside its own package.
    folder = Path(wordllama.__file__).parent
    try:
        return wordllama.WordLlama.load(cache_dir=folder, dim=_SHIPPED, disable_download=True)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"wordllama lacks its weights or its tokenizer in {folder}: "
            "pip install --force-reinstall wordllama"
        ) from error


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """wordllama calls ``logging.basicConfig``, which does nothing where there is a handler."""
    root = logging.getLogger()
    handler = logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not here may have held it


os.register_at_fork(after_in_child=_after_fork)
