"""The exception of reviews."""

from __future__ import annotations


class ReviewError(Exception):
    """A key, a candidate or a verdict that cannot be used; one line."""
