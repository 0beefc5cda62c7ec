"""The nights of a backtest as a picture: bytes before and after each of them, and the searches that were missed."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.rows.storage import is_local, storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from airflow_provider_milvus.reclaim.backtest import Backtest
    from airflow_provider_milvus.reclaim.playback import Night

GIB = 2.0**30


def draw(backtest: Backtest, path: str) -> None:
    """Write a PNG or an SVG, as ``path`` ends.

    :raises MilvusInvalidArgumentError: matplotlib is not installed, or the picture cannot be written there.
    """
    figure = figure_of(backtest)
    try:
        fs, inside = storage(path)
        if is_local(fs):
            fs.makedirs(inside.rpartition("/")[0], exist_ok=True)
        with fs.open(inside, "wb") as file:
            figure.savefig(file, format=path.rpartition(".")[2])
    except OSError as error:
        raise MilvusInvalidArgumentError(f"The nights were played, but the picture was not written: {error}") from error


def figure_of(backtest: Backtest) -> Figure:
    """The picture.

    :raises MilvusInvalidArgumentError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MilvusInvalidArgumentError(
            "No picture was drawn: it needs matplotlib, which airflow-provider-milvus[picture] installs."
        ) from None
    nights = backtest.own.nights
    days = [backtest.at(night.at) for night in nights]
    figure = Figure(figsize=(10, 6), layout="constrained")
    memory, missed = figure.subplots(2, sharex=True)
    memory.step(days, [_gib(night, night.loaded) for night in nights], where="post", label="before the run")
    memory.step(days, [_gib(night, night.left) for night in nights], where="post", label="after it")
    if nights and nights[0].budget is not None:
        memory.axhline(nights[0].budget / GIB, linestyle="--", color="gray", label="budget")
    memory.set_ylabel(f"GiB in memory at {days[0]:%H:%M %Z}" if days else "GiB in memory")
    memory.set_ylim(bottom=0)
    memory.legend()
    missed.bar(days, [sum(release.missed for release in night.releases) for night in nights])
    missed.set_ylabel("searches missed")
    missed.tick_params("x", rotation=30)
    figure.suptitle(backtest.as_sentence().partition(". ")[0] + ".", wrap=True, fontsize=10)
    return figure


def _gib(night: Night, size: int) -> float:
    """A line has a hole where it is not known what was in memory."""
    return size / GIB if night.is_known else nan
