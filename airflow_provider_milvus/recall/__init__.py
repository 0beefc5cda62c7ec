"""How much of the truth an index finds, and how fast: searches beside brute force over every vector.

``measure.py`` asks the server, ``vectors.py`` turns the protocol's vectors into NumPy's, ``truth.py`` computes.
"""

from __future__ import annotations
