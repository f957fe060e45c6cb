"""Which threshold to take, from labelled pairs."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from valkey_memory import (
    ConfigurationError,
    InvalidArgumentError,
    Thresholds,
    achoose_threshold,
    choose_threshold,
)

ANGLES = {"0": 0, "10": 10, "20": 20, "30": 30, "60": 60, "90": 90}


def on_circle(texts: list[str]) -> list[list[float]]:
    """A text is an angle in degrees."""
    return [[math.cos(math.radians(int(t))), math.sin(math.radians(int(t)))] for t in texts]


PAIRS = [
    ("0", "0", True),
    ("0", "10", True),
    ("0", "20", True),
    ("0", "60", True),
    ("0", "30", False),
    ("0", "90", False),
]


def test_the_lowest_threshold_without_false_hits_is_recommended() -> None:
    found = choose_threshold(PAIRS, on_circle, thresholds=[0.95, 0.4, 0.87, 0.9, 0.99])
    assert [row.threshold for row in found.rows] == [0.4, 0.87, 0.9, 0.95, 0.99]
    assert found.recommended == 0.87  # cos 30 is 0.866
    row = found.rows[1]
    assert (row.hits, row.false_hits, row.hit_rate, row.false_hit_rate) == (3, 0, 0.75, 0.0)
    row = found.rows[0]
    assert (row.hits, row.false_hits, row.hit_rate, row.false_hit_rate) == (4, 1, 1.0, 0.5)
    assert found.similarities[1] == pytest.approx(math.cos(math.radians(10)))


def test_false_hits_may_be_allowed() -> None:
    found = choose_threshold(PAIRS, on_circle, max_false_hit_rate=0.5)
    assert found.recommended == 0.5
    assert len(found.rows) == 51
    table = str(found).splitlines()
    assert len(table) == 52
    assert "<- recommended" in table[1]


def test_there_may_be_none() -> None:
    found = choose_threshold([("0", "10", True), ("0", "0", False)], on_circle)
    assert found.recommended is None
    assert "recommended" not in str(found)


def test_it_is_the_same_in_async_code() -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return on_circle(texts)

    found = asyncio.run(achoose_threshold(PAIRS, embed))
    assert isinstance(found, Thresholds)
    assert found == choose_threshold(PAIRS, on_circle)


def test_each_text_is_embedded_once() -> None:
    texts: list[str] = []

    def embed(batch: list[str]) -> list[list[float]]:
        texts.extend(batch)
        return on_circle(batch)

    choose_threshold(PAIRS, embed)
    assert sorted(texts) == sorted(ANGLES)


def test_a_zero_vector_is_near_nothing() -> None:
    found = choose_threshold(PAIRS, lambda texts: [[0.0, 0.0] for _ in texts])
    assert set(found.similarities) == {0.0}


@pytest.mark.parametrize(
    ("pairs", "options"),
    [
        ([], {}),
        ([("a", "b", True)], {}),
        ([("a", "b", False)], {}),
        ([("a", "b")], {}),
        ([("a", "b", 1), ("a", "b", 0)], {}),
        ([("a", 1, True), ("a", "b", False)], {}),
        (["abc"], {}),
        (PAIRS, {"thresholds": []}),
        (PAIRS, {"thresholds": [1.5]}),
        (PAIRS, {"max_false_hit_rate": 1.1}),
        (PAIRS, {"max_false_hit_rate": True}),
        (PAIRS, {"max_false_hit_rate": "0.1"}),
        (PAIRS, {"max_false_hit_rate": None}),
        (PAIRS, {"max_false_hit_rate": float("nan")}),
    ],
)
def test_arguments_that_cannot_be_are_refused(pairs: Any, options: dict[str, Any]) -> None:
    with pytest.raises((InvalidArgumentError, ConfigurationError)):
        choose_threshold(pairs, on_circle, **options)
