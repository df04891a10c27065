"""Checks of texts, generated or to learn from, by scorers that anybody can add."""
