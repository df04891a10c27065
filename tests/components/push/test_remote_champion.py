"""The champion of models that lie in object stores: found, kept, refused where it is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kfp.dsl import HTML, Artifact
from kfp.dsl import Model as ModelArtifact

from components.artifacts import (
    Decision,
    Model,
    Published,
    ValidationReport,
    saved_model_digest,
    write_json,
)
from components.champion.component import champion
from components.errors import AlteredModelError, ConfigError, PublishError
from components.gate.component import gate
from components.push.champion import AUTO, find_champion, resolve_champion, served_version
from serving import storage
from serving.storage import objects
from tests.components.push.conftest import Candidate
from tests.conftest import S3Server

Make = Callable[..., Candidate]
RULES = [{"metric": "evaluation.bits_per_byte", "at_most": "champion"}]


def empty(store: str) -> None:
    """Deletes every object of a bucket."""
    opened, bucket = storage._store(store), store.partition("://")[2]
    for stored in list(opened.listing(bucket, "")):
        opened.delete(bucket, stored)


def overwrite(location: str, name: str, content: str, scratch: Path) -> None:
    """Puts another content into a published version, as somebody with a browser may."""
    (scratch / name).write_text(content)
    storage.upload(scratch / name, f"{location}/{name}")


def judge(candidate: Candidate, folder: str, digest: str, out: Path) -> dict[str, object]:
    """The decision of the gate step, called as Kubeflow calls it."""
    model, _, evaluation, drift = candidate.folders
    page = out / "page.html"
    out.mkdir()
    ValidationReport(out / "validation").write({"figures": {}}, "<p>validation</p>")
    gate.python_func(
        ModelArtifact(uri=str(model)),
        Artifact(uri=str(out / "validation")),
        Artifact(uri=str(evaluation)),
        Artifact(uri=str(drift)),
        "auto",
        RULES,
        folder,
        digest,
        "",
        Artifact(uri=str(out / "decision")),
        HTML(uri=str(page)),
    )
    return dict(Decision(out / "decision").read())


def test_the_second_model_is_compared_with_the_first_whatever_becomes_of_the_store(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    base, keep = f"{remote}/models", str(tmp_path / "volume" / "champions")
    assert champion.python_func(AUTO, base, "text", {}, keep) == ("", "")
    first = candidate("a").push_to(base, inputs_fingerprint="a")
    found = champion.python_func(AUTO, base, "text", {"inputs_fingerprint": "b"}, keep)
    folder, digest = Path(found[0]), found[1]
    assert folder.is_relative_to(keep)
    assert folder.name == "1"
    assert digest == first.provenance()["model_digest"] == saved_model_digest(folder)
    # Found again it is the same folder, so that evaluation is answered from the cache.
    again = champion.python_func(AUTO, base, "text", {"inputs_fingerprint": "b"}, keep)
    assert again == found

    candidate("b").push_to(base, inputs_fingerprint="b")
    empty(remote)
    # The pods of the other steps have neither this one's cache nor, now, a store to read.
    shutil.rmtree(tmp_path / "cache-of-loomline")
    decision = judge(candidate("c"), *found, tmp_path / "gate")
    assert decision["champion_version"] == 1
    (rule,) = decision["rules"]  # type: ignore[misc]
    assert "is above version 1 1.9" in rule["reason"]


def test_without_a_volume_each_step_fetches_the_version_and_checks_that_it_is_the_same(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    base = f"{remote}/models"
    first = candidate("a").push_to(base, inputs_fingerprint="a")
    found = find_champion(AUTO, base, "text", "b")
    assert found == (first.location, first.provenance()["model_digest"])
    assert find_champion(first.location, base, "text", "b") == found
    shutil.rmtree(tmp_path / "cache-of-loomline")
    assert judge(candidate("b"), *found, tmp_path / "gate")["champion_version"] == 1

    # What is published meanwhile has a number of its own; what is overwritten is refused.
    candidate("c").push_to(base, inputs_fingerprint="c")
    assert served_version(*found) is not None
    overwrite(first.location, "saved_model.pb", "another graph", tmp_path)
    with pytest.raises(AlteredModelError, match="replaced meanwhile, so run the pipeline") as e:
        served_version(*found)
    assert "\n" not in str(e.value)


def test_a_champion_that_was_damaged_in_the_store_is_one_line(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    base = f"{remote}/models"
    first = candidate("a").push_to(base, inputs_fingerprint="a")
    overwrite(first.location, "another-file", "more", tmp_path)
    for look in (
        lambda: resolve_champion(base, "text", "b"),
        lambda: find_champion(AUTO, base, "text", "b", str(tmp_path / "volume")),
    ):
        with pytest.raises(AlteredModelError, match="changed or lost since") as raised:
            look()
        assert first.location in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_champion_that_is_damaged_on_the_way_is_one_line(
    remote: str, candidate: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    candidate("a").push_to(f"{remote}/models")
    shutil.rmtree(tmp_path / "cache-of-loomline")
    store = type(storage._store(remote))
    read = store.read
    monkeypatch.setattr(store, "read", lambda *asked: bytes(len(read(*asked))))
    with pytest.raises(PublishError, match=r"push\.base_path: expected .* with the checksum") as e:
        find_champion(AUTO, f"{remote}/models", "text", "b", str(tmp_path / "volume"))
    assert "\n" not in str(e.value)
    assert objects.MARKER not in [path.name for path in (tmp_path / "volume").rglob("*")]


def test_a_copy_that_was_changed_on_the_volume_is_one_line(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    candidate("a").push_to(f"{remote}/models")
    found = find_champion(AUTO, f"{remote}/models", "text", "b", str(tmp_path / "volume"))
    graph = Path(found[0]) / "saved_model.pb"
    graph.chmod(0o644)
    graph.write_bytes(b"another graph")
    with pytest.raises(AlteredModelError, match="changed or replaced meanwhile"):
        served_version(*found)


def test_a_store_without_permission_is_one_line(
    s3: str,
    s3_server: S3Server,
    forbidding: str,
    candidate: Make,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from serving.storage import gcs
    from serving.storage import s3 as module

    first = candidate("a").push_to(f"s3://{s3}/models")
    shutil.rmtree(tmp_path / "cache-of-loomline")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.stranger[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.stranger[1])
    module._client.cache_clear()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", forbidding)
    gcs._client.cache_clear()
    for base in (f"s3://{s3}/models", "gs://somebodys/models"):
        with pytest.raises(PublishError, match=f"push.base_path: no permission for {base}") as e:
            find_champion(AUTO, base, "text", "b", str(tmp_path / "volume"))
        assert "\n" not in str(e.value)
    with pytest.raises(PublishError, match=f"^champion: no permission for {first.location}"):
        find_champion(first.location, "", "text", "b")
    gcs._client.cache_clear()


def test_a_place_without_a_version_is_one_line(remote: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no model")
    storage.upload(tmp_path / "note.txt", f"{remote}/models/text/1/note.txt")
    with pytest.raises(ConfigError, match=r"champion expects 'auto'.*URI of a published version"):
        find_champion(f"{remote}/models/text/1", "", "text", "b")
    with pytest.raises(PublishError, match=r"^champion: expected files at .*/text/2"):
        find_champion(f"{remote}/models/text/2", "", "text", "b")


def test_a_version_published_by_other_means_has_no_provenance_to_hold_it_to(
    remote: str, candidate: Make, tmp_path: Path
) -> None:
    model = Model(candidate("a").folders[0]).saved_model
    storage.publish(model, f"{remote}/models/text", 5)
    found = resolve_champion(f"{remote}/models", "text", "b")
    assert found is not None
    assert found[0].name == "5"
    (model / "loomline").mkdir()
    write_json(Published(model).provenance_path, ["of another form"])
    storage.publish(model, f"{remote}/models/text", 6)
    found = resolve_champion(f"{remote}/models", "text", "b")
    assert found is not None
    assert found[0].name == "6"
