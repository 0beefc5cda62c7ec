"""The cases: each task, in a worker and where it defers in the triggerer, with a fault at a call, on each server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.faults.tasks import SERVERS, TASKS, Task
from dev.servers.wire import ANY, Fault, Harm

FAULTS = {
    "freeze": Fault(Harm.FREEZE),
    "delay": Fault(Harm.FREEZE, 1.0),
    "mute": Fault(Harm.MUTE),
    "cut before": Fault(Harm.CUT_BEFORE),
    "cut after": Fault(Harm.CUT_AFTER),
    "end answers": Fault(Harm.END_ANSWERS),
    "end requests": Fault(Harm.END_REQUESTS),
    "throttle": Fault(Harm.THROTTLE),
    "refuse": Fault(Harm.REFUSE),
    "refuse briefly": Fault(Harm.REFUSE, 1.0),
    "vanish": Fault(Harm.VANISH),
    "vanish briefly": Fault(Harm.VANISH, 1.0),
}
AT_A_READ = ("freeze", "cut after", "refuse")
"""Whether a read reached the server makes no difference to what is there."""
BEFORE_DEFERRAL = ("cut after", "vanish briefly")
"""The worker's part is the same as that of a task that does not defer; here it goes on, and then defers."""
ONCE_IN_TRIGGERER = ("freeze", "delay", "cut before", "throttle", "refuse", "refuse briefly")
CHANGES = frozenset(
    {
        "AlterAlias", "AlterCollection", "AlterDatabase", "CreateAlias", "CreateCollection", "CreateDatabase", "CreateIndex",
        "CreatePartition", "CreateSnapshot", "Delete", "DropAlias", "DropCollection", "DropDatabase", "DropIndex",
        "DropPartition", "Flush", "Import", "Insert", "LoadCollection", "LoadPartitions", "ManualCompaction",
        "ReleaseCollection", "ReleasePartitions", "RenameCollection", "RestoreSnapshot", "TruncateCollection", "Upsert",
    }
)  # fmt: skip
"""The calls that change something."""
CALLS_FILE = Path(__file__).parent / "calls.json"
CALLS: dict[str, dict[str, dict[str, list[str]]]] = json.loads(CALLS_FILE.read_text())
"""By server, task and way: the first call, then each that changes something. A way is missing where the task does not defer."""

WORKER, DEFERRED = "worker", "deferred"
ONCE_DEFERRED = "once deferred"
"""In place of a call: the first one that the triggerer makes."""


@dataclass(frozen=True, slots=True)
class Case:
    server: str
    task: Task
    way: str
    call: str
    fault_name: str

    @property
    def id(self) -> str:
        return "-".join((self.server, self.task.name, self.way, self.call, self.fault_name)).replace(" ", "_")

    @property
    def row(self) -> tuple[str, str, str]:
        """Its row in the page's table."""
        return (self.task.name, self.way, self.call)

    @property
    def fault(self) -> Fault | None:
        """``None``: nothing happens."""
        return FAULTS.get(self.fault_name)

    @property
    def changes(self) -> bool:
        return self.call in CHANGES

    @property
    def strikes_at(self) -> str:
        """The call's name on the wire."""
        return ANY if self.call == ONCE_DEFERRED else self.call

    @property
    def timeout(self) -> float:
        """Short where the task cannot succeed, and long where it should."""
        if self.task.never:
            return 2.0
        return 30.0 if self.fault is None or self.fault.passes else self.task.reach


def _points(server: str, task: Task) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Way, call, and the faults there."""
    for way, calls in CALLS[server].get(task.name, {}).items():
        for call in calls:
            if call in CHANGES:
                yield way, call, tuple(FAULTS) if way == WORKER else BEFORE_DEFERRAL
            elif way == WORKER:
                yield way, call, AT_A_READ
        if way == DEFERRED:
            yield way, ONCE_DEFERRED, AT_A_READ if task.never else ONCE_IN_TRIGGERER


def _cases() -> list[Case]:
    found = [
        Case(server, task, way, call, fault)
        for server in SERVERS
        for task in TASKS
        if server in task.servers
        for way, call, faults in _points(server, task)
        for fault in faults
    ]
    # What finds the same world comes one after the other: it is mostly still there.
    return sorted(found, key=lambda case: (case.server, case.task.world.in_memory, case.task.world.indexed))


CASES = _cases()
