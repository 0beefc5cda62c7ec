"""What becomes of each task over every way to be let in or turned away: a stand-in with users, and what a task tells."""
