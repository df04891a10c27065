"""The exception of exports."""

from __future__ import annotations


class ExportError(Exception):
    """The other registry cannot be reached, or refuses; one line."""
