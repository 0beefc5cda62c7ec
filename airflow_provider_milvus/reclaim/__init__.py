"""Which collections to release, and how: the memory reclaim, and the reload of what it released.

Plain data, without Airflow, client or server: ``policy``, ``plan``, ``usage``, ``inventory``, ``report``, ``memory_report``,
``pace``, ``restore`` and ``loaded_since``. The others ask a server: ``survey``, ``in_use``, ``releases``, ``run``,
``restore_run`` and ``demand``.
"""
