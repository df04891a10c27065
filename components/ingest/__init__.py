"""Reads documents and writes them as examples."""
