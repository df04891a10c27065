"""What goes wrong in sampling that is not the server's doing."""

from __future__ import annotations


class SamplingError(Exception):
    """A table cannot be sampled as asked; `str()` is one line."""
