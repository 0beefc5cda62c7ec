"""Rows as an operator's argument: paths and another task's output are templates, anything else is left as it is."""

from __future__ import annotations

from typing import Any


class AsGiven:
    """Rows that Airflow's templates leave alone: text in them is data, and rendering would copy them all."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __repr__(self) -> str:
        """What the web UI shows; the same at each parse, and no row."""
        return f"{getattr(self.rows, '__qualname__', type(self.rows).__name__)}, as given in the DAG"


def kept(rows: Any) -> Any:
    """``rows`` as an operator keeps them."""
    first = next(iter(rows), None) if isinstance(rows, (list, tuple)) else rows
    is_template = isinstance(first, str) or hasattr(rows, "iter_references")
    return rows if is_template else AsGiven(rows)


def given(rows: Any) -> Any:
    """What :func:`kept` was given, with its templates rendered."""
    return rows.rows if isinstance(rows, AsGiven) else rows
