"""What serving remembers: requests, feedback, keys, rollouts, approvals, runs, monitorings."""

from serving.store.errors import StoreError, TamperedError, UnknownRequestError
from serving.store.redaction import Redaction
from serving.store.store import Store, open_store, opened
from serving.store.types import (
    Approval,
    AuditEntry,
    Deployment,
    Feedback,
    Key,
    Monitoring,
    Outcome,
    RequestRecord,
    Retraining,
    RetrainingLimits,
    Rollout,
    RolloutEvent,
    Run,
    Version,
)

__all__ = [
    "Approval",
    "AuditEntry",
    "Deployment",
    "Feedback",
    "Key",
    "Monitoring",
    "Outcome",
    "Redaction",
    "RequestRecord",
    "Retraining",
    "RetrainingLimits",
    "Rollout",
    "RolloutEvent",
    "Run",
    "Store",
    "StoreError",
    "TamperedError",
    "UnknownRequestError",
    "Version",
    "open_store",
    "opened",
]
