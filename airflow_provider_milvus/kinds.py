"""The kinds of arguments: what each accepts, and what an operator gets of it.

A check takes an argument's name and its value, and returns the value as the operator uses it, or raises
:class:`MilvusInvalidArgumentError` with a sentence that begins with the name. It takes what it returns as well, since Airflow
assigns a rendered field once more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta, tzinfo
from os import PathLike
from typing import Any, TypeVar

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

T = TypeVar("T")
Check = Callable[[str, Any], T]

_EMPTY_TEXT = ("", "None", "[]", "{}", "()")
"""What a template makes of nothing, where the DAG does not render native objects."""


def is_nothing(value: Any) -> bool:
    """Whether a value is one that a template, an XCom or a form gives for nothing."""
    if isinstance(value, str):
        return value.strip() in _EMPTY_TEXT
    return value is None or (isinstance(value, (list, tuple, set, frozenset, dict)) and not value)


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_NAME = 255
"""Milvus's ``proxy.maxNameLength``."""
LARGEST_DIM = 32768
"""Milvus's ``proxy.maxDimension``."""


def check_name(argument: str, value: Any) -> str:
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
        hint = " For another database, set `database`." if "." in value else _as_list(value)
        raise MilvusInvalidArgumentError(
            f"{argument} {value!r} is not a Milvus name: ASCII letters, digits and underscores, "
            f"beginning with a letter or an underscore.{hint}"
        )
    return value


def check_field_name(argument: str, value: Any) -> str:
    """A field's name, or that of a field in an array of structs: ``chapters[meaning]``."""
    outer, bracket, inner = value.partition("[") if isinstance(value, str) else (value, "", "")
    check_name(argument, outer)
    if bracket:
        check_name(argument, inner.removesuffix("]"))
    return check_name(argument, value) if bracket and not inner.endswith("]") else str(value)


def check_names(argument: str, value: Any) -> list[str]:
    """One or more names; a single string is one name."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return [check_name(argument, value)]
    checked = [check_name(f"{argument}[{position}]", name) for position, name in enumerate(value)]
    if not checked:
        raise MilvusInvalidArgumentError(f"{argument} is empty: name at least one.")
    return checked


def check_patterns(argument: str, value: Any) -> tuple[str, ...]:
    """One pattern of names, such as ``"events_*"``, or several."""
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, Sequence):
        raise MilvusInvalidArgumentError(f"{argument} must be a pattern or a list of patterns, not {value!r}.")
    for pattern in patterns:
        if not isinstance(pattern, str) or is_nothing(pattern):
            raise MilvusInvalidArgumentError(f"{argument} holds {pattern!r}, which is not a pattern.")
        if pattern.lstrip().startswith("[") and pattern.rstrip().endswith("]"):
            raise MilvusInvalidArgumentError(
                f"{argument} holds {pattern!r}: a list that became text. Set render_template_as_native_obj=True on the DAG."
            )
        if "," in pattern:
            raise MilvusInvalidArgumentError(f"{argument} holds {pattern!r}, which no name matches.{_as_list(pattern)}")
    return tuple(patterns)


def check_databases(argument: str, value: Any) -> list[str]:
    """One or several databases; ``"*"`` for all."""
    patterns = check_patterns(argument, value)
    return ["*"] if "*" in patterns else list(dict.fromkeys(check_names(argument, patterns)))


def check_seconds(argument: str, value: Any) -> float:
    """A positive, finite number of seconds, or a timedelta."""
    number = value.total_seconds() if isinstance(value, timedelta) else _number(value)
    if number is None:
        raise MilvusInvalidArgumentError(f"{argument} must be a number of seconds, not {type(value).__name__} {value!r}.")
    if not math.isfinite(number) or number <= 0:
        raise MilvusInvalidArgumentError(f"{argument} must be more than 0 seconds, not {value!r}.")
    return number


def check_flag(argument: str, value: Any) -> bool:
    """True or false, also as a template's text. Nothing else: the truth of other values would allow by a slip."""
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise MilvusInvalidArgumentError(f"{argument} must be true or false, not {value!r}.")


