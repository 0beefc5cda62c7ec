"""One Airflow for all system tests: its database takes longer to create than a DAG to run."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from dev.local_airflow import LocalAirflow
from tests.integration.support import Milvus


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> LocalAirflow:
    if int(version("apache-airflow").partition(".")[0]) < 3:
        pytest.skip("the example DAGs run on Airflow 3; on 2.11 they are imported only")
    airflow = LocalAirflow(tmp_path_factory.mktemp("airflow"))
    airflow.migrate()
    return airflow


@pytest.fixture
def airflow(migrated: LocalAirflow, milvus: Milvus) -> LocalAirflow:
    """Airflow with ``milvus_default`` pointing to each server in turn."""
    return LocalAirflow(migrated.home, milvus.uri)
