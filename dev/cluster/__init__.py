"""Airflow as a cluster, on one machine: PostgreSQL, Redis, CeleryExecutor, two workers and two triggerers, before Milvus 2.3.5.

Parts of it are killed, frozen and restarted while tasks run. Then Milvus, Airflow's database and the tasks' results are asked
whether anything was lost, was done twice, or was released while somebody needed it. ``make test-cluster`` runs it.
"""
