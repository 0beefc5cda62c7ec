"""Which machine a figure comes from; every benchmark prints it first."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"
