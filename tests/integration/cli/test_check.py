"""``milvus-airflow check``: what it prints, what it sends, and what it leaves behind."""

from __future__ import annotations

import pytest

from airflow_provider_milvus.cli.main import main
from airflow_provider_milvus.contract.clauses import READS, STORY
from dev.servers.scripted import Refusal, lost, refuse


def run(*arguments: str) -> int:
    return main(["check", *arguments])


def test_a_server_that_answers_is_named_with_its_version(lite, capsys):
    assert run() == 0
    assert "Milvus milvus_lite" in capsys.readouterr().out


def test_one_that_does_not_answer_ends_with_2_and_the_reason(refused, capsys):
    assert run("--uri", refused) == 2
    assert "the connection was refused" in capsys.readouterr().err


def test_the_contract_alone_sends_only_reads(scripted, capsys):
    before = dict(scripted.collections)
    assert run("--contract") == 0
    assert capsys.readouterr().out.count("holds") == len(READS) + 1
    sent = {call.name for call in scripted.calls}
    assert sent <= {"Connect", *(clause.call for clause in READS)}
    assert scripted.collections == before


@pytest.mark.standalone
def test_with_write_all_is_asked_and_nothing_is_left(standalone, capsys):
    with standalone.plain_client() as client:
        before = client.list_databases(), client.list_collections()
        assert run("--contract", "--write") == 0
        assert (client.list_databases(), client.list_collections()) == before
    printed = capsys.readouterr().out
    assert all(f"  holds  {clause.name}\n" in printed for clause in (*READS, *STORY))
    assert "In the database airflow_contract_" in printed


@pytest.mark.parametrize("call", ["CreateCollection", "LoadCollection", "Insert"])
def test_nothing_is_left_when_the_connection_breaks_meanwhile(scripted, capsys, call):
    scripted.next(call, lost)
    assert run("--contract", "--write") == 1
    assert (scripted.collections, list(scripted.databases)) == ({}, ["default"])


def test_what_does_not_hold_is_printed_with_the_answer(scripted, capsys):
    scripted.always("DescribeCollection", refuse(8, "rate limit exceeded"))
    assert run("--contract") == 1
    printed = capsys.readouterr().out
    assert "WRONG  DescribeCollection of a missing collection: " in printed
    assert "rate limit exceeded (code 8)" in printed
    assert printed.endswith("2 of this provider's assumptions do not hold here.\n")


def test_an_old_number_of_another_meaning_does_not_hold(scripted, capsys):
    """As the older enumeration, 8 is an illegal kind of index."""
    scripted.always("DescribeCollection", lambda server, request, context: Refusal(0, "", 8))
    assert run("--contract") == 1
