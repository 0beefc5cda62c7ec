"""Rows on their way in: every key is there, and once. Milvus 2.3.5 keeps a key as often as it is inserted."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dev.cluster.case import Case, Stage, tries
from dev.cluster.truth import write_rows, wrong_keys


class MappedIngest(Case):
    """``size`` files of 8,000 rows."""

    dag_id = "mapped_ingest"
    rows_of_file = 8_000

    @property
    def rows(self) -> int:
        return self.size * self.rows_of_file

    def prepare(self, stage: Stage) -> None:
        folder = stage.cluster.shared / "mapped_ingest"
        folder.mkdir()
        for number in range(self.size):
            write_rows(folder / f"{number}.jsonl", number * self.rows_of_file, self.rows_of_file)
        stage.truth.make("mapped_ingest", loaded=True)
        stage.truth.wait_for("Loaded", "mapped_ingest")

    def begin(self, stage: Stage) -> None:
        stage.cluster.airflow.ask("POST", "/api/v2/pools", {"name": "milvus_writers", "slots": 2})
        super().begin(stage)

    def is_under_way(self, stage: Stage) -> bool:
        return stage.truth.count("mapped_ingest") >= self.rows / 10

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        reports = stage.cluster.mapped_results(self.dag_id, "insert")
        told = sum(report["written"] + report["already_there"] for report in reports)
        earlier = sum(report["already_there"] for report in reports)
        wrong = [
            *tries(stage, self.dag_id, "insert", least=2),
            *wrong_keys(stage.truth, "mapped_ingest", self.rows),
            *([f"the reports tell of {told} rows"] if told != self.rows else []),
        ]
        return f"{self.size} files, {self.rows:,} rows, each once ({earlier:,} already there in a second try)", wrong


class Ingest(Case):
    """One file of ``size`` rows."""

    dag_id = "ingest"

    def prepare(self, stage: Stage) -> None:
        write_rows(stage.cluster.shared / "ingest.jsonl", 0, self.size)
        stage.truth.make("ingest", loaded=True)
        stage.truth.wait_for("Loaded", "ingest")

    def begin(self, stage: Stage) -> None:
        # The API server is away for longer than the other cases wait for a killed worker's tasks.
        stage.cluster.kill("scheduler")
        stage.cluster.start("scheduler", {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300"})
        super().begin(stage)

    def is_under_way(self, stage: Stage) -> bool:
        return stage.truth.count("ingest") >= self.size / 10

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        (report,) = stage.cluster.mapped_results(self.dag_id, "insert")
        (number,) = stage.cluster.tries(self.dag_id, "insert")
        wrong = [
            *wrong_keys(stage.truth, "ingest", self.size),
            *([f"the report tells of {report['written']} rows"] if report["written"] != self.size else []),
            *([f"it took {number} tries"] if number != 1 else []),
        ]
        return f"{self.size:,} rows, each once, in one try", wrong


class BulkImport(Case):
    """One file of ``size`` rows, which the server reads by itself."""

    dag_id = "bulk_import"

    def prepare(self, stage: Stage) -> None:
        lines = write_rows(stage.cluster.shared / "lines", 0, self.size).read_text().splitlines()
        (stage.cluster.shared / "bulk_import.json").write_text(json.dumps({"rows": [json.loads(line) for line in lines]}))
        stage.truth.make("bulk_import", loaded=True)
        stage.truth.wait_for("Loaded", "bulk_import")

    def is_under_way(self, stage: Stage) -> bool:
        return (stage.cluster.shared / "importing").exists()

    def judge(self, stage: Stage) -> tuple[str, Sequence[str]]:
        (report,) = stage.cluster.mapped_results(self.dag_id, "import")
        wrong = [
            *tries(stage, self.dag_id, "import", least=2),
            *wrong_keys(stage.truth, "bulk_import", self.size),
            *([f"the report names {len(report['job_ids'])} jobs"] if len(report["job_ids"]) != 1 else []),
            *(["the second try began an import of its own"] if not report["attached"] else []),
        ]
        return f"{self.size:,} rows, each once, in {len(report['job_ids'])} job of the server", wrong
