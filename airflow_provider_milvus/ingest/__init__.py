"""Rows on their way into a collection: one run of an insert or upsert, its sending, and where a retry begins.

No Airflow in here. How rows are read, checked and encoded is in ``rows/``; the calls that write them: ``server/writes.py``.
"""
