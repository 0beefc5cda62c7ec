"""Fixtures of the unit tests: connections made of plain values, and a clock that does not run by itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection
from hypothesis import settings

from tests.unit.play import Clock, stopped_clock

# A busy machine makes no property wrong.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def dataset_aliases() -> None:
    """Airflow 2 looks for an alias in its database when it serializes a DAG with one."""
    if importlib.util.find_spec("airflow.sdk") is None:
        from airflow import settings
        from airflow.models.dataset import DatasetAliasModel

        DatasetAliasModel.__table__.create(settings.engine, checkfirst=True)


@pytest.fixture
def connection() -> Callable[..., Connection]:
    """Make a connection of Airflow's standard fields; everything else goes into ``extra``."""
    standard = {"conn_id", "conn_type", "host", "port", "login", "password", "schema"}

    def make(**values: Any) -> Connection:
        extra = {key: value for key, value in values.items() if key not in standard}
        fields = {"conn_id": "m", "conn_type": "milvus", **{key: values[key] for key in values if key in standard}}
        return Connection(**fields, extra=json.dumps(extra) if extra else None)

    return make


@pytest.fixture
def clock() -> Iterator[Clock]:
    with stopped_clock() as stopped:
        yield stopped


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Run code in an interpreter of its own and return what it printed: for what this one has imported already."""

    def run(code: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
