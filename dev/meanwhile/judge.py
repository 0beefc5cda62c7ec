"""What became of a case, by the stand-in's own model: it holds, or the task failed and said so; or it is a violation.

A task and somebody's act are like two clients that change one server. What is there afterwards has to be what one order of the
two leaves there, and some of these orders are ruled out: from its first look on, a task takes nothing away that somebody has
made or come to need since.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_milvus.exceptions import MilvusError
from dev.meanwhile.acts import EXTRA_ALIAS, OTHER_WINDOW
from dev.meanwhile.moments import BEFORE_LOOK, LOST, NOT_CARRIED_OUT, ON_ITS_WAY, TRIES, Moment
from dev.meanwhile.play import SECRET, Answered, Played
from dev.meanwhile.tasks import Scenario
from dev.meanwhile.world import ANEW, Held, World, target_of
from dev.servers.scripted import GENERATED


class Kind(StrEnum):
    HOLDS = "holds"
    SAID_SO = "failed and said so"
    GAP = "gap recorded"
    VIOLATION = "VIOLATION"


@dataclass(frozen=True, slots=True)
class Judged:
    kind: Kind
    why: str = ""


_LISTS = ("ShowCollections", "ListAliases")
_TAKES = ("Drop", "Release", "Truncate")
"""How the calls begin that take a collection away, or its memory or rows."""
MADE_IN_IT = "collection made in it"
PARTITION_ACTS = ("partition made anew", "partition written to", MADE_IN_IT)
MOVES = frozenset({"alias added", "alias moved elsewhere", "alias moved back"})


def judge(
    scenario: Scenario, moment: Moment, act: str, played: Played, serial: Sequence[Played], *, tells_ids: bool = True
) -> Judged:
    """``serial``: the same task and act one after the other, in each order. ``tells_ids``: the server tells a collection from
    one that was made anew.
    """
    lost = list(_lost(scenario, moment, act, played, serial))
    wrong = [*_untrue(scenario, act, played), *always_wrong(scenario, played)]
    # A retry resolves an alias anew, and what it adds for the collection behind it takes nothing away.
    adds_elsewhere = moment.kind in TRIES and act == "alias moved elsewhere" and not scenario.takes_away
    is_another_in_secret = act == "made anew" and not tells_ids and not _has_begun(scenario, moment, played)
    if played.error is None and not lost and not adds_elsewhere and not _is_serial(played, serial, scenario):
        broken = f"success, and no order of the two leaves this: {_changes(played)}"
        (lost if is_another_in_secret else wrong).append(broken)
    if moment.kind == ON_ITS_WAY:
        return Judged(Kind.GAP, "; ".join([*lost, *wrong]))
    # The last look is two calls, and what comes between them may be seen by neither. Of collections at once, one may be at its
    # last look while somebody acts at a call of another one, or at a list that others share.
    is_of_others = played.struck != scenario.subject if moment.rpc in _LISTS else played.struck not in ("", scenario.subject)
    is_beside = is_of_others and played.changed_next
    is_not_to_be_seen = moment.kind == BEFORE_LOOK or is_another_in_secret or is_beside
    if is_not_to_be_seen and not wrong and played.error is None and lost:
        return Judged(Kind.GAP, "; ".join(lost))
    if wrong or (lost and played.error is None):
        return Judged(Kind.VIOLATION, "; ".join([*lost, *wrong]))
    if lost:
        return Judged(Kind.SAID_SO, "; ".join(lost))
    return Judged(Kind.SAID_SO if played.error is not None else Kind.HOLDS)


def _has_begun(scenario: Scenario, moment: Moment, played: Played) -> bool:
    """Whether the task had sent what takes the collection away, or its memory, before somebody acted."""
    was_sent = moment.kind in (LOST, NOT_CARRIED_OUT, *TRIES) and moment.rpc.startswith(_TAKES)
    return (was_sent and played.struck == scenario.subject) or any(
        change.rpc.startswith(_TAKES) for change in _changes_before(scenario, played)
    )


def _changes_before(scenario: Scenario, played: Played) -> list[Answered]:
    """The task's changes of the subject that were carried out before somebody acted."""
    assert played.acted_at is not None
    return [change for change in played.carried_out[: played.acted_at[1]] if change.collection == scenario.subject]


def judge_undisturbed(scenario: Scenario, played: Played, alone: Played) -> Judged:
    """A case in which the moment did not come: a call was lost, for example, and the first try succeeded all the same."""
    wrong = always_wrong(scenario, played)
    if played.error is None and alone.error is None and not _is_serial(played, [alone], scenario):
        wrong.append("success, and the server does not hold what the task leaves when nothing is lost")
    return Judged(Kind.VIOLATION if wrong else Kind.HOLDS, "; ".join(wrong))


def _is_same(now: tuple[str, int] | None, then: tuple[str, int] | None) -> bool:
    """Whether an alias leads to the same collection, which may have another name by now."""
    return now == then or (now is not None and then is not None and now[1] == then[1])


