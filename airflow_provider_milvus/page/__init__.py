"""The page "Milvus" in Airflow's navigation, from Airflow 3.1 on. It only reads."""
