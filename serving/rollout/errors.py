"""What a rollout raises.

RolloutError
└── LoadError   a server is there, and the version does not load on it
"""

from __future__ import annotations


class RolloutError(Exception):
    """The rollout cannot go on until somebody mends what the one line says."""


class LoadError(RolloutError):
    """A server is there, but the version does not become available on it."""