def check_whole_number(argument: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """A whole number in these bounds, also one that a template made text of."""
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or number < least or (most is not None and number > most):
        bounds = f"{least} on" if most is None else f"{least} to {most}"
        raise MilvusInvalidArgumentError(f"{argument} must be a whole number from {bounds}, not {value!r}.")
    return number


def whole_number(least: int = 0, most: int | None = None) -> Check[int]:
    """The kind of :func:`check_whole_number`."""
    return lambda argument, value: check_whole_number(argument, value, least, most)


def check_number(argument: str, value: Any, most: float = math.inf) -> float:
    """A number from 0 on, also one that a template made text of."""
    number = _number(value)
    if number is None or not 0 <= number <= most:
        limit = f" to {most:g}" if most < math.inf else " on"
        raise MilvusInvalidArgumentError(f"{argument} must be a number from 0{limit}, not {value!r}.")
    return number


def number(most: float = math.inf) -> Check[float]:
    """The kind of :func:`check_number`."""
    return lambda argument, value: check_number(argument, value, most)


def check_percent(argument: str, value: Any) -> float:
    """More than 0 and at most 100."""
    number = _number(value)
    if number is None or not 0 < number <= 100:
        raise MilvusInvalidArgumentError(f"{argument} must be more than 0 and at most 100, not {value!r}.")
    return number


def check_one_of(argument: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise MilvusInvalidArgumentError(f"{argument} must be one of {', '.join(map(repr, allowed))}, not {value!r}.")
    return str(value)


def one_of(*allowed: str) -> Check[str]:
    """The kind of :func:`check_one_of`."""
    return lambda argument, value: check_one_of(argument, value, allowed)


def check_text(argument: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise MilvusInvalidArgumentError(f"{argument} must be a text, not {value!r}.")
    return value


def check_mapping(argument: str, value: Any) -> dict[str, Any]:
    """A dict with text for keys."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        native = " From a template it needs render_template_as_native_obj=True on the DAG." if isinstance(value, str) else ""
        raise MilvusInvalidArgumentError(f"{argument} must be a dict, not {value!r}.{native}")
    return dict(value)


def check_columns(argument: str, value: Any) -> dict[str, str]:
    """The source column of each field."""
    columns = check_mapping(argument, value)
    return {name: check_text(f"{argument}[{name!r}]", column) for name, column in columns.items()}


def take_any(argument: str, value: Any) -> Any:
    """The kind of an argument whose own reader checks it. The text of an empty list is an empty list."""
    return [] if is_nothing(value) else value


LONGEST_SPAN = timedelta(days=36_500)


def check_span(argument: str, value: Any, *, above_zero: bool = True) -> timedelta:
    """A timedelta or an ISO 8601 duration."""
    import pendulum

    length = value
    if isinstance(value, str):
        try:
            # It takes "PT" for no time at all.
            length = pendulum.parse(value) if any(map(str.isdigit, value)) else None
        except (ValueError, OverflowError, TypeError, AttributeError):
            # The last three are what it raises for too long a time and for intervals.
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


def check_age(argument: str, value: Any) -> timedelta:
    """A span, or none: what is older than no time at all is everything that is dated before now."""
    return check_span(argument, value, above_zero=False)


def check_timezone(argument: str, value: Any) -> Any:
    import pendulum

    if isinstance(value, tzinfo):
        return value
    try:
        # It takes a number for an offset.
        return pendulum.timezone(check_text(argument, value))
    except (ValueError, LookupError, OSError):
        raise MilvusInvalidArgumentError(f"{argument} {value!r} is not a time zone such as 'Europe/Berlin'.") from None


SMALLEST_BUDGET = 2**20


class Share(float):
    """A share of something, between 0 and 1."""


def _share(value: Any) -> Share | None:
    """A share such as ``"70%"``; ``None`` of any other value."""
    if isinstance(value, Share):
        return value
    share = _number(value.strip().removesuffix("%")) if isinstance(value, str) and value.strip().endswith("%") else None
    return None if share is None or not 0 < share < 100 else Share(share / 100)


def check_rows_or_share(argument: str, value: Any) -> int | Share:
    """A number of rows from 0 on, or a share of them such as ``"10%"``."""
    if (share := _share(value)) is not None:
        return share
    if isinstance(value, str) and "%" in value:
        raise MilvusInvalidArgumentError(f"{argument} must be a number of rows or a share such as '10%', not {value!r}.")
    return check_whole_number(argument, value)


def check_size(argument: str, value: Any) -> int | Share:
    """Bytes, or a share such as ``"70%"``."""
    from pydantic import ByteSize, TypeAdapter, ValidationError

    if (share := _share(value)) is not None:
        return share
    wrong = MilvusInvalidArgumentError(
        f"{argument} must be a size such as '64GiB' (bytes, 1 MiB at least) or a share such as '70%', not {value!r}."
    )
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


def check_on_bad_row(argument: str, value: Any) -> Any:
    """``"fail"``, ``"skip"``, or the path of a ``.jsonl`` file."""
    if value in ("fail", "skip") or isinstance(value, PathLike) or (isinstance(value, str) and value.endswith(".jsonl")):
        return value
    raise MilvusInvalidArgumentError(f"{argument} must be 'fail', 'skip', or a path that ends in .jsonl, not {value!r}.")


def check_keys(argument: str, value: Any) -> list[Any]:
    """One or more primary keys, also as the text of a list."""
    value = read_list(value)
    return list(value) if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)) else [value]


def check_filter(argument: str, value: Any) -> str:
    """A Milvus expression. It is never a template: a rendered value could change what it means."""
    if not isinstance(value, str):
        raise MilvusInvalidArgumentError(f"{argument} must be a Milvus expression, not {value!r}.")
    return value


def check_files(argument: str, value: Any) -> Any:
    """One path, a list of paths, a list of lists, or what ``MilvusPrepareImportOperator`` returned; also as text."""
    value = read_list(value)
    if not isinstance(value, Mapping):
        read_files(argument, value)
    return value


def read_files(argument: str, value: Any, *, as_urls: bool = False) -> list[list[str]]:
    """A list of lists of paths: each inner one is a file, or the NumPy files of the same rows.

    :param as_urls: of the results of ``MilvusPrepareImportOperator`` take the files' URLs.
    """
    if isinstance(value, Mapping):
        value = value.get("urls" if as_urls else "files")
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, Sequence):
        raise MilvusInvalidArgumentError(f"{argument} must name files, not {value!r}.")
    groups: list[Any] = []
    for group in value:
        if isinstance(group, Mapping):
            groups += read_files(argument, group, as_urls=as_urls)
        else:
            groups.append([group] if isinstance(group, str) else group)
    for position, group in enumerate(groups):
        if not isinstance(group, Sequence) or not group or not all(isinstance(path, str) and path.strip() for path in group):
            raise MilvusInvalidArgumentError(f"{argument}[{position}] must be a path, or a list of paths, not {group!r}.")
    return [list(group) for group in groups]


def check_job_ids(argument: str, value: Any) -> list[str]:
    """One id, or several, also as the text of a list."""
    value = read_list(value)
    given = value if isinstance(value, (list, tuple)) else [value]
    ids = [str(item).strip() for item in given if isinstance(item, (str, int)) and not isinstance(item, bool)]
    if not ids or len(ids) != len(given) or not all(ids):
        raise MilvusInvalidArgumentError(f"{argument} must be the id of an import job, or a list of ids, not {value!r}.")
    return ids


def check_keys_of_properties(argument: str, value: Any) -> list[str]:
    keys = [value] if isinstance(value, str) else value
    if not isinstance(keys, Sequence) or not all(isinstance(key, str) and key.strip() for key in keys):
        raise MilvusInvalidArgumentError(f"{argument} must be a key, or a list of keys, not {value!r}.")
    return list(keys)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _as_list(text: str) -> str:
    """How to write as a list what looks like one."""
    parts = [part.strip() for part in text.split(",")]
    return f" Write a list: {parts!r}." if len(parts) > 1 else ""


def read_list(text: Any) -> Any:
    """What a template that renders no native objects made text of; anything else is itself."""
    import ast
    import json

    if not isinstance(text, str) or not text.strip().startswith(("[", "{")):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text.strip())
        except (ValueError, SyntaxError):
            continue
    return text
