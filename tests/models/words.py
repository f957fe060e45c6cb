"""Vectors without a model: texts with words in common are near each other."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from langchain_core.embeddings import Embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def _word(word: str, dimension: int) -> NDArray[np.float64]:
    seed = hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(seed)).standard_normal(dimension)


def bag_of_words(text: str, dimension: int) -> list[float]:
    """One direction per word, the same in every process; their sum has length 1."""
    words = re.findall(r"\w+", text.casefold()) or [""]
    total = sum((_word(word, dimension) for word in words), np.zeros(dimension))
    vector: list[float] = (total / np.linalg.norm(total)).tolist()
    return vector


class Words(Embeddings):
    """``bag_of_words`` as a model that does not tell its dimension.

    ``calls`` has the name and the texts of every call.
    """

    def __init__(self, dimension: int = 64) -> None:
        self.size = dimension
        self.calls: list[tuple[str, list[str]]] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("embed_documents", list(texts)))
        return self.vectors(texts)

    def embed_query(self, text: str) -> list[float]:
        self.calls.append(("embed_query", [text]))
        return self.vectors([text])[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        self.calls.append(("aembed_documents", list(texts)))
        return self.vectors(texts)

    async def aembed_query(self, text: str) -> list[float]:
        self.calls.append(("aembed_query", [text]))
        return self.vectors([text])[0]

    def vectors(self, texts: list[str]) -> list[list[float]]:
        return [bag_of_words(text, self.size) for text in texts]


class Opposites(Words):
    """A text that begins with ``not`` points the other way."""

    def vectors(self, texts: list[str]) -> list[list[float]]:
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = bag_of_words(text.removeprefix("not "), self.size)
        return [-number for number in vector] if text.startswith("not ") else vector
