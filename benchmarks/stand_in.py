"""The stand-in in a process of its own, so that a figure is its caller's alone. It is told what to do a line at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StandIn:
    """``ask`` runs an expression there, in which ``server`` is the stand-in, and returns its value, which must be JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.uri = str(self.ask("server.uri"))

    def ask(self, expression: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(expression, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def calls(self) -> Counter[str]:
        """The number of calls so far, by name."""
        return Counter(self.ask("[call.name for call in server.calls]"))


@contextmanager
def stand_in(dialect: str = "2.6.16") -> Iterator[StandIn]:
    """Start it, and stop it at the end of the block."""
    command = [sys.executable, "-m", "benchmarks.stand_in", dialect]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield StandIn(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)


def main() -> None:
    from benchmarks.export import pages
    from dev.servers.dialects import DIALECTS
    from dev.servers.scripted import LOADED, NOT_LOADED, collection_schema, loading, scripted_server

    known = {
        "LOADED": LOADED,
        "NOT_LOADED": NOT_LOADED,
        "loading": loading,
        "collection_schema": collection_schema,
        "pages": pages,
    }
    with scripted_server(DIALECTS[sys.argv[1]]) as server:
        for line in sys.stdin:
            print(json.dumps(eval(line, {**known, "server": server})), flush=True)


if __name__ == "__main__":
    main()
