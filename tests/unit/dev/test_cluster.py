"""What the cluster is started and ended with; the cases themselves are ``make test-cluster``."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from dev.cluster import services
from dev.servers.process import end_tree

pytestmark = pytest.mark.newest

STARTS_ANOTHER = """
import subprocess, sys
sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(sleeper.pid, flush=True)
sleeper.wait()
"""


def test_a_process_ends_with_what_it_started_in_other_groups():
    with subprocess.Popen([sys.executable, "-c", STARTS_ANOTHER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        other = psutil.Process(int(process.stdout.readline()))
        end_tree(process.pid)
        assert process.wait(timeout=10) == -9
    _, alive = psutil.wait_procs([other], timeout=10)
    assert not [left for left in alive if left.status() != psutil.STATUS_ZOMBIE]


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(services, "POSTGRESQL", tmp_path)
    with pytest.raises(services.MissingPackageError, match=r"apt-get install postgresql redis-server$"):
        services.check_packages()
