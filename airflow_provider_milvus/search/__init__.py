"""Rows on their way out: queries and searches, as flows, and what becomes of their rows."""
