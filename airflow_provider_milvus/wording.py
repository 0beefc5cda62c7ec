"""Durations, sizes and addresses, as messages show them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import quote, quote_plus


def in_words(span: timedelta) -> str:
    """A duration in its two largest units, rounded down: ``7 days``, ``1 day 3 h``, ``1 min 30 s``."""
    total = max(int(span.total_seconds()), 0)
    parts = []
    for unit, seconds in (("day", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, total = divmod(total, seconds)
        if count:
            parts.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(parts[:2]) or "0 s"


def counted(count: int, noun: str) -> str:
    """``1 night``, ``2,000 nights``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def human(size: float) -> str:
    """A number of bytes: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def without(secrets: Iterable[str], text: str) -> str:
    """``text`` with ``***`` for each secret in it: as it is, and as URLs and HTTP headers hold it."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    # The longest first: a password is a part of what it was encoded with.
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(secret: str) -> tuple[str, ...]:
    raw = secret.encode()
    return (
        secret,
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        base64.b64encode(raw).decode(),
    )


_ADDRESS = re.compile(r"(?P<scheme>\w[\w+.-]*://)?(?P<place>[^/?#]*)(?P<rest>.*)", re.DOTALL)


_HOST = re.compile(r"[^:]*(:\d{0,6})?|\[?[\da-fA-F:]+\]?(:\d{0,6})?")


def without_secrets(address: str) -> str:
    """An address to show: scheme, host, port, and of the rest only ``/metrics``. All else may be a password or a token."""
    parts = _ADDRESS.fullmatch(address)
    assert parts is not None
    scheme, place, rest = parts["scheme"] or "", parts["place"], parts["rest"]
    host = place.rpartition("@")[2]
    if "@" in rest or not _HOST.fullmatch(host):
        # A password with a slash in it begins where a host would, and one without a host ends where a port would.
        return f"{scheme}…"
    return f"{scheme}{host}{rest if rest in ('', '/', '/metrics') else '/…'}"
