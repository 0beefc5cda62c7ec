"""pymilvus, imported on first use and without its side effects."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

_importing = threading.Lock()


def import_pymilvus() -> Any:
    """Import pymilvus without its side effects, on first use.

    During its import pymilvus configures logging, which closes the existing handlers, a task's log among them (3794 of its
    issues), and it loads a ``.env`` file from above the working directory (3666). Here neither happens, and other code can
    still do both. pymilvus's logger of failed calls is silenced: it writes a traceback of 20 lines for an error that is raised
    anyway.
    """
    with _importing:
        if "pymilvus" not in sys.modules:
            with _without_side_effects():
                import pymilvus
        logging.getLogger("pymilvus.decorators").setLevel(logging.CRITICAL)
        import pymilvus

        return pymilvus


@contextlib.contextmanager
def _without_side_effects() -> Iterator[None]:
    import logging.config

    import dotenv

    configure, load = logging.config.dictConfig, dotenv.load_dotenv

    def configure_unless_pymilvus(config: dict[str, Any]) -> None:
        if "pymilvus" not in config.get("loggers", {}):
            configure(config)

    def load_unless_pymilvus(*arguments: Any, **keywords: Any) -> bool:
        if sys._getframe(1).f_globals.get("__name__", "").startswith("pymilvus"):
            return False
        return bool(load(*arguments, **keywords))

    logging.config.dictConfig = configure_unless_pymilvus  # type: ignore[assignment]
    dotenv.load_dotenv = load_unless_pymilvus
    try:
        yield
    finally:
        logging.config.dictConfig = configure
        dotenv.load_dotenv = load
