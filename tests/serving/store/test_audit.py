"""The audit log: only grows, and shows whatever was done to it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from serving.store import Approval, AuditEntry, Store, StoreError, TamperedError
from serving.store.audit import checked, digest_of, read_export
from serving.store.audit_commands import audit
from serving.store.engine import make_engine


def call(*arguments: str) -> Result:
    return CliRunner().invoke(audit, list(arguments))


def fill(store: Store, count: int = 5) -> list[AuditEntry]:
    for number in range(count):
        store.audit.append(
            "version.published", actor="Ada", subject=f"text/{number}", details={"n": number}
        )
    return list(store.audit.entries())


def test_entries_form_a_chain(store: Store) -> None:
    entries = fill(store)
    assert [entry.id for entry in checked(entries)] == [1, 2, 3, 4, 5]
    assert entries[2].read()["details"] == {"n": 2}
    assert [entry.id for entry in store.audit.entries(subject="text/3")] == [4]


@pytest.mark.parametrize("table", ["audit_log", "approvals"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_the_database_refuses_changes(store: Store, url: str, table: str, change: str) -> None:
    fill(store, 1)
    now = datetime.now(UTC)
    given = ("n", "text", "run", "approved", "Ada", "", now, now + timedelta(days=1), "{}")
    store.approvals.decide("text", "run", now, lambda _: Approval(*given))
    engine = make_engine(url)
    with pytest.raises(sa.exc.DBAPIError, match="only ever added"), engine.begin() as connection:
        connection.execute(sa.text(change.format(table)))
    engine.dispose()
    assert len(list(checked(store.audit.entries()))) == 2


def test_many_writers_at_once_leave_one_chain(store: Store) -> None:
    def write(worker: int) -> None:
        for number in range(5):
            store.audit.append("event", actor=str(worker), subject="s", details={"n": number})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    entries = list(checked(store.audit.entries()))
    assert len(entries) == 20
    for worker in range(4):
        written = [entry.read() for entry in entries if entry.read()["actor"] == str(worker)]
        assert [entry["details"]["n"] for entry in written] == list(range(5))


def tampered(entries: list[AuditEntry], seed: int) -> list[AuditEntry]:
    """The log after one of the things that somebody could do to its middle."""
    chance = random.Random(seed)
    place = chance.randrange(len(entries) - 1)
    entry = entries[place]
    kind = seed % 6
    if kind == 0:
        changed = dataclasses.replace(entry, content=entry.content.replace("Ada", "Eve"))
    elif kind == 1:  # With a digest that fits, but which the next entry does not follow.
        content = entry.content.replace("Ada", "Eve")
        digest = digest_of(entry.id, entry.previous, content)
        changed = dataclasses.replace(entry, content=content, digest=digest)
    elif kind == 2:
        return entries[:place] + entries[place + 1 :]
    elif kind == 3:
        return [*entries[: place + 1], entry, *entries[place + 1 :]]
    elif kind == 4:
        swapped = list(entries)
        swapped[place], swapped[place + 1] = swapped[place + 1], swapped[place]
        return swapped
    else:
        changed = dataclasses.replace(entry, digest="0" * 64)
    return [*entries[:place], changed, *entries[place + 1 :]]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_done_to_the_middle_shows(seed: int) -> None:
    entries: list[AuditEntry] = []
    for number in range(1, 8):
        previous = entries[-1].digest if entries else "0" * 64
        content = f'{{"actor": "Ada", "n": {number}}}'
        entries.append(AuditEntry(number, content, previous, digest_of(number, previous, content)))
    assert len(list(checked(entries))) == 7
    with pytest.raises(TamperedError):
        list(checked(tampered(entries, seed)))


def test_the_log_is_listed_exported_and_verified(store: Store, url: str, tmp_path: Path) -> None:
    entries = fill(store)
    listed = call("list", f"--store={url}").output
    assert listed.count("version.published") == 5
    file = tmp_path / "audit.jsonl"
    assert call("export", f"--store={url}", f"--to={file}").output.endswith("5 entries\n")
    assert list(read_export(file)) == entries
    for done in (call("verify", f"--store={url}"), call("verify", f"--file={file}")):
        assert done.exit_code == 0, done.output
        assert done.output == f"5 entries, unbroken; the newest is {entries[-1].digest[:12]}\n"


def test_a_log_that_lost_its_end_shows_against_what_was_exported(
    store: Store, url: str, tmp_path: Path
) -> None:
    fill(store)
    kept, shorter = tmp_path / "kept.jsonl", tmp_path / "shorter.jsonl"
    call("export", f"--store={url}", f"--to={kept}")
    fill(store, 1)
    done = call("verify", f"--store={url}", f"--against={kept}")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("6 entries, unbroken, and hold against 5 exported entries; ")
    # Without its end it is a chain like any other.
    shorter.write_text("".join(kept.read_text().splitlines(keepends=True)[:3]))
    assert call("verify", f"--file={shorter}").exit_code == 0
    done = call("verify", f"--file={shorter}", f"--against={kept}")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "expected entry 4 of the audit log to be" in done.stderr
    assert f"as {kept} says. Received: none" in done.stderr
    done = call("verify", f"--store={url}", f"--against={tmp_path / 'none'}")
    assert done.stderr.startswith("error: expected a file of audit entries")


@pytest.mark.parametrize(
    ("cut", "said"),
    [
        (lambda text: text[:-20], "expected line 5 to be a whole entry"),
        (lambda text: text[:-1], "expected line 5 to be a whole entry"),
        (lambda text: "nonsense\n" + text, "expected line 1 to be an entry"),
        (lambda text: text.replace("Ada", "Eve", 1), "its content was changed"),
        (lambda text: text.replace('"id": 3', '"id": "3"'), "expected line 3 to be an entry"),
    ],
    ids=["torn", "no end of line", "foreign line", "changed", "type"],
)
def test_a_damaged_export_is_one_line(
    store: Store, url: str, tmp_path: Path, cut: Callable[[str], str], said: str
) -> None:
    fill(store)
    file = tmp_path / "audit.jsonl"
    call("export", f"--store={url}", f"--to={file}")
    file.write_text(cut(file.read_text()))
    done = call("verify", f"--file={file}")
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_an_export_that_cannot_be_written_is_one_line(url: str, store: Store) -> None:
    done = call("export", f"--store={url}", "--to=/proc/no/file")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a file of audit entries"):
        list(read_export(tmp_path / "none"))
