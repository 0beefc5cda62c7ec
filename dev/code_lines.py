"""Counts the package's lines of code, without docstrings, comments and blank lines: ``python -m dev.code_lines [COMMIT]``."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

PACKAGE = "airflow_provider_milvus"
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> int:
    """Lines that hold a token which is neither a comment nor part of a string that stands alone, such as a docstring."""
    alone = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in SKIPPED]
    return len({line for token in tokens for line in range(token.start[0], token.end[0] + 1)} - alone)


def package_at(commit: str) -> list[str]:
    """The text of each file of the package in a commit."""
    listing = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", commit, PACKAGE], capture_output=True, text=True, check=True
    )
    paths = [path for path in listing.stdout.split() if path.endswith(".py")]
    return [
        subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, text=True, check=True).stdout for path in paths
    ]


def main() -> None:
    texts = package_at(sys.argv[1]) if len(sys.argv) > 1 else [path.read_text() for path in sorted(Path(PACKAGE).rglob("*.py"))]
    print(f"{sum(map(code_lines, texts))} lines of code in {len(texts)} files")


if __name__ == "__main__":
    main()
