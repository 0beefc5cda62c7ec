"""What is done to a server, as flows: ``client/flow.py`` says what a flow is.

A flow here takes and returns plain values; a client carries it out. No Airflow in here. Flows that only read are in
``client/reads.py`` and ``conditions/``.
"""
