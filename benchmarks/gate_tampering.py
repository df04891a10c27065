"""Attempts to get a model published, or a log believed, that nobody approved or wrote so."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from benchmarks.approval_desk import Desk
from components.artifacts import Drift, Pending, published_versions
from components.errors import LoomlineError, PublishError
from components.push.approved import publish_approved
from pipelines.cli import main
from serving.review import reviewers
from serving.review.candidates import read_candidate
from serving.review.deciding import decide
from serving.review.signing import make_key, sign
from serving.store.audit import GENESIS, digest_of

_CANDIDATE = "c"


@dataclasses.dataclass(frozen=True)
class Scene:
    """Where an attempt is made: two published versions and an approved candidate."""

    desk: Desk
    chance: random.Random

    @property
    def waits(self) -> Pending:
        """The candidate, signed and not yet published."""
        return Pending(self.desk.models / "text" / ".pending" / _CANDIDATE)

    @property
    def store(self) -> Path:
        return self.desk.root / "out" / "store.sqlite"

    def published(self) -> Any:
        """The newest version."""
        return published_versions(self.desk.models, "text")[-1]


Attempt = Callable[[Scene], None]


def prepare(folder: Path) -> Desk:
    """Makes what every attempt begins with."""
    desk = Desk(folder)
    for run in ("a", "b"):
        desk.wait(run)
        desk.review(run).approve("", 7)
    waits = desk.wait(_CANDIDATE)
    with contextlib.closing(desk.store()) as store:
        candidate = read_candidate(waits.path)
        decide(store, candidate, desk.key, desk.approvers, verdict="approved", comment="", days=7)
    verified = CliRunner().invoke(main, ["audit", "export", *_store(desk), f"--to={_export(desk)}"])
    assert verified.exit_code == 0, verified.output
    return desk


def attempts(seed: int) -> Iterator[tuple[str, str, Attempt, random.Random]]:
    """What is attacked, how, the attempt, and its chance; a hundred of them."""
    for (kind, attempt), times in ATTEMPTS.items():
        for number in range(times):
            chance = random.Random(f"{seed} {attempt.__name__} {number}")
            yield kind, attempt.__name__, attempt, chance


def refusal(kind: str, attempt: Attempt, desk: Desk, chance: random.Random) -> str:
    """Makes an attempt on a copy of the desk.

    Returns:
        The line that refuses it; empty where it is not refused, or is in some other way than by
        one line that changes nothing.
    """
    attempt(Scene(desk, chance))
    if kind == "log":
        models = [f"--models={desk.models}"]
        return _verified([*_store(desk), *models])
    if kind == "export":
        return _verified([f"--file={_export(desk)}"])
    waits = Scene(desk, chance).waits
    before = {path: path.read_bytes() for path in waits.path.rglob("*") if path.is_file()}
    # An approval has its time; the clock of one attempt is past it.
    late = timedelta(days=8) if attempt is wait_too_long else timedelta()
    try:
        publish_approved(waits, desk.approvers, datetime.now(UTC) + late)
    except PublishError:
        return ""
    except LoomlineError as error:
        told = str(error)
        kept = {path: path.read_bytes() for path in before if path.is_file()} == before
        same = desk.versions() == [1, 2]
        return told if kept and same and "expected" in told and "\n" not in told else ""
    return ""


def untouched(desk: Desk) -> bool:
    """Whether without any attempt the log holds, in both forms, and the model is published."""
    said = [_verified([f"--file={_export(desk)}"]), _verified([*_store(desk), *_models(desk)])]
    waits = Scene(desk, random.Random(0)).waits
    return said == ["", ""] and publish_approved(waits, desk.approvers).version == 3


def _verified(arguments: list[str]) -> str:
    done = CliRunner().invoke(main, ["audit", "verify", *arguments])
    one_line = done.exit_code == 2 and done.stderr.count("\n") == 1
    return done.stderr.strip() if one_line else ""


def _store(desk: Desk) -> list[str]:
    return [f"--store=sqlite:///{desk.root / 'out' / 'store.sqlite'}"]


def _models(desk: Desk) -> list[str]:
    return [f"--models={desk.models}"]


def _export(desk: Desk) -> Path:
    return desk.root / "audit.jsonl"


# --- The model and the evidence ------------------------------------------------------------------


def _flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(content))


def _model_files(scene: Scene) -> list[Path]:
    files = sorted(path for path in scene.waits.path.rglob("*") if path.is_file())
    return [path for path in files if "loomline" not in path.parts]


def _evidence(scene: Scene) -> list[Path]:
    aside = (scene.waits.pending_path, scene.waits.approval_path)
    return [path for path in sorted(scene.waits.provenance_folder.iterdir()) if path not in aside]


def flip_a_bit_of_the_model(scene: Scene) -> None:
    _flip(scene.chance.choice(_model_files(scene)), scene.chance)


def add_to_the_model(scene: Scene) -> None:
    (scene.waits.path / f"extra-{scene.chance.randrange(9)}").write_bytes(b"ops")


def cut_the_model_short(scene: Scene) -> None:
    path = scene.chance.choice(_model_files(scene))
    path.write_bytes(path.read_bytes()[:-1])


def remove_from_the_model(scene: Scene) -> None:
    scene.chance.choice(_model_files(scene)).unlink()


def flip_a_bit_of_the_evidence(scene: Scene) -> None:
    _flip(scene.chance.choice(_evidence(scene)), scene.chance)


def add_evidence(scene: Scene) -> None:
    (scene.waits.provenance_folder / f"note-{scene.chance.randrange(9)}.json").write_text("{}")


def remove_evidence(scene: Scene) -> None:
    drift = Drift(scene.waits.provenance_folder).json_path
    scene.chance.choice([scene.waits.provenance_path, drift]).unlink()


def change_what_it_waits_as(scene: Scene) -> None:
    content = scene.waits.read()
    name, value = scene.chance.choice([("run", "z"), ("model_name", "z"), ("champion_version", 9)])
    scene.waits.pending_path.write_text(json.dumps({**content, name: value}))


# --- The record ----------------------------------------------------------------------------------


def _envelope(scene: Scene) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(scene.waits.approval_path.read_text())
    return content


def _put(scene: Scene, envelope: object) -> None:
    scene.waits.approval_path.write_text(json.dumps(envelope))


def _flip_in_base64(scene: Scene, holder: dict[str, Any], name: str) -> None:
    raw = bytearray(base64.b64decode(holder[name]))
    raw[scene.chance.randrange(len(raw))] ^= 1 << scene.chance.randrange(8)
    holder[name] = base64.b64encode(raw).decode()


def flip_a_bit_of_the_payload(scene: Scene) -> None:
    envelope = _envelope(scene)
    _flip_in_base64(scene, envelope, "payload")
    _put(scene, envelope)


def flip_a_bit_of_the_signature(scene: Scene) -> None:
    envelope = _envelope(scene)
    _flip_in_base64(scene, envelope["signatures"][0], "sig")
    _put(scene, envelope)


def _reworded(scene: Scene, **changed: Any) -> dict[str, Any]:
    """The predicate with other words in it; the record gets them under its old signature."""
    envelope = _envelope(scene)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"] |= changed
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    _put(scene, envelope)
    predicate: dict[str, Any] = statement["predicate"]
    return predicate


def extend_the_record(scene: Scene) -> None:
    _reworded(scene, expires=f"2{scene.chance.randrange(100, 999)}-01-01T00:00:00+00:00")


def sign_as_a_stranger(scene: Scene) -> None:
    stranger = make_key(scene.desk.root / "stranger.key")
    scene.waits.approval_path.write_text(sign(stranger, scene.waits.digests(), _reworded(scene)))


def sign_in_her_name(scene: Scene) -> None:
    sign_as_a_stranger(scene)
    envelope = _envelope(scene)
    envelope["signatures"][0]["keyid"] = scene.desk.reviewer.key_id
    _put(scene, envelope)


def revoke_her_key(scene: Scene) -> None:
    reviewers.revoke(scene.desk.approvers, scene.desk.reviewer.key_id)


def let_her_key_expire(scene: Scene) -> None:
    content = json.loads(scene.desk.approvers.read_text())
    content["reviewers"][0]["expires"] = f"20{scene.chance.randrange(10, 26)}-01-01T00:00:00+00:00"
    scene.desk.approvers.write_text(json.dumps(content))


def wait_too_long(scene: Scene) -> None:
    """The clock does it."""


def sign_for_the_future(scene: Scene) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    predicate = _reworded(scene, created=ahead.isoformat())
    scene.waits.approval_path.write_text(sign(scene.desk.key, scene.waits.digests(), predicate))


def replay_another_runs_record(scene: Scene) -> None:
    versions = published_versions(scene.desk.models, "text")
    shutil.copyfile(scene.chance.choice(versions).approval_path, scene.waits.approval_path)


def replay_a_version_with_its_record(scene: Scene) -> None:
    version = scene.chance.choice(published_versions(scene.desk.models, "text"))
    shutil.rmtree(scene.waits.path)
    shutil.copytree(version.path, scene.waits.path)


def use_a_nonce_again(scene: Scene) -> None:
    payload = json.loads(scene.published().approval_path.read_text())["payload"]
    nonce = json.loads(base64.b64decode(payload))["predicate"]["nonce"]
    predicate = _reworded(scene, nonce=nonce)
    scene.waits.approval_path.write_text(sign(scene.desk.key, scene.waits.digests(), predicate))


def publish_a_refusal(scene: Scene) -> None:
    predicate = _reworded(scene, verdict="rejected")
    scene.waits.approval_path.write_text(sign(scene.desk.key, scene.waits.digests(), predicate))


def use_a_record_for_another_place(scene: Scene) -> None:
    places = [("run", "z"), ("model_name", "image"), ("champion_version", 7)]
    name, value = scene.chance.choice(places)
    predicate = _reworded(scene, **{name: value})
    scene.waits.approval_path.write_text(sign(scene.desk.key, scene.waits.digests(), predicate))


def sign_less_than_everything(scene: Scene) -> None:
    digests = scene.waits.digests()
    del digests[scene.chance.choice(sorted(digests))]
    scene.waits.approval_path.write_text(sign(scene.desk.key, digests, _reworded(scene)))


def sign_twice(scene: Scene) -> None:
    envelope = _envelope(scene)
    envelope["signatures"] *= 2
    _put(scene, envelope)


def put_garbage(scene: Scene) -> None:
    junk: list[object] = [[], {}, 7, None, {"signatures": []}, "x", {"payloadType": 1}]
    text = json.dumps(scene.chance.choice(junk))
    told = scene.chance.choice([text, text[:-1], "\0" * 40, "[" * 5000])
    scene.waits.approval_path.write_text(told)


# --- The log -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(scene: Scene) -> Iterator[sqlite3.Connection]:
    """The database without the triggers that refuse changes, as its owner can have it."""
    with contextlib.closing(sqlite3.connect(scene.store)) as thief:
        for name in ("update", "delete"):
            thief.execute(f"DROP TRIGGER audit_log_no_{name}")
        yield thief
        thief.commit()


def _rows(thief: sqlite3.Connection) -> list[tuple[int, str, str, str]]:
    query = "SELECT id, content, previous, digest FROM audit_log ORDER BY id"
    return thief.execute(query).fetchall()


def _by_eve(content: str) -> str:
    """The entry with another one who did it."""
    return json.dumps({**json.loads(content), "actor": "Eve"}, sort_keys=True, ensure_ascii=False)


def change_an_entry(scene: Scene) -> None:
    with _opened(scene) as thief:
        number, content, _, _ = scene.chance.choice(_rows(thief))
        place = scene.chance.randrange(len(content))
        letter = "x" if content[place] != "x" else "y"
        changed = content[:place] + letter + content[place + 1 :]
        thief.execute("UPDATE audit_log SET content = ? WHERE id = ?", (changed, number))


def change_an_entry_with_its_digest(scene: Scene) -> None:
    with _opened(scene) as thief:
        number, content, previous, _ = scene.chance.choice(_rows(thief)[:-1])
        changed = _by_eve(content)
        values = (changed, digest_of(number, previous, changed), number)
        thief.execute("UPDATE audit_log SET content = ?, digest = ? WHERE id = ?", values)


def remove_an_entry(scene: Scene) -> None:
    with _opened(scene) as thief:
        number = scene.chance.choice(_rows(thief)[:-1])[0]
        thief.execute("DELETE FROM audit_log WHERE id = ?", (number,))


def remove_an_entry_and_close_the_gap(scene: Scene) -> None:
    with _opened(scene) as thief:
        number = scene.chance.choice(_rows(thief)[:-1])[0]
        thief.execute("DELETE FROM audit_log WHERE id = ?", (number,))
        for later in range(number + 1, len(_rows(thief)) + 2):
            thief.execute("UPDATE audit_log SET id = ? WHERE id = ?", (later - 1, later))


def swap_two_entries(scene: Scene) -> None:
    with _opened(scene) as thief:
        first = scene.chance.randrange(1, len(_rows(thief)))
        for old, new in ((first, -1), (first + 1, first), (-1, first + 1)):
            thief.execute("UPDATE audit_log SET id = ? WHERE id = ?", (new, old))


def cut_off_the_end(scene: Scene) -> None:
    """What was written since a version was approved; only the approvals tell of it."""
    with _opened(scene) as thief:
        kept = scene.chance.randrange(2)
        thief.execute("DELETE FROM audit_log WHERE id > ?", (kept,))


def forge_an_entry(scene: Scene) -> None:
    with _opened(scene) as thief:
        number, _, _, digest = _rows(thief)[-1]
        content = json.dumps({"event": "candidate.approved", "actor": "Ada"})
        wrong = scene.chance.choice([GENESIS, digest[::-1]])
        values = (number + 1, content, wrong, digest_of(number + 1, wrong, content))
        thief.execute(
            "INSERT INTO audit_log (id, content, previous, digest) VALUES (?, ?, ?, ?)", values
        )


def write_the_log_anew(scene: Scene) -> None:
    """A whole chain that holds in itself; only the approvals tell of it."""
    with _opened(scene) as thief:
        rows, previous = _rows(thief), GENESIS
        changed = scene.chance.randrange(2)
        for place, (number, content, _, _) in enumerate(rows):
            told = _by_eve(content) if place == changed else content
            digest = digest_of(number, previous, told)
            thief.execute(
                "UPDATE audit_log SET content = ?, previous = ?, digest = ? WHERE id = ?",
                (told, previous, digest, number),
            )
            previous = digest


def flip_a_bit_of_the_export(scene: Scene) -> None:
    _flip(_export(scene.desk), scene.chance)


def tear_the_export(scene: Scene) -> None:
    content = _export(scene.desk).read_bytes()
    _export(scene.desk).write_bytes(content[: -scene.chance.randrange(1, 60)])


def reorder_the_export(scene: Scene) -> None:
    lines = _export(scene.desk).read_bytes().splitlines(keepends=True)
    place = scene.chance.randrange(len(lines) - 1)
    lines[place], lines[place + 1] = lines[place + 1], lines[place]
    _export(scene.desk).write_bytes(b"".join(lines))


ATTEMPTS: dict[tuple[str, Attempt], int] = {
    ("model", flip_a_bit_of_the_model): 11,
    ("model", cut_the_model_short): 2,
    ("model", add_to_the_model): 2,
    ("model", remove_from_the_model): 2,
    ("evidence", flip_a_bit_of_the_evidence): 11,
    ("evidence", add_evidence): 2,
    ("evidence", remove_evidence): 2,
    ("evidence", change_what_it_waits_as): 2,
    ("record", flip_a_bit_of_the_payload): 8,
    ("record", flip_a_bit_of_the_signature): 8,
    ("record", extend_the_record): 2,
    ("record", sign_as_a_stranger): 2,
    ("record", sign_in_her_name): 2,
    ("record", revoke_her_key): 1,
    ("record", let_her_key_expire): 2,
    ("record", wait_too_long): 1,
    ("record", sign_for_the_future): 1,
    ("record", replay_another_runs_record): 2,
    ("record", replay_a_version_with_its_record): 2,
    ("record", use_a_nonce_again): 1,
    ("record", publish_a_refusal): 1,
    ("record", use_a_record_for_another_place): 3,
    ("record", sign_less_than_everything): 3,
    ("record", sign_twice): 1,
    ("record", put_garbage): 4,
    ("log", change_an_entry): 4,
    ("log", change_an_entry_with_its_digest): 2,
    ("log", remove_an_entry): 2,
    ("log", remove_an_entry_and_close_the_gap): 2,
    ("log", swap_two_entries): 2,
    ("log", cut_off_the_end): 2,
    ("log", forge_an_entry): 2,
    ("log", write_the_log_anew): 2,
    ("export", flip_a_bit_of_the_export): 2,
    ("export", tear_the_export): 1,
    ("export", reorder_the_export): 1,
}
