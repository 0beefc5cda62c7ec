"""``milvus-airflow``, for the command line."""
