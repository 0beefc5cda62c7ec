"""A backtest as a picture."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import isnan
from pathlib import Path

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.reclaim.backtest import Backtest
from airflow_provider_milvus.reclaim.backtest_picture import draw, figure_of
from airflow_provider_milvus.reclaim.inventory import CollectionState
from airflow_provider_milvus.reclaim.playback import Night, Playback, PlayedRelease

GIB = 2**30
MISSED = [
    PlayedRelease(CollectionState("default", name, "Loaded"), "old", 0, 1, None, 1.0, missed)
    for name, missed in (("a", 3), ("b", 4))
]
NIGHTS = [
    Night(1.7e9 + 86_400 * day, MISSED if day == 2 else [], (9 - day) * GIB, 3 * GIB, 0, 4 * GIB, False) for day in range(5)
]
BACKTEST = Backtest({"this policy": Playback([replace(NIGHTS[0], is_known=False), *NIGHTS[1:]])})


def test_has_the_nights_with_a_hole_where_nothing_is_known() -> None:
    pytest.importorskip("matplotlib")
    memory, missed = figure_of(BACKTEST).axes
    before, after, budget = memory.lines
    assert isnan(before.get_ydata()[0])
    assert isnan(after.get_ydata()[0])
    assert list(before.get_ydata()[1:]) == [8, 7, 6, 5]
    assert list(after.get_ydata()[1:]) == [3, 3, 3, 3]
    assert set(budget.get_ydata()) == {4}
    assert [bar.get_height() for bar in missed.patches] == [0, 0, 7, 0, 0]
    assert memory.get_ylabel() == f"GiB in memory at {datetime.fromtimestamp(1.7e9, UTC):%H:%M} UTC"


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("b.svg", b"<?xml")])
def test_is_written_in_the_format_of_its_name(tmp_path: Path, name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / name
    draw(BACKTEST, str(path))
    assert path.read_bytes().startswith(begins)


def test_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    with pytest.raises(MilvusInvalidArgumentError, match="The nights were played, but the picture was not written"):
        draw(BACKTEST, str(tmp_path / "file" / "a.png"))


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MilvusInvalidArgumentError, match=r"airflow-provider-milvus\[picture\]"):
        draw(BACKTEST, str(tmp_path / "a.png"))
