"""Two tasks at once, started together: each pair ends as if one had come after the other, or one says so. See dev/rounds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_milvus.operators.milvus import MilvusDropCollectionOperator
from dev.faults.served import Served
from dev.rounds.pairs import PAIRS, Pair
from dev.rounds.play import Kind, Rounds, rounds_on
from dev.servers.lite import LiteServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rounds(lite_process: LiteServer) -> Iterator[Rounds]:
    served = Served("lite", lite_process)
    with rounds_on(served) as rounds:
        yield rounds
    served.client.close()


def violations(rounds: Rounds, pair: Pair, count: int) -> list[str]:
    judged = rounds.play(pair, count)
    assert len(judged) == count
    return [one.why for one in judged if one.kind is Kind.VIOLATION]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_both_end_as_if_one_had_come_first_or_one_says_so(rounds: Rounds, pair: Pair) -> None:
    """``make rounds`` plays 200 of each, on both servers."""
    assert violations(rounds, pair, 5) == []


def test_a_success_that_was_not_seen_on_the_server_is_caught(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    (pair,) = (pair for pair in PAIRS if pair.name == "drop against create of what is new")
    # The orders to compare with are those of the sound provider.
    assert violations(rounds, pair, 1) == []

    monkeypatch.setattr(MilvusDropCollectionOperator, "execute", lambda self, context: {"dropped": True})
    assert violations(rounds, pair, 1)
