"""README's DAG, run by an installed wheel: `make wheel` runs this with the Python of an environment that holds nothing else.

It fails where the package is not the installed one, where Airflow cannot import the file, and where the DAG does not succeed on
Milvus Lite.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Last, so that the package is the installed one.
sys.path.append(str(ROOT))

import airflow_provider_milvus  # noqa: E402
from dev.local_airflow import LocalAirflow  # noqa: E402
from dev.servers.lite import lite_server  # noqa: E402

DAG_ID = "milvus_quick_start"


def main() -> None:
    if Path(airflow_provider_milvus.__file__).is_relative_to(ROOT / "airflow_provider_milvus"):
        sys.exit(f"FAILED: {airflow_provider_milvus.__file__} is the source, not an installed wheel")
    (dag,) = re.findall(
        rf'^```python\n((?:(?!```).*\n)*?with DAG\("{DAG_ID}"(?:(?!```).*\n)*)```$', (ROOT / "README.md").read_text(), re.M
    )
    with tempfile.TemporaryDirectory(prefix="milvus-quick-start-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # Python puts the working directory before everything that is installed.
        os.chdir(folder)
        (folder / "dags").mkdir()
        (folder / "dags" / "quick_start.py").write_text(dag)
        with lite_server(folder / "milvus") as milvus:
            airflow = LocalAirflow(folder / "airflow", milvus.uri, folder / "dags")
            airflow.migrate()
            airflow.run_dag(DAG_ID)
            if airflow.state_of(DAG_ID) != "success":
                sys.exit(f"FAILED: the run of {DAG_ID} is {airflow.state_of(DAG_ID)}, not success")
            counted = airflow.results(DAG_ID)
    print(f"README's DAG succeeded with the wheel {airflow_provider_milvus.__version__}: {', '.join(sorted(counted))}")


if __name__ == "__main__":
    main()
