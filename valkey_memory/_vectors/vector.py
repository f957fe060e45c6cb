"""Vectors: checked, as bytes, as text, and what their distances mean. NumPy is imported here only.

Distances are valkey-search's: 1 - cos, 1 - dot, and the squared Euclidean distance. Similarities
are what the stores hand out; higher is closer.
"""

from __future__ import annotations

import functools
import importlib
import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from .._errors import ConfigurationError, DocumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vector: TypeAlias = "NDArray[np.float32]"
Matrix: TypeAlias = "NDArray[np.float32]"

Metric: TypeAlias = Literal["cosine", "l2", "ip"]
METRICS: tuple[Metric, ...] = ("cosine", "l2", "ip")

FLOAT_BYTES = 4
_BLOCK = 1_024


@functools.cache
def numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError as error:
        raise ConfigurationError(
            "vectors need numpy, which the extras langchain and llama-index bring: "
            "pip install numpy"
        ) from error


def pack_vector(values: Sequence[float], dimension: int | None, where: str) -> bytes:
    """``values`` as the bytes of float32, little-endian; ``from_bytes`` makes an array of them.

    Args:
        values: Numbers, a NumPy array among others.
        dimension: How many there must be; None takes any number but none.
        where: What has the vector, for the error.

    Raises:
        DocumentError: Another length, NaN, infinity, beyond float32, or no numbers.
    """
    if type(values) is list and dimension is not None and len(values) == dimension:
        # Half of NumPy's time. Numbers that fit in float32 cannot add up to an infinite float64.
        try:
            packed = _packer(dimension).pack(*values)
            if math.isfinite(sum(values, 0.0)):
                return packed
        except (struct.error, OverflowError, TypeError):
            pass  # said better below
    np = numpy()
    try:
        with np.errstate(over="ignore"):
            vector: Vector = np.asarray(values, dtype="<f4")
    except (TypeError, ValueError, OverflowError) as error:
        raise DocumentError(f"{where} is no vector: {error}") from error
    if vector.ndim != 1 or not vector.size or dimension not in (None, vector.size):
        shape = "x".join(map(str, vector.shape))
        wanted = "a vector has one or more in a row"
        if dimension is not None:
            wanted = f"the index has dimension {dimension}"
        raise DocumentError(f"{where} has {shape} numbers, {wanted}")
    if not np.isfinite(vector).all():
        position = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise DocumentError(
            f"{where} has {values[position]!r} at {position}: every number must be finite"
        )
    return vector.tobytes()


@functools.cache
def _packer(dimension: int) -> struct.Struct:
    return struct.Struct(f"<{dimension}f")


def length_of(packed: bytes) -> int:
    """How many numbers ``pack_vector`` packed."""
    return len(packed) // FLOAT_BYTES


def to_text(vector: Vector) -> str:
    """A JSON array of the shortest decimals that give the same float32 numbers."""
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def from_bytes(data: bytes) -> Vector:
    vector: Vector = numpy().frombuffer(data, dtype="<f4")
    return vector


def from_text(text: str | bytes) -> Vector:
    np = numpy()
    vector: Vector = np.array(orjson.loads(text), dtype=np.float32)
    return vector


def similarity(distance: float, metric: Metric) -> float:
    """What a distance of valkey-search's means, higher is closer.

    COSINE: the cosine, -1 to 1. IP: the dot product. L2: ``1 / (1 + d)`` of the squared distance
    d, 0 to 1. What rounding puts beyond a cosine's bounds is cut off.
    """
    if metric == "l2":
        return 1.0 / (1.0 + distance)
    found = 1.0 - distance
    if metric == "ip" or -1.0 <= found <= 1.0:
        return found
    return math.copysign(1.0, found)


def distances(matrix: Matrix, query: Vector, metric: Metric, norms: Vector) -> Vector:
    """valkey-search's distance of each row of ``matrix``. ``norms`` are the rows' lengths."""
    np = numpy()
    result: Vector
    if metric == "l2":
        # Not by products: the small difference of large numbers would be noise in float32.
        result = np.empty(len(matrix), dtype=np.float32)
        for start in range(0, len(matrix), _BLOCK):
            apart = matrix[start : start + _BLOCK] - query
            result[start : start + _BLOCK] = np.einsum("ij,ij->i", apart, apart)
        return result
    products: Vector = matrix @ query
    if metric == "ip":
        result = 1 - products
    else:
        norm = norms * np.float32(np.linalg.norm(query.astype(np.float64)))
        # As on the server: a zero vector is at distance 1 from everything.
        result = 1 - np.divide(products, norm, out=np.zeros_like(products), where=norm > 0)
    return result


def lengths(matrix: Matrix) -> Vector:
    """The Euclidean length of each row."""
    np = numpy()
    result: Vector = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _BLOCK):
        block = matrix[start : start + _BLOCK].astype(np.float64)
        result[start : start + _BLOCK] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return result


def in_context(
    vectors: Sequence[Sequence[float]], before: Sequence[float] | None, weight: float
) -> list[list[float]]:
    """Vectors of texts that follow each other, each with a share of what was before it, normalised.

    Args:
        vectors: As a model made them, in the texts' order.
        before: What this made for the text before the first; None where there is none.
        weight: The share of the one before, of 1 for its own.

    Raises:
        DocumentError: They are no vectors, or of several lengths.
    """
    last: Any = None if not before else _of_length_one(from_numbers(before, None))
    found: list[list[float]] = []
    for values in vectors:
        length = None if last is None else len(last)
        own = _of_length_one(from_numbers(values, length))
        last = own if last is None else _of_length_one(own + weight * last)
        found.append(last.tolist())
    return found


def from_numbers(values: Sequence[float], dimension: int | None) -> Vector:
    """``values`` as an array of float32; raises as ``pack_vector``."""
    return from_bytes(pack_vector(values, dimension, "an embedding"))


def _of_length_one(vector: Any) -> Any:
    np = numpy()
    wide = vector.astype(np.float64)
    length = float(np.linalg.norm(wide))
    return wide / length if length else wide


def max_marginal_relevance(
    query: Vector, candidates: Sequence[Vector], k: int, lambda_mult: float
) -> list[int]:
    """Positions of ``k`` candidates that are near the query and far from each other.

    Carbonell and Goldstein, 1998: each next one maximises ``lambda_mult * sim(query) -
    (1 - lambda_mult) * max sim(chosen)``, with the cosine as similarity. 1 is nearness alone.
    """
    if not candidates:
        return []
    np = numpy()
    matrix = np.stack([*candidates, query]).astype(np.float64)
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix = np.divide(matrix, norms, out=np.zeros_like(matrix), where=norms > 0)
    rows, nearness = matrix[:-1], matrix[:-1] @ matrix[-1]
    chosen: list[int] = []
    redundancy = np.zeros(len(rows))
    remaining = np.ones(len(rows), dtype=bool)
    for _ in range(min(k, len(rows))):
        gain = lambda_mult * nearness - (1 - lambda_mult) * redundancy
        best = int(np.argmax(np.where(remaining, gain, -np.inf)))
        remaining[best] = False
        similar = rows @ rows[best]
        redundancy = similar if not chosen else np.maximum(redundancy, similar)
        chosen.append(best)
    return chosen
