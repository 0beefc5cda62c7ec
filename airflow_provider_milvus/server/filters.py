"""Values in a Milvus filter: ``{name}`` becomes a literal, so that a value can never change what the filter means.

It is done here, since only servers from Milvus 2.5 on have filter templates of their own.
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
"""All that has to be escaped: Milvus Lite knows no other escapes. Other control characters may stand in a literal."""


def render(template: str, params: Mapping[str, Any] | None = None) -> str:
    """``template`` with each ``{name}`` replaced by ``params[name]`` as a Milvus literal; ``{{`` and ``}}`` are braces.

    A value is a bool, an integer of 64 bits, a finite float, a string, a date or time (it becomes ISO text), or a list, tuple
    or set of these. An unknown or unused name is an error, so that a misspelt name cannot widen a filter.

    :raises MilvusInvalidArgumentError: a parameter is missing, unused, in quotes, or of another type.
    """
    values = dict(params or {})
    if not isinstance(template, str):
        raise MilvusInvalidArgumentError(f"filter must be a string, not {type(template).__name__}.")
    if jinja := _JINJA.search(template):
        raise MilvusInvalidArgumentError(
            f"filter holds the template {jinja[0]}: a value that is pasted into a filter can change what the filter means. "
            "Write {name} there, and put the value, which may be a template, into filter_params."
        )
    used: set[str] = set()

    def render_token(token: re.Match[str]) -> str:
        if (text := token["text"]) is not None:
            return _BRACES.sub(lambda brace: _unescape_brace(brace[0], text), text)
        if token["brace"]:
            return token["brace"][0]
        if token["stray"]:
            raise MilvusInvalidArgumentError(
                f"filter has a single {token['stray']} at character {token.start() + 1}: "
                "write a parameter as {name}, double a brace, and close quotes."
            )
        name = token["name"]
        if name not in values:
            raise MilvusInvalidArgumentError(f"filter_params has no {name!r}, which the filter names.")
        used.add(name)
        return to_literal(values[name], name)

    rendered = _TOKENS.sub(render_token, template)
    if unused := sorted(values.keys() - used):
        raise MilvusInvalidArgumentError(f"filter_params has {', '.join(map(repr, unused))}, which the filter does not name.")
    return rendered


def to_literal(value: Any, name: str = "value") -> str:
    """A value as a Milvus literal; ``name`` is its name in an error.

    :raises MilvusInvalidArgumentError: Milvus has no literal for it.
    """
    if isinstance(value, (list, tuple, set, frozenset)):
        members = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return f"[{', '.join(to_literal(member, name) for member in members)}]"
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
        return _quote(value, name)
    raise MilvusInvalidArgumentError(
        f"filter_params[{name!r}] is of type {type(value).__name__}: give a bool, a number, a string, a date, or a list."
    )


def _quote(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MilvusInvalidArgumentError(f"filter_params[{name!r}] is text that cannot be sent: {error.reason}.") from None
    return f'"{value.translate(_ESCAPES)}"'


def _unescape_brace(brace: str, text: str) -> str:
    if len(brace) == 2:
        return brace[0]
    raise MilvusInvalidArgumentError(
        f"filter has a single {brace} in the quoted text {text}: leave the quotes around a parameter out, since a value gets "
        "its own; double a brace that is meant as a brace."
    )
