"""Vectors to measure with: clustered, of real sentences, and uniform random ones."""

from __future__ import annotations

import ast
import importlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float32]

SEED = 20_260
GROUPS = 10
FIELDS = {"group": "tag", "year": "numeric"}
NOTE = (
    "Note {n}: the deployment of service {n} moved to the new cluster on Thursday; reads stay on "
    "the replicas, the window of the memory is unchanged, and the old nodes go away next week."
)


@dataclass(frozen=True)
class VectorSet:
    """Vectors to store, and others of the same kind to ask with."""

    name: str
    stored: Matrix
    queries: Matrix


def clustered(count: int, dimension: int, queries: int, *, around: int = 50) -> VectorSet:
    """Normal noise around one center for every ``around`` vectors, as embeddings of topics are."""
    rng = np.random.default_rng(SEED)
    centers = rng.standard_normal((max(1, count // around), dimension))
    chosen = rng.integers(0, len(centers), count + queries)
    vectors = centers[chosen] + 0.5 * rng.standard_normal((len(chosen), dimension))
    return _split("clustered", vectors, queries)


def uniform(count: int, dimension: int, queries: int) -> VectorSet:
    """No structure at all: the worst case for HNSW, and like no embedding model."""
    rng = np.random.default_rng(SEED)
    return _split("uniform random", rng.uniform(-1, 1, (count + queries, dimension)), queries)


def real_text(count: int, queries: int) -> VectorSet | None:
    """Sentences of the standard library's docstrings, embedded by wordllama, which works offline.

    None when wordllama is not installed.
    """
    try:
        wordllama = importlib.import_module("wordllama")
    except ImportError:
        return None
    # Its tokenizer is in its own folder, which is not where it looks first.
    model: Any = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    )
    sentences = list(islice(dict.fromkeys(_sentences()), count + queries))
    vectors = np.random.default_rng(SEED).permutation(model.embed(sentences))
    return _split("real text", vectors, queries)


def _split(name: str, vectors: NDArray[Any], queries: int) -> VectorSet:
    single = np.ascontiguousarray(vectors, dtype=np.float32)
    return VectorSet(name, single[queries:], single[:queries])


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _sentences() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in (*sorted(library.glob("*.py")), *sorted(library.glob("[a-z]*/*.py"))):
        if {"test", "tests", "site-packages", "idlelib", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and (docstring := ast.get_docstring(node)):
                yield from _sentences_of(docstring)


def _sentences_of(docstring: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", docstring):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            if 40 <= len(sentence) <= 300 and sentence[0].isupper() and sentence.endswith("."):
                yield sentence


@dataclass(frozen=True)
class Texts:
    """Documents ``first`` to ``last`` of a set, in the parts that every store takes."""

    ids: list[str]
    texts: list[str]
    metadatas: list[dict[str, Any]]
    vectors: list[list[float]]


def texts(stored: Matrix, first: int, last: int) -> Texts:
    numbers = range(first, min(last, len(stored)))
    return Texts(
        ids=[f"note-{n}" for n in numbers],
        texts=[NOTE.format(n=n) for n in numbers],
        metadatas=[
            {"group": f"g{n % GROUPS}", "year": 2000 + n % 27, "source": f"page {n % 100}"}
            for n in numbers
        ],
        vectors=stored[first:last].tolist(),
    )


def in_group(count: int, group: int) -> NDArray[np.bool_]:
    """Which of ``count`` documents are in a group: one in ``GROUPS``."""
    return np.arange(count) % GROUPS == group


def nearest_scores(wanted: VectorSet, k: int, among: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The cosine of the k-th nearest stored vector of every query, by comparing all of them."""
    stored, queries = (
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        for vectors in (wanted.stored[among], wanted.queries)
    )
    cosines = queries @ stored.T
    return np.partition(cosines, -k, axis=1)[:, -k].astype(np.float64)
