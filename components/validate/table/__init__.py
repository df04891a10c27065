"""Checks tables against the constraints that their user declared."""
