"""One column of checked rows, in the form in which the protocol carries it, and how a value is refused."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress
from numbers import Real
from typing import Any

import numpy


class BadValue(ValueError):  # noqa: N818 - it never leaves this package: it becomes a BadRow
    """A value that the field cannot hold; its text is the reason."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of the rows that have one, and the bytes that each takes on the wire.

    ``values`` is a NumPy array (numbers, dense vectors) or a list (texts as ``str``, JSON and sparse vectors as ``bytes``,
    arrays as lists). ``sizes`` is an array with one number for each value, or a single number for all values. ``valid`` is
    ``None`` where the field takes no null; otherwise it is an array that has True for each row with a value.
    """

    values: Any
    sizes: Any
    valid: Any = None

    def where(self, keep: Any) -> Column:
        """Only the rows for which ``keep``, an array of booleans, is true."""
        kept = keep if self.valid is None else keep[self.valid]
        values = self.values[kept] if not isinstance(self.values, list) else list(compress(self.values, kept.tolist()))
        sizes = self.sizes if isinstance(self.sizes, int) else self.sizes[kept]
        return Column(values, sizes, None if self.valid is None else self.valid[keep])

    def part(self, first: int, end: int) -> Column:
        """Only the rows from ``first`` to before ``end``."""
        before, after = first, end
        if self.valid is not None:
            before, after = (int(self.valid[:at].sum()) for at in (first, end))
        sizes = self.sizes if isinstance(self.sizes, int) else self.sizes[before:after]
        return Column(self.values[before:after], sizes, None if self.valid is None else self.valid[first:end])

    def row_sizes(self, rows: int) -> Any:
        """The bytes of each row. A field that may be null takes one more byte in each row, which tells whether it is."""
        if self.valid is None:
            return self.sizes
        sizes = numpy.ones(rows, dtype=numpy.int64)
        sizes[self.valid] += self.sizes
        return sizes


def listed(values: Any) -> list[Any]:
    """The values of a column as a list of Python's own. Dense vectors are none."""
    return values if isinstance(values, list) else list(values.tolist())


Reasons = dict[int, str]
"""Why values are bad, by their position in the column."""


def convert_each(values: Iterable[Any], convert: Callable[[Any], Any], stand_in: Any) -> tuple[list[Any], Reasons]:
    """Convert value by value, to find the bad ones; ``stand_in`` takes the place of each bad value."""
    converted: list[Any] = []
    reasons: Reasons = {}
    for position, value in enumerate(values):
        try:
            converted.append(convert(value))
        except BadValue as error:
            reasons[position] = str(error)
            converted.append(stand_in)
    return converted, reasons


def is_number(value: Any) -> bool:
    """Whether it is a number, of Python or of NumPy. A boolean is none, nor is a span of time, which NumPy calls an integer."""
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | numpy.bool_ | numpy.timedelta64)


def may_be_rounded(value: Any) -> bool:
    """Whether it is a float that is so large that other whole numbers are the same float."""
    is_float = isinstance(value, float | numpy.floating)
    return is_float and 2 ** (numpy.finfo(type(value)).nmant + 1) <= abs(value) < math.inf


def as_float(value: Any) -> float:
    """Any number as a float: infinite if it is too large for a float, NaN if it is a decimal's signalling NaN."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return math.nan


def shorten(value: Any) -> str:
    """A value as a reason quotes it: short, however large the value is."""
    return reprlib.repr(value)


def wrong_type(expected: str, value: Any, hint: str = "") -> BadValue:
    """The error for a value of the wrong type."""
    quoted = "None" if value is None else f"{shorten(value)} ({type(value).__name__})"
    return BadValue(f"{quoted} is not {expected}{hint}")
