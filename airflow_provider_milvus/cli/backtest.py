"""``backtest``: what the rules of a reclaim would have done on the nights that Prometheus remembers; it only reads."""

from __future__ import annotations

import re
from argparse import Namespace
from types import SimpleNamespace

from airflow.cli.cli_config import ActionCommand

from airflow_provider_milvus.cli.command import (
    DATABASES,
    FINE,
    OUTPUT,
    SERVER,
    UsageError,
    argument,
    command,
    conn_id_of,
    quiet,
    show,
    tell,
)
from airflow_provider_milvus.cli.plan import RULE_ARGUMENTS, rules_of

MORE = ("at", "price", "most_missed", "picture")


@command
def backtest(given: Namespace) -> int:
    """Show the figures of the policy, and of others beside it with ``--suggest``."""
    import pendulum

    from airflow_provider_milvus.operators.milvus import MilvusReclaimBacktestOperator

    arguments = {**rules_of(given), **{name: value for name in MORE if (value := getattr(given, name)) is not None}}
    with quiet():
        task = MilvusReclaimBacktestOperator(
            task_id="backtest", milvus_conn_id=conn_id_of(given), since=_span(given.since), **arguments
        )
        # What the reclaims of this connection have kept is read as in a run.
        of_run = SimpleNamespace(dag_id="", task_id=task.task_id, map_index=-1)
        played = task.play_back({"logical_date": pendulum.now("UTC"), "ti": of_run})  # type: ignore[typeddict-item]
    result = played.as_result()
    del result["markdown"]
    rows = [{title: value for title, value in policy.items() if value is not None} for policy in result["policies"]]
    show(given, rows, result)
    tell(*result["warnings"], result["summary"])
    if task.picture is not None:
        from airflow_provider_milvus.reclaim.backtest_picture import draw

        draw(played, task.picture)
    return FINE


def _span(text: str) -> str:
    """``30d`` is ``P30D``."""
    if days := re.fullmatch(r"(\d+)d", text):
        return f"P{days[1]}D"
    if not text.startswith("P"):
        raise UsageError(f"--since must be days such as 30d, or an ISO 8601 duration, not {text!r}.")
    return text


COMMAND = ActionCommand(
    name="backtest",
    help="What a reclaim would have done on past nights",
    description="Play these rules back on the history in Prometheus, with the code that decides at night. Nothing is changed.",
    func=backtest,
    args=(
        *SERVER,
        DATABASES,
        *RULE_ARGUMENTS,
        argument("--since", default="30d", help="the time that is played: 30d (default), or PT36H"),
        argument("--at", help="the time of the day of a night's run (default: 03:00)"),
        argument("--price", type=float, help="of a GiB-hour of memory"),
        argument(
            "--suggest",
            dest="most_missed",
            type=int,
            metavar="N",
            help="name the policy that frees most with at most N missed searches in 30 days",
        ),
        argument("--picture", help="draw the nights into this .png or .svg"),
        OUTPUT,
    ),
)
