"""What happens when somebody else acts while a task works: every task, at every moment, by every act.

A *case* is a task (``tasks.py``) on a stand-in of one dialect, a moment of its work (``moments.py``), and what somebody does
then (``acts.py``). The moments are derived from the calls that the task makes when nobody disturbs it. ``play.py`` plays a case
and ``judge.py`` says what became of it, by the stand-in's own model. ``python -m dev.meanwhile --write`` plays all of them and
writes the tables of docs/meanwhile.md.
"""
