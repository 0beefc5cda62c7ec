"""What a try of a task leaves for the next one: which thing its change was meant for.

Between two tries others act on the server, too. So a change is noted with the ids of what it is to change before it is sent,
and a later try compares them with what has the name now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_milvus import exceptions
from airflow_provider_milvus.client.flow import PROVES_NOTHING, Flow, Rpc

Keep = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Tries:
    """The tries of one change of a task. Notes are JSON-safe.

    :param earlier: what an earlier try has noted last; ``None`` where there is none.
    :param note: keeps a note, or fails: for what must not be done without it.
    :param leave: keeps a note if that is possible: for what is right without it, too.
    """

    earlier: Any = None
    note: Keep = bool
    leave: Keep = bool

    def send(self, change: Rpc, note: Callable[[], Any]) -> Flow[Any]:
        """Send a change. ``note`` is kept before every sending, and taken back if the server has certainly not made it."""
        is_noted = may_be_made = False

        def still(lost: exceptions.MilvusError | None) -> Flow[bool]:
            nonlocal is_noted, may_be_made
            may_be_made = may_be_made or not (lost is None or isinstance(lost, PROVES_NOTHING))
            if change.still is not None and not (yield from change.still(lost)):
                return False
            self.note(note())
            is_noted = True
            return True

        try:
            return (yield replace(change, still=still))
        except (exceptions.MilvusTimeoutError, exceptions.MilvusUnavailableError, exceptions.MilvusInDoubtError):
            raise
        except exceptions.MilvusError:
            if is_noted and not may_be_made:
                self.leave(self.earlier)
            raise

    def part(self, name: str) -> Tries:
        """The tries of a second change, whose notes go into the note of this one."""
        whole = self.earlier or {}
        return Tries(
            whole.get(name), lambda note: self.note({**whole, name: note}), lambda note: self.leave({**whole, name: note})
        )


ONE_TRY = Tries()
"""There is no other try, and nothing is kept."""
