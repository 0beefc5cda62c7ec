"""One Airflow for all system tests, and one process of it for each server: both take longer to come up than a DAG to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version

import pytest

from dev.local_airflow import LocalAirflow, RunDag
from tests.integration.support import Milvus


@pytest.fixture(scope="session")
def of_any_version(tmp_path_factory: pytest.TempPathFactory) -> LocalAirflow:
    airflow = LocalAirflow(tmp_path_factory.mktemp("airflow"))
    airflow.migrate()
    return airflow


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest) -> LocalAirflow:
    if int(version("apache-airflow").partition(".")[0]) < 3:
        pytest.skip("the example DAGs run on Airflow 3; on 2.11 they are imported only")
    migrated: LocalAirflow = request.getfixturevalue("of_any_version")
    return migrated


@pytest.fixture
def airflow(migrated: LocalAirflow, milvus: Milvus) -> LocalAirflow:
    """Airflow with ``milvus_default`` pointing to each server in turn."""
    return LocalAirflow(migrated.home, milvus.uri)


@pytest.fixture(scope="session")
def processes() -> Iterator[Callable[[LocalAirflow], RunDag]]:
    with ExitStack() as running:
        started: dict[str, RunDag] = {}

        def of(airflow: LocalAirflow) -> RunDag:
            if airflow.milvus_uri not in started:
                started[airflow.milvus_uri] = running.enter_context(airflow.in_one_process())
            return started[airflow.milvus_uri]

        yield of


@pytest.fixture
def run_dag(airflow: LocalAirflow, processes: Callable[[LocalAirflow], RunDag]) -> RunDag:
    """Run one of ``airflow``'s DAGs, as ``airflow dags test`` does."""
    return processes(airflow)
