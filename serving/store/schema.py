"""The tables, as the newest migration leaves them; a test compares the two."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

METADATA = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
# SQLite numbers rows by itself only where the key is an INTEGER.
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC, with its zone in Python; SQLite, which has no zones, keeps it without."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with its zone. Received: {value}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("prefix", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("expires", UtcTime),
    sa.Column("revoked", UtcTime),
    sa.Column("requests_per_minute", sa.Integer),
    sa.Column("tokens_per_day", sa.BigInteger),
    sa.Column("admin", sa.Boolean, nullable=False),
)

USAGE = sa.Table(
    "usage",
    METADATA,
    sa.Column("key_id", sa.ForeignKey("api_keys.id"), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("tokens", sa.BigInteger, nullable=False),
)

REQUESTS = sa.Table(
    "requests",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created", UtcTime, nullable=False),
    # No foreign key: the record of a request outlives its key.
    sa.Column("key_id", sa.String(32)),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("version", sa.BigInteger),
    sa.Column("label", sa.String(200)),
    sa.Column("arm", sa.String(16), nullable=False),
    sa.Column("signature", sa.String(200), nullable=False),
    sa.Column("inputs", JSON, nullable=False),
    sa.Column("outputs", JSON),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("num_tokens", sa.BigInteger, nullable=False),
    sa.Column("latency_ms", sa.Float(53), nullable=False),
    sa.Column("first_token_ms", sa.Float(53)),
    sa.Column("client_request_id", sa.String(200)),
    sa.Column("streamed", sa.Boolean, nullable=False),
    sa.CheckConstraint("status IN ('ok', 'error')", name="status"),
    sa.Index(None, "created", "id"),
    sa.Index(None, "key_id", "created", "id"),
    # One model's requests in the order of time, of a version or of an arm, page by page.
    sa.Index(None, "model", "version", "created", "id"),
    sa.Index(None, "model", "arm", "created", "id"),
)

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("request_id", sa.ForeignKey("requests.id"), nullable=False, index=True),
    sa.Column("created", UtcTime, nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("value", sa.Integer),
    sa.Column("text", sa.Text),
    sa.Column("other_request_id", sa.ForeignKey("requests.id"), index=True),
    sa.Column("sample", sa.Integer, nullable=False),
    sa.Column("key_id", sa.String(32)),
    sa.CheckConstraint(
        "(kind = 'thumbs' AND value IS NOT NULL AND value IN (-1, 1))"
        " OR (kind = 'rating' AND value IS NOT NULL AND value BETWEEN 1 AND 5)"
        " OR (kind IN ('comment', 'edit') AND value IS NULL AND text IS NOT NULL)"
        " OR (kind = 'preference' AND value IS NOT NULL AND value IN (-1, 0, 1)"
        " AND other_request_id IS NOT NULL)",
        name="kind",
    ),
)

ROLLOUTS = sa.Table(
    "rollouts",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("stable_version", sa.BigInteger),
    sa.Column("candidate_version", sa.BigInteger, nullable=False),
    sa.Column("share", sa.Float(53), nullable=False),
    sa.Column("state", sa.String(32), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("updated", UtcTime, nullable=False),
    sa.Column("settings", JSON, nullable=False),
    sa.Column("details", JSON, nullable=False),
    sa.CheckConstraint("share >= 0 AND share <= 1", name="share"),
    sa.Index(
        "uq_rollouts_active_model",
        "model",
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    ),
)

ROLLOUT_EVENTS = sa.Table(
    "rollout_events",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("rollout_id", sa.ForeignKey("rollouts.id"), nullable=False, index=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("details", JSON, nullable=False),
)

# What people decided about candidates. Rows are only ever added: a trigger refuses the rest.
APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("run", sa.String(200), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("reviewer", sa.String(200), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("expires", UtcTime, nullable=False),
    sa.Column("envelope", sa.Text, nullable=False),
    sa.CheckConstraint("verdict IN ('approved', 'rejected')", name="verdict"),
    sa.Index(None, "model", "run"),
)

# Every entry's digest covers the one before; see `serving.store.audit`. Append-only, too.
AUDIT_LOG = sa.Table(
    "audit_log",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)

# Runs of the pipeline, and the versions that came of them.
RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("run", sa.String(200), primary_key=True),
    sa.Column("finished", UtcTime, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float(53)),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("source_digest", sa.String(64), nullable=False),
    sa.Column("code_digest", sa.String(64), nullable=False),
    sa.Column("code_revision", sa.String(200), nullable=False),
    sa.Column("config_digest", sa.String(64), nullable=False),
    sa.Column("config", JSON, nullable=False),
    sa.Column("figures", JSON, nullable=False),
    sa.Column("champion_version", sa.BigInteger),
    sa.Column("records", sa.Text, nullable=False),
    sa.Index(None, "finished"),
)

VERSIONS = sa.Table(
    "versions",
    METADATA,
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("run", sa.String(200), nullable=False),
    sa.Column("model_digest", sa.String(64), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Index(None, "model", "run"),
)

# What monitoring found of the served models. Numbers grow as rows are written, whatever the clock
# says: that is how one tells that it was set back.
MONITORINGS = sa.Table(
    "monitorings",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("window_from", UtcTime, nullable=False),
    sa.Column("window_to", UtcTime, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("figures", JSON, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
    sa.CheckConstraint("verdict IN ('ok', 'alert', 'retrain', 'insufficient')", name="verdict"),
    sa.Index(None, "model", "id"),
)

RETRAININGS = sa.Table(
    "retrainings",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("monitoring_id", sa.ForeignKey("monitorings.id"), index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run", sa.String(200), nullable=False),
    sa.Column("details", JSON, nullable=False),
    sa.CheckConstraint("state IN ('started', 'succeeded', 'failed', 'refused')", name="state"),
    sa.Index(None, "model", "id"),
)

# Periods in which a server was seen to serve a version under the same labels.
DEPLOYMENTS = sa.Table(
    "deployments",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("server", sa.String(300), nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("labels", JSON, nullable=False),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("seen", UtcTime, nullable=False),
    sa.Column("ended", UtcTime),
    sa.Index(None, "model", "version", "since"),
    sa.Index(
        "uq_deployments_open",
        "server",
        "model",
        "version",
        unique=True,
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    ),
)