def _lost(scenario: Scenario, moment: Moment, act: str, played: Played, serial: Sequence[Played]) -> list[str]:
    """What somebody has made or needs, and what is not there any more."""
    subject, after = scenario.subject, played.after
    made, left = played.after_act.get(subject), after.get(subject)
    if not moment.began and _is_serial(played, serial, scenario):
        return []
    # A try that has changed nothing is followed by one that knows what it finds; but a collection is known by its id.
    begins_anew = moment.kind in TRIES and not _changes_before(scenario, played) and _is_serial(played, serial, scenario)
    lost = []
    alias = EXTRA_ALIAS if act == "alias added" else scenario.alias or "live"
    if act in MOVES and not begins_anew and not _is_same(target_of(after, alias), target_of(played.after_act, alias)):
        lost.append(f"alias {alias!r} was pointed to {target_of(played.after_act, alias)}, and is at {target_of(after, alias)}")
    if made is None:
        return lost
    if act == "made anew":
        # Of what the earlier try has not even tried to change, nothing is known; nor of what the task has not been told the id.
        is_unknown = begins_anew and played.struck != subject
        is_unknown = is_unknown or (not played.told_id and _is_serial(played, serial, scenario))
        lost += [] if is_unknown else _lost_of_anew(made, left)
    elif act in ("alias added", "window opened") and made.in_memory and not (left and left.in_memory) and not begins_anew:
        lost.append(f"{subject!r} was taken out of memory, although {act}")
    elif act in PARTITION_ACTS and (left or act == MADE_IN_IT) and not begins_anew and not _has_all_of(made, left):
        lost.append(f"a partition, or a collection of the database, is gone, although: {act}")
    elif act == "loaded" and _was_released_before(scenario, played) and not (left and left.in_memory):
        lost.append(f"{subject!r} was taken out of memory, although somebody loaded it after the task's release")
    if act == "window opened" and not begins_anew and left and left.number == made.number and OTHER_WINDOW not in left.windows:
        lost.append(f"the mark of {OTHER_WINDOW!r} is gone")
    return lost


def _has_all_of(made: Held, left: Held | None) -> bool:
    return set(made.partitions) <= set(left.partitions if left else ())


def _lost_of_anew(made: Held, left: Held | None) -> list[str]:
    if left is None or left.number != made.number:
        return ["what was made anew is gone"]
    lost = []
    if not set(made.keys) & set(ANEW) <= set(left.keys):
        lost.append("rows of what was made anew are gone")
    if made.in_memory and not left.in_memory:
        lost.append("what was made anew is out of memory")
    if not set(made.partitions) <= set(left.partitions):
        lost.append("what was made anew has lost a partition")
    if not set(made.indexes) <= set(left.indexes):
        lost.append("what was made anew has lost its index")
    return lost


def _was_released_before(scenario: Scenario, played: Played) -> bool:
    """Whether a release of the task's was carried out before somebody acted."""
    return any(change.rpc.startswith("Release") for change in _changes_before(scenario, played))


def _is_serial(played: Played, serial: Sequence[Played], scenario: Scenario) -> bool:
    """Whether the server holds what one order of the two leaves, with the task ending in the same way.

    A load that may have come into use is not taken back: leaving it in memory is right in any order.
    """
    left = _plain(played.after, played)
    for one in serial:
        expected = _plain(one.after, one)
        if scenario.may_leave and left.keys() == expected.keys():
            expected = {
                name: {**held, "in memory": left[name]["in memory"] or held["in memory"]} for name, held in expected.items()
            }
        if (one.error is None) == (played.error is None) and left == expected:
            return True
    return False


def _plain(world: World, played: Played) -> dict[str, Any]:
    """The world without ids: which collections were there before, and which somebody or the task has made."""
    before = {held.number for held in played.found.values()}
    somebodys = {held.number for held in played.after_act.values()} - {held.number for held in played.before_act.values()}

    def maker(held: Held) -> str:
        return "found" if held.number in before else "somebody's" if held.number in somebodys else "the task's"

    return {
        name: {
            "made by": maker(held),
            "in memory": held.in_memory,
            "aliases": held.aliases,
            "keys": _known_keys(held),
            "indexes": held.indexes,
            "properties": held.properties,
            "snapshots": held.snapshots,
            "partitions": held.partitions,
            "needed by somebody's window": OTHER_WINDOW in held.windows,
        }
        for name, held in world.items()
    }


def _known_keys(held: Held) -> tuple[Any, ...]:
    """Keys, and how many were generated: those differ from play to play."""
    generated = [key for key in held.keys if isinstance(key, int) and key >= GENERATED]
    return (*[key for key in held.keys if key not in generated], f"{len(generated)} generated")


def always_wrong(scenario: Scenario, played: Played) -> list[str]:
    """What is wrong whether somebody acts or not."""
    texts = " ".join([str(played.error or ""), repr(played.error), str(played.first_error or ""), str(played.result)])
    wrong = _sent_twice(played)
    wrong += [f"{rpc} came without a deadline" for rpc in sorted(played.unbounded)]
    wrong += ["a secret is in a message or in the result"] if SECRET in texts else []
    wrong += [f"notes for a retry are left after the success: {played.notes_left}"] if played.notes_left else []
    if said := scenario.must(played):
        wrong.append(said)
    return wrong


