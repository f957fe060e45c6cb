"""The offline model that tests and examples use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from .local import DIMENSION, WordLlamaEmbeddings

QUESTION = "How do I deploy my service?"
NEAR = "We deployed to ECS using a blue-green strategy"
FAR = "My favourite colour is green"

OFFLINE = f"""
import socket

def refuse(*_, **__):
    raise AssertionError("the network was used")

socket.socket.connect = socket.getaddrinfo = refuse
from tests.models.local import WordLlamaEmbeddings

print(len(WordLlamaEmbeddings().embed_query({QUESTION!r})))
"""


def similarity(one: list[float], other: list[float]) -> float:
    a, b = np.array(one), np.array(other)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_it_gives_lists_of_256_floats() -> None:
    vectors = WordLlamaEmbeddings().embed_documents([NEAR, FAR])
    assert [len(vector) for vector in vectors] == [DIMENSION, DIMENSION]
    assert all(type(number) is float for number in vectors[0])


async def test_all_four_methods_give_the_same_vector() -> None:
    model = WordLlamaEmbeddings()
    vector = model.embed_query(NEAR)
    np.testing.assert_allclose(model.embed_documents([NEAR])[0], vector, atol=1e-6)
    np.testing.assert_allclose(await model.aembed_query(NEAR), vector, atol=1e-6)
    (found,) = await model.aembed_documents([NEAR])
    np.testing.assert_allclose(found, vector, atol=1e-6)


def test_what_means_the_same_is_nearer() -> None:
    question, near, far = WordLlamaEmbeddings().embed_documents([QUESTION, NEAR, FAR])
    assert similarity(question, near) > 0.3
    assert similarity(question, far) < 0.15


def test_it_needs_no_network() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(DIMENSION)
