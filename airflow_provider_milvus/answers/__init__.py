"""Answers of servers, whoever sends them: how much of one is read, and which numbers in it are believed."""
