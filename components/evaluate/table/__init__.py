"""Judges a model of tables on held-out rows, beside a floor and a naive baseline."""
