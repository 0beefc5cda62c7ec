"""Numbers as servers tell them. What cannot be is not believed: it is unknown, which is ``None``, and never an error."""

from __future__ import annotations

import math
from typing import Any

MOST = 2**53
"""The greatest count that is believed, of rows, bytes or attempts: above it a float does not count one by one."""


def read_number(value: Any, most: float = MOST) -> float | None:
    """A finite number from 0 to ``most``, which may be text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and 0 <= number <= most else None


def read_whole_number(value: Any, most: int = MOST) -> int | None:
    """A whole number from 0 to ``most``, which may be text."""
    number = read_number(value, most)
    return int(number) if number is not None and number.is_integer() else None


def read_percent(value: Any) -> int | None:
    """A progress in per cent, from 0 to 100."""
    number = read_number(value, 100)
    return None if number is None else int(number)
