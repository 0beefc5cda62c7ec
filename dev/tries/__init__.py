"""Tries of a task as Airflow makes them, without Airflow's database: what it keeps between them, and a process for each."""
