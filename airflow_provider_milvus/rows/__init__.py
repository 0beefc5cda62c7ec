"""Rows on their way to a collection: read from any source, checked against the schema, cut into batches, put into
the protocol's form.

Plain data in, plain data out: no server in here, and of Airflow only its object storage, in ``places``.
"""
