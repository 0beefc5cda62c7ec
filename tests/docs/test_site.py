"""The pages as a site: a link leads to the same there as on GitHub."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.site.pages import ROOT, arrange, menu, place_of, with_links_of

pytestmark = pytest.mark.newest


@pytest.mark.parametrize(
    ("source", "link", "there"),
    [
        ("README.md", "[rows](docs/rows.md#deleting)", "[rows](rows.md#deleting)"),
        ("docs/rows.md", "[rows](#deleting)", "[rows](#deleting)"),
        ("docs/rows.md", "[use it](../README.md#use-it)", "[use it](index.md#use-it)"),
        ("docs/rows.md", "[`ingest`](../example_dags/milvus_ingest.py)", "[`ingest`](examples/milvus_ingest.md)"),
        ("README.md", "[Examples](example_dags)", "[Examples](examples/index.md)"),
        ("docs/installing.md", "[lowest](../constraints/airflow-lowest.txt)", "[lowest](files/constraints/airflow-lowest.txt)"),
        ("docs/installing.md", "[`constraints/`](../constraints)", "`constraints/`"),
        ("README.md", "![a picture](docs/architecture.svg)", "![a picture](architecture.svg)"),
        ("README.md", "[Milvus](https://milvus.io)", "[Milvus](https://milvus.io)"),
        ("README.md", "```\n[rows](docs/rows.md)\n```", "```\n[rows](docs/rows.md)\n```"),
    ],
)
def test_a_link_leads_to_the_same(source: str, link: str, there: str, tmp_path: Path) -> None:
    assert with_links_of(link, source, tmp_path) == there


def test_a_file_that_is_no_page_can_be_had(tmp_path: Path) -> None:
    with_links_of("[lowest](../constraints/airflow-lowest.txt)", "docs/installing.md", tmp_path)
    copied = tmp_path / "files" / "constraints" / "airflow-lowest.txt"
    assert copied.read_text() == (ROOT / "constraints" / "airflow-lowest.txt").read_text()


def test_every_page_of_the_menu_is_there_and_no_other_is_left_out(tmp_path: Path) -> None:
    arrange(tmp_path)
    pages = {str(path.relative_to(tmp_path).with_suffix("")) for path in tmp_path.rglob("*") if path.suffix in (".md", ".rst")}
    named = {line for line in menu().splitlines() if line and not line.startswith(("`", ":"))}
    assert named <= pages
    assert {page for page in pages if "/" not in page} - {"index"} <= named


def test_the_first_page_is_the_readme() -> None:
    assert place_of("README.md") == "index.md"
