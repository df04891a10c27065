"""Judges a served model by its log: drift, quality, feedback, latency, cost."""
