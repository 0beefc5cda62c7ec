"""The nights of a backtest as a picture: bytes before and after each of them, and the searches that were missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.storage import is_local, storage

if TYPE_CHECKING:
    from airflow_provider_milvus.reclaim.backtest import Backtest

GIB = 2.0**30


def draw(backtest: Backtest, path: str) -> None:
    """Write a PNG or an SVG, as ``path`` ends.

    :raises MilvusInvalidArgumentError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MilvusInvalidArgumentError(
            "No picture was drawn: it needs matplotlib, which airflow-provider-milvus[picture] installs."
        ) from None
    nights = backtest.own.nights
    days = [datetime.fromtimestamp(night.at, UTC) for night in nights]
    figure = Figure(figsize=(10, 6), layout="constrained")
    memory, missed = figure.subplots(2, sharex=True)
    memory.step(days, [night.loaded / GIB for night in nights], where="post", label="before the run")
    memory.step(days, [night.left / GIB for night in nights], where="post", label="after it")
    if nights and nights[0].budget is not None:
        memory.axhline(nights[0].budget / GIB, linestyle="--", color="gray", label="budget")
    memory.set_ylabel("GiB in memory")
    memory.set_ylim(bottom=0)
    memory.legend()
    missed.bar(days, [sum(release.missed or 0 for release in night.releases) for night in nights])
    missed.set_ylabel("searches missed")
    missed.tick_params("x", rotation=30)
    figure.suptitle(backtest.as_sentence().partition(". ")[0] + ".", wrap=True, fontsize=10)
    fs, inside = storage(path)
    if is_local(fs):
        fs.makedirs(inside.rpartition("/")[0], exist_ok=True)
    with fs.open(inside, "wb") as file:
        figure.savefig(file, format=path.rpartition(".")[2])
