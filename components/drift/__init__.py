"""Compares eras of data, and generated text with real text."""
