"""Rows on their way to a collection: read from any source, checked against the schema, and encoded in batches for the protocol.

Plain data in, plain data out: no server in here, and of Airflow only its object storage, in ``storage``.
"""
