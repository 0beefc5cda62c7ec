"""The recall and latency of a vector index: searches compared with brute force over every vector.

``measure.py`` asks the server, ``vectors.py`` converts between the protocol's vectors and NumPy's, ``truth.py`` computes.
"""

from __future__ import annotations
