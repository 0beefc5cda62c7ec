"""One column of checked rows, in the form in which the protocol carries it, and how a value is refused."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


class Refused(ValueError):  # noqa: N818 - it never leaves this package: it becomes a BadRow
    """A value that the field cannot take; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of the rows that have one, and how many bytes each takes on the wire.

    ``values`` is a NumPy array (numbers, dense vectors) or a list (texts as ``str``, JSON and sparse vectors as ``bytes``,
    arrays as lists). ``sizes`` is an array with one number for each value, or one number for all. ``valid`` is ``None`` where
    the field takes no null, and else an array that says of each row whether it has a value.
    """

    values: Any
    sizes: Any
    valid: Any = None

    def where(self, keep: Any) -> Column:
        """Only the rows for which ``keep``, an array of booleans, is true."""
        those = keep if self.valid is None else keep[self.valid]
        values = self.values[those] if not isinstance(self.values, list) else _picked(self.values, those)
        sizes = self.sizes if isinstance(self.sizes, int) else self.sizes[those]
        return Column(values, sizes, None if self.valid is None else self.valid[keep])

    def row_sizes(self, rows: int) -> Any:
        """Bytes of each row, with the one that says whether it has a value where it may have none."""
        import numpy

        if self.valid is None:
            return self.sizes
        spread = numpy.ones(rows, dtype=numpy.int64)
        spread[self.valid] += self.sizes
        return spread


def _picked(values: list[Any], those: Any) -> list[Any]:
    return [value for value, kept in zip(values, those.tolist(), strict=True) if kept]


Reasons = dict[int, str]
"""Why values are refused, by their place in the column."""


def one_by_one(values: Iterable[Any], convert: Callable[[Any], Any], otherwise: Any) -> tuple[list[Any], Reasons]:
    """Convert value by value, to find the culprits; ``otherwise`` stands in the place of each."""
    converted: list[Any] = []
    reasons: Reasons = {}
    for at, value in enumerate(values):
        try:
            converted.append(convert(value))
        except Refused as refused:
            reasons[at] = str(refused)
            converted.append(otherwise)
    return converted, reasons


def as_float(value: Any) -> float:
    """Any number as a float: infinite if it is too large for one, NaN if it is a decimal's."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


def shown(value: Any) -> str:
    """A value as a reason quotes it: short, however large it is."""
    return reprlib.repr(value)


def not_a(wanted: str, value: Any) -> Refused:
    """The refusal of a value of the wrong type."""
    return Refused(f"None is not {wanted}" if value is None else f"{shown(value)} ({type(value).__name__}) is not {wanted}")
