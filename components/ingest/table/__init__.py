"""Reads tables and writes their rows as examples."""