def _sent_twice(played: Played) -> list[str]:
    """The changes that came again after their answer. A load that was taken back may come again."""
    answered: list[tuple[Any, ...]] = []
    twice = set()
    for change in played.carried_out:
        if change.rpc.startswith("Release"):
            answered = [sent for sent in answered if not (sent[0].startswith("Load") and sent[2] == change.number)]
        sent = (change.rpc, change.request, change.number, change.task, change.attempt)
        if change.answered:
            twice |= {change.rpc} if sent in answered else set()
            answered.append(sent)
    return [f"{rpc} was answered, and sent again" for rpc in sorted(twice)]


_CLAIMS = {
    "released": ("ReleaseCollection", "ReleasePartitions"),
    "dropped": ("DropCollection", "DropDatabase"),
    "emptied": ("TruncateCollection",),
    "truncated": ("TruncateCollection",),
    "moved": ("AlterAlias", "CreateAlias"),
    "renamed": ("RenameCollection",),
    "pointed": ("AlterAlias", "CreateAlias"),
    "altered": ("AlterCollection", "AlterDatabase"),
    "created": ("CreateCollection", "CreateAlias", "CreateDatabase", "CreateIndex"),
    "inserted": ("Insert", "Upsert"),
    "upserted": ("Upsert",),
    "deleted": ("Delete",),
}


def _untrue(scenario: Scenario, act: str, played: Played) -> list[str]:
    """What the result or the message says, and what the server shows otherwise."""
    if played.error is not None:
        return _untrue_message(scenario, played)
    return _untrue_result(scenario, act, played)


def _untrue_message(scenario: Scenario, played: Played) -> list[str]:
    error = played.error
    text = str(error)
    if not isinstance(error, MilvusError):
        return [f"it is no error of this provider's: {type(error).__name__}: {text[:200]}"]
    names = {*played.found, *played.after, scenario.subject, scenario.alias} - {""}
    wrong = [] if any(name in text for name in names) else [f"the message names no collection: {text[:200]}"]
    last = max(((change.task, change.attempt) for change in played.carried_out), default=None)
    done = [change for change in played.carried_out if (change.task, change.attempt) == last]
    # Of a change that was answered the task speaks no more, and what somebody has dropped since does not show it.
    shown = {
        (change.rpc, change.collection)
        for change in done
        if not change.answered
        and (change.rpc in ("DropCollection", "DropDatabase") or _number(played.after, change.collection) == change.number)
    }
    for name, word in re.findall(r"(?:[Cc]ollection|[Dd]atabase) '([^']+)' was not (\w+)", text):
        if any((rpc, name) in shown for rpc in _CLAIMS.get(word, ())):
            wrong.append(f"the message says that {name!r} was not {word}, and it was")
    if "Nothing was changed" in text and done:
        wrong.append("the message says that nothing was changed, and something was")
    for name in re.findall(r"'([^']+)'(?: was sent)?.{0,40} the server still has it", text):
        if _number(played.after, name) != _number(played.found, name):
            wrong.append(f"the message says that the server still has {name!r}, and it is gone")
    return wrong


def _number(world: World, name: str) -> int:
    """A collection's id; 0 where there is none of that name."""
    return world[name].number if name in world else 0


def _untrue_result(scenario: Scenario, act: str, played: Played) -> list[str]:
    """A result is held to what the task could see: somebody's act that came before its last look."""
    result, held = played.result, played.after.get(scenario.subject)
    if not isinstance(result, dict):
        return []
    wrong = []
    is_plain = result.get("collection") == scenario.subject and not {"reason", "reloaded"} & result.keys()
    if played.looked_since and is_plain:
        state = held.state if held else "NotExist"
        if result.get("state") in ("NotLoad", "Loaded") and result["state"] != state:
            wrong.append(f"the result says {result['state']}, and the server {state}")
    if played.looked_since and held is not None and held.state != "NotLoad":
        for entry in result.get("released", ()) if isinstance(result.get("released"), list) else ():
            if entry["collection"] == scenario.subject and entry.get("state") == "NotLoad" and not result.get("reloaded"):
                wrong.append(f"the report says that {scenario.subject!r} was released, and the server has it {held.state}")
    return wrong


def _changes(played: Played) -> str:
    """What is otherwise than just after somebody's act, in a few words."""
    words = []
    for name in sorted(played.after_act.keys() | played.after.keys()):
        was, now = played.after_act.get(name), played.after.get(name)
        if was is None or now is None:
            words.append(f"{name} is {'gone' if now is None else 'new'}") if was is not now else None
            continue
        words += [
            f"{name}.{field} {getattr(was, field)} -> {getattr(now, field)}"
            for field in Held.__slots__
            if field != "load" and getattr(was, field) != getattr(now, field)
        ]
    return "; ".join(words) or "nothing differs from what somebody left"
