"""Compares eras of a table, and generated rows with real ones."""
