"""Values into a Milvus filter, without pasting: ``{name}`` becomes a literal that can only be a value.

This is done here and not by the server, whose own filter templates begin with Milvus 2.5, so it works on every server.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, time
from typing import Any

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError

_TOKENS = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<brace>\{\{|\}\})"""
    r"""|\{(?P<name>[A-Za-z_]\w*)\}"""
    r"""|(?P<stray>["'{}])""",
    re.DOTALL,
)
_JINJA = re.compile(r"\{\{\s*[A-Za-z_][\w.]*[^{}]*\}\}|\{%")
_BRACES = re.compile(r"\{\{|\}\}|[{}]")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
"""All that has to be escaped. Milvus Lite knows no others; other control characters may stand in a literal as they are."""


def render(template: str, params: Mapping[str, Any] | None = None) -> str:
    """``template`` with each ``{name}`` replaced by ``params[name]`` as a Milvus literal; ``{{`` and ``}}`` are braces.

    A value is a bool, an integer of 64 bits, a finite float, a string, a date or time (as ISO text), or a list, tuple or set of
    such. What is not known or not used is an error, so that a misspelt name cannot widen a filter.

    :raises MilvusInvalidArgumentError: a parameter is missing, not used, stands in quotes, or is no such value.
    """
    values = dict(params or {})
    if not isinstance(template, str):
        raise MilvusInvalidArgumentError(f"filter must be a string, not {type(template).__name__}.")
    if jinja := _JINJA.search(template):
        raise MilvusInvalidArgumentError(
            f"filter holds the template {jinja[0]}: pasting a value into a filter lets the value change what it means. "
            "Write {name} there, and put the value, which may be a template, into filter_params."
        )
    used: set[str] = set()

    def replaced(found: re.Match[str]) -> str:
        if (text := found["text"]) is not None:
            return _BRACES.sub(lambda brace: _literal_brace(brace[0], text), text)
        if found["brace"]:
            return found["brace"][0]
        if found["stray"]:
            raise MilvusInvalidArgumentError(
                f"filter has a single {found['stray']} at character {found.start() + 1}: "
                "a parameter is {name}, a brace is doubled, and quotes are closed."
            )
        name = found["name"]
        if name not in values:
            raise MilvusInvalidArgumentError(f"filter_params has no {name!r}, which the filter names.")
        used.add(name)
        return literal(values[name], name)

    rendered = _TOKENS.sub(replaced, template)
    if unused := sorted(values.keys() - used):
        raise MilvusInvalidArgumentError(f"filter_params has {', '.join(map(repr, unused))}, which the filter does not name.")
    return rendered


def literal(value: Any, name: str = "value") -> str:
    """One value as Milvus writes it.

    :raises MilvusInvalidArgumentError: Milvus has no literal for it; ``name`` says which value it was.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        each = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return f"[{', '.join(literal(one, name) for one in each)}]"
    if hasattr(value, "item") and hasattr(value, "dtype") and not getattr(value, "shape", ()):
        value = value.item()  # A scalar of NumPy.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise MilvusInvalidArgumentError(f"filter_params[{name!r}] does not fit into 64 bits: {value}.")
        return str(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise MilvusInvalidArgumentError(f"filter_params[{name!r}] is {value}; a filter compares with finite numbers.")
        return repr(float(value))
    if isinstance(value, (date, time)):
        value = value.isoformat()
    if isinstance(value, str):
        return _text(value, name)
    raise MilvusInvalidArgumentError(
        f"filter_params[{name!r}] is of type {type(value).__name__}: give a bool, a number, a string, a date, or a list."
    )


def _text(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MilvusInvalidArgumentError(f"filter_params[{name!r}] is no text that can be sent: {error.reason}.") from None
    return f'"{value.translate(_ESCAPES)}"'


def _literal_brace(brace: str, text: str) -> str:
    if len(brace) == 2:
        return brace[0]
    raise MilvusInvalidArgumentError(
        f"filter has a single {brace} in the quoted text {text}: leave the quotes around a parameter out, since a value gets "
        "its own; a brace that is meant as one is doubled."
    )
