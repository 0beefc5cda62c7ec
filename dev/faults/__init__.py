"""What becomes of each task when something goes wrong on the way to the server: tasks, faults, and the page of results.

The tests in ``tests/faults`` run the cases; ``python -m dev.faults --write`` runs all of them and writes docs/faults.md anew.
"""
