"""Checks of what a DAG author passes in. Each refusal names the argument, before anything is sent to the server."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_NAME = 255
"""Milvus's ``proxy.maxNameLength``."""


def name(argument: str, value: Any) -> str:
    """A name as Milvus accepts it: letters, digits and underscores, not beginning with a digit, at most 255 characters."""
    if not isinstance(value, str):
        raise MilvusInvalidArgumentError(f"{argument} must be a string, not {type(value).__name__}.")
    if not value.strip():
        raise MilvusInvalidArgumentError(f"{argument} is empty.")
    if len(value) > LONGEST_NAME:
        raise MilvusInvalidArgumentError(
            f"{argument} has {len(value)} characters; Milvus allows {LONGEST_NAME}: {value[:40]!r}…"
        )
    if not _NAME.fullmatch(value):
        hint = " For another database, set `database`." if "." in value else ""
        raise MilvusInvalidArgumentError(
            f"{argument} {value!r} is not a Milvus name: ASCII letters, digits and underscores, "
            f"beginning with a letter or an underscore.{hint}"
        )
    return value


def names(argument: str, value: Any) -> list[str]:
    """One or more names; a single string is one name."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [name(argument, value)]
    checked = [name(f"{argument}[{position}]", each) for position, each in enumerate(value)]
    if not checked:
        raise MilvusInvalidArgumentError(f"{argument} is empty: name at least one.")
    return checked


def seconds(argument: str, value: Any) -> float:
    """A positive, finite number of seconds, or a timedelta."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MilvusInvalidArgumentError(f"{argument} must be a number of seconds, not {type(value).__name__} {value!r}.")
    if not math.isfinite(value) or value <= 0:
        raise MilvusInvalidArgumentError(f"{argument} must be more than 0 seconds, not {value!r}.")
    return float(value)


def optional_seconds(argument: str, value: Any) -> float | None:
    return None if value is None else seconds(argument, value)


def whole_number(argument: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """A whole number in these bounds, also one that a template made text of."""
    said = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(said, bool) or not isinstance(said, int) or said < least or (most is not None and said > most):
        bounds = f"{least} on" if most is None else f"{least} to {most}"
        raise MilvusInvalidArgumentError(f"{argument} must be a whole number from {bounds}, not {value!r}.")
    return said


def one_of(argument: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise MilvusInvalidArgumentError(f"{argument} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
    return str(value)
