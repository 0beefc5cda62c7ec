"""What is done to a server, as flows: ``client/flow.py`` says what a flow is.

Each takes plain values and gives plain values back; the client carries it out. No Airflow in here. What only looks is in
``client/reads.py``, ``client/row_count_tmp.py`` and ``conditions/``.
"""
