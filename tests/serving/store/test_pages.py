"""A page of one model's requests costs what it holds: no database sorts all there ever were."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from serving.store import RequestRecord, Store
from serving.store.schema import REQUESTS

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
# So many that PostgreSQL does not find it cheaper to read and sort them all.
ROWS = 150_000
PAGE = 1000
SECONDS_LATER = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', created, place || ' seconds')",
    "postgresql": "created + place * interval '1 second'",
}


@pytest.fixture
def full(store: Store, record: Callable[..., RequestRecord]) -> Store:
    """Many pages of requests, one in ten the canary's, with another model's among them."""
    engine = store.requests._engine
    store.requests.add([record("like", created=NOON)])
    changed = {
        "id": "'id' || place",
        "created": SECONDS_LATER[engine.dialect.name],
        "model": "CASE WHEN place % 4 = 0 THEN 'image' ELSE 'text' END",
        "arm": "CASE WHEN place % 10 = 1 THEN 'canary' ELSE 'stable' END",
        "version": "CASE WHEN place % 10 = 1 THEN 2 ELSE 1 END",
    }
    names = [column.name for column in REQUESTS.c]
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                f"INSERT INTO requests ({', '.join(names)}) WITH RECURSIVE places (place) AS "
                "(SELECT 1 UNION ALL SELECT place + 1 FROM places WHERE place < :rows) "
                f"SELECT {', '.join(changed.get(name, name) for name in names)} "
                "FROM requests, places"
            ),
            {"rows": ROWS},
        )
        # PostgreSQL gathers its figures by itself within a minute; until then it guesses.
        connection.execute(sa.text("ANALYZE"))
    return store


def watched(engine: sa.Engine) -> list[str]:
    """Notes from now on how each query is answered: the steps of the database's own plan."""
    found: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def look(connection: Any, cursor: Any, statement: str, given: Any, *_: object) -> None:
        if not statement.startswith("SELECT"):
            return
        if engine.dialect.name == "sqlite":
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall()
            found.extend(row[3] for row in rows)
            return
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", given)
        ((plan,),) = cursor.fetchall()
        found.extend(steps(plan[0]["Plan"]))

    return found


def steps(node: dict[str, Any]) -> Iterator[str]:
    yield f"{node['Node Type']} {node.get('Index Name', '')}".strip()
    for child in node.get("Plans", ()):
        yield from steps(child)


def test_a_page_is_read_in_order_from_an_index(full: Store) -> None:
    seen = watched(full.requests._engine)
    requests, until = full.requests, NOON + timedelta(days=9)
    for index, found in (
        ("ix_requests_model_arm_created_id", requests.outcomes("text", NOON, arm="canary")),
        (
            "ix_requests_model_version_created_id",
            requests.between("text", NOON, until, version=2),
        ),
    ):
        seen.clear()
        # The second page begins where the first one ended.
        both = [one.created for one in itertools.islice(found, PAGE + 1)]
        assert both == sorted(both)
        assert len(both) == PAGE + 1
        read = [step for step in seen if step != "Limit"]
        assert len(read) == 2
        for step in read:
            assert step.startswith(("Index Scan", "SEARCH"))
            assert index in step
