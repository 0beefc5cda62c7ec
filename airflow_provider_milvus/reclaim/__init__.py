"""What to release and why: plain data in, plain data out. No Airflow and no pymilvus in here.

``inventory`` is what is there, ``policy`` what may go and what must stay, ``report`` how the outcome reads.
"""
