"""Importing pymilvus through the provider: on first use only, and without what it does to a process on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def in_a_new_process(program: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_closes_no_log_handler_and_reads_no_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MILVUS_URI=http://stray:1\nSTRAY=1\n")
    program = """
import logging, logging.config, os
import dotenv
from airflow_provider_milvus.protocol.lazy_pymilvus import import_pymilvus  # and Airflow, which sets up logging itself

log = open("task.log", "w")
handler = logging.StreamHandler(log)
closed = []
handler.close = lambda: closed.append(True)
logging.getLogger("airflow.task").addHandler(handler)
before = (logging.config.dictConfig, dotenv.load_dotenv, dotenv.main.load_dotenv)

pymilvus = import_pymilvus()

assert pymilvus.MilvusClient
assert not closed, "a handler was closed"
assert handler in logging.getLogger("airflow.task").handlers
assert "STRAY" not in os.environ and "MILVUS_URI" not in os.environ, "a .env was read"
assert (logging.config.dictConfig, dotenv.load_dotenv, dotenv.main.load_dotenv) == before, "not restored"
logging.config.dictConfig({"version": 1, "loggers": {"pymilvus": {"level": "ERROR"}}})
assert logging.getLogger("pymilvus").level == logging.ERROR
print("fine")
"""

    assert in_a_new_process(program, tmp_path).endswith("fine\n")


def test_pymilvus_alone_does_all_that(tmp_path: Path) -> None:
    """Otherwise the test above proves nothing."""
    (tmp_path / ".env").write_text("STRAY=1\n")
    program = """
import logging, os
handler = logging.StreamHandler()
closed = []
handler.close = lambda: closed.append(True)
logging.getLogger("airflow.task").addHandler(handler)
import pymilvus
print(bool(closed), "STRAY" in os.environ)
"""

    assert in_a_new_process(program, tmp_path).endswith("True True\n")


def test_expected_failures_are_not_logged_by_pymilvus(tmp_path: Path) -> None:
    program = """
import io, json, logging, os
from dev.servers.scripted import scripted_server
from airflow_provider_milvus.exceptions import MilvusCollectionNotFoundError
from airflow_provider_milvus.hooks.milvus import MilvusHook

lines = io.StringIO()
logging.getLogger().addHandler(logging.StreamHandler(lines))
logging.getLogger("pymilvus").addHandler(logging.StreamHandler(lines))
with scripted_server() as server:
    os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = json.dumps({"conn_type": "milvus", "extra": {"uri": server.uri}})
    try:
        with MilvusHook().client() as client:
            client.describe_collection("nowhere")
    except MilvusCollectionNotFoundError:
        print("fine" if "Traceback" not in lines.getvalue() else lines.getvalue())
"""

    assert in_a_new_process(program, tmp_path).endswith("fine\n")
