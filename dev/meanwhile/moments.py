"""The moments at which somebody acts, derived from what a task does when nobody disturbs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

CHANGES = frozenset(
    {
        "AlterAlias",
        "AlterCollection",
        "AlterDatabase",
        "CreateAlias",
        "CreateCollection",
        "CreateDatabase",
        "CreateIndex",
        "CreatePartition",
        "CreateSnapshot",
        "Delete",
        "DropAlias",
        "DropCollection",
        "DropDatabase",
        "DropIndex",
        "DropPartition",
        "Flush",
        "Import",
        "Insert",
        "LoadCollection",
        "LoadPartitions",
        "ManualCompaction",
        "ReleaseCollection",
        "ReleasePartitions",
        "RenameCollection",
        "RestoreSnapshot",
        "TruncateCollection",
        "Upsert",
    }
)
"""The calls that change something."""
NO_LOOKS = frozenset({"Connect", "GetVersion", "CheckHealth", "GetMetrics", "ListDatabases"})
"""Calls that tell nothing of a collection."""

BEFORE_LOOK = "before the last look"
BETWEEN_LOOKS = "between two looks"
ON_ITS_WAY = "on its way"
"""Between the last look and the server's receipt: what cannot be closed without a lock."""
LOST = "sent and lost"
NOT_CARRIED_OUT = "sent, not carried out"
NOT_TAKEN = "not taken, sent later"
ANSWERED = "answered, not looked at"
TRIES_LOST = "between tries, lost"
TRIES_NOT_CARRIED_OUT = "between tries, not carried out"
TRIES_LATE = "between tries, timed out"
TRIES_FORGOTTEN = "between tries, forgotten"
"""Of a release: 2.3.5 forgets one in its queue whose caller has stopped waiting."""
BETWEEN_TASKS = "between two tasks"

OF_A_CHANGE = (LOST, NOT_CARRIED_OUT, NOT_TAKEN, ANSWERED, TRIES_LOST, TRIES_NOT_CARRIED_OUT, TRIES_LATE, ON_ITS_WAY)
KINDS = (BEFORE_LOOK, BETWEEN_LOOKS, *OF_A_CHANGE[:-1], TRIES_FORGOTTEN, BETWEEN_TASKS, ON_ITS_WAY)
TRIES = frozenset({TRIES_LOST, TRIES_NOT_CARRIED_OUT, TRIES_LATE, TRIES_FORGOTTEN})
CARRIED_OUT = frozenset({LOST, ANSWERED, TRIES_LOST, TRIES_LATE})
"""The change that the moment belongs to is carried out before somebody acts."""


@dataclass(frozen=True, slots=True)
class Moment:
    """At call ``number`` of ``rpc``, counted from 0 through all tasks and tries; or at pause ``number`` between two tasks.

    ``began``: the task has had an answer about a collection before.
    """

    kind: str
    rpc: str = ""
    number: int = 0
    began: bool = True

    def __str__(self) -> str:
        return f"{self.kind}: {self.rpc or 'pause'} {self.number + 1}"


LOOKS_BETWEEN = 3
"""Looks between two changes at which somebody acts, at most: a task that waits makes many that are alike."""


def moments_of(calls: Sequence[str], pauses: int) -> list[Moment]:
    """The moments of a task that makes these calls, in this order, with ``pauses`` between its parts."""
    counted: Counter[str] = Counter()
    numbered = []
    for rpc in calls:
        numbered.append((rpc, counted[rpc]))
        counted[rpc] += 1
    looks = [place for place, (rpc, _) in enumerate(numbered) if rpc not in CHANGES | NO_LOOKS]
    # The first look may be two calls, of which the second lists the aliases.
    begun = next((place for place in looks[:3] if numbered[place][0] == "ListAliases"), looks[0] if looks else 0)
    found: list[Moment] = []
    for place, (rpc, number) in enumerate(numbered):
        if rpc in CHANGES:
            began = bool(looks) and begun < place
            kinds = (*OF_A_CHANGE, *([TRIES_FORGOTTEN] if rpc.startswith("Release") else []))
            found += [Moment(kind, rpc, number, began) for kind in kinds]
        elif place in looks:
            change_follows = any(following in CHANGES for following, _ in numbered[place:])
            following_look = next((other for other in looks if other > place), len(numbered))
            is_last = change_follows and any(following in CHANGES for following, _ in numbered[place:following_look])
            follows_change = place > 0 and numbered[place - 1][0] in CHANGES
            if place == looks[0] and not is_last:
                continue  # Somebody who acts before the first look acts before the task.
            if follows_change and not is_last:
                continue  # Answered, and not yet looked at.
            found.append(Moment(BEFORE_LOOK if is_last else BETWEEN_LOOKS, rpc, number, place > begun))
    found = _thinned(found)
    return found + [Moment(BETWEEN_TASKS, "", number) for number in range(pauses)]


def _thinned(moments: Sequence[Moment]) -> list[Moment]:
    """The moments without most looks of a long wait: the first, one in the middle and the last stay."""
    thinned: list[Moment] = []
    for is_between, run in groupby(moments, lambda moment: moment.kind == BETWEEN_LOOKS):
        alike = list(run)
        thinned += [alike[0], alike[len(alike) // 2], alike[-1]] if is_between and len(alike) > LOOKS_BETWEEN else alike
    return thinned
