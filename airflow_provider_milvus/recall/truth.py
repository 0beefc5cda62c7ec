"""The true nearest neighbours, by brute force over pages of vectors, and the share of them that a search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

METRICS = ("L2", "IP", "COSINE", "HAMMING", "JACCARD")
"""The metrics that brute force is written for."""

ROUNDING = 1e-5
"""The relative difference up to which two distances are equal: servers compute with 32 bits, this with 64."""


class Truth:
    """Gets every vector of a collection, page by page, and keeps ``k`` distances for each query.

    ``own`` are the queries' keys if they are rows themselves: a row is not its own neighbour. ``answers`` are the keys that
    their searches found. An answer is right if its distance, computed here, is at most that of the k-th nearest row: of several
    rows at the same distance a search may find any.
    """

    def __init__(
        self, queries: Numbers, own: Sequence[int | str | None], answers: Sequence[Sequence[int | str]], *, metric: str, k: int
    ) -> None:
        self.rows = 0
        self._queries, self._metric, self._k = queries, metric, k
        self._squares = (queries * queries).sum(axis=1)
        self._own = own
        self._answers = [
            list(dict.fromkeys(key for key in keys if key != mine))[:k] for keys, mine in zip(answers, own, strict=True)
        ]
        self._nearest = np.full((len(queries), k), np.inf)
        self._distances: list[dict[int | str, float]] = [{} for _ in answers]

    def add(self, keys: Sequence[int | str], vectors: Numbers) -> None:
        """Take in some rows of the collection; every row must come once."""
        self.rows += len(keys)
        distances = self._distances_to(vectors)
        position = {key: number for number, key in enumerate(keys)}
        for query, (mine, answers) in enumerate(zip(self._own, self._answers, strict=True)):
            if mine in position:
                distances[query, position[mine]] = np.inf
            for key in answers:
                if key in position:
                    self._distances[query][key] = float(distances[query, position[key]])
        candidates = np.concatenate([self._nearest, distances], axis=1)
        self._nearest = np.partition(candidates, self._k - 1, axis=1)[:, : self._k]

    def recalls(self) -> list[float | None]:
        """For each query the share of its ``k`` nearest rows that the search found; ``None`` if there is no other row."""
        shares: list[float | None] = []
        for query, distances in enumerate(self._distances):
            nearest = self._nearest[query][np.isfinite(self._nearest[query])]
            if not len(nearest):
                shares.append(None)
                continue
            farthest = float(nearest.max())
            scale = float(self._squares[query]) if self._metric in ("L2", "IP") else 1.0
            limit = farthest + ROUNDING * (scale + abs(farthest))
            shares.append(min(1.0, sum(distance <= limit for distance in distances.values()) / len(nearest)))
        return shares

    def _distances_to(self, vectors: Numbers) -> Numbers:
        """The distance of every vector from every query, by the index's metric: the smaller, the nearer."""
        inner: Numbers = self._queries @ vectors.T
        if self._metric == "IP":
            return -inner
        squares = (vectors * vectors).sum(axis=1)
        both: Numbers = self._squares[:, None] + squares
        if self._metric == "COSINE":
            lengths = np.sqrt(self._squares[:, None] * squares)
            cosines: Numbers = np.divide(inner, lengths, out=np.zeros_like(inner), where=lengths > 0)
            return -cosines
        if self._metric == "JACCARD":
            union = both - inner
            shared: Numbers = np.divide(inner, union, out=np.ones_like(inner), where=union > 0)
            return 1 - shared
        # For bits this is the Hamming distance.
        squared: Numbers = both - 2 * inner
        return squared


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles of some durations, in milliseconds."""
    values = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99))
    return {name: round(float(value), 2) for name, value in zip(("p50_ms", "p95_ms", "p99_ms"), values, strict=True)}
