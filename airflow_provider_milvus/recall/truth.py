"""The true nearest neighbours, by brute force over pages of vectors, and what share of them a search found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, Any]

METRICS = ("L2", "IP", "COSINE", "HAMMING", "JACCARD")
"""Those that brute force is written for."""

ROUNDING = 1e-5
"""A server computes with 32 bits, this with 64: what is so much farther than the k-th neighbour, in proportion, is a tie."""


class Truth:
    """Given every vector of a collection, page by page; holds ``k`` distances for each query and nothing else.

    ``own`` is the key of a query that is itself a row, which is no neighbour of its own; ``found`` are the keys that its search
    answered. Whether a found row is one of the ``k`` nearest is decided by its distance, computed here and not taken from the
    search: a row as near as the k-th is right, whichever of several equals the search has picked.
    """

    def __init__(
        self, queries: Numbers, own: Sequence[int | str | None], found: Sequence[Sequence[int | str]], *, metric: str, k: int
    ) -> None:
        import numpy as np

        self.rows = 0
        self._queries, self._metric, self._k = queries, metric, k
        self._squares = (queries * queries).sum(axis=1)
        self._own = own
        self._found = [
            list(dict.fromkeys(key for key in keys if key != mine))[:k] for keys, mine in zip(found, own, strict=True)
        ]
        self._nearest = np.full((len(queries), k), np.inf)
        self._distances: list[dict[int | str, float]] = [{} for _ in found]

    def add(self, keys: Sequence[int | str], vectors: Numbers) -> None:
        """Some more rows of the collection, each of which is given once."""
        import numpy as np

        self.rows += len(keys)
        distances = self._away(vectors)
        at = {key: position for position, key in enumerate(keys)}
        for query, (mine, found) in enumerate(zip(self._own, self._found, strict=True)):
            if mine in at:
                distances[query, at[mine]] = np.inf
            for key in found:
                if key in at:
                    self._distances[query][key] = float(distances[query, at[key]])
        candidates = np.concatenate([self._nearest, distances], axis=1)
        self._nearest = np.partition(candidates, self._k - 1, axis=1)[:, : self._k]

    def recalls(self) -> list[float | None]:
        """For each query the share of its ``k`` nearest that the search found; ``None`` where there is no other row at all."""
        import numpy as np

        shares: list[float | None] = []
        for query, found in enumerate(self._distances):
            nearest = self._nearest[query][np.isfinite(self._nearest[query])]
            if not len(nearest):
                shares.append(None)
                continue
            farthest = float(nearest.max())
            scale = float(self._squares[query]) if self._metric in ("L2", "IP") else 1.0
            limit = farthest + ROUNDING * (scale + abs(farthest))
            shares.append(min(1.0, sum(each <= limit for each in found.values()) / len(nearest)))
        return shares

    def _away(self, vectors: Numbers) -> Numbers:
        """How far each vector is from each query, by the metric of the index: the smaller, the nearer."""
        import numpy as np

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
        # Of bits it is the Hamming distance.
        squared: Numbers = both - 2 * inner
        return squared


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    import numpy as np

    found = np.percentile(np.asarray(seconds) * 1000, (50, 95, 99))
    return {name: round(float(value), 2) for name, value in zip(("p50_ms", "p95_ms", "p99_ms"), found, strict=True)}
