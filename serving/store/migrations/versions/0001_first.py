"""Requests, feedback, API keys, usage and rollouts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_TIME = sa.DateTime(timezone=True)
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("expires", _TIME),
        sa.Column("revoked", _TIME),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("tokens_per_day", sa.BigInteger()),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("key_id", sa.String(length=32)),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("version", sa.BigInteger()),
        sa.Column("label", sa.String(length=200)),
        sa.Column("arm", sa.String(length=16), nullable=False),
        sa.Column("signature", sa.String(length=200), nullable=False),
        sa.Column("inputs", _JSON, nullable=False),
        sa.Column("outputs", _JSON),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("num_tokens", sa.BigInteger(), nullable=False),
        sa.Column("latency_ms", sa.Float(precision=53), nullable=False),
        sa.Column("first_token_ms", sa.Float(precision=53)),
        sa.Column("client_request_id", sa.String(length=200)),
        sa.Column("streamed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("status IN ('ok', 'error')", name=op.f("ck_requests_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
    )
    op.create_index(op.f("ix_requests_created_id"), "requests", ["created", "id"])
    op.create_index(op.f("ix_requests_key_id_created_id"), "requests", ["key_id", "created", "id"])
    op.create_index(
        op.f("ix_requests_model_version_created"), "requests", ["model", "version", "created"]
    )
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("stable_version", sa.BigInteger()),
        sa.Column("candidate_version", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.Float(precision=53), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("updated", _TIME, nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("details", _JSON, nullable=False),
        sa.CheckConstraint("share >= 0 AND share <= 1", name=op.f("ck_rollouts_share")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(
        "uq_rollouts_active_model",
        "rollouts",
        ["model"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Integer()),
        sa.Column("text", sa.Text()),
        sa.Column("other_request_id", sa.String(length=64)),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=32)),
        sa.CheckConstraint(
            "(kind = 'thumbs' AND value IS NOT NULL AND value IN (-1, 1))"
            " OR (kind = 'rating' AND value IS NOT NULL AND value BETWEEN 1 AND 5)"
            " OR (kind IN ('comment', 'edit') AND value IS NULL AND text IS NOT NULL)"
            " OR (kind = 'preference' AND value IS NOT NULL AND value IN (-1, 0, 1)"
            " AND other_request_id IS NOT NULL)",
            name=op.f("ck_feedback_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["other_request_id"],
            ["requests.id"],
            name=op.f("fk_feedback_other_request_id_requests"),
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["requests.id"], name=op.f("fk_feedback_request_id_requests")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
    )
    op.create_index(op.f("ix_feedback_created"), "feedback", ["created"])
    op.create_index(op.f("ix_feedback_other_request_id"), "feedback", ["other_request_id"])
    op.create_index(op.f("ix_feedback_request_id"), "feedback", ["request_id"])
    op.create_table(
        "rollout_events",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("rollout_id", sa.String(length=32), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("details", _JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_events_rollout_id_rollouts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
    )
    op.create_index(op.f("ix_rollout_events_rollout_id"), "rollout_events", ["rollout_id"])
    op.create_table(
        "usage",
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name=op.f("fk_usage_key_id_api_keys")),
        sa.PrimaryKeyConstraint("key_id", "day", name=op.f("pk_usage")),
    )
