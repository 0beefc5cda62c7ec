"""The rules of a reclaim run, as a DAG author or the trigger form gives them, made plain. A slip is an error, no release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow_provider_milvus.arguments import names, whole_number
from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

SMALLEST_BUDGET = 2**20
LONGEST_SPAN = timedelta(days=36_500)


def patterns(argument: str, value: Any) -> tuple[str, ...]:
    """One pattern or several; ``None`` is none."""
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        return ()
    if not isinstance(listed, Sequence):
        raise MilvusInvalidArgumentError(f"{argument} must be a pattern or a list of patterns, not {value!r}.")
    for each in listed:
        if not isinstance(each, str) or not each.strip():
            raise MilvusInvalidArgumentError(f"{argument} holds {each!r}, which is no pattern.")
        if each.lstrip().startswith("["):
            raise MilvusInvalidArgumentError(
                f"{argument} holds {each!r}: a list that became text. Set render_template_as_native_obj=True on the DAG."
            )
    return tuple(listed)


def databases(value: Any, own: str) -> list[str] | None:
    """The named ones, or else the connection's ``own``; ``None`` is all of them, asked for by ``"*"``."""
    if value is None or value == "":
        return [own]
    listed = patterns("databases", value)
    if "*" in listed:
        return None
    return list(dict.fromkeys(names("databases", listed)))


def span(argument: str, value: Any, *, above_zero: bool = True) -> timedelta | None:
    """A timedelta or an ISO 8601 duration."""
    import pendulum

    if value is None or value == "":
        return None
    length = value
    if isinstance(value, str):
        try:
            length = pendulum.parse(value)
        except (ValueError, OverflowError, TypeError, AttributeError):
            # The last three are what it has to say of too long a time and of intervals.
            length = None
    if not isinstance(length, timedelta):
        raise MilvusInvalidArgumentError(
            f"{argument} must be a timedelta or an ISO 8601 duration such as 'P7D', not {value!r}."
        )
    if length < timedelta(0):
        raise MilvusInvalidArgumentError(f"{argument} is negative: {value!r}.")
    if above_zero and not length:
        raise MilvusInvalidArgumentError(f"{argument} is zero: {value!r}.")
    if length > LONGEST_SPAN:
        raise MilvusInvalidArgumentError(f"{argument} is more than a hundred years: {value!r}.")
    return timedelta(seconds=length.total_seconds())


def zone(value: Any) -> Any:
    import pendulum

    try:
        # It takes a number for an offset, and has no words for None.
        return pendulum.timezone(value if isinstance(value, str) else "")
    except (ValueError, LookupError, OSError):
        raise MilvusInvalidArgumentError(f"timezone {value!r} is not a time zone such as 'Europe/Berlin'.") from None


def count(argument: str, value: Any) -> int | None:
    return None if value is None or value == "" else whole_number(argument, value, 1)


def flag(argument: str, value: Any) -> bool:
    """A template renders to text; anything but a clear yes or no is refused, for a slip would release for real."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "false": False}
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise MilvusInvalidArgumentError(f"{argument} must be true or false, not {value!r}.")


def budget(value: Any) -> int | float | None:
    """Bytes as an ``int``; a share of the query nodes' memory, between 0 and 1, as a ``float``."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    if value is None or value == "":
        return None
    wrong = MilvusInvalidArgumentError(
        f"memory_budget must be a size such as '64GiB' (bytes, 1 MiB at least) or a share such as '70%', not {value!r}."
    )
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            share = float(value.strip().removesuffix("%")) / 100
        except ValueError:
            raise wrong from None
        if not 0 < share < 1:
            raise wrong
        return share
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise wrong
    try:
        size = int(TypeAdapter(ByteSize).validate_python(value))
    except ValidationError:
        raise wrong from None
    # Below, somebody has forgotten the unit or the per cent sign, and it would release nearly everything.
    if size < SMALLEST_BUDGET:
        raise wrong
    return size
