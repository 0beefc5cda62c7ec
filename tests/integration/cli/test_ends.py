"""How a command ends where somebody or something outside ends it: in a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.servers.scripted import LOADED

COMMAND = """
import signal
from airflow_provider_milvus.cli.main import main

# A shell that runs the tests in the background has them ignore Ctrl-C, and what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def begun(*arguments: str, **more: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], text=True, **pipes)


def test_ctrl_c_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        command = begun("plan", "--collections", "x*", "--uri", f"http://127.0.0.1:{silent.getsockname()[1]}")
        connected, _ = silent.accept()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
        connected.close()
    assert (command.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err


def test_who_has_read_enough_is_told_no_more(scripted):
    for number in range(2000):
        scripted.add(f"batch_{number:04}", LOADED)
    command = begun("plan", "--collections", "batch_*", "--output", "plain", "--uri", scripted.uri)
    assert command.stdout is not None
    command.stdout.readline()
    command.stdout.close()
    assert command.stderr is not None
    err = command.stderr.read()
    assert command.wait(60) == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_an_answer_that_cannot_be_written_is_said_in_one_line(scripted):
    with open("/dev/full", "w") as full:
        command = begun("memory", "--output", "json", "--uri", scripted.uri, stdout=full)
        _, err = command.communicate(timeout=120)
    assert command.returncode == 2
    assert err.splitlines()[-1].startswith("What was asked for could not be read or written: [Errno 28]")
    assert "Traceback" not in err
