"""Monitorings of served models, and the retrainings that came of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "monitorings",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("window_from", _TIME, nullable=False),
        sa.Column("window_to", _TIME, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("figures", _JSON, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "verdict IN ('ok', 'alert', 'retrain', 'insufficient')",
            name=op.f("ck_monitorings_verdict"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitorings")),
    )
    op.create_index(op.f("ix_monitorings_model_id"), "monitorings", ["model", "id"])
    op.create_table(
        "retrainings",
        sa.Column("id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("monitoring_id", _SERIAL),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("run", sa.String(length=200), nullable=False),
        sa.Column("details", _JSON, nullable=False),
        sa.CheckConstraint(
            "state IN ('started', 'succeeded', 'failed', 'refused')",
            name=op.f("ck_retrainings_state"),
        ),
        sa.ForeignKeyConstraint(
            ["monitoring_id"],
            ["monitorings.id"],
            name=op.f("fk_retrainings_monitoring_id_monitorings"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retrainings")),
    )
    op.create_index(op.f("ix_retrainings_model_id"), "retrainings", ["model", "id"])
    op.create_index(op.f("ix_retrainings_monitoring_id"), "retrainings", ["monitoring_id"])
