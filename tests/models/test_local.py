"""The local embedding model: one in the core and the same in both faces, loaded when it is used."""

from __future__ import annotations

import asyncio
import copy
import functools
import importlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode

import langchain_valkey_glide
import llama_index_valkey_glide
from langchain_valkey_glide import LocalEmbeddings
from llama_index_valkey_glide import LangChainEmbedding
from valkey_memory import ConfigurationError, InvalidArgumentError, LocalEmbedding
from valkey_memory._models import local
from valkey_memory._models.embedding import embedder, known_dimension
from valkey_memory.adapters import TextIndex

InLlamaIndex = llama_index_valkey_glide.LocalEmbedding

QUESTION = "How do I deploy my service?"
NEAR = "We deployed to ECS using a blue-green strategy"
FAR = "My favourite colour is green"
TEXTS = [QUESTION, NEAR, FAR, "", " ", "\U0001f600", "日本語", "\x00", "a\nb"]
CLASSES: list[Callable[..., Any]] = [LocalEmbedding, LocalEmbeddings, InLlamaIndex]

each_class = pytest.mark.parametrize("cls", CLASSES, ids=["core", "langchain", "llama_index"])


def similarity(one: list[float], other: list[float]) -> float:
    a, b = np.array(one), np.array(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def python(code: str) -> str:
    """What ``code`` prints in a process of its own, where a warning is an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def query_of(model: Any) -> Callable[[str], list[float]]:
    found: Callable[[str], list[float]] = getattr(model, "embed_query", None) or (
        model.get_query_embedding
    )
    return found


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has embedded nothing yet."""
    monkeypatch.setattr(local, "_load", functools.cache(local._load.__wrapped__))


# Vectors


@pytest.mark.parametrize("dimension", [64, 128, 256])
def test_it_gives_lists_of_floats(dimension: int) -> None:
    vectors = LocalEmbedding(dimension).embed_documents(TEXTS)
    assert [len(vector) for vector in vectors] == [dimension] * len(TEXTS)
    assert all(type(number) is float for vector in vectors for number in vector)
    assert np.isfinite(vectors).all()


def test_its_dimension_is_256_unless_said_otherwise() -> None:
    for cls in CLASSES:
        assert (cls().dimension, cls(64).dimension, cls(dimension=128).dimension) == (256, 64, 128)


@pytest.mark.parametrize("dimension", [64, 256])
def test_vectors_are_wordllamas(dimension: int) -> None:
    wordllama = importlib.import_module("wordllama")
    model = wordllama.WordLlama.load(
        cache_dir=Path(str(wordllama.__file__)).parent, trunc_dim=dimension, disable_download=True
    )
    found = LocalEmbedding(dimension).embed_documents(TEXTS)
    np.testing.assert_allclose(found, [model.embed(text)[0] for text in TEXTS], atol=1e-6)


def test_a_text_has_one_vector_whatever_stands_beside_it() -> None:
    model = LocalEmbedding()
    alone = [model.embed_query(text) for text in TEXTS]
    assert model.embed_documents(TEXTS) == alone
    assert model.embed_documents([*TEXTS, "long " * 1000])[:-1] == alone
    assert model.embed_documents([]) == []


def test_what_means_the_same_is_nearer() -> None:
    for dimension in (64, 128, 256):
        question, near, far = LocalEmbedding(dimension).embed_documents([QUESTION, NEAR, FAR])
        assert similarity(question, near) > 2 * similarity(question, far)
    assert similarity(question, near) > 0.3
    assert similarity(question, far) < 0.15


def test_an_empty_text_has_zeros() -> None:
    assert LocalEmbedding().embed_query("") == [0.0] * 256


@pytest.mark.parametrize(
    "text",
    ["lorem ipsum dolor " * 60_000, "日本語" * 12_000, " " * 50_000, "ab " * 20_000 + "c" * 50_000],
    ids=["words", "no spaces", "spaces", "both"],
)
def test_a_long_text_is_read_in_pieces(text: str) -> None:
    pieces = list(local._pieces(text))
    assert max(map(len, pieces)) <= local._PIECE
    assert "".join(pieces).replace(" ", "") == text.replace(" ", "")
    encode = local._model().tokenizer.encode
    ids = [i for piece in pieces for i in encode(piece, add_special_tokens=False).ids]
    if "lorem" in text:
        assert ids == encode(text, add_special_tokens=False).ids
    mean = local._model().embedding[ids].mean(axis=0, dtype="float64")
    np.testing.assert_allclose(LocalEmbedding().embed_query(text), mean, atol=1e-3)


def test_pieces_begin_and_end_anywhere() -> None:
    for length in (0, 1, local._PIECE - 1, local._PIECE, local._PIECE + 1, 2 * local._PIECE + 1):
        for text in ("x" * length, " " + "x" * length, "x" * length + " "):
            assert "".join(local._pieces(text)).strip() == text.strip()


# Faces


async def test_langchains_face_is_the_same() -> None:
    model, core = LocalEmbeddings(128), LocalEmbedding(128)
    expected = core.embed_documents(TEXTS)
    assert model.embed_documents(TEXTS) == await model.aembed_documents(TEXTS) == expected
    assert model.embed_query(NEAR) == await model.aembed_query(NEAR) == expected[1]
    assert await core.aembed_documents(TEXTS) == expected
    assert await core.aembed_query(NEAR) == expected[1]


async def test_llama_indexs_face_is_the_same() -> None:
    model = InLlamaIndex(128, embed_batch_size=2)
    expected = LocalEmbedding(128).embed_documents(TEXTS)
    assert model.get_text_embedding_batch(TEXTS) == expected
    assert await model.aget_text_embedding_batch(TEXTS) == expected
    assert model.get_text_embedding(NEAR) == await model.aget_text_embedding(NEAR) == expected[1]
    assert model.get_query_embedding(NEAR) == await model.aget_query_embedding(NEAR) == expected[1]
    assert [node.embedding for node in model([TextNode(text=NEAR)])] == [expected[1]]


def test_the_core_is_a_model_for_both() -> None:
    core = LocalEmbedding()
    assert LangChainEmbedding(core).get_text_embedding(NEAR) == core.embed_query(NEAR)
    assert embedder(core).documents([NEAR]) == [core.embed_query(NEAR)]


def test_what_llama_index_is_told() -> None:
    model = InLlamaIndex()
    assert (model.model_name, model.embed_batch_size) == ("wordllama", 64)
    again = InLlamaIndex.from_dict(InLlamaIndex(64, embed_batch_size=7, num_workers=2).to_dict())
    assert (again.dimension, again.embed_batch_size, again.num_workers) == (64, 7, 2)
    with pytest.raises(ValueError, match="embed_batch_size"):
        InLlamaIndex(embed_batch_size=0)


@each_class
def test_its_dimension_is_known_before_the_first_vector(cls: Callable[..., Any]) -> None:
    assert known_dimension(cls(64)) == 64


# Loading


def test_nothing_is_imported_before_the_first_text() -> None:
    code = """
import sys
import valkey_memory, langchain_valkey_glide, llama_index_valkey_glide
models = (
    valkey_memory.LocalEmbedding(),
    langchain_valkey_glide.LocalEmbeddings(),
    llama_index_valkey_glide.LocalEmbedding(),
)
repr(models)
print("wordllama" in sys.modules)
models[0].embed_query("x")
print("wordllama" in sys.modules)
"""
    assert python(code).split() == ["False", "True"]


def test_it_needs_no_network() -> None:
    code = """
import socket

def refuse(*_, **__):
    raise AssertionError("the network was used")

socket.socket.connect = socket.getaddrinfo = refuse
from valkey_memory import LocalEmbedding

print(len(LocalEmbedding().embed_query("x")))
"""
    assert python(code).split() == ["256"]


def test_logging_is_left_as_it_is() -> None:
    code = """
import logging
from valkey_memory import LocalEmbedding

root = logging.getLogger()
before = root.handlers[:], root.level
LocalEmbedding().embed_query("x")
assert (root.handlers, root.level) == before == ([], logging.WARNING)
logging.getLogger("any").info("not shown")
logging.basicConfig(level=logging.ERROR)  # still the user's own
assert (len(root.handlers), root.level) == (1, logging.ERROR)
"""
    assert python(code) == ""


def test_threads_load_it_once(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    word_llama = importlib.import_module("wordllama").WordLlama
    load, loads = word_llama.load, []
    barrier = Barrier(8)

    def counted(**options: Any) -> Any:
        loads.append(options)
        return load(**options)

    def embed(number: int) -> list[float]:
        barrier.wait(10)
        return query_of(CLASSES[number % 3]())(NEAR)

    monkeypatch.setattr(word_llama, "load", counted)
    with ThreadPoolExecutor(8) as threads:
        vectors = list(threads.map(embed, range(8)))
    assert len(loads) == 1
    assert vectors == [vectors[0]] * 8


def test_a_fork_while_it_is_being_loaded() -> None:
    """The child has the lock of a thread that it has not."""
    code = """
import os
from valkey_memory import LocalEmbedding
from valkey_memory._models import local

LocalEmbedding().embed_query("x")
local._lock.acquire()
if (child := os.fork()) == 0:
    os._exit(len(LocalEmbedding(64).embed_query("x")))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(code).split() == ["64"]


@each_class
def test_a_missing_extra_is_named(
    cls: Callable[..., Any], unloaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wordllama", None)
    model = cls()
    with pytest.raises(ConfigurationError, match=r"pip install 'valkey-glide-memory\[local\]'"):
        query_of(model)(NEAR)
    monkeypatch.undo()
    assert len(query_of(model)(NEAR)) == 256


def test_missing_weights_are_named(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(**_: Any) -> Any:
        raise FileNotFoundError("Weights file 'l2_supercat_256.safetensors' not found")

    monkeypatch.setattr(importlib.import_module("wordllama").WordLlama, "load", load)
    with pytest.raises(ConfigurationError, match="wordllama lacks its weights"):
        LocalEmbedding().embed_query(NEAR)


# Copies


@each_class
def test_copies_work_as_the_original(cls: Callable[..., Any]) -> None:
    model = cls(64)
    vector = query_of(model)(NEAR)
    pickled = pickle.dumps(model)
    assert len(pickled) < 2000
    assert b"._" not in pickled
    for other in (pickle.loads(pickled), copy.copy(model), copy.deepcopy(model)):  # noqa: S301
        assert type(other) is type(model)
        assert other.dimension == 64
        assert query_of(other)(NEAR) == vector


def test_its_repr_is_short() -> None:
    model = LocalEmbeddings(128)
    model.embed_query(NEAR)
    assert repr(model) == "LocalEmbeddings(dimension=128)"
    assert repr(LocalEmbedding()) == "LocalEmbedding(dimension=256)"
    assert len(repr(InLlamaIndex())) < 400


# Bad arguments


@each_class
@pytest.mark.parametrize("dimension", [0, -64, 512, 1024, 65, True, 256.0, "256", None])
def test_another_dimension_is_refused(cls: Callable[..., Any], dimension: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="64, 128 or 256") as caught:
        cls(dimension)
    assert str(caught.value).endswith(f"not {dimension!r}")


@pytest.mark.parametrize("text", [None, 3, b"bytes", ["a"], ("a", "b")])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a string"):
        LocalEmbedding().embed_query(text)
    with pytest.raises(InvalidArgumentError, match="must be a string"):
        LocalEmbedding().embed_documents([NEAR, text])


@pytest.mark.parametrize("texts", ["one text", None, 3])
def test_what_is_no_list_of_texts_is_refused(texts: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="must be a list of strings"):
        LocalEmbedding().embed_documents(texts)


def test_a_surrogate_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"valid Unicode, not '\\ud800'"):
        LocalEmbedding().embed_query("\ud800")


# Stores


def test_in_the_cores_index(url: str, prefix: str) -> None:
    index = TextIndex(LocalEmbedding(128), prefix.rstrip(":"), url=url, search="exact")
    index.add([NEAR, FAR, ""], ids=["near", "far", "empty"])
    hits = index.search(QUESTION, 3)
    assert hits[0].document.id == "near"
    scores = {hit.document.id: hit.score for hit in hits}
    assert scores["empty"] == pytest.approx(0, abs=1e-6)
    assert [hit.score for hit in index.search("", 3)] == pytest.approx([0, 0, 0], abs=1e-6)
    (stored,) = index.index.get(["near"], embeddings=True)
    assert stored is not None
    assert list(stored.embedding or ()) == LocalEmbedding(128).embed_query(NEAR)


def test_in_both_frameworks_stores(url: str, prefix: str) -> None:
    """What one stores the other finds, since the vectors are the same."""
    name = prefix.rstrip(":")
    chain = langchain_valkey_glide.ValkeyVectorStore(
        LocalEmbeddings(), name, url=url, search="exact"
    )
    chain.add_texts([NEAR, FAR], ids=["near", "far"])
    asyncio.run(chain.aadd_texts(["The cat sleeps."], ids=["cat"]))
    ((found, score),) = chain.similarity_search_with_score(QUESTION, k=1)
    assert (found.id, score > 0.3) == ("near", True)
    store = llama_index_valkey_glide.ValkeyVectorStore(f"{name}-nodes", url=url, search="exact")
    index = VectorStoreIndex(
        [TextNode(text=text) for text in (NEAR, FAR)],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=InLlamaIndex(),
    )
    (hit,) = index.as_retriever(similarity_top_k=1).retrieve(QUESTION)
    assert hit.text == NEAR
    assert hit.score == pytest.approx(score)
