"""The command that plays rules back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator
from dev.servers.prometheus import PLATFORM_HAS_IT, prometheus_with_history
from dev.servers.scripted import LOADED
from tests.integration.past import RememberedPast

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(not PLATFORM_HAS_IT, reason="there is no prometheus on the PATH"),
]


def test_shows_what_the_rules_would_have_done(scripted, commands, connect, tmp_path):
    now = datetime.now(UTC)
    past = RememberedPast(now - timedelta(days=20), now)
    past.holds(scripted.add("docs", LOADED).number, 2**30)
    past.searches("docs", ((now - timedelta(days=1)).timestamp(), 7))
    with prometheus_with_history(tmp_path / "prometheus", past.text(), look_back="25m") as url:
        connect(scripted.uri, metrics_url=url)
        answer = commands.run(
            "backtest", "--idle-for", "P2D", "--since", "5d", "--price", "1", "--suggest", "0", "--output", "json"
        )

    assert answer.code == 0
    result = json.loads(answer.out)
    # Idle for longer than anybody has looked, and searched a day ago.
    own = result["policies"][0]
    assert (own["policy"], own["releases"], own["missed"], own["saved"]) == ("this policy", 1, 7, round(own["gib_hours"], 2))
    assert 3 * 24 < own["gib_hours"] <= 4 * 24 + 1
    assert result["suggested"] is None
    assert "Suggested: none of these, since the history decides fewer than 7 nights." in answer.err


def test_a_picture_that_cannot_be_drawn_is_said_in_one_line(scripted, commands, connect, tmp_path):
    now = datetime.now(UTC)
    past = RememberedPast(now - timedelta(days=20), now)
    past.holds(scripted.add("docs", LOADED).number, 2**30)
    with prometheus_with_history(tmp_path / "prometheus", past.text(), look_back="25m") as url:
        connect(scripted.uri, metrics_url=url)
        answer = commands.run("backtest", "--idle-for", "P2D", "--since", "5d", "--picture", "/proc/nope/a.png")
    # What was played is there all the same.
    assert (answer.code, "this policy" in answer.out) == (2, True)
    assert "/proc/nope" in answer.err.splitlines()[-1]
    assert "backtest_picture.py" not in answer.err


@pytest.mark.parametrize("empty", [None, "", [], "None"])
def test_a_policy_with_a_rule_that_comes_to_nothing_is_refused(empty):
    with pytest.raises(MilvusInvalidArgumentError, match=r"policies\['other'\] has exclude given, but empty"):
        MilvusReclaimBacktestOperator(task_id="t", idle_for="P2D", policies={"other": {"exclude": empty}})
    MilvusReclaimBacktestOperator(task_id="t", idle_for="P2D", policies={"other": {"exclude": "-", "idle_for": "any"}})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--since", "30 days", "--idle-for", "P2D"), "--since must be days such as 30d"),
        (("--since", "30d"), "Set one or more of collections, older_than"),
        (("--at", "3 o'clock", "--idle-for", "P2D"), "at must be a time of the day"),
    ],
)
def test_what_can_never_work_is_wrong_usage(scripted, commands, arguments, words):
    answer = commands.run("backtest", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err
