"""An Airflow connection becomes calls that end in time."""
