"""``memory``: the report of what is in memory, in each form."""

from __future__ import annotations

import json

import pytest
import yaml

from dev.servers.scripted import LOADED, NOT_LOADED


@pytest.fixture
def server(scripted):
    scripted.add("docs", LOADED, aliases=["live"])
    scripted.add("events_20260101", LOADED)
    scripted.add("cold", NOT_LOADED)
    return scripted


def test_a_table_is_for_people_and_the_sum_for_standard_error(server, commands):
    ended = commands.run("memory")
    assert ended.code == 0
    header, line, *rows = ended.out.splitlines()
    assert [cell.strip() for cell in header.split("|")][:3] == ["database", "collection", "state"]
    assert set(line.strip()) <= {"=", "+"}
    assert sorted(row.split("|")[1].strip() for row in rows if "|" in row) == ["docs", "events_20260101"]
    assert "live" in ended.out
    assert ended.err.splitlines()[-1].startswith("2 of 3 collections are in memory")


def test_plain_is_for_a_pipe(server, commands):
    header, *rows = commands.run("memory", "--output", "plain").out.splitlines()
    assert header.split()[:2] == ["database", "collection"]
    assert sorted(row.split()[1] for row in rows) == ["docs", "events_20260101"]


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_json_and_yaml_have_the_operators_result(server, commands, form, read):
    result = read(commands.run("memory", "--output", form).out)
    assert sorted(entry["collection"] for entry in result["collections"]) == ["docs", "events_20260101"]
    assert result["totals"]["loaded"] == 2
    assert result["collections"][0]["bytes"] is None or result["collections"][0]["bytes"] > 0


def test_nothing_in_memory_is_an_answer(scripted, commands):
    ended = commands.run("memory", "--output", "json")
    assert (ended.code, ended.read()["collections"]) == (0, [])


def test_other_databases_are_named(server, commands):
    server.add_database("books")
    assert commands.ask("memory", "--databases", "books")["totals"]["collections"] == 0
    assert commands.run("memory", "--databases", "missing").code == 3


def test_brackets_in_a_name_are_shown_as_they_are(server, commands):
    server.add("[red]", LOADED)
    assert "[red]" in commands.run("memory").out


def test_lite_is_read(lite, make_collection, commands):
    name = make_collection("docs", load=True)
    assert name in [entry["collection"] for entry in commands.ask("memory")["collections"]]
