"""``contract``: what it prints, what it sends, and what it leaves behind."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.contract.clauses import READS, STORY
from dev.servers.scripted import Refusal, lost, refuse

ALL = [clause.name for clause in (*READS, *STORY)]


def test_alone_sends_only_reads(scripted, commands):
    before = dict(scripted.collections)
    ended = commands.run("contract", "--output", "json")
    assert [(row["clause"], row["holds"]) for row in ended.read()] == [(clause.name, True) for clause in READS]
    assert (ended.code, ended.err.splitlines()[-1]) == (0, f"All {len(READS)} hold here.")
    sent = {call.name for call in scripted.calls}
    assert sent <= {"Connect", *(clause.call for clause in READS)}
    assert scripted.collections == before


@pytest.mark.standalone
def test_with_write_all_is_asked_and_nothing_is_left(standalone, commands):
    with standalone.plain_client() as client:
        before = client.list_databases(), client.list_collections()
        ended = commands.run("contract", "--write", "--output", "json")
        assert (client.list_databases(), client.list_collections()) == before
    assert [row["clause"] for row in ended.read() if row["holds"]] == ALL
    assert "In the database airflow_contract_" in ended.err


@pytest.mark.parametrize("call", ["CreateCollection", "LoadCollection", "Insert"])
def test_nothing_is_left_when_the_connection_breaks_meanwhile(scripted, commands, call):
    scripted.next(call, lost)
    assert commands.run("contract", "--write").code == 1
    assert (scripted.collections, list(scripted.databases)) == ({}, ["default"])


def test_what_does_not_hold_is_shown_with_the_answer(scripted, commands):
    scripted.always("DescribeCollection", refuse(8, "rate limit exceeded"))
    ended = commands.run("contract")
    assert ended.code == 1
    (line,) = (line for line in ended.out.splitlines() if line.startswith("DescribeCollection of a missing collection"))
    assert "| NO " in line
    assert "rate limit exceeded (code 8)" in ended.out
    assert ended.err == f"2 of {len(READS)} do not hold here.\n"


def test_an_old_number_of_another_meaning_does_not_hold(scripted, commands):
    """As the older enumeration, 8 is an illegal kind of index."""
    scripted.always("DescribeCollection", lambda server, request, context: Refusal(0, "", 8))
    assert commands.run("contract").code == 1


def test_one_is_not_counted_as_many(scripted, commands):
    scripted.always("DescribeAlias", refuse(5, "internal"))
    assert commands.run("contract").err == f"1 of {len(READS)} does not hold here.\n"
