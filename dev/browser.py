"""Debian's Chromium, or another one that is installed: for what has to be tried in a real browser, and for pictures of it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
IS_HERE = CHROMIUM is not None and find_spec("playwright") is not None
COLORS = 256
"""Of a picture: pages have few, and it is a third of the size."""


@contextmanager
def browser() -> Iterator[Any]:
    """A browser without a window, which ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not work for root.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield opened
        finally:
            opened.close()


def window(browser: Any, width: int = 1280, height: int = 800) -> Any:
    """A page of somebody who has not been here before, which looks the same on every machine."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="light",
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    return context.new_page()


def take_picture(page: Any, path: Path, **part: Any) -> None:
    """What the page shows, or a ``clip`` of it, as a PNG of few colours."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    shot = Image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide", **part)))
    shot.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
