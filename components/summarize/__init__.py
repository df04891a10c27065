"""Writes the summary of a run, however it ended."""
