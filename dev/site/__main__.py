"""Build the site: ``python -m dev.site [FOLDER]``. A warning is an error."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from dev.site.pages import ROOT, arrange

BUILT = ROOT / "build" / "site"


def main(html: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="milvus-docs-", ignore_cleanup_errors=True) as name:
        # Importing Airflow makes it a home.
        os.environ["AIRFLOW_HOME"] = str(Path(name) / "airflow")
        from sphinx.cmd.build import build_main

        source = Path(name) / "source"
        arrange(source)
        options = ["--fail-on-warning", "--keep-going", "--quiet", "--jobs", "auto", "--conf-dir", str(Path(__file__).parent)]
        outcome = build_main([*options, str(source), str(html)])
    if outcome == 0:
        print(f"The documentation is at {html / 'index.html'}")
    return outcome


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else BUILT))
