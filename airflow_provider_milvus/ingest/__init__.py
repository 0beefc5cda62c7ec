"""Work on many collections at once, over one channel: a look over a server, a reclaim, a restore. No Airflow in here.

What to do and why is decided in ``reclaim/``; how one collection is loaded or released is in ``server/load_release.py``.
"""
