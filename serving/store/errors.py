"""The exceptions of the store.

StoreError
├── UnknownRequestError   feedback on a request that is not recorded
├── ConflictError         somebody else was faster, or such a thing exists already
└── TamperedError         the audit log is not what was written
"""

from __future__ import annotations


class StoreError(Exception):
    """The database cannot be reached, refused, or is not what it should be; one line."""


class UnknownRequestError(StoreError):
    """Feedback names a request that is not recorded."""


class ConflictError(StoreError):
    """The row was changed by somebody else meanwhile, or there is one already."""


class TamperedError(StoreError):
    """The audit log is not what was written to it."""
