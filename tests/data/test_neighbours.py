"""Neighbours: all products where that is cheaper, a graph where it is not, and the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from noria.data import neighbours
from noria.data.neighbours import Neighbours, candidate_pairs


def unit_vectors(count: int, size: int = 32) -> np.ndarray:
    drawn = np.random.default_rng(5).normal(size=(count, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_a_few_thousand_are_compared_exactly() -> None:
    vectors = unit_vectors(1500)  # more than are compared at once
    expected = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")[:, :7]
    found = Neighbours(vectors).of(vectors, 7)
    assert (found[:, 0] == np.arange(1500)).all()
    assert np.mean(np.sort(found) == np.sort(expected)) > 0.999  # but for ties of rounding


def test_the_graph_answers_as_all_products_do(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit_vectors(800)
    exact = Neighbours(vectors).of(vectors, 5)
    monkeypatch.setattr(neighbours, "EXACT", 100)
    graph = Neighbours(vectors).of(vectors, 5)
    assert np.mean(exact == graph) > 0.98
    np.testing.assert_array_equal(graph, Neighbours(vectors).of(vectors, 5))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_vectors_than_are_asked_for(count: int) -> None:
    vectors = unit_vectors(count)
    assert Neighbours(vectors).of(vectors, 9).shape == (count, count)
    assert candidate_pairs(Neighbours(vectors), vectors, 9).tolist() == [
        [first, second] for first in range(count) for second in range(first + 1, count)
    ]


@pytest.mark.parametrize("exact", [10, 10_000])
@pytest.mark.parametrize("queries", [0, 1, 2])
def test_few_queries(queries: int, exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT", exact)
    vectors = unit_vectors(300)
    found = Neighbours(vectors).of(vectors[:queries], 5)
    assert found.shape == (queries, 5)
    assert found[:, 0].tolist() == list(range(queries))
