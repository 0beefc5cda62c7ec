"""What is done to a server, as flows: ``flow.py`` says what a flow is.

Each takes plain values and gives plain values back; the client carries it out. No Airflow in here. What only looks is in
``listing.py``, ``counting.py`` and ``conditions/``.
"""
