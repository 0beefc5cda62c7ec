"""Two tasks at once on one collection, started together: every pair ends as if one had come after the other, or one says so."""
