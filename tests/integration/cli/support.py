"""Commands as somebody types them, in this process: what they print, and how they end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_milvus.cli.main import main


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    def read(self) -> Any:
        return json.loads(self.out)


class Commands:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, *arguments: str) -> Ended:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        printed = self._capsys.readouterr()
        assert isinstance(end.value.code, int)
        return Ended(end.value.code, printed.out, printed.err)

    def ask(self, *arguments: str) -> Any:
        """What the command answers as JSON."""
        return self.run(*arguments, "--output", "json").read()
