"""The two ways to the commands: ``milvus-airflow``, and ``airflow milvus`` from Airflow 3.2 on."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import version
from typing import Any

import pytest

from airflow_provider_milvus.cli.command import connection_to
from airflow_provider_milvus.cli.main import COMMANDS, get_commands, main
from airflow_provider_milvus.get_provider_info import get_provider_info

NAMES = sorted(command.name for command in COMMANDS)
ADDS_COMMANDS = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 2)


def test_airflow_is_told_of_them():
    (path,) = get_provider_info()["cli"]
    module, _, name = path.rpartition(".")
    assert getattr(import_module(module), name) is get_commands


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command.name, "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert " ".join(command.description.split()) in " ".join(said.split())
    assert command.description.endswith(".")


@pytest.mark.parametrize(
    "arguments",
    [[], ["guess"], ["check", "--guess"], ["check", "--output", "xml"]],
    ids=" ".join,
)
def test_what_nobody_can_mean_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: milvus-airflow" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_server_is_given_by_one_of_two_names(name, capsys):
    with pytest.raises(SystemExit) as end:
        main([name, "--conn-id", "milvus_other", "--uri", "http://localhost:1"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "Give either --conn-id or --uri, not both.\n"


def test_a_connection_that_does_not_exist_is_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    with pytest.raises(SystemExit) as end:
        main(["check", "--conn-id", "milvus_nowhere"])
    assert end.value.code == 3
    # Airflow 2.11 says before that its database has no tables.
    assert capsys.readouterr().err.splitlines()[-1].startswith("There is no connection 'milvus_nowhere'.")


def test_an_address_becomes_a_connection_without_a_password():
    assert json.loads(connection_to("http://h:1")) == {"conn_type": "milvus", "extra": {"uri": "http://h:1"}}


@pytest.mark.skipif(not ADDS_COMMANDS, reason="Airflow takes commands of providers from 3.2 on")
class TestAirflow:
    @pytest.fixture(scope="class")
    @classmethod
    def seen(cls, run_python: Any) -> dict[str, Any]:
        code = """
            import contextlib, io, json, sys
            from airflow.cli.cli_parser import get_parser
            heavy = {"pymilvus", "grpc", "pandas", "airflow_provider_milvus.hooks.milvus"} & sys.modules.keys()
            parser, seen = get_parser(), io.StringIO()
            with contextlib.suppress(SystemExit), contextlib.redirect_stdout(seen):
                parser.parse_args(["milvus", "--help"])
            given = parser.parse_args(["milvus", "plan", "--collections", "a*", "b*", "--no-keep-aliased", "-o", "json"])
            print(json.dumps({
                "heavy": sorted(heavy), "help": seen.getvalue(), "given": [given.collections, given.keep_aliased, given.output],
                "name": given.func.__name__,
            }))
        """
        found: dict[str, Any] = json.loads(run_python(code).splitlines()[-1])
        return found

    def test_has_the_same_commands(self, seen: dict[str, Any]):
        assert all(name in seen["help"] for name in NAMES)

    def test_reads_them_alike(self, seen: dict[str, Any]):
        assert seen["given"] == [["a*", "b*"], False, "json"]
        assert seen["name"] == "plan"

    def test_pays_little_for_them_at_each_start(self, seen: dict[str, Any]):
        assert seen["heavy"] == []
