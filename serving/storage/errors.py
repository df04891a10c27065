"""What storage raises."""

from __future__ import annotations


class StorageError(Exception):
    """A base path cannot be read or written, or holds something else; one line."""
