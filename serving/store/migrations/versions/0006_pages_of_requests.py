"""Indexes that give a page of one model's requests without sorting all of them."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Replaces an index that ends before the order does, and adds that of arms."""
    op.create_index(
        op.f("ix_requests_model_version_created_id"),
        "requests",
        ["model", "version", "created", "id"],
    )
    op.create_index(
        op.f("ix_requests_model_arm_created_id"), "requests", ["model", "arm", "created", "id"]
    )
    op.drop_index(op.f("ix_requests_model_version_created"), table_name="requests")
