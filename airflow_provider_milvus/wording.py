"""Durations, sizes and addresses, as messages show them."""

from __future__ import annotations

import re
from datetime import timedelta


def in_words(span: timedelta) -> str:
    """A duration in its two largest units, rounded down: ``7 days``, ``1 day 3 h``, ``1 min 30 s``."""
    total = max(int(span.total_seconds()), 0)
    parts = []
    for unit, seconds in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, total = divmod(total, seconds)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts[:2]) or "0 s"


def human(size: float) -> str:
    """A number of bytes: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


_ADDRESS = re.compile(r"(?P<scheme>\w[\w+.-]*://)?(?P<place>[^/?#]*)(?P<rest>.*)", re.DOTALL)


def without_secrets(address: str) -> str:
    """An address to show: scheme, host, port, and of the rest only ``/metrics``. All else may be a password or a token."""
    parts = _ADDRESS.fullmatch(address)
    assert parts is not None
    scheme, place, rest = parts["scheme"] or "", parts["place"], parts["rest"]
    if "@" in rest:
        # A password with a slash in it begins where a host would.
        return f"{scheme}…"
    return f"{scheme}{place.rpartition('@')[2]}{rest if rest in ('', '/', '/metrics') else '/…'}"
