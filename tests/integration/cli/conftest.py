"""The command line."""

from __future__ import annotations

import pytest

from tests.integration.cli.support import Commands


@pytest.fixture
def commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Commands:
    # What a command sets for its process.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    monkeypatch.setenv("AIRFLOW_CONN_--URI", "")
    monkeypatch.setenv("COLUMNS", "300")
    return Commands(capsys)
