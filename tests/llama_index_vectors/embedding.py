"""An embedding model without a model: texts are near each other when they share words."""

from __future__ import annotations

import math
import re
import zlib

from llama_index.core.embeddings import BaseEmbedding

DIMENSION = 512


def bag_of_words(text: str) -> list[float]:
    """How often each word occurs, in the place that its CRC says; of length one."""
    counts = [0.0] * DIMENSION
    for word in re.findall(r"\w+", text.casefold()):
        counts[zlib.crc32(word.encode()) % DIMENSION] += 1.0
    length = math.sqrt(sum(count * count for count in counts))
    return [count / length for count in counts] if length else counts


class BagOfWords(BaseEmbedding):
    @classmethod
    def class_name(cls) -> str:
        return "BagOfWords"

    def _get_text_embedding(self, text: str) -> list[float]:
        return bag_of_words(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return bag_of_words(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return bag_of_words(query)
