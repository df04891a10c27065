"""What storage raises."""

from __future__ import annotations


class StorageError(Exception):
    """A base path cannot be read or written, or holds something else; one line."""


class MissingError(StorageError):
    """There is no such file or folder; one line."""


class TakenError(StorageError):
    """Somebody else has published under the same number; one line."""


class IntegrityError(StorageError):
    """What arrived is not what was sent; one line."""
