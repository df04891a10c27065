"""The end of a run: its summary is written, and people are told where one is needed."""
