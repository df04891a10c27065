"""What may be published, and what a published version holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Decision, Drift, Evaluation, Model, published_versions
from components.errors import (
    AlteredModelError,
    ConfigError,
    DataError,
    LoomlineError,
    ModelError,
    PublishError,
    RejectedModelError,
)
from components.push.options import PushOptions
from components.push.push import run

Make = Callable[..., Any]


def _versions(base: Path) -> list[int]:
    return [version.version for version in published_versions(base, "text")]


def test_a_pushed_version_answers_as_the_model_did(candidate: Make, tmp_path: Path) -> None:
    import tensorflow as tf

    published = candidate().push(tmp_path / "models")
    assert published.path == tmp_path / "models" / "text" / "1"
    loaded = tf.saved_model.load(str(published.path))
    answer = loaded.signatures["serving_default"](x=tf.constant([1.0]))["y"]
    assert answer.numpy().tolist() == [3.0]


def test_each_new_model_gets_the_next_version(candidate: Make, tmp_path: Path) -> None:
    for name in "abc":
        candidate(name).push(tmp_path / "models")
    assert _versions(tmp_path / "models") == [1, 2, 3]


def test_versions_count_on_as_numbers(candidate: Make, tmp_path: Path) -> None:
    (tmp_path / "models" / "text" / "9").mkdir(parents=True)
    (tmp_path / "models" / "text" / "10").write_text("a file in the way")
    assert candidate().push(tmp_path / "models").version == 11


def test_the_provenance_tells_what_made_the_model(candidate: Make, tmp_path: Path) -> None:
    made = candidate()
    known = {"run": "run-7", "config": {"train": {"layers": 4}}, "code_revision": "abc", "m": 1}
    published = made.push(tmp_path / "models", **known, model_digest="a lie")
    provenance = published.provenance()
    assert provenance["model_digest"] == Model(made.folders[0]).digest()
    assert {key: provenance[key] for key in known} == known
    assert provenance["figures"] == {"evaluation.bits_per_byte": 1.9, "drift.data.drift_share": 0.5}
    assert provenance["decision"]["approved"] is True
    assert provenance["packages"]["tensorflow"].startswith("2.")
    assert provenance["created"].endswith("+00:00")
    assert provenance["eval_digest"] == "e" * 64


def test_the_evidence_lies_beside_the_model(candidate: Make, tmp_path: Path) -> None:
    made = candidate()
    _, decision, evaluation, drift = made.folders
    Drift(drift).reference_path.write_bytes(b"measures of training rows")
    published = made.push(tmp_path / "models")
    for source in (
        Drift(drift).reference_path,
        Decision(decision).json_path,
        Evaluation(evaluation).json_path,
        Evaluation(evaluation).scores_path,
        Drift(drift).json_path,
    ):
        assert (published.provenance_folder / source.name).read_bytes() == source.read_bytes()
    assert published.evaluation().figures()["bits_per_byte"].value == 1.9


def test_pushing_the_served_model_again_publishes_nothing(candidate: Make, tmp_path: Path) -> None:
    made = candidate()
    first = made.push(tmp_path / "models", run="one")
    assert made.push(tmp_path / "models", run="two") == first
    assert _versions(tmp_path / "models") == [1]
    assert first.provenance()["run"] == "one"


def test_going_back_to_an_older_model_is_a_new_version(candidate: Make, tmp_path: Path) -> None:
    first, second = candidate("a"), candidate("b")
    for made in (first, second, first):
        made.push(tmp_path / "models")
    assert _versions(tmp_path / "models") == [1, 2, 3]


def test_a_rejected_model_is_refused_with_its_reason(candidate: Make, tmp_path: Path) -> None:
    made = candidate(approved=False, reason="rejected: evaluation.bits_per_byte: 2.1 is above 2")
    with pytest.raises(RejectedModelError, match=r"bits_per_byte: 2.1 is above 2"):
        made.push(tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("approved", ["yes", 1, None])
def test_only_a_plain_true_approves(candidate: Make, tmp_path: Path, approved: object) -> None:
    with pytest.raises(RejectedModelError):
        candidate(approved=approved).push(tmp_path / "models")


@pytest.mark.parametrize("name", ["saved_model.pb", "assets.extra/name.txt", "added.bin"])
def test_a_model_changed_after_the_decision_is_refused(
    candidate: Make, tmp_path: Path, name: str
) -> None:
    made = candidate()
    with (Model(made.folders[0]).saved_model / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AlteredModelError, match="changed or replaced"):
        made.push(tmp_path / "models")
    assert _versions(tmp_path / "models") == []


@pytest.mark.parametrize("about", [Decision, Evaluation])
def test_evidence_about_another_model_is_refused(
    candidate: Make, tmp_path: Path, about: type[Decision]
) -> None:
    made, other = candidate("a"), candidate("b")
    place = {Decision: 1, Evaluation: 2}[about]
    foreign = about(other.folders[place]).json_path.read_bytes()
    about(made.folders[place]).json_path.write_bytes(foreign)
    with pytest.raises(AlteredModelError, match=about.__name__.lower()):
        made.push(tmp_path / "models")


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        ("model/saved_model/saved_model.pb", ModelError),
        ("decision/decision.json", DataError),
        ("evaluation/evaluation.json", DataError),
        ("evaluation/scores.parquet", DataError),
        ("drift/drift.json", DataError),
    ],
)
def test_a_missing_piece_is_named(
    candidate: Make, tmp_path: Path, missing: str, error: type[LoomlineError]
) -> None:
    made = candidate()
    (made.root / missing).unlink()
    with pytest.raises(error, match=Path(missing).name):
        made.push(tmp_path / "models")
    assert _versions(tmp_path / "models") == []


def test_models_of_images_and_tables_have_no_scores(candidate: Make, tmp_path: Path) -> None:
    made = candidate()
    evaluation = Evaluation(made.folders[2])
    evaluation.scores_path.unlink()
    evaluation.write({**evaluation.read(), "figures": {}}, "<p>evaluation</p>")
    published = made.push(tmp_path / "models")
    assert not published.evaluation().scores_path.exists()


def test_a_base_path_must_be_set(candidate: Make) -> None:
    with pytest.raises(ConfigError, match=r"push.base_path"):
        run(*candidate().folders, PushOptions(), {})


@pytest.mark.parametrize("blocked", ["models", "models/text"])
def test_a_file_where_a_folder_must_be_is_one_clear_line(
    candidate: Make, tmp_path: Path, blocked: str
) -> None:
    file = tmp_path / blocked
    file.parent.mkdir(exist_ok=True)
    file.write_text("in the way")
    with pytest.raises(PublishError, match="nothing was published") as caught:
        candidate().push(tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert file.read_text() == "in the way"


def test_the_record_is_readable_json(candidate: Make, tmp_path: Path) -> None:
    published = candidate().push(tmp_path / "models", note="naïve")
    assert json.loads(published.provenance_path.read_text("utf-8"))["note"] == "naïve"
