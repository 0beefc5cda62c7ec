"""The protocol's key-value pairs, in which it carries properties, parameters and options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def to_text(value: Any) -> str:
    """A value as the protocol carries it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def to_pairs(mapping: Mapping[str, Any]) -> list[dict[str, str]]:
    """A mapping as the key-value pairs of a request; its values become text, see :func:`to_text`."""
    return [{"key": key, "value": to_text(value)} for key, value in mapping.items()]


def from_pairs(pairs: Iterable[Any]) -> dict[str, str]:
    """The key-value pairs of an answer as a dict."""
    return {str(pair.key): str(pair.value) for pair in pairs}
