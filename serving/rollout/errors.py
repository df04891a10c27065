"""What a rollout raises."""

from __future__ import annotations


class RolloutError(Exception):
    """The rollout cannot go on until somebody mends what the one line says."""
