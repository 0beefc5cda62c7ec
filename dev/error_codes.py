"""The table of the server's codes in docs/errors.md: ``python -m dev.error_codes`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_milvus.client.codes import CODES

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
HEADING = "| error | the server's codes |\n|---|---|\n"


def table() -> str:
    by_kind: dict[str, list[str]] = {}
    for code, (words, kind) in CODES.items():
        by_kind.setdefault(kind.__name__, []).append(f"{code} {words}")
    return HEADING + "".join(f"| `{kind}` | {'; '.join(codes)} |\n" for kind, codes in by_kind.items())


def with_table(page: str) -> str:
    """The page with the table as it is now."""
    before, _, after = page.partition(HEADING)
    return before + table() + "".join(line for line in after.splitlines(keepends=True) if not line.startswith("| `"))


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
