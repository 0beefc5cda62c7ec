"""The recall and latency of a vector index: searches compared with brute force over every vector.

``measure.py`` asks the server, ``truth.py`` computes.
"""

from __future__ import annotations
