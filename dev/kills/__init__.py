"""What becomes of a task whose process is killed at a call that changes something, and which is then tried again."""
