"""A backtest as a picture."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider_milvus.exceptions import MilvusInvalidArgumentError
from airflow_provider_milvus.reclaim.backtest import Backtest
from airflow_provider_milvus.reclaim.backtest_picture import draw
from airflow_provider_milvus.reclaim.playback import Night, Playback

GIB = 2**30
NIGHTS = [Night(1.7e9 + 86_400 * day, [], (9 - day) * GIB, 3 * GIB, 0, 4 * GIB, False) for day in range(5)]


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("b.svg", b"<?xml")])
def test_is_written_in_the_format_of_its_name(tmp_path: Path, name: str, begins: bytes) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / name
    draw(Backtest({"this policy": Playback(NIGHTS)}, timedelta(days=5)), str(path))
    assert path.read_bytes().startswith(begins)


def test_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MilvusInvalidArgumentError, match=r"airflow-provider-milvus\[picture\]"):
        draw(Backtest({"this policy": Playback(NIGHTS)}, timedelta(days=5)), str(tmp_path / "a.png"))
