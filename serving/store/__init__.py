"""What serving remembers: requests, feedback, API keys, usage and rollouts, in one schema."""

from serving.store.errors import StoreError, UnknownRequestError
from serving.store.redaction import Redaction
from serving.store.store import Store, open_store
from serving.store.types import Feedback, Key, Outcome, RequestRecord, Rollout, RolloutEvent

__all__ = [
    "Feedback",
    "Key",
    "Outcome",
    "Redaction",
    "RequestRecord",
    "Rollout",
    "RolloutEvent",
    "Store",
    "StoreError",
    "UnknownRequestError",
    "open_store",
]
